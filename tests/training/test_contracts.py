"""The contract of every model with every kind of data, from the tables alone."""

import dataclasses
import functools

import keras
import numpy as np
import pytest

from samerun import config, losses, models
from samerun.config import DataSpec, Layout, Task
from samerun.config.models import MODELS
from samerun.config.models.base import Activation, Initializer
from samerun.config.models.custom import CustomModel
from samerun.config.models.images import Cnn
from samerun.config.models.sequences import Forecaster, Gru, LanguageModel, Lstm, SimpleRnn
from samerun.errors import UserError
from support.kinds import check_fitting, small_model
from support.tables import mostly_slow

SIZES = {"num_train": 8, "num_validation": 0, "num_test": 0}
SHAPES = {
    Layout.image: (8, 8, 1),
    Layout.table: (5,),
    Layout.tokens: (7,),
    Layout.sequence: (6, 3),
    Layout.video: (4, 8, 8, 1),
}
OUTPUTS = {Task.multiclass: 3, Task.binary: 1, Task.regression: 2, Task.forecast: 2}


def spec_of(layout, task):
    names = {Task.multiclass: ("a", "b", "c"), Task.binary: ("no", "yes")}
    return DataSpec(
        task=task,
        layout=layout,
        input_shape=SHAPES[layout],
        num_outputs=OUTPUTS.get(task, 11),
        class_names=names.get(task, ()),
        vocabulary_size=11 if layout is Layout.tokens else None,
        **SIZES,
    )


SPECS = [
    spec_of(layout, task)
    for layout in Layout
    for task in Task
    if (task is not Task.language_model or layout is Layout.tokens)
    and (task is not Task.forecast or layout is Layout.sequence)
]
KINDS = [kind for kind in MODELS if kind is not CustomModel]
QUICK = (Cnn, Gru)
"""Models that the quick tests take; each costs about two seconds."""
each_kind = pytest.mark.parametrize("kind", mostly_slow(KINDS, *QUICK), ids=lambda kind: kind.kind)


def pairs():
    """Every compatible pair; of the quick models the first one in the quick tests."""
    for kind in KINDS:
        fitting = [spec for spec in SPECS if kind.refusal(spec) is None]
        for spec in fitting:
            marks = [] if kind in QUICK and spec is fitting[0] else [pytest.mark.slow]
            name = f"{kind.kind}-{spec.layout}-{spec.task}"
            yield pytest.param(kind, spec, id=name, marks=marks)


PAIRS = list(pairs())
STRANGERS = [
    pytest.param(kind, spec, id=f"{kind.kind}-{spec.layout}-{spec.task}")
    for kind in KINDS
    for spec in SPECS
    if kind.refusal(spec) is not None
]


@functools.cache
def config_of(kind):
    return config.compose(small_model(kind)).config


def changed(kind, **settings):
    """The small config of a model with other settings; composing it again takes 0.15 s."""
    cfg = config_of(kind)
    return dataclasses.replace(cfg, model=dataclasses.replace(cfg.model, **settings))


def batch(spec, size=4):
    random = np.random.default_rng(0)
    if spec.layout is Layout.tokens:
        x = random.integers(1, spec.vocabulary_size, (size, *spec.input_shape)).astype(np.int32)
    else:
        x = random.normal(size=(size, *spec.input_shape)).astype(np.float32)
    if spec.task is Task.language_model:
        return x, random.integers(1, spec.vocabulary_size, x.shape).astype(np.int32)
    if spec.task is Task.multiclass:
        return x, random.integers(0, spec.num_outputs, size).astype(np.int32)
    if spec.task is Task.binary:
        return x, random.integers(0, 2, (size, 1)).astype(np.float32)
    return x, random.normal(size=(size, spec.num_outputs)).astype(np.float32)


def network(kind, spec, *, seed=0, **settings):
    """A model that is not compiled, which takes as long as building it."""
    keras.utils.set_random_seed(seed)
    return models.build(changed(kind, **settings).model, spec)


def built(kind, spec, *, seed=0, run_eagerly=False, **settings):
    cfg, model = changed(kind, **settings), network(kind, spec, seed=seed, **settings)
    model.compile(
        keras.optimizers.SGD(0.1),
        losses.loss(cfg, spec),
        metrics=losses.metrics(cfg, spec),
        run_eagerly=run_eagerly,
        jit_compile=False,  # as in a run by default
    )
    model.optimizer.build(model.trainable_variables)  # or `fit` traces the step twice
    return model


def answers(model, x):
    """What a model answers without tracing, which takes half a second."""
    return np.asarray(model(x, training=False))


@pytest.mark.parametrize(("kind", "spec"), PAIRS)
def test_model_keeps_its_contract(kind, spec, tmp_path):
    model, (x, y) = built(kind, spec), batch(spec)
    assert model.count_params() > 0
    before = [weight.copy() for weight in model.get_weights()]
    history = model.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    expected = (4, *spec.input_shape, 11) if spec.task is Task.language_model else None
    predicted, answered = model.predict(x, verbose=0), answers(model, x)
    assert predicted.shape == (expected or (4, spec.num_outputs))
    np.testing.assert_allclose(predicted, answered, rtol=1e-4, atol=1e-6)
    again = network(kind, spec)
    for first, second in zip(before, again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert [w.path for w in again.weights] == [w.path for w in model.weights]
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(answers(models.inference(again), x), answered)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(answers(loaded, x), answered)


@functools.cache
def dropping(kind):
    """Two models with dropout, of the same seed, one after the other."""
    return tuple(network(kind, first_spec(kind), dropout=0.5) for _ in range(2))


@each_kind
def test_names_do_not_depend_on_models_built_before(kind):
    first, second = dropping(kind)
    assert [w.path for w in first.weights] == [w.path for w in second.weights]
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_same_seed_gives_the_same_losses_with_dropout(kind):
    spec = first_spec(kind)
    x, y = batch(spec)

    def losses(seed):
        model = built(kind, spec, dropout=0.5, seed=seed, run_eagerly=True)  # or 1 s to trace
        return [float(model.train_on_batch(x, y)[0]) for _ in range(2)]

    assert losses(1) == losses(1) != losses(2)


def first_spec(kind):
    return next(spec for spec in SPECS if kind.refusal(spec) is None)


@each_kind
def test_shared_settings_have_their_effect(kind):
    spec = first_spec(kind)
    x, _ = batch(spec)
    plain = network(kind, spec)
    assert float(sum(plain.losses)) == 0
    # Penalties change no answer, so a model shows one of them and another setting.
    for settings in (
        {"l1": 0.1, "activation": Activation.sigmoid},
        {"l2": 0.1, "initializer": Initializer.random_normal},
    ):
        model = network(kind, spec, **settings)
        assert float(sum(model.losses)) > 0, settings
        assert not np.array_equal(answers(model, x), answers(plain, x)), settings
    dropped, again = dropping(kind)
    dropping.cache_clear()
    np.testing.assert_array_equal(dropped(x, training=True), again(x, training=True))
    dropped.set_weights(plain.get_weights())  # dropout takes a seed, so the draws are others
    np.testing.assert_array_equal(answers(dropped, x), answers(plain, x))
    assert not np.array_equal(dropped(x, training=True), dropped(x, training=True))


def penalties_of(kind, model, factors):
    """Returns l1 and l2 of each weight as the config asks for them, by the weight's path."""
    found = {}
    for weight in model.trainable_weights:
        *layer, name = weight.path.split("/")
        is_kernel = name in ("kernel", "recurrent_kernel") and "output" not in layer
        is_recurrent = name == "recurrent_kernel" or "writer" in layer  # the forecaster's decoder
        assert is_kernel or name in ("bias", "gamma", "beta") or {"output", "embedding"} & {*layer}
        share = factors[2:] if is_recurrent else factors[:2]
        found[weight.path] = share if is_kernel and any(share) else None
    return found


@pytest.mark.parametrize(
    "factors",
    [(0.1, 0.01, 0.0, 0.0), (0.0, 0.02, 0.2, 0.03)],
    ids=["without-recurrent", "all"],
)
@each_kind
def test_every_hidden_kernel_has_the_penalty_that_the_config_asks_for(kind, factors):
    names = ("l1", "l2", "recurrent_l1", "recurrent_l2")
    settings = dict(zip(names, factors, strict=True))
    is_recurrent = hasattr(config_of(kind).model, "recurrent_l1")
    if not is_recurrent:
        settings = {name: settings[name] for name in names[:2]}
    model = models.build(changed(kind, **settings).model, first_spec(kind))
    expected = penalties_of(kind, model, factors)
    assert is_recurrent == any("recurrent_kernel" in path for path in expected)
    found = {
        weight.path: weight.regularizer and (weight.regularizer.l1, weight.regularizer.l2)
        for weight in model.trainable_weights
    }
    assert found == {path: share and pytest.approx(share) for path, share in expected.items()}
    total = 0.0
    for weight in model.trainable_weights:
        l1, l2 = expected[weight.path] or (0.0, 0.0)
        values = np.asarray(weight, np.float64)
        total += l1 * np.abs(values).sum() + l2 * np.square(values).sum()
    assert float(sum(model.losses)) == pytest.approx(total, rel=1e-4)


@each_kind
def test_output_is_float32_under_mixed_precision(kind):
    spec = first_spec(kind)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model, (x, y) = built(kind, spec, run_eagerly=True), batch(spec)
        assert answers(model, x).dtype == np.float32
        assert np.isfinite(model.train_on_batch(x, y)).all()
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(("kind", "spec"), STRANGERS)
def test_a_model_that_does_not_fit_is_refused_with_those_that_do(kind, spec):
    cfg = config_of(kind)
    with pytest.raises(UserError, match=f"model={kind.kind} cannot take .* Models that can: "):
        config.check(cfg, dataclasses.replace(spec, num_train=1000, num_validation=10))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.layout}-{spec.task}")
def test_every_data_has_its_models(spec):
    assert [kind for kind in KINDS if kind.refusal(spec) is None]
    check_fitting(spec)


# ---- what only one of them does


def test_forecaster_reads_the_truth_in_training_and_itself_in_use():
    spec = dataclasses.replace(spec_of(Layout.sequence, Task.forecast), num_outputs=4)
    model, (x, y) = network(Forecaster, spec), batch(spec)
    other = y.copy()
    other[:, 1] += 5.0
    first, second = (model.teaching([x, target]).numpy() for target in (y, other))
    np.testing.assert_array_equal(first[:, :2], second[:, :2])
    assert (first[:, 2:] != second[:, 2:]).any()
    np.testing.assert_array_equal(first[:, :1], model(x).numpy()[:, :1])
    own = model(x).numpy()
    forced = model.teaching([x, own]).numpy()
    np.testing.assert_allclose(forced, own, rtol=1e-6)


def test_sampling_is_a_function_of_its_seed_and_never_yields_unknown():
    spec = spec_of(Layout.tokens, Task.language_model)
    model = network(LanguageModel, spec)
    options = {"num_tokens": 40, "temperature": 2.0, "top_k": 0}
    first, again, other = (
        models.sample(model, [2, 3, 4, 5, 6, 7, 8], seed=seed, **options) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert not {0, 1} & set(first)
    greedy = models.sample(model, [2] * 7, seed=3, num_tokens=5, temperature=1.0, top_k=1)
    assert greedy == models.sample(model, [2] * 7, seed=4, num_tokens=5, temperature=9.0, top_k=1)


@pytest.mark.parametrize(
    "kind", mostly_slow([SimpleRnn, Lstm, Gru], Gru), ids=lambda kind: kind.kind
)
def test_padding_is_left_out_of_the_recurrence_on_request(kind):
    """Padding in front, behind and in between then makes no difference; a text may be empty."""
    spec = spec_of(Layout.tokens, Task.multiclass)
    texts = [[0, 0, 0, 0, 5, 6, 7], [5, 6, 7, 0, 0, 0, 0], [0, 5, 0, 6, 0, 7, 0]]
    ids = np.array(texts, np.int32)
    masked = network(kind, spec, mask_padding=True)
    answers = masked(ids).numpy()
    np.testing.assert_allclose(answers[1:], answers[[0, 0]], rtol=1e-6)
    unmasked = network(kind, spec, mask_padding=False)(ids).numpy()
    assert not np.allclose(unmasked[1], unmasked[0], rtol=1e-6)
    assert np.isfinite(masked(np.zeros_like(ids), training=True)).all()
    for layer in masked._flatten_layers():  # cuDNN takes no padding in front and no empty text
        assert not getattr(layer, "use_cudnn", False)


def test_a_short_beginning_is_read_as_the_model_would_inside_a_longer_text():
    spec = spec_of(Layout.tokens, Task.language_model)
    model = built(LanguageModel, spec)
    logits = model.predict(np.array([[5, 6, 7, 2, 2, 2, 2]], np.int32), verbose=0)[0, 2, 2:]
    options = {"num_tokens": 1, "temperature": 1.0, "top_k": 1}
    assert models.sample(model, [5, 6, 7], seed=0, **options) == [int(logits.argmax()) + 2]
    assert len(models.sample(model, [5], seed=0, **{**options, "num_tokens": 9})) == 9


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        pytest.param({"ids": []}, "at least one token", id="no-beginning"),
        pytest.param({"temperature": 0.0}, "a number above 0", id="temperature"),
        pytest.param({"temperature": float("nan")}, "a number above 0", id="nan"),
        pytest.param({"top_k": -1}, "top_k -1, expected 0 or more", id="top-k"),
        pytest.param({"num_tokens": -1}, "num_tokens -1", id="num-tokens"),
    ],
)
def test_sampling_refuses_what_has_no_meaning(changed, sentence):
    options = {"ids": [2], "num_tokens": 1, "temperature": 1.0, "top_k": 0, "seed": 0}
    with pytest.raises(UserError, match=sentence):
        models.sample(keras.Sequential(), **{**options, **changed})


CODE = """
import keras

class Own(keras.Model):
    def __init__(self, width):
        super().__init__()
        self.flat, self.out = keras.layers.Flatten(), keras.layers.Dense(width, "softmax")

    def call(self, x):
        return self.out(self.flat(x))

class Fails(Own):
    def call(self, x):
        raise ValueError("no such axis")

class Twice(Own):
    def call(self, x):
        return super().call(x), super().call(x)

def own(spec):
    return Own(spec.num_outputs)

def fails(spec):
    return Fails(3)

def twice(spec):
    return Twice(3)

def half(spec):
    layers = [keras.layers.Flatten(), keras.layers.Dense(3, dtype="mixed_float16")]
    return keras.Sequential(layers)

def not_flat(spec):
    return keras.Sequential([keras.layers.Dense(spec.num_outputs)])

def table(spec):
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])

def text(spec):
    layers = [keras.layers.Embedding(spec.vocabulary_size, 4), keras.layers.LSTM(3)]
    return keras.Sequential([*layers, keras.layers.Dense(spec.num_outputs)])

def next_token(spec):
    layers = [keras.layers.Embedding(spec.vocabulary_size, 4)]
    return keras.Sequential([*layers, keras.layers.Dense(spec.num_outputs)])

def ends_in(spec, activation, policy="float32"):
    layers = [keras.layers.Flatten()]
    if spec.task == "language_model":
        layers = [keras.layers.Embedding(spec.vocabulary_size, 4)]
    layers.append(keras.layers.Dense(spec.num_outputs, activation, dtype=policy))
    return keras.Sequential([*layers, keras.layers.Activation("linear", dtype="float32")])

class Picks(keras.layers.Layer):
    def call(self, x):
        return keras.ops.take(keras.ops.eye(3), keras.ops.cast(x[:, 0], "int32"), axis=0)

def column_as_index(spec):
    return keras.Sequential([Picks(), keras.layers.Dense(3, "softmax")])

class Root(keras.layers.Layer):
    def call(self, x):
        return keras.ops.sqrt(x)

def of_positive_numbers(spec):
    return keras.Sequential([Root(), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])

def good(spec, width=4):
    layers = [keras.Input(spec.input_shape), keras.layers.Flatten(), keras.layers.Dense(width)]
    return keras.Sequential([*layers, keras.layers.Dense(spec.num_outputs, activation="softmax")])

def raises(spec):
    raise KeyError("weights")

def number(spec):
    return 3

def wrong(spec):
    return keras.Sequential([keras.Input(spec.input_shape), keras.layers.Dense(99)])

thing = 5
"""
LINE = CODE.splitlines().index('    raise KeyError("weights")') + 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("raises", f"raised KeyError: 'weights' (my_model.py, line {LINE})"),
        ("fails", "does not accept image data of shape (batch, 8, 8, 1): ValueError"),
        ("twice", "returns a tuple, expected one output"),
        ("half", "is float16, expected float32"),
        ("not_flat", "has shape (batch, 8, 8, 3), expected (batch, 3)"),
        ("table", "does not accept image data"),
        ("number", "returned a int, expected a keras.Model"),
        ("wrong", "has shape (batch, 8, 8, 99), expected (batch, 3) for the multiclass task"),
        ("nothing", "has no nothing"),
        ("thing", "expected a function"),
    ],
)
def test_a_users_model_that_is_none_gets_one_sentence(name, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "my_model", raising=False)
    (tmp_path / "my_model.py").write_text(CODE)
    overrides = ["model=custom", f"model.target=my_model:{name}"]
    with pytest.raises(UserError) as caught:
        models.build(config.compose(overrides).config.model, spec_of(Layout.image, Task.multiclass))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "spec"),
    mostly_slow(
        [
            pytest.param("good", spec_of(Layout.image, Task.multiclass), id="sequential"),
            pytest.param("own", spec_of(Layout.image, Task.multiclass), id="subclassed"),
            pytest.param("text", spec_of(Layout.tokens, Task.regression), id="tokens"),
            pytest.param(
                "next_token", spec_of(Layout.tokens, Task.language_model), id="next-token"
            ),
        ],
        "subclassed",
    ),
)
def test_a_users_model_comes_built_and_trains(name, spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "my_model", raising=False)
    (tmp_path / "my_model.py").write_text(CODE)
    cfg = config.compose(["model=custom", f"model.target=my_model:{name}"]).config
    model, (x, y) = models.build(cfg.model, spec), batch(spec)
    assert model.built
    assert model.weights
    model.compile("adam", losses.loss(cfg, spec), metrics=losses.metrics(cfg, spec))
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
    if spec.task is Task.language_model:
        options = {"num_tokens": 2, "temperature": 1.0, "top_k": 0, "seed": 0}
        assert len(models.sample(model, [2, 3], **options)) == 2


MULTICLASS = "not a probability for each class, expected non-negative numbers with sum 1"
ENDS = [
    (Layout.image, Task.multiclass, "softmax", ""),
    (Layout.image, Task.multiclass, "linear", MULTICLASS),
    (Layout.image, Task.multiclass, "sigmoid", MULTICLASS),
    (Layout.image, Task.multiclass, "log_softmax", MULTICLASS),
    (Layout.tokens, Task.multiclass, "linear", MULTICLASS),
    (Layout.table, Task.binary, "sigmoid", ""),
    (Layout.table, Task.binary, "hard_sigmoid", ""),
    (Layout.table, Task.binary, "linear", "expected a number between 0 and 1"),
    (Layout.table, Task.binary, "relu", "expected a number between 0 and 1"),
    (Layout.table, Task.binary, "tanh", "expected a number between 0 and 1"),
    (Layout.table, Task.regression, "sigmoid", ""),
    (Layout.tokens, Task.language_model, "linear", ""),
    (Layout.tokens, Task.language_model, "softmax", "expected logits"),
]


@pytest.mark.parametrize(
    "policy",
    [
        "float32",
        pytest.param("mixed_float16", marks=pytest.mark.slow),
        pytest.param("mixed_bfloat16", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(("layout", "task", "activation", "sentence"), ENDS)
def test_a_users_model_ends_in_what_the_loss_takes(
    layout, task, activation, sentence, policy, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "my_model", raising=False)
    (tmp_path / "my_model.py").write_text(CODE)
    keras.utils.set_random_seed(0)
    params = {"activation": activation, "policy": policy}
    cfg = CustomModel(target="my_model:ends_in", params=params)
    if not sentence:
        assert models.build(cfg, spec_of(layout, task)).built
        return
    with pytest.raises(UserError, match=sentence) as caught:
        models.build(cfg, spec_of(layout, task))
    assert "samerun.models.head(spec), or with" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["column_as_index", "of_positive_numbers"])
def test_a_users_model_of_inputs_that_the_check_cannot_know_passes(name, tmp_path, monkeypatch):
    """An index beyond the end raises, and the square root of a negative number is NaN."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "my_model", raising=False)
    (tmp_path / "my_model.py").write_text(CODE)
    cfg = CustomModel(target=f"my_model:{name}", params={})
    assert models.build(cfg, spec_of(Layout.table, Task.multiclass)).built


def test_a_users_model_is_built_with_its_parameters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "my_model", raising=False)
    (tmp_path / "my_model.py").write_text(CODE)
    overrides = ["model=custom", "model.target=my_model:good", "+model.params.width=7"]
    cfg = config.compose(overrides).config.model
    model = models.build(cfg, spec_of(Layout.image, Task.multiclass))
    assert model.layers[-2].units == 7
