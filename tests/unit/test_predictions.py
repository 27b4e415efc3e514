"""Stored predictions: read as untrusted data, and paired only where the examples are the same."""

import io

import numpy as np
import pytest

from samerun import tracking
from samerun.errors import UserError
from samerun.replay import predictions
from samerun.replay.predictions import Kind

TEST = {"data.test": "d" * 64}
PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], np.float32)
TRUTH = np.array([0, 1, 1, 1], np.int32)


@pytest.fixture
def read(store):
    """Makes a run that stored these arrays and reads its predictions."""

    def make(arrays, **tags):
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return read_bytes(store, buffer.getvalue(), **tags)

    return make


def read_bytes(store, content, **tags):
    run_id = store({"evaluation/predictions.npz": content}, **(tags or TEST))
    (run,) = tracking.find_runs([run_id])
    return predictions.read(run)


def test_classes_have_errors_and_whether_each_is_correct(read):
    found = read({"probabilities": PROBABILITIES, "truth": TRUTH})
    assert (found.kind, found.split, found.num_examples) == (Kind.classes, "test", 4)
    assert found.correct.tolist() == [True, True, False, True]
    assert found.errors.tolist() == [0, 0, 1, 0]
    assert found.digest == "d" * 64


def test_numbers_have_mean_absolute_errors(read):
    truth = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = read({"predicted": truth + [[1, -3], [0, 0]], "truth": truth}, task="forecast")
    assert found.errors.tolist() == [2, 0]
    assert found.correct is None
    assert found.is_series
    assert found.split == "validation", "it has no digest of a test split"


def test_texts_have_losses_and_tokens_without_a_truth(read):
    found = read({"log_loss": np.array([3.0, 2.0]), "num_tokens": np.array([2, 1])})
    assert (found.kind, found.truth) == (Kind.tokens, None)
    assert found.num_tokens.tolist() == [2, 1]


def test_a_run_of_an_earlier_version_without_truth_is_one_sentence(read):
    with pytest.raises(UserError, match=r"earlier version.*samerun reproduce [0-9a-f]{8}`"):
        read({"probabilities": PROBABILITIES})


def test_a_run_without_predictions_is_one_sentence(store):
    (run,) = tracking.find_runs([store({"a.txt": "x"})])
    with pytest.raises(UserError, match="did not reach its evaluation"):
        predictions.read(run)


NAN = np.where(PROBABILITIES > 0.85, np.nan, PROBABILITIES)
HOSTILE = {
    "nothing": {},
    "another array": {"x\x1b[31m": TRUTH},
    "no matrix": {"probabilities": TRUTH.astype(np.float32), "truth": TRUTH},
    "a number": {"probabilities": np.float32(1), "truth": TRUTH},
    "texts": {"probabilities": np.array([["a", "b"]] * 4), "truth": TRUTH},
    "not finite": {"probabilities": NAN, "truth": TRUTH},
    "no example": {"probabilities": PROBABILITIES[:0], "truth": TRUTH[:0]},
    "no class": {"probabilities": PROBABILITIES[:, :0], "truth": TRUTH},
    "other lengths": {"probabilities": PROBABILITIES, "truth": TRUTH[:3]},
    "a class too many": {"probabilities": PROBABILITIES, "truth": TRUTH + 1},
    "a negative class": {"probabilities": PROBABILITIES, "truth": TRUTH - 1},
    "truth as floats": {"probabilities": PROBABILITIES, "truth": TRUTH.astype(float)},
    "truth of another shape": {"predicted": PROBABILITIES, "truth": PROBABILITIES[:, :1]},
    "both kinds": {"predicted": TRUTH, "probabilities": PROBABILITIES, "truth": TRUTH[:2]},
    "negative tokens": {"log_loss": np.ones(2), "num_tokens": np.array([-1, 2])},
    "no tokens": {"log_loss": np.ones(2), "num_tokens": np.zeros(2, int)},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_samerun_does_not_write_is_refused_in_one_sentence(read, name):
    with pytest.raises(UserError, match=r"predictions\.npz") as caught:
        read(HOSTILE[name])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 1000])
def test_a_file_that_is_no_archive_is_refused(store, content):
    with pytest.raises(UserError, match="not written by samerun"):
        read_bytes(store, content)


def test_two_runs_on_the_same_examples_are_paired(read):
    first = read({"probabilities": PROBABILITIES, "truth": TRUTH})
    second = read({"probabilities": PROBABILITIES[:, ::-1], "truth": TRUTH})
    found = predictions.paired(first, second)
    assert (found.difference, found.num_pairs) == (0.5, 4)
    assert found.test == "McNemar's test"


def test_errors_of_a_series_are_drawn_in_blocks(read):
    truth = np.zeros((100, 1))
    one, other = np.random.default_rng(0).normal(size=(2, 100, 1))
    runs = [
        read({"predicted": values, "truth": truth}, task="forecast", **TEST)
        for values in (one, other)
    ]
    assert predictions.paired(*runs).test == "paired bootstrap of blocks of 10"


def test_losses_of_texts_are_compared_per_token(read):
    tokens = np.tile([10, 1, 5], 4)
    runs = [
        read({"log_loss": loss * tokens, "num_tokens": tokens})
        for loss in (1.0, np.tile(np.arange(3.0), 4))
    ]
    assert predictions.paired(*runs).difference == pytest.approx(1 - 11 / 16)


def test_runs_on_other_examples_are_not_paired_and_it_says_why(read):
    first = read({"probabilities": PROBABILITIES, "truth": TRUTH})
    others = {
        "their test splits differ": ({"probabilities": PROBABILITIES, "truth": TRUTH}, "e" * 64),
        "one predicts classes, the other numbers": (
            {"predicted": PROBABILITIES, "truth": PROBABILITIES},
            "d" * 64,
        ),
        "one has 4 predictions, the other 3": (
            {"probabilities": PROBABILITIES[:3], "truth": TRUTH[:3]},
            "d" * 64,
        ),
        "different truths": ({"probabilities": PROBABILITIES, "truth": 1 - TRUTH}, "d" * 64),
    }
    for reason, (arrays, digest) in others.items():
        with pytest.raises(UserError, match=reason):
            predictions.paired(first, read(arrays, **{"data.test": digest}))
    unknown = read({"probabilities": PROBABILITIES, "truth": TRUTH}, uid="1")
    with pytest.raises(UserError, match="no digest of its validation split"):
        predictions.paired(first, unknown)
    validated = read(
        {"probabilities": PROBABILITIES, "truth": TRUTH}, **{"data.validation": "d" * 64}
    )
    with pytest.raises(UserError, match="the other only a validation split"):
        predictions.paired(first, validated)
