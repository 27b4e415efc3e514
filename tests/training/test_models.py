import functools

import keras
import numpy as np
import pytest

from samerun import models
from samerun.config import Config, DataSpec, Layout, Task, compose
from samerun.config.models import MODELS

SHAPES = {
    Layout.image: (8, 8, 1),
    Layout.table: (5,),
    Layout.sequence: (6, 3),
    Layout.video: (2, 4, 4, 3),
}
NUM_OUTPUTS = {Task.multiclass: 4, Task.binary: 1, Task.regression: 2, Task.forecast: 3}


def make_spec(
    layout: Layout = Layout.image,
    task: Task = Task.multiclass,
    input_shape: tuple[int, ...] | None = None,
) -> DataSpec:
    return DataSpec(
        task=task,
        layout=layout,
        input_shape=input_shape or SHAPES[layout],
        num_outputs=NUM_OUTPUTS[task],
        num_train=12,
        num_validation=0,
        num_test=0,
    )


@functools.cache
def config_of(*overrides: str) -> Config:
    return compose(overrides).config


def examples(spec: DataSpec) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    x = draw.normal(size=(spec.num_train, *spec.input_shape)).astype(np.float32)
    if spec.task is Task.multiclass:
        return x, draw.integers(0, spec.num_outputs, spec.num_train)
    if spec.task is Task.binary:
        return x, draw.integers(0, 2, (spec.num_train, 1))
    return x, draw.normal(size=(spec.num_train, spec.num_outputs)).astype(np.float32)


def names_of(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


@pytest.fixture(autouse=True)
def _float32_afterwards():
    yield
    keras.config.set_dtype_policy("float32")


def test_every_kind_of_model_has_a_builder():
    assert set(models.BUILDERS) == set(MODELS)


@pytest.mark.parametrize(
    ("shape", "num_blocks", "sides"),
    [
        pytest.param((8, 8, 1), 2, [(4, 4), (2, 2)], id="digits"),
        pytest.param((28, 28, 1), 4, [(14, 14), (7, 7), (3, 3), (1, 1)], id="odd-sides"),
        pytest.param((8, 8, 1), 5, [(4, 4), (2, 2), (1, 1)], id="deeper-than-the-image"),
        pytest.param((2, 8, 3), 3, [(1, 4), (1, 2), (1, 1)], id="flat-image"),
    ],
)
def test_a_side_of_one_pixel_is_not_pooled_further(shape, num_blocks, sides):
    cfg = config_of("model=cnn", f"model.filters={[2] * num_blocks}".replace(" ", "")).model
    model = models.build(cfg, make_spec(input_shape=shape))
    pools = [layer for layer in model.layers if layer.name.startswith("pool_")]
    assert [layer.output.shape[1:3] for layer in pools] == sides
    assert names_of(model).count("flatten") == 1
    assert sum(name.startswith("conv_") for name in names_of(model)) == num_blocks


@pytest.mark.parametrize(
    ("overrides", "spec", "sizes"),
    [
        pytest.param(["model=cnn"], make_spec(), [(6, 6), (3, 3), (1, 1)], id="cnn"),
        pytest.param(
            ["model=cnn1d", "model.kernel_size=3"],
            make_spec(Layout.sequence, input_shape=(14, 3)),
            [(12,), (6,), (4,), (2,)],
            id="cnn1d",
        ),
        pytest.param(
            ["model=cnn_rnn", "model.kernel_size=2"],
            make_spec(Layout.video, input_shape=(2, 9, 9, 1)),
            [(8, 8), (4, 4), (3, 3), (1, 1)],
            id="cnn_rnn",
        ),
    ],
)
def test_without_padding_a_convolution_reduces_each_side(overrides, spec, sizes):
    cfg = config_of(*overrides, "model.filters=[2,2]", "model.padding=valid").model
    model = models.build(cfg, spec)
    found = [layer for layer in model.layers if layer.name.startswith(("conv_", "pool_"))]
    length = len(sizes[0])
    assert [layer.output.shape[-1 - length : -1] for layer in found] == sizes


def test_a_cnn_puts_its_layers_in_the_documented_order():
    overrides = ["model.filters=[2]", "model.batch_norm=true", "model.dropout=0.1"]
    cfg = config_of("model=cnn", "model.dense_units=[4]", *overrides).model
    model = models.build(cfg, make_spec())
    assert names_of(model) == [
        "conv_1",
        "batch_norm_1",
        "activation_1",
        "pool_1",
        "flatten",
        "dropout_conv",
        "dense_1",
        "dropout_1",
        "output",
    ]
    assert not model.get_layer("conv_1").use_bias


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(["model=mlp", "model.units=[]"], id="mlp"),
        pytest.param(["model=cnn", "model.filters=[]", "model.dense_units=[]"], id="cnn"),
    ],
)
def test_without_hidden_layers_a_model_is_linear(overrides):
    model = models.build(config_of(*overrides, "model.dropout=0.5").model, make_spec())
    assert names_of(model) == ["flatten", "output"]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "silu", "gelu", "selu", "softplus"])
def test_activation_and_initializer_reach_every_hidden_layer(activation):
    overrides = [f"model.activation={activation}", "model.initializer=orthogonal"]
    model = models.build(config_of("model=cnn", *overrides).model, make_spec())
    for name in ("activation_1", "activation_2", "dense_1"):
        assert model.get_layer(name).activation.__name__ == activation
    for name in ("conv_1", "conv_2", "dense_1"):
        assert type(model.get_layer(name).kernel_initializer).__name__ == "Orthogonal"


def test_a_language_model_gets_one_logit_a_token_at_every_position():
    spec = DataSpec(
        task=Task.language_model,
        layout=Layout.tokens,
        input_shape=(7,),
        num_outputs=7,
        vocabulary_size=50,
        num_train=1,
        num_validation=0,
        num_test=0,
    )
    logits = models.head(spec)(np.ones((2, 7, 8), np.float32))
    assert logits.shape == (2, 7, 50)
    assert (np.asarray(logits) < 0).any()
