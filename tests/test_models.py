import functools

import keras
import numpy as np
import pytest

from samerun import models, objectives
from samerun.config import MODELS, Config, DataSpec, Layout, Task, compose

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
def config_of(*words: str) -> Config:
    return compose(words).config


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


CASES = [
    pytest.param(kind.kind, layout, task, id=f"{kind.kind}-{layout}-{task}")
    for kind in MODELS
    for layout in kind.layouts
    for task in NUM_OUTPUTS
    if layout in SHAPES
    and (layout, task)
    in {
        (layout, Task.multiclass),
        *((kind.layouts[0], other) for other in NUM_OUTPUTS),
    }
]  # every task with one layout, every layout with one task


def test_every_kind_of_model_has_a_builder():
    assert set(models.BUILDERS) == set(MODELS)


@pytest.mark.parametrize(("kind", "layout", "task"), CASES)
def test_a_model_fits_the_spec_and_takes_a_step(kind, layout, task):
    cfg, spec = config_of(f"model={kind}", "model.dropout=0.1"), make_spec(layout, task)
    model = models.build(cfg.model, spec)
    assert model.built
    assert not model.compiled
    assert model.input_shape == (None, *spec.input_shape)
    assert model.output_shape == (None, spec.num_outputs)
    x, y = examples(spec)
    model.compile("sgd", objectives.loss(cfg, spec), metrics=objectives.metrics(cfg, spec))
    before = [weight.copy() for weight in model.get_weights()]
    result = model.train_on_batch(x, y, return_dict=True)
    assert all(np.isfinite(value) for value in result.values())
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("kind", [kind.kind for kind in MODELS])
def test_a_saved_model_predicts_the_same(kind, tmp_path):
    words = [f"model={kind}", "model.dropout=0.3", "model.l2=0.01"]
    spec = make_spec()
    model = models.build(config_of(*words).model, spec)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x, _ = examples(spec)
    np.testing.assert_array_equal(model(x), loaded(x))


@pytest.mark.parametrize("kind", [kind.kind for kind in MODELS])
def test_the_same_seed_gives_the_same_weights_and_dropout_masks(kind):
    cfg, spec = config_of(f"model={kind}", "model.dropout=0.5"), make_spec()
    x, _ = examples(spec)

    def built(seed):
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        model = models.build(cfg.model, spec)
        masked = [np.asarray(model(x, training=True)) for _ in range(2)]
        return [(w.path, w.numpy()) for w in model.weights], masked

    (first, first_masked), (second, second_masked), (other, _) = built(5), built(5), built(6)
    for (path, value), (again_path, again) in zip(first, second, strict=True):
        assert path == again_path
        np.testing.assert_array_equal(value, again)
    np.testing.assert_array_equal(first_masked, second_masked)
    assert (first_masked[0] != first_masked[1]).any()
    kernels = [(a, b) for (path, a), (_, b) in zip(first, other, strict=True) if "kernel" in path]
    assert all((a != b).any() for a, b in kernels)


@pytest.mark.parametrize("kind", [kind.kind for kind in MODELS])
def test_names_do_not_depend_on_models_built_before(kind):
    cfg = config_of(f"model={kind}", "model.dropout=0.5").model
    first, second = models.build(cfg, make_spec()), models.build(cfg, make_spec())
    assert [w.path for w in first.weights] == [w.path for w in second.weights]
    assert names_of(first) == names_of(second)


@pytest.mark.parametrize("kind", [kind.kind for kind in MODELS])
def test_dropout_is_active_only_in_training(kind):
    model = models.build(config_of(f"model={kind}", "model.dropout=0.5").model, make_spec())
    x, _ = examples(make_spec())
    np.testing.assert_array_equal(model(x), model(x))
    assert (np.asarray(model(x, training=True)) != np.asarray(model(x))).any()


@pytest.mark.parametrize("kind", [kind.kind for kind in MODELS])
def test_penalties_are_added_for_the_hidden_kernels_only(kind):
    cfg = config_of(f"model={kind}", "model.l1=0.01", "model.l2=0.02").model
    model = models.build(cfg, make_spec())
    kernels = [w.numpy() for w in model.weights if "kernel" in w.path and "output" not in w.path]
    assert kernels
    expected = sum(0.01 * np.abs(k).sum() + 0.02 * np.square(k).sum() for k in kernels)
    assert float(sum(model.losses)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("kind", [kind.kind for kind in MODELS])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_outputs_are_float32_under_mixed_precision(kind, policy):
    keras.config.set_dtype_policy(policy)
    spec = make_spec()
    model = models.build(config_of(f"model={kind}").model, spec)
    x, _ = examples(spec)
    output = model(x)
    assert output.dtype == "float32"
    assert model.get_layer("dense_1").compute_dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(np.sum(output, axis=-1), 1, rtol=1e-5)


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


def test_a_cnn_puts_its_layers_in_the_documented_order():
    words = ["model.filters=[2]", "model.batch_norm=true", "model.dropout=0.1"]
    cfg = config_of("model=cnn", "model.dense_units=[4]", *words).model
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
    "words",
    [
        pytest.param(["model=mlp", "model.units=[]"], id="mlp"),
        pytest.param(["model=cnn", "model.filters=[]", "model.dense_units=[]"], id="cnn"),
    ],
)
def test_without_hidden_layers_a_model_is_linear(words):
    model = models.build(config_of(*words, "model.dropout=0.5").model, make_spec())
    assert names_of(model) == ["flatten", "output"]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "silu", "gelu", "selu", "softplus"])
def test_activation_and_initializer_reach_every_hidden_layer(activation):
    words = [f"model.activation={activation}", "model.initializer=orthogonal"]
    model = models.build(config_of("model=cnn", *words).model, make_spec())
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
