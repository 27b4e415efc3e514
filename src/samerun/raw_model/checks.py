"""Checks a description of raw input that comes from elsewhere, before anything reads it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .encoded import RefusedInput

_TASKS = ("multiclass", "binary", "regression", "forecast", "language_model")
_MOST_NUMBERS = 1 << 28
"""Numbers of one example, 1 GB."""
_MOST_STEPS = 1 << 20
_UNITS = {"seconds": 1e10, "weekdays": 1e3, "months": 1e5}
"""How dates follow each other, and the largest number of each."""

Form = Mapping[str, Any]


def check(description: Form) -> None:
    """Checks that a description from elsewhere has the values that are read, of every depth.

    Args:
        description: plain values.

    Raises:
        RefusedInput: it has not.
    """
    form, output = description.get("input"), description.get("output")
    is_known = (
        isinstance(form, dict)
        and isinstance(output, dict)
        and isinstance(form.get("kind"), str)
        and form["kind"] in _CHECKS
        and description.get("task") in _TASKS
        and _is_count(description.get("batch_size"), _MOST_STEPS)
        and _CHECKS[form["kind"]](form)
        and _is_output(description["task"], form, output)
    )
    if not is_known:
        raise RefusedInput("The description of its raw input was not written by samerun.")


def check_network(description: Form, network: Any) -> None:
    """Checks that a Keras model takes and returns what a description promises.

    Args:
        description: one that `check` accepts.
        network: the Keras model; a subclassed one that states no shapes is not checked.

    Raises:
        RefusedInput: its shapes are others.
    """
    expected = (_input_shape(description["input"]), _output_shape(description))
    for name, shape in zip(("input", "output"), expected, strict=True):
        found = getattr(network, f"{name}_shape", None)
        if found is None:
            continue
        if not isinstance(found, tuple) or not all(isinstance(n, int | None) for n in found):
            raise RefusedInput(f"Its Keras model has not one {name} but several, expected one.")
        if name == "output" and None not in found[1:] and None not in shape:
            fits = math.prod(found[1:]) == math.prod(shape)  # type: ignore[arg-type]
        else:
            pairs = zip(found[1:], shape, strict=False)
            fits = len(found) == len(shape) + 1 and all(a == b or None in (a, b) for a, b in pairs)
        if not fits:
            raise RefusedInput(
                f"The {name} of its Keras model has the shape {found[1:]}, its description of raw "
                f"input {shape}: they are not of the same model."
            )


def _input_shape(form: Form) -> tuple[int | None, ...]:
    if form["kind"] == "table":
        return (len(form["numeric"]) + sum(len(flags) + 1 for flags in form["is_known"]),)
    if form["kind"] == "series":
        return form["window"], len(form["columns"])
    return (form["length"],) if form["kind"] == "text" else tuple(form["model_shape"])


def _output_shape(description: Form) -> tuple[int | None, ...]:
    output, task = description["output"], description["task"]
    if task == "language_model":
        return None, len(description["input"]["vocabulary"]["tokens"])
    if task == "binary":
        return (1,)
    return (_num_outputs(task, description["input"], output),)


def _num_outputs(task: str, form: Form, output: Form) -> int:
    if task == "forecast":
        return int(form["horizon"])
    return len(output["class_names"] or output["targets"])


def _is_output(task: str, form: Form, output: Form) -> bool:
    names, targets = output.get("class_names"), output.get("targets")
    if not (_are_texts(names) and _are_texts(targets)):
        return False
    assert names is not None
    assert targets is not None
    expected = {
        "multiclass": len(names) > 1 and not targets,
        "binary": len(names) == 2 and not targets,
        "regression": len(targets) > 0 and not names,
        "forecast": len(targets) == 1 and not names and form["kind"] == "series",
        "language_model": not names and not targets and form["kind"] == "text",
    }
    if not expected[task]:
        return False
    scaling = output.get("target_scaling")
    return scaling is None or _is_scaling(scaling, (_num_outputs(task, form, output),))


def _is_table(form: Form) -> bool:
    if not all(_are_texts(form.get(name)) for name in ("numeric", "categorical")):
        return False
    categories, is_known = form.get("categories"), form.get("is_known")
    num_numeric, number = len(form["numeric"]), len(form["categorical"])
    if not (isinstance(categories, list) and isinstance(is_known, list)):
        return False
    fills = form.get("fills")
    return (
        num_numeric + number > 0
        and len(categories) == len(is_known) == number
        and all(_are_texts(values) for values in categories)
        and all(isinstance(flags, list) for flags in is_known)
        and all(isinstance(flag, bool) for flags in is_known for flag in flags)
        and [len(values) for values in categories] == [len(flags) for flags in is_known]
        and isinstance(form.get("missing"), str)
        and _is_scaling(form.get("scaling"), (num_numeric,))
        and (fills is None or _are_fills(fills, num_numeric, categories))
    )


def _are_fills(fills: Any, num_numeric: int, categories: Sequence[Any]) -> bool:
    if not (isinstance(fills, list) and len(fills) == num_numeric + len(categories)):
        return False
    codes = zip(fills[num_numeric:], categories, strict=True)
    return _numbers(fills) is not None and all(0 <= one <= len(known) for one, known in codes)


def _is_text(form: Form) -> bool:
    words = form.get("vocabulary")
    if not isinstance(words, dict) or not _are_texts(words.get("tokens")):
        return False
    most = len(words["tokens"]) - 1
    return (
        isinstance(form.get("column"), str)
        and _is_count(form.get("length"), _MOST_STEPS)
        and all(form.get(name) in ("pre", "post") for name in ("padding", "truncating"))
        and words.get("level") in ("word", "character")
        and isinstance(words.get("lowercase"), bool)
        and _is_count(words.get("unknown"), most, least=0)
        and _is_count(words.get("num_special"), most + 1, least=0)
        and "start" in words
        and (words["start"] is None or _is_count(words["start"], most, least=0))
    )


def _is_image(form: Form) -> bool:
    shape, made = form.get("shape"), form.get("model_shape")
    if not (_is_shape(shape) and _is_shape(made)):
        return False
    assert isinstance(shape, list)
    assert isinstance(made, list)
    resize, largest = form.get("resize"), form.get("largest")
    dimensions = {"bilinear": 3, "frames": 4}
    decodes = form.get("encoded") is True or resize is not None
    return (
        isinstance(form.get("column"), str)
        and math.prod(shape) == math.prod(made)
        and form.get("dtype") in ("float", "integer")
        and (largest is None or _numbers([largest]) is not None)
        and isinstance(form.get("encoded"), bool)
        and (resize is None or len(shape) == dimensions.get(str(resize)))
        and (not form["encoded"] or len(shape) == 3)
        and (not decodes or shape[-1] in (1, 3))
        and isinstance(form.get("sampling"), str | None)
        and (resize != "frames" or isinstance(form["sampling"], str))
        and _is_scaling(form.get("scaling"), tuple(made))
    )


def _is_series(form: Form) -> bool:
    columns, rule = form.get("columns"), form.get("frequency")
    return (
        _are_texts(columns)
        and bool(columns)
        and isinstance(form.get("date"), str | None)
        and (rule is None or (isinstance(rule, dict) and _is_frequency(rule)))
        and _is_count(form.get("window"), _MOST_STEPS)
        and _is_count(form.get("horizon"), _MOST_STEPS)
        and _is_scaling(form.get("scaling"), (form["window"], len(columns or ())))
    )


def _is_frequency(rule: Form) -> bool:
    (unit, number), *more = rule.items() or [("", 0)]
    if more or unit not in _UNITS or _numbers([number]) is None:
        return False
    return 0 < number <= _UNITS[unit] and (unit == "seconds" or isinstance(number, int))


def _is_scaling(values: Any, shape: tuple[int, ...]) -> bool:
    """Whether an offset and a scale broadcast over an example of a shape."""
    if not isinstance(values, dict):
        return False
    for name in ("offset", "scale"):
        found = _numbers(values.get(name))
        try:
            if found is None or np.broadcast_shapes(found.shape, shape) != shape:
                return False
        except ValueError:
            return False
    return True


def _numbers(values: Any) -> Any:
    """Returns finite numbers as an array, or `None`."""
    try:
        made = np.asarray(values)
    except (ValueError, OverflowError, RecursionError):
        return None
    return made if made.dtype.kind in "iuf" and np.isfinite(made).all() else None


def _is_shape(values: Any) -> bool:
    if not isinstance(values, list) or not 0 < len(values) <= 8:
        return False
    is_counted = all(_is_count(value, _MOST_NUMBERS) for value in values)
    return is_counted and math.prod(values) <= _MOST_NUMBERS


def _is_count(value: Any, most: int, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


_CHECKS: Mapping[str, Callable[[Form], bool]] = {
    "table": _is_table,
    "text": _is_text,
    "image": _is_image,
    "series": _is_series,
}
