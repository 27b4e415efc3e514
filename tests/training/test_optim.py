import dataclasses
import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from samerun import optim
from samerun.config import compose
from samerun.config.optimizers import OPTIMIZERS, Optimizer
from samerun.config.schedules import SCHEDULES, Schedule
from support.tables import mostly_slow

RATE = 0.4
STEPS_PER_EPOCH = 8
EPOCHS = 6


@functools.cache
def default_of(group: str, kind: str) -> object:
    return getattr(compose([f"{group}={kind}"]).config, group)


def schedule_of(kind: str, **fields: object) -> Schedule:
    return dataclasses.replace(default_of("schedule", kind), **fields)


def optimizer_of(kind: str, **fields: object) -> Optimizer:
    return dataclasses.replace(default_of("optimizer", kind), **fields)


def sgd(**fields: object) -> Optimizer:
    return optimizer_of("sgd", learning_rate=RATE, **fields)


def rate_at(epoch: float, schedule: Schedule) -> float:
    rate = optim.schedule(schedule, RATE, STEPS_PER_EPOCH, EPOCHS)
    value = rate(epoch * STEPS_PER_EPOCH) if callable(rate) else rate
    return float(value)


def cosine(progress: float, foot: float = 0.0) -> float:
    return foot + (1 - foot) * (1 + math.cos(math.pi * progress)) / 2


def restarts(epoch: float) -> float:
    """Cycles of 1, 1.5, 2.25, ... epochs; peaks 1, 0.5, 0.25, ... above a foot of 0.1."""
    starts = [(0.0, 1.0, 1.0), (1.0, 1.5, 0.5), (2.5, 2.25, 0.25), (4.75, 3.375, 0.125)]
    start, length, peak = next(cycle for cycle in reversed(starts) if epoch >= cycle[0])
    return 0.1 + 0.9 * peak * (1 + math.cos(math.pi * (epoch - start) / length)) / 2


def cycle(epoch: float, length: float) -> float:
    rise = 0.25 * length
    if epoch < rise:
        return 0.1 + 0.9 * (1 - math.cos(math.pi * epoch / rise)) / 2
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (epoch - rise) / (length - rise))) / 2


# Each shape as a function of the epoch after the warm-up and of the epochs that are left for it.
SHAPES = [
    pytest.param("constant", {}, lambda e, left: 1.0, id="constant"),
    pytest.param(
        "step",
        {"boundaries_epochs": [1.5, 3.0], "factor": 0.1},
        lambda e, left: 0.1 ** ((e >= 1.5) + (e >= 3.0)),
        id="step",
    ),
    pytest.param(
        "exponential",
        {"decay_rate": 0.6, "decay_epochs": 1.5, "staircase": False},
        lambda e, left: 0.6 ** (e / 1.5),
        id="exponential",
    ),
    pytest.param(
        "exponential",
        {"decay_rate": 0.6, "decay_epochs": 0.75, "staircase": True},
        lambda e, left: 0.6 ** math.floor(e / 0.75),
        id="exponential-staircase",
    ),
    pytest.param(
        "inverse_time",
        {"decay_rate": 0.5, "decay_epochs": 1.3, "staircase": False},
        lambda e, left: 1 / (1 + 0.5 * e / 1.3),
        id="inverse-time",
    ),
    pytest.param(
        "inverse_time",
        {"decay_rate": 0.5, "decay_epochs": 0.5, "staircase": True},
        lambda e, left: 1 / (1 + 0.5 * math.floor(e / 0.5)),
        id="inverse-time-staircase",
    ),
    pytest.param(
        "polynomial",
        {"decay_epochs": None, "end_factor": 0.1, "power": 2.0},
        lambda e, left: 0.1 + 0.9 * (1 - min(e / left, 1)) ** 2,
        id="polynomial-to-the-end",
    ),
    pytest.param(
        "polynomial",
        {"decay_epochs": 2.7, "end_factor": 0.1, "power": 1.0},
        lambda e, left: 0.1 + 0.9 * (1 - min(e / 2.7, 1)),
        id="polynomial-ends-early",
    ),
    pytest.param(
        "cosine",
        {"decay_epochs": None, "end_factor": 0.05},
        lambda e, left: cosine(min(e / left, 1), 0.05),
        id="cosine-to-the-end",
    ),
    pytest.param(
        "cosine",
        {"decay_epochs": 3.3, "end_factor": 0.0},
        lambda e, left: cosine(min(e / 3.3, 1)),
        id="cosine-ends-early",
    ),
    pytest.param(
        "cosine_restarts",
        {
            "first_cycle_epochs": 1.0,
            "cycle_factor": 1.5,
            "peak_factor": 0.5,
            "end_factor": 0.1,
        },
        lambda e, left: restarts(e),
        id="cosine-restarts-longer-and-lower",
    ),
    pytest.param(
        "cosine_restarts",
        {
            "first_cycle_epochs": 1.25,
            "cycle_factor": 1.0,
            "peak_factor": 1.0,
            "end_factor": 0.0,
        },
        lambda e, left: cosine((e % 1.25) / 1.25),
        id="cosine-restarts-all-alike",
    ),
    pytest.param(
        "one_cycle",
        {"rise_fraction": 0.25, "start_factor": 0.1, "end_factor": 0.01},
        cycle,
        id="one-cycle",
    ),
    pytest.param(
        "one_cycle",
        {"rise_fraction": 0.0, "start_factor": 0.1, "end_factor": 0.01},
        lambda e, left: cosine(e / left, 0.01),
        id="one-cycle-without-a-rise",
    ),
    pytest.param("reduce_on_plateau", {}, lambda e, left: 1.0, id="reduce-on-plateau"),
]


def test_every_kind_has_a_builder():
    assert set(optim.SHAPES) == set(SCHEDULES)
    assert set(optim.OPTIMIZERS) == set(OPTIMIZERS)


@pytest.mark.parametrize("kind", [kind.kind for kind in SCHEDULES if kind.kind != "custom"])
def test_every_schedule_keeps_its_contract(kind):
    """With the values of its file: a rise from 0 while it warms up, then rates that are finite."""
    cold = optim.curve(sgd(), default_of("schedule", kind), STEPS_PER_EPOCH, EPOCHS)
    assert cold.shape == (STEPS_PER_EPOCH * EPOCHS,)
    assert np.isfinite(cold).all()
    assert (cold >= 0).all()
    assert cold.max() > 0
    warm = optim.curve(sgd(), schedule_of(kind, warmup_epochs=1.0), STEPS_PER_EPOCH, EPOCHS)
    np.testing.assert_allclose(
        warm[:STEPS_PER_EPOCH],
        np.linspace(0, warm[STEPS_PER_EPOCH], STEPS_PER_EPOCH, endpoint=False),
        rtol=1e-5,
        atol=1e-6,
    )
    rate = optim.schedule(schedule_of(kind, warmup_epochs=1.0), RATE, STEPS_PER_EPOCH, EPOCHS)
    restored = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate))
    for step in (0, 3, STEPS_PER_EPOCH, 2 * STEPS_PER_EPOCH + 1):
        assert float(rate(step)) == float(restored(step))


@pytest.mark.parametrize(
    "warmup", mostly_slow([0.0, 1.0, 0.75], 0.75), ids=["cold", "one-epoch", "three-quarters"]
)
@pytest.mark.parametrize(("kind", "fields", "shape"), SHAPES)
def test_a_schedule_equals_its_formula_at_every_step(kind, fields, shape, warmup):
    schedule = schedule_of(kind, warmup_epochs=warmup, **fields)

    def formula(epoch):
        if epoch < warmup:
            return shape(0.0, EPOCHS - warmup) * epoch / warmup
        return shape(epoch - warmup, EPOCHS - warmup)

    epochs = [step / STEPS_PER_EPOCH for step in range(STEPS_PER_EPOCH * EPOCHS)]
    expected = [RATE * formula(epoch) for epoch in epochs]
    curve = optim.curve(sgd(), schedule, STEPS_PER_EPOCH, EPOCHS)
    assert curve.dtype == np.float64
    np.testing.assert_allclose(curve, expected, rtol=2e-5, atol=1e-5 * RATE)
    for epoch in (0.0, 0.75, 1.0, 1.5, 2.5, 4.875):
        assert rate_at(epoch, schedule) == pytest.approx(
            RATE * formula(epoch), rel=2e-5, abs=1e-5 * RATE
        )


@pytest.mark.parametrize(
    ("warmup", "steps_per_epoch", "boundary", "first_step"),
    [
        pytest.param(0.0, 10, 2.0, 20, id="whole"),
        pytest.param(0.0, 10, 0.25, 3, id="inside-a-step"),
        pytest.param(0.0, 30, 0.1, 3, id="float-rounding"),
        pytest.param(0.33, 10, 0.5, 9, id="fractional-warm-up"),
        pytest.param(0.5, 10, 1.5, 20, id="warm-up-and-boundary-meet-a-step"),
    ],
)
def test_a_boundarys_own_step_has_the_new_rate(warmup, steps_per_epoch, boundary, first_step):
    schedule = schedule_of("step", warmup_epochs=warmup, boundaries_epochs=[boundary], factor=0.5)
    curve = optim.curve(sgd(), schedule, steps_per_epoch, 4)
    after_warmup = np.arange(len(curve)) >= warmup * steps_per_epoch
    assert np.flatnonzero(after_warmup & np.isclose(curve, RATE / 2))[0] == first_step
    assert np.isclose(curve[first_step - 1], RATE)
    optimizer = optim.build(sgd(), schedule, steps_per_epoch, 4)
    assert optim.learning_rate(optimizer, first_step) == pytest.approx(RATE / 2)
    assert optim.learning_rate(optimizer, first_step - 1) == pytest.approx(RATE)


def test_no_boundaries_is_a_constant_rate():
    assert rate_at(3, schedule_of("step", boundaries_epochs=[])) == RATE


@pytest.mark.parametrize("steps_per_epoch", [2, 7, 30, 97])
@pytest.mark.parametrize("decay_epochs", [0.1, 1 / 3, 0.6, 2 / 7])
def test_stairs_begin_on_their_step(steps_per_epoch, decay_epochs):
    schedule = schedule_of(
        "exponential", decay_rate=0.99, decay_epochs=decay_epochs, staircase=True
    )
    curve = optim.curve(sgd(), schedule, steps_per_epoch, 40)
    width = decay_epochs * steps_per_epoch
    stairs = [math.floor(step / width + 1e-9) for step in range(len(curve))]
    np.testing.assert_allclose(curve, RATE * 0.99 ** np.array(stairs), rtol=2e-3)


@pytest.mark.parametrize("factor", mostly_slow([1.0, 1.1, 1.25, 2.0, 2.5], 1.1))
@pytest.mark.parametrize("first", mostly_slow([1.2, 2.0, 10.0, 12.5, 33.3, 100.0], 100.0))
def test_a_restarts_own_step_is_at_the_top(first, factor):
    schedule = schedule_of(
        "cosine_restarts", first_cycle_epochs=first, cycle_factor=factor, peak_factor=1.0
    )
    rate = optim.schedule(schedule, RATE, 1, 2000)
    starts, length = [0.0], first
    while starts[-1] < 2000:
        starts.append(starts[-1] + length)
        length *= factor
    steps = [round(start) for start in starts if abs(start - round(start)) < 1e-9]
    in_graph = tf.function(rate)
    for step in steps[:6]:
        assert float(in_graph(tf.constant(step, tf.int64))) > 0.9 * RATE
    assert (np.asarray(rate(np.array(steps, np.float32))) > 0.9 * RATE).all()


class Pull(keras.losses.Loss):
    """The output itself: on an input of 1 its gradient is 1, and a step of SGD is the rate."""

    def call(self, y_true, y_pred):
        return y_pred


def fitted_rates(schedule, epochs, steps_per_execution=1, precision="float32", between=None):
    """Trains one weight from 0 and returns how far each execution moved it, and the optimizer."""
    inputs = keras.Input((1,))
    outputs = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", dtype="float32")(
        inputs
    )
    model = keras.Model(inputs, outputs)
    optimizer = optim.build(sgd(), schedule, STEPS_PER_EPOCH, EPOCHS)
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, Pull(), steps_per_execution=steps_per_execution, auto_scale_loss=False)
    places = [0.0]

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            places.append(model.get_weights()[0].item())

        def on_epoch_end(self, epoch, logs=None):
            if between:
                between(optimizer)

    ones = np.ones((STEPS_PER_EPOCH, 1), np.float32)
    batches = tf.data.Dataset.from_tensor_slices((ones, ones)).batch(1)
    model.fit(batches, epochs=epochs, verbose=0, shuffle=False, callbacks=[Watch()])
    return -np.diff(places), optimizer


@pytest.mark.parametrize(
    "schedule",
    mostly_slow(
        [
            pytest.param({"kind": "constant"}, id="constant"),
            pytest.param({"kind": "constant", "warmup_epochs": 0.5}, id="constant-warmed-up"),
            pytest.param({"kind": "step", "boundaries_epochs": [0.5, 1.0]}, id="step"),
            pytest.param(
                {"kind": "step", "boundaries_epochs": [0.5], "warmup_epochs": 0.4},
                id="step-warmed-up",
            ),
            pytest.param({"kind": "cosine", "warmup_epochs": 0.3}, id="cosine"),
            pytest.param({"kind": "cosine_restarts", "first_cycle_epochs": 0.5}, id="restarts"),
            pytest.param({"kind": "one_cycle"}, id="one-cycle"),
            pytest.param({"kind": "reduce_on_plateau", "warmup_epochs": 0.5}, id="plateau"),
        ],
        "step-warmed-up",
        "plateau",
    ),
)
def test_the_curve_is_what_training_moves_by(schedule):
    made = schedule_of(**schedule)
    moved, optimizer = fitted_rates(made, epochs=2)
    expected = optim.curve(sgd(), made, STEPS_PER_EPOCH, EPOCHS)[: 2 * STEPS_PER_EPOCH]
    np.testing.assert_allclose(moved, expected, atol=2e-6)
    logged = [optim.learning_rate(optimizer, step) for step in range(len(expected))]
    np.testing.assert_allclose(logged, expected, rtol=1e-5, atol=1e-7)
    assert int(optimizer.iterations) == len(expected)


def test_the_rate_moves_inside_one_execution_of_several_steps():
    schedule = schedule_of("cosine", warmup_epochs=0.5)
    moved, _ = fitted_rates(schedule, epochs=1, steps_per_execution=4)
    curve = optim.curve(sgd(), schedule, STEPS_PER_EPOCH, EPOCHS)[:STEPS_PER_EPOCH]
    np.testing.assert_allclose(moved, curve.reshape(2, 4).sum(axis=1), atol=2e-6)


def test_assigning_the_plateau_factor_cuts_the_rate_of_compiled_steps():
    def halve(optimizer):
        factor = optim.plateau_factor(optimizer)
        factor.assign(factor * 0.5)

    moved, optimizer = fitted_rates(
        schedule_of("reduce_on_plateau"), epochs=3, steps_per_execution=4, between=halve
    )
    np.testing.assert_allclose(moved, 4 * RATE * np.repeat([1, 0.5, 0.25], 2), rtol=1e-4)
    assert optim.learning_rate(optimizer, 0) == pytest.approx(RATE / 8)


def test_only_reduce_on_plateau_has_a_factor():
    assert optim.plateau_factor(optim.build(sgd(), schedule_of("cosine"), 5, 2)) is None
    assert optim.plateau_factor(optim.build(sgd(), schedule_of("constant"), 5, 2)) is None


@pytest.mark.parametrize(
    "kind", mostly_slow(["constant", "cosine", "reduce_on_plateau"], "reduce_on_plateau")
)
def test_the_rate_is_read_through_loss_scaling(kind):
    schedule = schedule_of(kind)
    _, optimizer = fitted_rates(schedule, epochs=1, precision="mixed_float16")
    curve = optim.curve(sgd(), schedule, STEPS_PER_EPOCH, EPOCHS)
    for step in (0, 3, STEPS_PER_EPOCH):
        assert optim.learning_rate(optimizer, step) == pytest.approx(curve[step])
    assert (optim.plateau_factor(optimizer) is None) == (kind != "reduce_on_plateau")


@pytest.mark.parametrize("warmup", mostly_slow([0.0, 0.75], 0.75), ids=["cold", "warmed-up"])
@pytest.mark.parametrize(("kind", "fields", "shape"), SHAPES)
def test_a_schedule_survives_serialization(kind, fields, shape, warmup):
    schedule = schedule_of(kind, warmup_epochs=warmup, **fields)
    optimizer = optim.build(sgd(), schedule, STEPS_PER_EPOCH, EPOCHS)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    for step in (0, 3, 6, 20, 47):
        assert optim.learning_rate(again, step) == optim.learning_rate(optimizer, step)


def test_a_cut_rate_survives_saving_the_model(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    optimizer = optim.build(sgd(), schedule_of("reduce_on_plateau"), 5, 2)
    model.compile(optimizer, "mean_squared_error")
    optim.plateau_factor(optimizer).assign(0.25)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert optim.learning_rate(loaded.optimizer, 0) == pytest.approx(RATE / 4)


@pytest.mark.parametrize("kind", [kind.kind for kind in OPTIMIZERS if kind.kind != "custom"])
def test_every_optimizer_takes_its_fields_and_a_step(kind):
    cfg = optimizer_of(kind, weight_decay=0.03, clipnorm=0.5, use_ema=True, ema_momentum=0.9)
    optimizer = optim.build(cfg, schedule_of("constant"), 5, 2)
    made = optimizer.get_config()
    fields = {field.name: getattr(cfg, field.name) for field in dataclasses.fields(cfg)}
    assert optimizer.name == fields.pop("kind")
    assert made["learning_rate"] == pytest.approx(fields.pop("learning_rate"))
    assert {name: made[name] for name in fields} == fields
    kernel = keras.Variable(np.ones((2, 3), np.float32), name="kernel")
    optimizer.apply([np.full((2, 3), 0.1, np.float32)], [kernel])
    assert np.isfinite(kernel).all()
    assert (np.asarray(kernel) < 1).all()


@pytest.mark.parametrize("kind", [kind.kind for kind in OPTIMIZERS if kind.kind != "custom"])
def test_without_weight_decay_a_weight_without_gradient_stays(kind):
    cfg = optimizer_of(kind, weight_decay=None)
    optimizer = optim.build(cfg, schedule_of("constant"), 5, 2)
    weights = [keras.Variable(np.ones(shape, np.float32)) for shape in [(2, 2), (3,)]]
    optimizer.apply([np.zeros(w.shape, np.float32) for w in weights], weights)
    for weight in weights:
        np.testing.assert_array_equal(weight, np.ones(weight.shape))


@pytest.mark.parametrize("kind", [kind.kind for kind in OPTIMIZERS if kind.kind != "custom"])
def test_weight_decay_takes_its_share_times_the_rate_off_every_weight(kind):
    cfg = optimizer_of(kind, weight_decay=0.5, learning_rate=0.1)
    optimizer = optim.build(cfg, schedule_of("constant"), 5, 2)
    weights = [keras.Variable(np.ones(shape, np.float32)) for shape in [(2, 2), (3,)]]
    optimizer.apply([np.zeros(w.shape, np.float32) for w in weights], weights)
    for weight in weights:
        np.testing.assert_allclose(weight, np.full(weight.shape, 0.95), rtol=1e-6)


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        pytest.param({"clipnorm": 1.0}, ([0.6, 0.8], [0.5]), id="each-variable"),
        pytest.param({"clipvalue": 3.5}, ([3.0, 3.5], [0.5]), id="each-value"),
        pytest.param(
            {"global_clipnorm": 1.0},
            (np.array([3, 4]) / math.sqrt(25.25), [0.5 / math.sqrt(25.25)]),
            id="all-together",
        ),
    ],
)
def test_gradients_are_clipped(clip, expected):
    optimizer = optim.build(
        optimizer_of("sgd", learning_rate=1.0, **clip), schedule_of("constant"), 5, 2
    )
    weights = [keras.Variable(np.zeros(2, np.float32)), keras.Variable(np.zeros(1, np.float32))]
    optimizer.apply([np.array([3, 4], np.float32), np.array([0.5], np.float32)], weights)
    for weight, gradient in zip(weights, expected, strict=True):
        np.testing.assert_allclose(-np.asarray(weight), gradient, rtol=1e-6)


def test_the_moving_average_of_the_weights_is_what_training_ends_with():
    cfg = optimizer_of("sgd", learning_rate=1.0, use_ema=True, ema_momentum=0.75)
    optimizer = optim.build(cfg, schedule_of("constant"), 5, 2)
    weight = keras.Variable(np.zeros(1, np.float32))
    average, place = None, 0.0
    for _ in range(3):
        optimizer.apply([np.ones(1, np.float32)], [weight])
        place -= 1
        average = place if average is None else 0.75 * average + 0.25 * place
    assert np.asarray(weight) == pytest.approx(-3)
    optimizer.finalize_variable_values([weight])
    assert np.asarray(weight) == pytest.approx(average)


def test_muon_leaves_the_output_layer_and_vectors_to_adam():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="dense_1"),
            keras.layers.Dense(2, name="output"),
        ]
    )
    optimizer = optim.build(optimizer_of("muon"), schedule_of("constant"), 5, 2)
    optimizer.build(model.trainable_variables)
    by_adam = {
        weight.path.split("/", 1)[1]
        for weight, velocity in zip(
            model.trainable_variables, optimizer.adam_velocities, strict=True
        )
        if velocity is not None
    }
    assert by_adam == {"dense_1/bias", "output/kernel", "output/bias"}
