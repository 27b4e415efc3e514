"""The state of one run as the start of another one, with the learning rate of the new config."""

import dataclasses
import math
from typing import Any

import numpy as np

from samerun import optim
from samerun.callbacks import EPOCH_START, OWN, build_own, has_state
from samerun.checkpoints import Array, TrainingState
from samerun.config import Config
from samerun.config.schedules import ReduceOnPlateau
from samerun.config.training import OnMemory, OnNan

Entry = tuple[list[Any], Array]
"""A variable as a checkpoint holds it: its path, shape and dtype, and its value."""


def with_rate_of(state: TrainingState, cfg: Config) -> TrainingState:
    """Returns a state whose learning rate is that of another config.

    A rate that stays the same is a variable of the optimizer, and a plateau's factor is one too: a
    checkpoint would bring back the old ones, or not fit a schedule at all.

    Args:
        state: of the run that is forked.
        cfg: config of the new one.
    """
    entries = {section: _entries(state, section) for section in state.meta["variables"]}
    callbacks = dict(state.meta["callbacks"])
    entries["optimizer"] = _with_rate(entries["optimizer"], cfg)
    lowers = cfg.training.on_nan is OnNan.restore_and_lower_lr
    factors = {entry[0][0]: entry for entry in entries["schedule"]}
    entries["schedule"] = []
    if not isinstance(cfg.schedule, ReduceOnPlateau):
        callbacks.pop("plateau", None)
    else:
        entries["schedule"].append(factors.get(optim.PLATEAU_FACTOR, _one(optim.PLATEAU_FACTOR)))
        fresh = {"best": -math.inf, "wait": 0, "cooldown": 0, "factor": 1.0}
        callbacks.setdefault("plateau", fresh)
    if lowers:
        entries["schedule"].append(_one(optim.RETRY_FACTOR))
    # The retries of the run that is forked were its own: the fork has all of its before it.
    callbacks.pop("retries", None)
    if lowers or cfg.training.on_memory is not OnMemory.fail:
        callbacks["retries"] = {"events": [], "batch_size": None, "held": []}
    callbacks = _with_own(callbacks, cfg)
    arrays = {
        name: value
        for name, value in state.arrays.items()
        if name.partition("/")[0] not in (*entries, EPOCH_START)
    }
    for section, listed in entries.items():
        arrays |= {f"{section}/{number}": value for number, (_, value) in enumerate(listed)}
    variables = {section: [spec for spec, _ in listed] for section, listed in entries.items()}
    meta = {**state.meta, "variables": variables, "callbacks": callbacks}
    meta.pop(EPOCH_START, None)
    meta.pop("stopped", None)
    return dataclasses.replace(state, arrays=arrays, meta=meta)


def _with_own(callbacks: dict[str, Any], cfg: Config) -> dict[str, Any]:
    """Returns the states of the callbacks, of the user's own those of the new config."""
    fresh = {name: one.state() for name, one in build_own(cfg).items() if has_state(one)}
    kept = {name: one for name, one in callbacks.items() if not name.startswith(OWN)}
    return kept | {name: callbacks.get(name, state) for name, state in fresh.items()}


def _one(name: str) -> Entry:
    return [name, [], "float32"], np.asarray(1.0, np.float32)


def _entries(state: TrainingState, section: str) -> list[Entry]:
    listed = state.meta["variables"][section]
    return [(entry, state.arrays[f"{section}/{number}"]) for number, entry in enumerate(listed)]


def _with_rate(entries: list[Entry], cfg: Config) -> list[Entry]:
    """Keras lists the rate behind the number of steps, and only if it is no schedule."""
    kept = [entry for entry in entries if not entry[0][0].endswith("/learning_rate")]
    rate = optim.schedule(cfg.schedule, cfg.optimizer.learning_rate, 1, cfg.training.epochs)
    if callable(rate) or cfg.training.on_nan is OnNan.restore_and_lower_lr:
        return kept
    paths = [entry[0][0] for entry in kept]
    counter = next(path for path in paths if path.endswith("/iteration"))
    path = f"{counter.rpartition('/')[0]}/learning_rate"
    entry = ([path, [], "float32"], np.asarray(cfg.optimizer.learning_rate, np.float32))
    place = paths.index(counter) + 1
    return [*kept[:place], entry, *kept[place:]]
