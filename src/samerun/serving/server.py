"""MLflow's own scoring server for the model of a run."""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samerun.raw_model import KERAS_FILE
from samerun.raw_model.texts import Words
from samerun.replay import recorded
from samerun.serving import loader, logged
from samerun.serving.stored_model import fetch_model
from samerun.tracking import StoredRun, write_served

_MOST_SHOWN = 4096  # numbers in the line that is printed


@dataclass(frozen=True)
class Served:
    """A model that is ready to be served.

    Args:
        folder: of the MLflow model.
        example: body of a request, as plain values.
    """

    folder: Path
    example: Mapping[str, Any]


def prepare(
    run: StoredRun, folder: Path, *, trusted: Sequence[str] = (), uri: str | None = None
) -> Served:
    """Writes the model of a run, to be run by samerun's own code, where a server can load it.

    Args:
        run: the stored run.
        folder: an empty folder.
        trusted: names of modules of the user's own that may be imported, here and by the server.
        uri: the store, by default that of this folder.

    Returns:
        The model on this disk, and a request that it answers.

    Raises:
        UserError: the run has no model that can be used.
    """
    stored, served = folder / "stored", folder / "model"
    stored.mkdir()
    functions: Mapping[str, str] = {}
    if trusted:
        cfg = recorded.read(run, trusted=trusted, uri=uri).cfg
        functions = logged.own_functions(cfg, trusted)
    description = fetch_model(run, stored, functions, uri=uri)
    write_served(description, stored / KERAS_FILE, served, loader=loader.__name__)
    (served / loader.FUNCTIONS).write_text(json.dumps(functions), "utf-8")
    return Served(served, _example(description))


def command(model: Path, host: str, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
    """Returns the command of `mlflow models serve` for a model, and its environment.

    Args:
        model: folder of the MLflow model.
        host: address to listen on.
        port: port to listen on.
    """
    line = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model)]
    line += ["--env-manager", "local", "--host", host, "--port", str(port), "--workers", "1"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return line, {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PATH": path}


def _example(description: Mapping[str, Any]) -> dict[str, Any]:
    """A request with one row: numbers of average size, the first categories, known words."""
    form = description["input"]
    if form["kind"] == "table":
        middle = np.broadcast_to(form["scaling"]["offset"], (len(form["numeric"]),)).tolist()
        row = {name: round(value, 3) for name, value in zip(form["numeric"], middle, strict=True)}
        texts = zip(form["categorical"], form["categories"], strict=True)
        return {"dataframe_records": [{**row, **{name: next(iter(v), "") for name, v in texts}}]}
    if form["kind"] == "series":
        steps = {"columns": form["columns"], "data": [[0.0] * len(form["columns"])]}
        steps["data"] *= form["window"]
        return {"dataframe_split": steps}
    if form["kind"] == "text":
        content: Any = Words(form["vocabulary"]).frequent()
    else:
        content = "BASE64 OF A PNG OR JPEG FILE" if form["encoded"] else _array(form)
    return {"dataframe_records": [{form["column"]: content}]}


def _array(form: Mapping[str, Any]) -> Any:
    """Zeros of the model's shape and type; their number stands for them where they are many."""
    shape, is_float = tuple(form["shape"]), form["dtype"] == "float"
    if math.prod(shape) > _MOST_SHOWN:
        return f"NESTED LISTS OF {shape} {'FLOATING-POINT NUMBERS' if is_float else 'INTEGERS'}"
    return np.zeros(shape, float if is_float else int).tolist()
