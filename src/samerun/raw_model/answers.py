"""What a model answers: labels and probabilities, values in their unit, next values with dates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .encoded import Array, Encoded
from .series import DATES, STEP, WINDOW

PROBABILITY = "probability"


def table(description: Mapping[str, Any], outputs: Array, encoded: Encoded) -> dict[str, Array]:
    """Returns the columns of the answer.

    Args:
        description: of the model.
        outputs: of the Keras model, `(n, outputs)`.
        encoded: the examples.

    Returns:
        One row per example; of a forecast, one per example and step.
    """
    output, task = description["output"], description["task"]
    if task in ("binary", "multiclass"):
        return classes(output["class_names"], probabilities(outputs))
    values = in_units(output, outputs)
    if task == "forecast":
        return _forecast(output["targets"][0], values, encoded.columns, description["input"])
    return {name: values[:, place] for place, name in enumerate(output["targets"])}


def probabilities(outputs: Array) -> Array:
    """Returns one probability per class, float64 `(n, classes)`."""
    wide = outputs.astype(np.float64)
    return np.concatenate([1 - wide, wide], axis=1) if wide.shape[1] == 1 else wide


def classes(names: Sequence[str], shares: Array) -> dict[str, Array]:
    """Returns the most probable class, its probability, and that of every class.

    Args:
        names: of the classes.
        shares: probabilities, `(n, classes)`.
    """
    best = shares.argmax(axis=1)
    columns = {f"{PROBABILITY}_{name}": shares[:, at] for at, name in enumerate(names)}
    label = np.array(names, object)[best]
    return {"label": label, PROBABILITY: shares.max(axis=1), **columns}


def in_units(output: Mapping[str, Any], outputs: Array) -> Array:
    """Returns predicted values in the unit of the target, float64 `(n, outputs)`."""
    wide, scaling = outputs.astype(np.float64), output["target_scaling"]
    if scaling is None:
        return wide
    offset, scale = (np.asarray(scaling[name], np.float32) for name in ("offset", "scale"))
    made: Array = wide * scale + offset
    return made


def forecast_names(form: Mapping[str, Any], target: str) -> tuple[str | None, str]:
    """Returns the columns of an answer that hold the date and the target.

    They have their names in the data; one that the answer has already gets `next_` before it.

    Args:
        form: the input's description.
        target: its name in the data.
    """
    taken, names = {STEP, WINDOW}, []
    for name in (form["date"], target):
        while name in taken:
            name = f"next_{name}"
        taken.add(name)
        names.append(name)
    return names[0], names[1]


def _forecast(
    target: str, values: Array, columns: Mapping[str, Array], form: Mapping[str, Any]
) -> dict[str, Array]:
    num, horizon = values.shape
    date, target = forecast_names(form, target)
    made = {STEP: np.tile(np.arange(1, horizon + 1), num)}
    if WINDOW in columns:
        made = {WINDOW: np.repeat(columns[WINDOW], horizon)} | made
    if date is not None and DATES in columns:
        made[date] = columns[DATES].reshape(-1)
    return made | {target: values.reshape(-1)}
