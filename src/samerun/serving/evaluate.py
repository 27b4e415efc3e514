"""Evaluates a stored model on new labeled data, with the report of a run."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from samerun import evaluation
from samerun.config import Config, DataSpec, Layout, Task
from samerun.config.datasets.images import ImageFolder
from samerun.config.datasets.series import SeriesCsv
from samerun.config.datasets.tables import TableCsv
from samerun.config.datasets.text import TextCsv, TextFolder
from samerun.data.class_folders import root_of
from samerun.data.csv_file import Table, read_csv
from samerun.data.folder import image_files
from samerun.data.text import text_files
from samerun.errors import UserError, listed, nearest
from samerun.escaping import one_line
from samerun.evaluation import Report
from samerun.raw_model import RawModel, RefusedInput
from samerun.raw_model.encoded import scaled
from samerun.serving.csv_rows import numbers
from samerun.serving.reading import Chunk, image_chunks, needed_columns, text_chunks

KINDS: Mapping[type, str] = {
    TableCsv: "table",
    TextCsv: "text",
    TextFolder: "text",
    ImageFolder: "image",
    SeriesCsv: "series",
}
"""The datasets that have new data of their own, and the kind of input of their models."""


@dataclass(frozen=True)
class _Labeled:
    """Raw input with the truth: classes as names, or numbers `(n, outputs)`.

    Args:
        chunks: the raw input.
        truth: what is true of each.
        places: where the truth of each is written, if not in its path.
        windows: instead of chunks, windows of a series as the Keras model takes them.
    """

    chunks: Iterable[Chunk]
    truth: Sequence[str] | Any
    places: Sequence[str | int] = ()
    windows: Any = None


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
    if type(cfg.dataset) not in KINDS:
        kinds = listed([str(vars(kind)["kind"]) for kind in KINDS])
        raise UserError(
            f"dataset={cfg.dataset.kind} has no file of new data to evaluate, expected one of "
            f"{kinds}: `samerun reproduce` evaluates the run's own test split."
        )
    task, output = Task(model.description["task"]), model.description["output"]
    found, names = _labeled(model, cfg), tuple(output["class_names"])
    labels = _codes(found, names) if names else np.asarray(found.truth, np.float64)
    if found.windows is None:
        outputs = np.concatenate([_outputs(model, chunk) for chunk in found.chunks])
    else:
        outputs = model.outputs(found.windows)
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
        encoded = model.encode(chunk.frame, is_labeled=True)
    except RefusedInput as error:
        raise UserError(str(error)) from error
    if encoded.refused:
        row, reason = min(encoded.refused.items())
        raise UserError(f"{chunk.names[row]}: {reason}; all rows are needed for an evaluation.")
    return model.outputs(encoded.x)


def _codes(labeled: _Labeled, names: tuple[str, ...]) -> Any:
    codes = {name: code for code, name in enumerate(names)}
    for row, name in enumerate(labeled.truth):
        if name not in codes:
            where = f"{labeled.places[row]}: " if labeled.places else ""
            raise UserError(
                f"{where}received the class '{one_line(name, 100)}', expected those of the run: "
                f"{listed(names)}.{nearest(name, names)}"
            )
    return np.array([codes[name] for name in labeled.truth])


def _labeled(model: RawModel, cfg: Config) -> _Labeled:
    form, dataset = model.description["input"], cfg.dataset
    if form["kind"] != KINDS[type(dataset)]:
        raise UserError(
            f"dataset={dataset.kind}: the model takes another kind of input, {form['kind']}: its "
            "description is not of this run."
        )
    if isinstance(dataset, ImageFolder):
        return _of_images(form, dataset)
    if isinstance(dataset, TextFolder):
        files, labels, names = text_files(dataset)
        read = text_chunks(form, Path(dataset.path).expanduser(), files)
        return _Labeled(read, [names[label] for label in labels])
    assert isinstance(dataset, TableCsv | TextCsv | SeriesCsv)
    return _of_csv(model, dataset)


def _of_images(form: Mapping[str, Any], dataset: ImageFolder) -> _Labeled:
    """The images of a folder, found by the rules of training."""
    root = root_of(dataset)
    files, test = image_files(dataset)
    if test is not None:
        raise UserError(
            f"dataset.path: received '{dataset.path}' with the subfolders train and test, expected "
            f"one subfolder per class: give dataset.path={Path(dataset.path, 'test')}."
        )
    paths = [root / os.fsdecode(name) for name in files.names]
    truth = [files.classes[label] for label in files.labels]
    return _Labeled(image_chunks(form, root, paths), truth)


def _of_csv(model: RawModel, dataset: TableCsv | TextCsv | SeriesCsv) -> _Labeled:
    import pandas as pd

    form = model.description["input"]
    table = read_csv(dataset.path, dataset.separator)
    if isinstance(dataset, TextCsv):
        target, key = dataset.label_column, "dataset.label_column"
    else:
        target, key = dataset.target, "dataset.target"
    cells = table.column(target, key)
    if isinstance(dataset, SeriesCsv):
        columns = [_finite(table, name, "dataset.path") for name in form["columns"]]
        return _windows(form, np.stack(columns, axis=1), _finite(table, target, key))
    numeric, made = form.get("numeric") or (), {}
    for name in needed_columns(form):
        values = table.column(name, "dataset.path")
        made[name] = numbers(values) if name in numeric else pd.Series(values, dtype=object)
    chunk = Chunk(pd.DataFrame(made), [f"{table.path}: line {line}" for line in table.lines])
    if model.description["output"]["class_names"]:
        return _Labeled([chunk], [cell.strip() for cell in cells], chunk.names)
    return _Labeled([chunk], _finite(table, target, key).reshape(-1, 1))


def _finite(table: Table, name: str, key: str) -> Any:
    """A column of finite numbers, float64 `(n,)`."""
    cells = table.column(name, key)
    values = numbers(cells)
    if values.dtype.kind == "f" and np.isfinite(values).all():
        return values
    wrong = next(
        row
        for row, value in enumerate(values)
        if not (isinstance(value, float) and np.isfinite(value))
    )
    raise UserError(
        f"{table.path}: line {table.lines[wrong]}: column {name} holds "
        f"'{one_line(cells[wrong], 40)}', which is not a finite number."
    )


def _windows(form: Mapping[str, Any], steps: Any, values: Any) -> _Labeled:
    """Every window of a file, with what follows it.

    Args:
        form: the input's description.
        steps: the columns of the model, `(n, columns)`.
        values: of the target, `(n,)`.
    """
    window, horizon = form["window"], form["horizon"]
    num = len(values) - window - horizon + 1
    if num < 1:
        raise UserError(
            f"dataset.path: has {len(values)} time steps, expected at least {window + horizon}: a "
            "window and what follows it."
        )
    found = np.moveaxis(sliding_window_view(steps, window, axis=0), -1, 1)[:num]
    truth = sliding_window_view(values[window:], horizon)
    return _Labeled((), truth, windows=scaled(found, form["scaling"]))
