"""Keys that a kind of model got later: runs that were recorded without them stay what they were."""

import dataclasses

import pytest

from samerun import config
from samerun.config import DataSpec, Layout, Task
from samerun.config.fields import added_fields
from samerun.config.models import MODELS
from samerun.config.older import drop_new_keys
from samerun.config.stored import apply_overrides
from samerun.errors import UserError

THREADS = ["training.intra_op_threads=2", "training.inter_op_threads=2"]
FINGERPRINTS = {
    "cnn": "1c79cc53325f48ff00ff0885756357e601180cdf822ea5b36c6bb903f7732363",
    "cnn1d": "9cbe056f85a2091caa421ca002cb5a923aaacbfdd9f802f19e0113a9c20a46fe",
    "cnn_rnn": "ec527776f4c15f56e1f9cbd7ad648fac653aa0cd9a265b135b2097b103bcc506",
    "simple_rnn": "02a7e2d97556ac438755b6fb5a2d0169abd7f635554282de415b3dc76027e81d",
    "lstm": "89e5848a4e9ba39156712997f814a33366c1260467cc8cbcd863c208a772f50b",
    "gru": "0dd82a7a6a0403c4c28cb795c54452713a1795f3a09254f932568ee7c5c28218",
    "parallel_lstm": "59819be7b592227e7317ed8b722b0b08552881120529b10f79bb9ade8b13485e",
    "language_model": "7e7ac324aeca8a499bc632ef894fbdc37117e88113a9504b5a89209e6f9d9293",
    "forecaster": "025847aee560528e218ae2486557b4d776914bfd83a463af3562eeee8d6d0557",
    "conv_lstm": "dc653af4c7aa9c06ab1b51ca297efa2db1a8d1370d2f1a63d60e8fe2eb150e79",
}
"""Of `model=KIND` with two threads, as commit 619db5a computed them, which had none of the keys."""
WITH_ADDED_KEYS = [kind.kind for kind in MODELS if added_fields(kind)]
CLIPS = DataSpec(
    task=Task.multiclass,
    layout=Layout.video,
    input_shape=(4, 9, 9, 1),
    num_outputs=2,
    class_names=("left", "right"),
    num_train=100,
    num_validation=10,
    num_test=10,
)
PICTURES = dataclasses.replace(CLIPS, layout=Layout.image, input_shape=(8, 8, 1))
ROWS = dataclasses.replace(CLIPS, layout=Layout.sequence, input_shape=(14, 3))
SMALL = {
    "cnn": (PICTURES, "block 3 of model.filters receives 1×1 values"),
    "cnn1d": (ROWS, "block 3 of model.filters receives 2 values"),
    "cnn_rnn": (CLIPS, "block 3 of model.filters receives 1×1 values"),
}


def without_added_keys(kind, text):
    (model,) = (one for one in MODELS if one.kind == kind)
    added = tuple(f"  {name}:" for name in added_fields(model))
    return "".join(line for line in text.splitlines(True) if not line.startswith(added))


@pytest.mark.parametrize("kind", FINGERPRINTS)
def test_the_fingerprint_is_that_of_before_the_keys_existed(kind):
    assert (
        config.fingerprint(config.compose([f"model={kind}", *THREADS]).config)
        == (FINGERPRINTS[kind])
    )


@pytest.mark.parametrize("kind", WITH_ADDED_KEYS)
def test_a_stored_config_without_the_keys_means_what_it_meant(kind):
    made = config.compose([f"model={kind}", *THREADS])
    stored = without_added_keys(kind, made.resolved)
    assert stored != made.resolved
    assert config.from_yaml(stored) == made.config
    assert apply_overrides(stored).config == made.config


@pytest.mark.parametrize("kind", WITH_ADDED_KEYS)
def test_code_of_before_the_keys_is_not_given_them(kind):
    made = config.compose([f"model={kind}", *THREADS])
    stored = without_added_keys(kind, made.resolved)
    assert drop_new_keys(made.resolved, stored) == stored
    assert drop_new_keys(made.resolved, made.resolved) == made.resolved


def test_a_model_without_padding_is_another_run():
    cfg = config.compose(["model=cnn", "model.padding=valid", *THREADS]).config
    assert config.fingerprint(cfg) != FINGERPRINTS["cnn"]
    assert "padding: valid" in drop_new_keys(config.to_yaml(cfg), "model: {kind: cnn}")


@pytest.mark.parametrize(("kind", "spec", "received"), [(k, *row) for k, row in SMALL.items()])
def test_a_kernel_without_padding_has_to_fit_into_what_its_block_receives(kind, spec, received):
    overrides = [f"model={kind}", "model.filters=[2,2,2]", "model.kernel_size=3"]
    config.check(config.compose(overrides).config, spec)
    cfg = config.compose([*overrides, "model.padding=valid"]).config
    expected = rf"{received}, less than model.kernel_size \(3\): use model.padding=same"
    with pytest.raises(UserError, match=expected):
        config.check(cfg, spec)
    fewer = config.compose([*overrides, "model.filters=[2,2]", "model.padding=valid"]).config
    config.check(fewer, spec)


@pytest.mark.parametrize("word", ["full", "true", "0"])
def test_a_padding_that_keras_does_not_have_is_refused(word):
    with pytest.raises(UserError, match="expected one of same, valid"):
        config.compose(["model=cnn", f"model.padding={word}"])


@pytest.mark.parametrize("model", ["3", "[cnn]", "{}", "{kind: [cnn]}", "{kind: ???}", "null"])
def test_a_stored_config_whose_model_is_none_is_refused(model):
    with pytest.raises(UserError):
        config.from_yaml(f"model: {model}")
