"""Typed losses, metrics, callbacks and augmentations of a package of your own, in training."""

import pytest

import samerun
from samerun import cli
from support.own_parts import ALL, imports_undone, write_parts
from support.resuming import Killed, during_epoch, resume, run_in, state_in, train
from support.tables import mostly_slow

IMAGES = """
import keras
import tensorflow as tf


def confidence(y_true, y_pred):
    return keras.ops.max(y_pred, axis=-1)


def stripe(image, seed, width, table):
    first = tf.random.stateless_uniform([], seed, 0, image.shape[0], tf.int32)
    if first > 4:  # which TensorFlow's AutoGraph turns into a part of the graph
        first -= 4
    rows = tf.range(image.shape[0])
    masked = (rows >= first) & (rows < first + width)
    return tf.where(masked[:, None, None], 0.0, image)
"""
RUN = (
    "model=mlp",
    "model.units=[4]",
    "dataset.limit=60",
    "training.epochs=3",
    *ALL,
)


@pytest.fixture
def mine(project, monkeypatch):
    """A project as `samerun init` writes it, with a metric and an augmentation more."""
    folder = project / "mine"
    write_parts(folder, IMAGES)
    monkeypatch.chdir(folder)
    with imports_undone("mine"):
        yield folder


@pytest.mark.slow
def test_a_run_with_all_four_is_resumed_exactly(mine, tmp_path):
    overrides = [*RUN, "checkpoint.every_steps=2"]
    whole = train(overrides, run_in(tmp_path / "whole"))
    with pytest.raises(Killed):
        train(overrides, run_in(tmp_path / "broken", during_epoch(3)))
    state = state_in(tmp_path / "broken")
    assert state.step > 0
    assert state.meta["callbacks"]["own/shrink_bias"]["factor"] == pytest.approx(0.975)
    resumed = resume(overrides, tmp_path / "broken")
    assert resumed.weights_digest == whole.weights_digest
    assert resumed.metrics == whole.metrics
    assert {"train/confidence", "validation/confidence"} <= set(whole.history)
    assert "test/confidence" in whole.metrics


@pytest.mark.slow
def test_each_of_them_changes_the_weights(mine, tmp_path):
    digests = {train(RUN, run_in(tmp_path / "whole")).weights_digest}
    for less in ("training.loss=auto", "training.callbacks=[]", "dataset/augmentation=none"):
        other = [*(word for word in RUN if word.split("=")[0] != less.split("=")[0]), less]
        digests.add(train(other, run_in(tmp_path / less[:12])).weights_digest)
    assert len(digests) == 4


@pytest.mark.slow
def test_a_recorded_run_is_reproduced_exactly_with_trust_only(mine, capsys):
    result = samerun.train([*RUN, "training.params.focal.gamma=1", "tracking=lean"])
    assert cli.main(["reproduce", result.run_id, "--dry-run"]) == 2
    assert "give --trust mine" in capsys.readouterr().err
    assert cli.main(["reproduce", result.run_id, "--trust", "mine"]) == 0
    assert "EXACT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "message"),
    mostly_slow(
        [
            ("return image[:2]", r"returned float32 of shape \(2, 8, 1\)"),
            ("return image.numpy()", "raised AttributeError in a graph"),
            ("return image / 0.0 * 0.0", "not finite"),
            ("raise KeyError('x')", "raised KeyError: 'x'"),
        ],
        "return image.numpy()",
    ),
)
def test_a_wrong_augmentation_leaves_no_run_behind(mine, body, message):
    (mine / "src/mine/images.py").write_text(
        f"def stripe(image, seed, width, table):\n    {body}\n"
    )
    with pytest.raises(samerun.UserError, match=message) as caught:
        samerun.train(["model=mlp", "dataset.limit=60", "dataset/augmentation=stripe"])
    assert str(caught.value).startswith("dataset.augmentation=stripe: mine.images:stripe: ")
    assert not (mine / "outputs").exists()
