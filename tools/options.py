"""Writes the table of config groups into README.md; run by `make gallery`."""

import re
import sys
from pathlib import Path

from samerun.config.datasets import DATASETS
from samerun.config.datasets.base import Dataset
from samerun.config.models import MODELS
from samerun.config.models.base import Model
from samerun.config.optimizers import OPTIMIZERS
from samerun.config.schedules import SCHEDULES
from samerun.data import SOURCES

README = Path(__file__).resolve().parents[1] / "README.md"
TASKS = {"forecast": "multi-step forecasting", "language_model": "language modeling"}
BLOCK = re.compile(r"(<!-- options: `make gallery` -->\n).*?(<!-- end of options -->)", re.DOTALL)


def reads(kind: type[Model]) -> str:
    """Returns the input of a model, by its class."""
    if kind.kind == "custom":
        return "your own function"
    if kind.tasks != Model.tasks:
        return " and ".join(TASKS.get(task, task) for task in kind.tasks)
    return ", ".join(kind.layouts)


def origin(kind: type[Dataset]) -> str:
    """Returns where a dataset comes from, by its class."""
    if kind.kind == "custom":
        return "your own function"
    if SOURCES[kind].download is not None:
        return "downloaded once by Keras"
    is_own = "path" in kind.__dataclass_fields__
    return "your own files" if is_own else "real data in the installed packages"


def grouped(names: dict[str, list[str]]) -> str:
    """Returns options grouped by what they have in common: `image: a b; video: c`."""
    return "; ".join(f"{common}: {' '.join(options)}" for common, options in names.items())


def table() -> str:
    """Returns the table."""
    models: dict[str, list[str]] = {}
    for model in MODELS:
        models.setdefault(reads(model), []).append(f"`{model.kind}`")
    datasets: dict[str, list[str]] = {}
    for dataset in DATASETS:
        datasets.setdefault(origin(dataset), []).append(f"`{dataset.kind}`")
    rows = {
        "model": grouped(models),
        "dataset": grouped(datasets),
        "optimizer": " ".join(f"`{kind.kind}`" for kind in OPTIMIZERS),
        "schedule": " ".join(f"`{kind.kind}`" for kind in SCHEDULES),
    }
    lines = ["| group | options |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {text} |" for name, text in rows.items()), ""])


def updated(text: str) -> str:
    """Returns a page with the current table in it."""
    assert BLOCK.search(text), "the page has no place for the table"
    return BLOCK.sub(lambda found: f"{found[1]}{table()}{found[2]}", text)


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(table())
