"""The columns of raw input and of the answers, as a signature names them."""

from collections.abc import Mapping, Sequence
from typing import Any

from .answers import PROBABILITY, forecast_names
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
    """The type of a categorical column, which pandas may read as whole numbers or bools."""
    is_read = any(v.lstrip("+-").isdecimal() or v.lower() in ("true", "false") for v in values)
    return "any" if is_read else "string"


def answers_of(description: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Returns the columns of the answers: name and MLflow's type."""
    output, task, form = (description[name] for name in ("output", "task", "input"))
    if task == "language_model":
        return [("generated", "string"), ("next", "string"), (PROBABILITY, "double")]
    if task in ("binary", "multiclass"):
        names = [f"{PROBABILITY}_{name}" for name in output["class_names"]]
        return [("label", "string"), *((name, "double") for name in (PROBABILITY, *names))]
    if task == "regression":
        return [(name, "double") for name in output["targets"]]
    date, target = forecast_names(form, output["targets"][0])
    dates = [(date, "string")] if date and form["frequency"] else []
    return [(STEP, "long"), *dates, (target, "double")]


def packages_of(description: Mapping[str, Any]) -> Sequence[str]:
    """Returns the packages that encoding raw input needs, besides what runs the model."""
    form = description["input"]
    is_decoded = form.get("encoded") or form.get("resize") == "bilinear"
    return [
        *("numpy", "pandas"),
        *(["tensorflow"] if is_decoded else []),
        *(["pillow"] if form.get("resize") == "frames" else []),
    ]
