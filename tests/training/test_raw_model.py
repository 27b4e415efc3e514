"""The model of raw input: on raw examples it answers what the run's evaluation has."""

import numpy as np
import pandas as pd
import pytest

from samerun import config, data, evaluation, models
from samerun.config.models import MODELS
from samerun.raw_model import RawModel, RefusedInput, answers, check, check_network
from support.kinds import EXAMPLES, fitting, small_model
from support.official_files import WRITERS, prepare
from support.own_files import write_rows
from support.tables import mostly_slow

DOWNLOADED = {"mnist", "fashion_mnist", "cifar10", "cifar100", "imdb", "reuters"}
OWN = [name for name, example in EXAMPLES.items() if example.kind not in DOWNLOADED]
CUSTOM = "custom"


def network(spec):
    """A small network with random weights for this data; compiled, as in a run."""
    import keras

    kind = next(k for k in MODELS if k.kind in fitting(spec) - {CUSTOM})
    cfg = config.compose(small_model(kind)).config
    keras.utils.set_random_seed(3)
    model = models.build(cfg.model, spec)
    model.compile("adam", "mse")
    return model


def raw_model_of(cfg, dataset):
    model = network(dataset.spec)
    description = data.raw_input(cfg, dataset)
    check(description)
    check_network(description, model)
    return RawModel(description, models.inference(model)), model


def frame_of(raw, dataset, split="test", indices=None):
    num = getattr(dataset.spec, f"num_{split}")
    chosen = range(num) if indices is None else indices
    columns = data.raw_columns(raw.description, dataset, split, chosen)
    form = raw.description["input"]
    if form["kind"] == "image":
        return pd.DataFrame({form["column"]: pd.Series(columns[form["column"]], dtype=object)})
    return pd.DataFrame(columns)


def evaluated(model, dataset):
    """The predictions that a run of this model stores."""
    report = evaluation.evaluate(
        model,
        dataset.test,
        dataset.spec,
        config.compose([]).config.evaluation,
        to_units=dataset.to_units,
    )
    return report.probabilities if dataset.spec.is_classification else report.predicted


def answered(raw, frame, spec):
    made = raw.predict(frame)
    if spec.is_classification:
        names = [f"probability_{name}" for name in spec.class_names]
        assert [*made.columns] == ["label", "probability", *names]
        best = made[names].to_numpy().argmax(axis=1)
        assert made["label"].tolist() == [spec.class_names[at] for at in best]
        return made[names].to_numpy()
    targets = raw.description["output"]["targets"]
    return made[targets].to_numpy().reshape(-1, spec.num_outputs)


@pytest.mark.parametrize(
    "name", mostly_slow(OWN, "image_folder", "table_csv", "text_csv", "series_csv")
)
def test_raw_test_examples_give_the_predictions_of_the_evaluation(name, here, loaded):
    from support.kinds import dataset_of

    dataset = loaded(name)
    raw, model = raw_model_of(dataset_of(name), dataset)
    frame = frame_of(raw, dataset)
    if raw.generates:
        check_language_model(raw, model, dataset, frame)
        return
    np.testing.assert_array_equal(answered(raw, frame, dataset.spec), evaluated(model, dataset))


def test_a_test_text_of_unknown_words_counts_in_the_evaluation_and_gets_no_answer(tmp_path):
    texts = [f"new{row} only{row}." if row % 3 == 0 else f"film {row % 4}" for row in range(60)]
    labels = ["praise", "blame"] * 30
    write_rows(tmp_path / "rare.csv", ["text", "label"], [*zip(texts, labels, strict=True)])
    chosen = [f"path={tmp_path / 'rare.csv'}", "max_length=4", "batch_size=4"]
    cfg = config.compose(["dataset=text_csv", *(f"dataset.{part}" for part in chosen)]).config
    dataset = data.build(cfg.dataset, seed=0)
    raw, model = raw_model_of(cfg.dataset, dataset)
    frame = frame_of(raw, dataset)
    is_unknown = frame["text"].str.startswith("new").to_numpy()
    assert is_unknown.any()
    stored = evaluated(model, dataset)
    x = raw.encode(frame, is_labeled=True).x
    np.testing.assert_array_equal(answers.probabilities(raw.outputs(x)), stored)
    made = raw.answer(frame)
    assert [*made.refused] == np.flatnonzero(is_unknown).tolist()
    names = [f"probability_{name}" for name in dataset.spec.class_names]
    found = np.stack([made.columns[name] for name in names], axis=1)
    np.testing.assert_allclose(found, stored[~is_unknown], rtol=1e-5)
    with pytest.raises(RefusedInput, match=r"Row 0: column text holds only unknown words: 'new"):
        raw.predict(frame[is_unknown])


def check_language_model(raw, model, dataset, frame):
    """The most probable next token is the one of the logits; unknown words have no text."""
    x = np.concatenate([batch[0] for batch in dataset.test])
    known = [row for row in range(len(x)) if not (x[row] == 1).any()]
    assert known
    made = raw.predict(frame.iloc[known], {"length": 3, "seed": 5})
    words = dataset.vocabulary
    for row, at in enumerate(known):
        logits = np.asarray(model.predict_on_batch(x[at : at + 1]))[0, -1]
        logits[:2] = -np.inf
        assert made["next"].iloc[row] == words.decode([logits.argmax()])
        ids = models.sample(model, x[at].tolist(), num_tokens=3, temperature=1.0, top_k=0, seed=5)
        assert made["generated"].iloc[row] == words.decode(ids)


@pytest.mark.parametrize(
    "kind",
    mostly_slow(WRITERS, "imdb"),
)
def test_a_published_dataset_too(kind, tmp_path, monkeypatch):
    prepare(kind, tmp_path, monkeypatch)
    cfg = config.compose([f"dataset={kind}", "dataset.limit=8", "dataset.batch_size=3"]).config
    dataset = data.build(cfg.dataset, seed=0)
    raw, model = raw_model_of(cfg.dataset, dataset)
    frame = frame_of(raw, dataset)
    np.testing.assert_array_equal(answered(raw, frame, dataset.spec), evaluated(model, dataset))


def test_a_wrong_scale_is_refused_and_another_size_is_resized(here, loaded):
    from support.kinds import dataset_of

    raw, _ = raw_model_of(dataset_of("image_folder"), loaded("image_folder"))
    picture = np.full((20, 30, 3), 200, np.uint8)
    assert len(raw.predict([picture, picture[:9, :7]])) == 2
    for wrong, part in [
        (picture / 255, "holds float64, expected integers from 0 to 255"),
        (picture.astype(np.int32) * 2, "holds numbers from 400 to 400"),
        (picture[..., 0], r"has the shape \(20, 30\), expected any height and width with 3"),
        (b"GIF89a", "neither a JPEG nor a PNG"),
        ("cat.png", "holds a value of the type str, expected a PNG or JPEG file or an array"),
        (None, "holds no value"),
    ]:
        with pytest.raises(RefusedInput, match=part):
            raw.predict([wrong])
