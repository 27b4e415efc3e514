"""Makes a stored Keras model one that takes raw input in MLflow's `python_function` flavor."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CODE = "code"
_MOST_NUMBERS = 20_000  # of an example as JSON


@dataclass(frozen=True)
class RawInput:
    """What a stored model knows about raw input.

    Args:
        description: as `samerun.raw_model` reads it, plain values.
        example: a few raw examples, the cells of each column.
    """

    description: Mapping[str, Any]
    example: Mapping[str, list[Any]]


def example_frame(raw: RawInput) -> Any:
    """Returns the example as a data frame that JSON can hold; `None` if it is too large."""
    import numpy as np
    import pandas as pd

    from samerun.raw_model import as_png

    form = raw.description["input"]
    if form["kind"] != "image":
        return pd.DataFrame(dict(raw.example))
    cells = raw.example[form["column"]]
    if form["encoded"]:
        cells = [as_png(cell) for cell in cells]
    elif sum(np.size(cell) for cell in cells) > _MOST_NUMBERS:
        return None
    else:
        cells = [cell.tolist() for cell in cells]
    return pd.DataFrame({form["column"]: pd.Series(cells, dtype=object)})


def add_raw_input(model: Any, raw: RawInput, folder: Path, loader: str | None = None) -> None:
    """Adds what raw input needs to a model that `mlflow.keras` has saved.

    The code goes into a package whose name holds its digest: two models of different versions load
    in one process.

    Args:
        model: the `mlflow.models.Model` that was saved.
        raw: the raw input.
        folder: of the model.
        loader: an installed module that loads the model, instead of code that it brings along.
    """
    from mlflow import pyfunc
    from mlflow.models import ModelSignature

    from samerun.raw_model import DESCRIPTION

    text = json.dumps(raw.description, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(text, "utf-8")
    shutil.rmtree(folder / CODE, ignore_errors=True)
    name = loader or copy_code(folder / CODE)
    inputs, outputs, params = _schemas(raw.description)
    model.signature = ModelSignature(inputs=inputs, outputs=outputs, params=params)
    env = model.flavors[pyfunc.FLAVOR_NAME]["env"]
    pyfunc.add_to_model(
        model,
        loader_module=name,
        code=None if loader else CODE,
        conda_env=env["conda"],
        python_env=env["virtualenv"],
    )
    model.save(str(folder / "MLmodel"))


def copy_code(folder: Path) -> str:
    """Copies the code that loads a model into a folder, and returns the name of its package."""
    from samerun import raw_model

    files = sorted(Path(raw_model.__file__).parent.glob("*.py"))
    contents = {file.name: file.read_bytes() for file in files}
    digest = hashlib.sha256(b"\0".join(contents.values())).hexdigest()[:12]
    package = folder / f"samerun_raw_model_{digest}"
    package.mkdir(parents=True)
    for name, content in contents.items():
        (package / name).write_bytes(content)
    return package.name


def _schemas(description: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    from mlflow.types.schema import AnyType, ColSpec, ParamSchema, ParamSpec, Schema

    from samerun import raw_model

    def column(name: str, kind: str, is_required: bool) -> Any:
        return ColSpec(AnyType() if kind == "any" else kind, name, required=is_required)

    inputs = Schema([column(*one) for one in raw_model.columns_of(description)])
    outputs = Schema([column(*one, True) for one in raw_model.answers_of(description)])
    if description["task"] != "language_model":
        return inputs, outputs, None
    kinds = {int: "long", float: "double"}
    defaults = raw_model.DEFAULTS.items()
    params = [ParamSpec(name, kinds[type(value)], value) for name, value in defaults]
    return inputs, outputs, ParamSchema(params)


def write_served(
    description: Mapping[str, Any], keras_file: Path, folder: Path, loader: str
) -> None:
    """Writes an MLflow model of raw input that runs this version's code, to be served from here.

    Args:
        description: of raw input.
        keras_file: the Keras model.
        folder: where to; it does not exist.
        loader: the module that loads it.
    """
    from mlflow import pyfunc
    from mlflow.models import Model

    from samerun.raw_model import KERAS_FILE

    (folder / KERAS_FILE).parent.mkdir(parents=True)
    shutil.copyfile(keras_file, folder / KERAS_FILE)
    model = Model(artifact_path="model")
    pyfunc.add_to_model(model, "", conda_env="conda.yaml", python_env="python_env.yaml")
    add_raw_input(model, RawInput(description, {}), folder, loader)
