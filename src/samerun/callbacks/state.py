"""Captures and restores everything that the rest of a training depends on."""

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from samerun import optim
from samerun.checkpoints import Array, TrainingState
from samerun.errors import UserError, see

if TYPE_CHECKING:
    from samerun.callbacks.building import Callbacks

_OF_KERAS: dict[type[keras.callbacks.Callback], tuple[str, ...]] = {
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
    # Never `min_delta` and `monitor_op`: Keras multiplies min_delta by -1 once for each instance.
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch"),
}
"""Attributes that make up the state of Keras's own callbacks, by class; ours have a `state()`.

The best weights of EarlyStopping are arrays and kept as such."""


def state_of(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Returns the state of a callback, by the names that checkpoints hold."""
    keys = _OF_KERAS.get(type(callback))
    if keys is None:
        state: dict[str, Any] = callback.state()
        return state
    return {key: getattr(callback, key) for key in keys}


def restore_state(callback: keras.callbacks.Callback, state: Mapping[str, Any]) -> None:
    """Restores what `state_of` returned."""
    keys = _OF_KERAS.get(type(callback))
    if keys is None:
        callback.restore(state)
        return
    for key in keys:
        setattr(callback, key, state[key])


def _variables(model: keras.Model, *, in_epoch: bool) -> dict[str, list[Any]]:
    """The seeds of dropout and other layers are among the model's variables."""
    seed = _global_seed(make=False)
    return {
        "model": list(model.variables),
        "optimizer": list(model.optimizer.variables),
        "metrics": list(model.metrics_variables) if in_epoch else [],
        "schedule": optim.factors(model.optimizer),
        "seed": [] if seed is None else [seed],
    }


def _global_seed(*, make: bool) -> Any:
    """Returns the state behind random numbers of Keras without a seed of their own, if any.

    Only a user's layers can need it, and Keras offers no public way to it.
    """
    try:
        from keras.src.backend.common.global_state import get_global_attribute
        from keras.src.random import seed_generator as seeds
    except ImportError:  # another Keras: such layers are then not resumed exactly
        return None
    if make:
        return seeds.global_seed_generator().state
    generator = get_global_attribute(seeds.GLOBAL_SEED_GENERATOR)
    return None if generator is None else generator.state


def capture(
    model: keras.Model, callbacks: "Callbacks", *, in_epoch: bool
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Returns the arrays and the rest of the state.

    Args:
        model: what is trained.
        callbacks: its callbacks.
        in_epoch: whether the state is inside an epoch, whose metrics are kept.
    """
    sections = _variables(model, in_epoch=in_epoch)
    arrays = {
        f"{section}/{number}": keras.ops.convert_to_numpy(variable)
        for section, variables in sections.items()
        for number, variable in enumerate(variables)
    }
    for number, weight in enumerate(callbacks.early_stopping.best_weights or ()):
        arrays[f"best_weights/{number}"] = weight
    return arrays, {
        "variables": {name: _described(name, listed) for name, listed in sections.items()},
        "callbacks": {
            name: state_of(callback) for name, callback in callbacks.with_state().items()
        },
        "random": {"python": random.getstate(), "numpy": _numpy_state()},
    }


def _numpy_state() -> list[Any]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return [kind, np.asarray(keys).tolist(), *rest]


def _described(section: str, variables: Sequence[Any]) -> list[list[Any]]:
    """Names a variable by its path, except where that depends on the function that created it."""
    has_path = section in ("model", "optimizer")
    return [
        [item.path if has_path else item.name, list(item.shape), str(item.dtype)]
        for item in variables
    ]


EPOCH_START = "epoch_start"
"""Where a state inside an epoch holds the one between epochs before it."""


def with_epoch_start(state: TrainingState, before: TrainingState) -> TrainingState:
    """Returns a state inside an epoch that also holds the one before it, for a retry."""
    arrays = {f"{EPOCH_START}/{name}": array for name, array in before.arrays.items()}
    held = {**before.meta, "epoch": before.epoch, "step": before.step}
    return dataclasses.replace(
        state, arrays={**state.arrays, **arrays}, meta={**state.meta, EPOCH_START: held}
    )


def epoch_start_in(state: TrainingState) -> TrainingState | None:
    """Returns what `with_epoch_start` put into a state; `None` for another one."""
    held = state.meta.get(EPOCH_START)
    if held is None:
        return None
    prefix = f"{EPOCH_START}/"
    arrays = {
        name.removeprefix(prefix): array
        for name, array in state.arrays.items()
        if name.startswith(prefix)
    }
    meta = {key: value for key, value in held.items() if key not in ("epoch", "step")}
    return TrainingState(epoch=int(held["epoch"]), step=int(held["step"]), arrays=arrays, meta=meta)


def check_fits(state: TrainingState, fingerprint: str) -> None:
    """Checks that a state is one of this config.

    Raises:
        UserError: it belongs to another config, or is no state of a training.
    """
    expected = {"variables", "callbacks", "random", "fingerprint", "digests", "number"}
    if missing := sorted(expected - set(state.meta)):
        raise _does_not_fit("contents", f"no {missing[0]}", "one")
    if state.meta["fingerprint"] != fingerprint:
        raise UserError(
            "checkpoint: received the state of a run with another config, expected one that differs"
            " in training.epochs at most: use the config of that run."
        )


def build_variables(model: keras.Model, one_batch: Any) -> None:
    """Creates the variables that Keras creates at the first step: optimizer, then metrics.

    Args:
        model: what is to be trained.
        one_batch: dataset of one batch, on which metrics are built; `None` if none are restored.
    """
    optimizer = model.optimizer
    if not optimizer.built:
        with keras.name_scope(optimizer.name, caller=optimizer):  # as in its `apply`
            optimizer.build(model.trainable_variables)
    if one_batch is not None:
        model.evaluate(one_batch, verbose=0)


def restore_variables(model: keras.Model, state: TrainingState) -> None:
    """Restores the model, its optimizer and the random number generators.

    Raises:
        UserError: the variables differ.
    """
    if state.meta["variables"]["seed"]:
        _global_seed(make=True)
    sections = _variables(model, in_epoch=False)
    python, numpy = state.meta["random"]["python"], state.meta["random"]["numpy"]
    random.setstate((python[0], tuple(python[1]), python[2]))
    np.random.set_state((numpy[0], np.array(numpy[1], np.uint32), *numpy[2:]))
    if sections["seed"] and not state.meta["variables"]["seed"]:
        # Created by a step after the state: as at its first use, its seed is drawn from `random`.
        sections["seed"].pop().assign(keras.random.SeedGenerator().state)
    for section, variables in sections.items():
        if section != "metrics":
            _assign(section, variables, state)


def restore_metrics(model: keras.Model, state: TrainingState) -> None:
    """Restores the metrics of the epoch that was interrupted."""
    _assign("metrics", model.metrics_variables, state)


def restore_callbacks(callbacks: "Callbacks", state: TrainingState) -> None:
    """Restores the callbacks.

    Raises:
        UserError: the state is one of other callbacks.
    """
    known, here = state.meta["callbacks"], callbacks.with_state()
    if sorted(known) != sorted(here):
        raise _does_not_fit("callbacks", sorted(known), sorted(here))
    for name, callback in here.items():
        restore_state(callback, known[name])
    weights = [name for name in state.arrays if name.startswith("best_weights/")]
    callbacks.early_stopping.best_weights = [
        state.arrays[f"best_weights/{number}"] for number in range(len(weights))
    ] or None


def _assign(section: str, variables: Sequence[Any], state: TrainingState) -> None:
    listed, expected = state.meta["variables"][section], _described(section, variables)
    if listed != expected:
        pairs = zip(listed, expected, strict=False)
        received, one = next(
            (pair for pair in pairs if pair[0] != pair[1]),
            (f"{len(listed)} variables", f"{len(expected)}"),
        )
        raise _does_not_fit(section, received, one)
    for number, variable in enumerate(variables):
        name = f"{section}/{number}"
        if name not in state.arrays:
            raise _does_not_fit(section, "nothing", listed[number])
        value = state.arrays[name]
        if value.dtype.kind == "V":  # what NumPy has no name for, such as bfloat16
            value = value.view(keras.ops.convert_to_numpy(variable).dtype)
        if list(value.shape) != listed[number][1]:
            raise _does_not_fit(section, list(value.shape), listed[number])
        variable.assign(value)


def _does_not_fit(section: str, received: Any, expected: Any) -> UserError:
    return UserError(
        f"checkpoint: received {received} in its {section}, expected {expected}: the model's code "
        "or a package has changed, so use those that the run was started with."
        + see("how-to/troubleshooting.md#interrupted-runs")
    )
