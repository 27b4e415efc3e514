"""Describes the raw input of a trained model, for the model that its run stores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from samerun.config import DataSpec, Layout, Task
from samerun.config.datasets import Dataset
from samerun.config.datasets.base import Level
from samerun.config.datasets.images import VideoFolder
from samerun.config.datasets.series import Series, SeriesCsv
from samerun.config.datasets.tables import Diabetes, TableCsv
from samerun.config.datasets.text import TextCsv
from samerun.data.dataset import Data
from samerun.data.encoding import TableEncoding
from samerun.data.source import Array
from samerun.data.vocabulary import Vocabulary
from samerun.errors import UserError
from samerun.raw_model import FORMAT
from samerun.raw_model.series import frequency

IMAGE, CLIP, TEXT, PROMPT = "image", "clip", "text", "prompt"
"""The column of raw input that has one."""
UNKNOWN = "\ufffd"
"""A word that no vocabulary has, for an unknown word of data that comes as ids."""


def raw_input(cfg: Dataset, dataset: Data) -> dict[str, Any]:
    """Returns what `samerun.raw_model` needs to know, as plain values.

    Args:
        cfg: the dataset.
        dataset: the same, loaded.

    Raises:
        UserError: raw input cannot be described, as where Keras's word index is missing.
    """
    train = dataset.splits["train"]
    moments = train.times
    scaling = dataset.target_scaling
    return describe_raw(
        cfg,
        dataset.spec,
        dataset.preprocessing.as_dict(),
        dtype=np.dtype(np.uint8) if dataset.stream else train.x.dtype,
        largest=255.0 if dataset.stream else dataset.largest,
        target_scaling=None if scaling is None else scaling.as_dict(),
        unit=dataset.unit,
        dates=moments,
    )


def describe_raw(
    cfg: Dataset,
    spec: DataSpec,
    preprocessing: Mapping[str, Any],
    *,
    dtype: np.dtype[Any],
    largest: float | None,
    target_scaling: Mapping[str, Any] | None,
    unit: str = "",
    dates: Array | None = None,
) -> dict[str, Any]:
    """Returns the description of raw input and of answers.

    Args:
        cfg: the dataset.
        spec: its description.
        preprocessing: as `Preprocessing.as_dict` returns it.
        dtype: of the raw examples.
        largest: largest value of the format; `None` if only the data can tell.
        target_scaling: of the targets; `None` if they are not scaled.
        unit: of the targets.
        dates: of the steps of a series, ascending.

    Raises:
        UserError: see `raw_input`.
    """
    if spec.layout is Layout.tokens:
        form = _text(cfg, spec, preprocessing)
    elif isinstance(cfg, Series):
        form = _series(cfg, preprocessing, dates)
    elif spec.layout is Layout.table:
        form = _table(cfg, spec, preprocessing)
    else:
        form = _image(cfg, spec, preprocessing, dtype, largest)
    return {
        "format": FORMAT,
        "task": spec.task.value,
        "batch_size": cfg.batch_size,
        "input": form,
        "output": {
            "class_names": list(spec.class_names),
            "targets": _targets(cfg, spec),
            "unit": unit,
            "target_scaling": None if target_scaling is None else dict(target_scaling),
        },
    }


def _targets(cfg: Dataset, spec: DataSpec) -> list[str]:
    if spec.task not in (Task.regression, Task.forecast):
        return []
    if isinstance(cfg, TableCsv | Series):
        return [cfg.target]
    if isinstance(cfg, Diabetes):
        return ["progression"]
    num = spec.num_outputs
    return ["y"] if num == 1 else [f"y{place}" for place in range(num)]


def _table(cfg: Dataset, spec: DataSpec, made: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(cfg, TableCsv):
        parts = ("numeric", "categorical", "categories", "is_known", "fills", "scaling")
        return {"kind": "table", **{n: made[n] for n in parts}, "missing": cfg.missing.value}
    names = spec.feature_names or tuple(f"x{place}" for place in range(spec.input_shape[0]))
    nothing: dict[str, Any] = {"categorical": [], "categories": [], "is_known": [], "fills": None}
    return {"kind": "table", "numeric": list(names), **nothing, "missing": "refuse"} | {
        "scaling": dict(made)
    }


def _text(cfg: Dataset, spec: DataSpec, made: Mapping[str, Any]) -> dict[str, Any]:
    if not made["vocabulary"]:
        raise UserError(
            f"dataset={cfg.kind}: the words of its ids are unknown, since their file is not in "
            "Keras's cache, so the stored model takes no texts."
        )
    parts = ("vocabulary", "length", "padding", "truncating")
    column = PROMPT if spec.task is Task.language_model else TEXT
    column = cfg.text_column if isinstance(cfg, TextCsv) else column
    return {"kind": "text", "column": column, **{name: made[name] for name in parts}}


def _series(cfg: Series, made: Mapping[str, Any], dates: Array | None) -> dict[str, Any]:
    column = cfg.date_column if isinstance(cfg, SeriesCsv) else "date"
    return {
        "kind": "series",
        "columns": cfg.features or [cfg.target],
        "date": column or None,
        "frequency": None if dates is None else frequency(dates),
        "window": cfg.window,
        "horizon": cfg.horizon,
        "scaling": dict(made),
    }


def _image(
    cfg: Dataset,
    spec: DataSpec,
    made: Mapping[str, Any],
    dtype: np.dtype[Any],
    largest: float | None,
) -> dict[str, Any]:
    is_clip = spec.layout is Layout.video
    shape = (*spec.input_shape, 1) if spec.layout is Layout.sequence else spec.input_shape
    is_file = not is_clip and dtype == np.uint8 and shape[-1] in (1, 3)
    resize = "frames" if isinstance(cfg, VideoFolder) else "bilinear" if is_file else None
    return {
        "kind": "image",
        "column": CLIP if is_clip else IMAGE,
        "shape": list(shape),
        "model_shape": list(spec.input_shape),
        "dtype": "float" if dtype.kind == "f" else "integer",
        "largest": largest,
        "encoded": is_file,
        "resize": resize,
        "sampling": cfg.sampling.value if isinstance(cfg, VideoFolder) else None,
        "scaling": dict(made),
    }


def raw_columns(
    description: Mapping[str, Any], dataset: Data, split: str, indices: Sequence[int]
) -> dict[str, list[Any]]:
    """Returns raw examples as the columns of a data frame, such as `raw_input` describes.

    Args:
        description: what `raw_input` returned.
        dataset: the data.
        split: `train`, `validation` or `test`.
        indices: positions in the split.
    """
    form = description["input"]
    examples = dataset.examples(split, indices)
    if form["kind"] == "text":
        return {form["column"]: [_as_text(one, dataset.vocabulary) for one in examples]}
    if form["kind"] == "image":
        return {form["column"]: [one.reshape(form["shape"]) for one in examples]}
    if form["kind"] == "series":
        steps = examples.reshape(-1, len(form["columns"])).T.tolist()
        names = [str(index) for index in indices for _ in range(form["window"])]
        return {**dict(zip(form["columns"], steps, strict=True)), "window": names}
    num_numeric = len(form["numeric"])
    columns: dict[str, list[Any]] = dict(
        zip(form["numeric"], examples[:, :num_numeric].T.tolist(), strict=True)
    )
    if isinstance(dataset.preprocessing, TableEncoding):
        for place, name in enumerate(form["categorical"]):
            values, codes = form["categories"][place], examples[:, num_numeric + place]
            columns[name] = [None if np.isnan(code) else values[int(code)] for code in codes]
    return columns


def _as_text(example: Any, words: Vocabulary | None) -> str:
    """A text; of ids one whose ids they are again: the start is added to every text anyway."""
    if isinstance(example, str) or words is None:
        return str(example)
    between = " " if words.level is Level.word else ""
    ids = [int(number) for number in example]
    kept = [number for number in ids if number >= words.num_special or number == words.unknown]
    tokens = ["" if number == words.unknown else words.tokens[number] for number in kept]
    return between.join(token if token not in ("", "[unused]") else UNKNOWN for token in tokens)
