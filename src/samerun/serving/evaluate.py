"""Evaluates a stored model on new labelled data, with the report of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samerun import evaluation
from samerun.config import Config, DataSpec, Layout, Task
from samerun.config.datasets.images import ImageFolder
from samerun.config.datasets.series import SeriesCsv
from samerun.config.datasets.tables import TableCsv
from samerun.config.datasets.text import TextCsv, TextFolder
from samerun.data.csv_file import read_csv
from samerun.errors import UserError, listed, nearest
from samerun.evaluation import Report
from samerun.raw_model import RawModel, RefusedInput
from samerun.serving.reading import Chunk, chunks, files_in, needed_columns, numbers

KINDS = (TableCsv, TextCsv, TextFolder, ImageFolder, SeriesCsv)


@dataclass(frozen=True)
class _Labelled:
    """Raw input with the truth: classes as names, or numbers `(n, outputs)`."""

    chunks: Sequence[Chunk]
    truth: Sequence[str] | Any


class _Known:
    """A model whose outputs are known already, for `evaluation.evaluate`."""

    def __init__(self, outputs: Any) -> None:
        self._outputs = outputs

    def predict(self, dataset: Any, verbose: int = 0) -> Any:
        return self._outputs


def evaluate(model: RawModel, cfg: Config) -> Report:
    """Returns the report of a model on the data of a config.

    Args:
        model: the model of a run.
        cfg: the run's config with the new data's `dataset.path`.

    Raises:
        UserError: the data is not what the model takes, or has an unknown class.
    """
    if not isinstance(cfg.dataset, KINDS):
        kinds = listed([kind.kind for kind in KINDS])
        raise UserError(
            f"dataset={cfg.dataset.kind} has no file of new data to evaluate, expected one of "
            f"{kinds}: `samerun reproduce` evaluates the run's own test split."
        )
    task, output = Task(model.description["task"]), model.description["output"]
    found = _labelled(model, cfg)
    outputs = np.concatenate([_outputs(model, chunk) for chunk in found.chunks])
    names = tuple(output["class_names"])
    labels = _codes(found.truth, names) if names else np.asarray(found.truth, np.float64)
    if not names:
        outputs = _in_units(output, outputs)
    spec = DataSpec(
        task=task,
        layout=Layout.table,
        input_shape=(1,),
        num_outputs=outputs.shape[1],
        class_names=names,
        num_train=0,
        num_validation=0,
        num_test=len(labels),
    )
    return evaluation.evaluate(_Known(outputs), [(None, labels)], spec, cfg.evaluation)


def _in_units(output: Mapping[str, Any], outputs: Any) -> Any:
    from samerun.raw_model.answers import in_units

    return in_units(output, outputs)


def _outputs(model: RawModel, chunk: Chunk) -> Any:
    try:
        encoded = model.encode(chunk.frame)
    except RefusedInput as error:
        raise UserError(str(error)) from error
    if encoded.refused:
        row, reason = min(encoded.refused.items())
        raise UserError(f"{chunk.names[row]}: {reason}; all rows are needed for an evaluation.")
    return model.outputs(encoded.x)


def _codes(truth: Sequence[str], names: tuple[str, ...]) -> Any:
    places = {name: place for place, name in enumerate(names)}
    for name in truth:
        if name not in places:
            raise UserError(
                f"received the class '{name}', expected those of the run: {listed(names)}."
                f"{nearest(name, names)}"
            )
    return np.array([places[name] for name in truth])


def _labelled(model: RawModel, cfg: Config) -> _Labelled:
    form, dataset = model.description["input"], cfg.dataset
    if isinstance(dataset, ImageFolder | TextFolder):
        endings = (".jpg", ".jpeg", ".png") if isinstance(dataset, ImageFolder) else (".txt",)
        root = Path(dataset.path).expanduser()
        if not root.is_dir() or not files_in(root, endings):
            raise UserError(
                f"dataset.path: received '{dataset.path}', expected a folder with one subfolder "
                "per class."
            )
        found = list(chunks(form, dataset.path))
        names = [str(name) for chunk in found for name in chunk.names]
        return _Labelled(found, [name.split("/")[-2] if "/" in name else "" for name in names])
    assert isinstance(dataset, TableCsv | TextCsv | SeriesCsv)
    return _of_csv(model, dataset)


def _of_csv(model: RawModel, dataset: TableCsv | TextCsv | SeriesCsv) -> _Labelled:
    import pandas as pd

    form = model.description["input"]
    table = read_csv(dataset.path, dataset.separator)
    if isinstance(dataset, TextCsv):
        target, key = dataset.label_column, "dataset.label_column"
    else:
        target, key = dataset.target, "dataset.target"
    cells = table.column(target, key)
    numeric = form.get("numeric") or form.get("columns") or ()
    columns = {}
    for name in needed_columns(form):
        values = table.column(name, "dataset.path")
        columns[name] = numbers(values) if name in numeric else pd.Series(values, dtype=object)
    frame, lines = pd.DataFrame(columns), [f"line {line}" for line in table.lines]
    if model.description["output"]["class_names"]:
        return _Labelled([Chunk(frame, lines)], [cell.strip() for cell in cells])
    values = numbers(cells)
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        raise UserError(f"{table.path}: column {target} holds something else than finite numbers.")
    if isinstance(dataset, SeriesCsv):
        return _windows(form, frame, values.to_numpy())
    return _Labelled([Chunk(frame, lines)], values.to_numpy().reshape(-1, 1))


def _windows(form: Mapping[str, Any], frame: Any, values: Any) -> _Labelled:
    """Every window of the file, with what follows it."""
    window, horizon = form["window"], form["horizon"]
    num = len(values) - window - horizon + 1
    if num < 1:
        raise UserError(
            f"dataset.path: has {len(values)} time steps, expected at least {window + horizon}: a "
            "window and what follows it."
        )
    places = np.arange(num)[:, None] + np.arange(window)
    steps = frame.iloc[places.reshape(-1)].reset_index(drop=True)
    steps["window"] = np.repeat(np.arange(num), window)
    truth = values[np.arange(num)[:, None] + window + np.arange(horizon)]
    return _Labelled([Chunk(steps, [f"line {row + 2}" for row in places.reshape(-1)])], truth)
