"""The columns of raw input and of the answers, as a signature names them."""

from collections.abc import Mapping, Sequence
from typing import Any

from .answers import PROBABILITY
from .encoded import RefusedInput
from .series import STEP, WINDOW


def columns_of(description: Mapping[str, Any]) -> Sequence[tuple[str, str, bool]]:
    """Returns the columns of raw input: name, MLflow's type, and whether it is required.

    Numbers have the type `any`: MLflow refuses the whole numbers that pandas reads from a file,
    int64, for `double`, and decimals and missing values for `long`. They are checked here.
    """
    form = description["input"]
    if form["kind"] == "table":
        numeric = [(name, "any", True) for name in form["numeric"]]
        texts = zip(form["categorical"], form["categories"], strict=True)
        return [*numeric, *((name, _text_or_any(values), True) for name, values in texts)]
    if form["kind"] == "series":
        columns = [(name, "any", True) for name in form["columns"]]
        date = [(form["date"], "string", False)] if form["date"] else []
        return [*date, *columns, (WINDOW, "any", False)]
    if form["kind"] == "image":
        return [(form["column"], "binary" if form["encoded"] else "any", True)]
    return [(form["column"], "string", True)]


def _text_or_any(values: Sequence[str]) -> str:
    """The type of a categorical column, which pandas may read as whole numbers."""
    return "any" if any(value.lstrip("+-").isdecimal() for value in values) else "string"


def answers_of(description: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Returns the columns of the answers: name and MLflow's type."""
    output, task, form = (description[name] for name in ("output", "task", "input"))
    if task == "language_model":
        return [("generated", "string"), ("next", "string"), (PROBABILITY, "double")]
    if task in ("binary", "multiclass"):
        names = [f"{PROBABILITY}_{name}" for name in output["class_names"]]
        return [("label", "string"), *((name, "double") for name in (PROBABILITY, *names))]
    values = [(name, "double") for name in output["targets"]]
    has_dates = task == "forecast" and form["date"] and form["frequency"]
    dates = [(form["date"], "string")] if has_dates else []
    return [(STEP, "long"), *dates, *values] if task == "forecast" else values


_FIELDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "table": {
        **dict.fromkeys(("numeric", "categorical", "categories", "is_known"), list),
        "fills": (list, type(None)),
        "missing": str,
        "scaling": dict,
    },
    "text": {
        "column": str,
        "vocabulary": dict,
        "length": int,
        "padding": str,
        "truncating": str,
    },
    "image": {
        **dict.fromkeys(("column", "dtype"), str),
        **dict.fromkeys(("shape", "model_shape"), list),
        "largest": (int, float, type(None)),
        "encoded": bool,
        "resize": (str, type(None)),
        "sampling": (str, type(None)),
        "scaling": dict,
    },
    "series": {
        "columns": list,
        "date": (str, type(None)),
        "frequency": (dict, type(None)),
        "window": int,
        "horizon": int,
        "scaling": dict,
    },
}
_TASKS = ("multiclass", "binary", "regression", "forecast", "language_model")


def check(description: Mapping[str, Any]) -> None:
    """Checks that a description from elsewhere has the fields that are read.

    Args:
        description: plain values.

    Raises:
        RefusedInput: it has not.
    """
    form, output = description.get("input"), description.get("output")
    fields = _FIELDS.get(str(form.get("kind"))) if isinstance(form, dict) else None
    is_known = (
        fields is not None
        and isinstance(form, dict)
        and isinstance(output, dict)
        and description.get("task") in _TASKS
        and isinstance(description.get("batch_size"), int)
        and 0 < description["batch_size"] <= 1 << 20
        and all(isinstance(form.get(name), kind) for name, kind in fields.items())
        and all(isinstance(output.get(name), list) for name in ("class_names", "targets"))
        and all(isinstance(name, str) for name in [*output["class_names"], *output["targets"]])
        and isinstance(output.get("target_scaling"), dict | type(None))
    )
    if not is_known:
        raise RefusedInput("The description of its raw input was not written by samerun.")
