"""What holds for every learning-rate schedule; hypothesis chooses kind, lengths and factors."""

import dataclasses
import functools

import hypothesis.strategies as st
import keras
import numpy as np
from hypothesis import given, settings

from samerun import config, optim
from samerun.config.schedules import SCHEDULES

FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=30)
FACTOR = st.integers(0, 100).map(lambda n: n / 100)
EPOCHS = st.integers(1, 80).map(lambda n: n / 10)
VALUES = {
    "boundaries_epochs": st.lists(EPOCHS, max_size=3, unique=True).map(sorted),
    "factor": st.integers(1, 100).map(lambda n: n / 100),
    "decay_rate": st.integers(1, 100).map(lambda n: n / 100),
    "decay_epochs": EPOCHS,
    "staircase": st.booleans(),
    "end_factor": FACTOR,
    "start_factor": FACTOR,
    "power": st.integers(1, 30).map(lambda n: n / 10),
    "first_cycle_epochs": EPOCHS,
    "cycle_factor": st.integers(10, 30).map(lambda n: n / 10),
    "peak_factor": st.integers(1, 100).map(lambda n: n / 100),
    "rise_fraction": st.integers(0, 95).map(lambda n: n / 100),
}
FALLING = ("constant", "step", "exponential", "inverse_time", "polynomial", "cosine")


@functools.cache
def base(kind):
    return config.compose([f"schedule={kind}"]).config.schedule


@st.composite
def trainings(draw):
    """A schedule's config with its peak, steps of an epoch and epochs."""
    epochs = draw(st.integers(1, 8))
    node = base(draw(st.sampled_from([each.kind for each in SCHEDULES if each.kind != "custom"])))
    names = {field.name for field in dataclasses.fields(node)} & set(VALUES)
    if node.kind == "reduce_on_plateau":
        names = set()  # it is constant until a callback changes it
    new = {name: draw(VALUES[name]) for name in sorted(names)}
    new["warmup_epochs"] = draw(st.integers(0, epochs * 10 - 1)) / 10
    cfg = dataclasses.replace(node, **new)
    return cfg, draw(st.sampled_from([1e-5, 0.01, 1.0])), draw(st.integers(1, 40)), epochs


def rates(schedule, steps):
    """The learning rate at each step, as the optimizer asks for it."""
    return np.array([float(optim.at(schedule, np.int64(step))) for step in steps])


@FIXED
@given(trainings())
def test_every_rate_is_finite_not_negative_and_at_most_the_peak(training):
    cfg, peak, steps_per_epoch, epochs = training
    schedule = optim.schedule(cfg, peak, steps_per_epoch, epochs)
    steps = range(0, epochs * steps_per_epoch + 3, max(1, steps_per_epoch // 4))
    found = rates(schedule, steps)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= peak * (1 + 1e-6)).all()
    warm_up = cfg.warmup_epochs * steps_per_epoch
    after = found[np.array(steps) >= warm_up]
    if cfg.kind in FALLING:
        assert (np.diff(after) <= peak * 1e-6).all()
    if getattr(cfg, "end_factor", 0) and cfg.kind != "cosine_restarts" and cfg.kind != "one_cycle":
        assert (after >= cfg.end_factor * peak * (1 - 1e-5)).all()


@FIXED
@given(trainings())
def test_a_warm_up_begins_at_nothing_rises_and_ends_where_the_shape_begins(training):
    cfg, peak, steps_per_epoch, epochs = training
    num = cfg.warmup_epochs * steps_per_epoch
    schedule = optim.schedule(cfg, peak, steps_per_epoch, epochs)
    without = dataclasses.replace(cfg, warmup_epochs=0.0)
    first = float(optim.at(optim.schedule(without, peak, steps_per_epoch, epochs), 0))
    rise = rates(schedule, range(int(np.ceil(num))))
    if num:
        assert rise[0] == 0
        assert (np.diff(rise) >= 0).all()
        np.testing.assert_allclose(rise, first * np.arange(len(rise)) / num, rtol=1e-5)
    if num == int(num):
        np.testing.assert_allclose(rates(schedule, [int(num)])[0], first, rtol=1e-5)


@FIXED
@given(trainings(), st.data())
def test_a_resumed_training_has_the_rate_it_would_have_had(training, data):
    """The rate depends on the step alone: a schedule made again has the same, asked at any step."""
    cfg, peak, steps_per_epoch, epochs = training
    last = epochs * steps_per_epoch
    steps = sorted(data.draw(st.sets(st.integers(0, last), min_size=1, max_size=5)))
    schedule = optim.schedule(cfg, peak, steps_per_epoch, epochs)
    asked = sorted({*steps, *range(0, steps[-1] + 1, 1 + steps[-1] // 20)})
    uninterrupted = rates(schedule, asked)[np.searchsorted(asked, steps)]
    again = optim.schedule(cfg, peak, steps_per_epoch, epochs)
    assert (rates(again, steps) == uninterrupted).all()
    if callable(schedule):
        stored = keras.optimizers.schedules.serialize(schedule)
        restored = keras.optimizers.schedules.deserialize(stored)
        assert (rates(restored, steps) == uninterrupted).all()
