"""Describes the raw input of a run that was recorded before models took raw input."""

import csv
import io
import json
from typing import Any

import numpy as np

from samerun import tags as tag
from samerun import tracking
from samerun.command_line import line
from samerun.config import Config, DataSpec, Layout, Task
from samerun.config.datasets.base import ScaledTarget, Texts
from samerun.config.datasets.images import Digits, ImageFolder, MovingDigits, VideoFolder
from samerun.config.datasets.series import Series
from samerun.config.datasets.tables import Diabetes, TableCsv
from samerun.data import describe_raw
from samerun.errors import UserError
from samerun.replay import recorded
from samerun.replay.trust import given_here
from samerun.serving import logged
from samerun.tracking import StoredRun

PREPROCESSING = "data/preprocessing.json"
PER_CLASS = "evaluation/per_class.csv"
_LEVELS = {Digits: 16.0, MovingDigits: 16.0}
_FILES = ("mnist", "fashion_mnist", "cifar10", "cifar100")


def describe_earlier(run: StoredRun, network: Any, *, uri: str | None = None) -> dict[str, Any]:
    """Returns a description of raw input from what the run recorded besides its model.

    Args:
        run: the stored run.
        network: its Keras model.
        uri: the store, by default that of this folder.

    Raises:
        UserError: something that is needed was not recorded.
    """
    logged.check_shapes(run, network)
    cfg = recorded.read(run, uri=uri).cfg
    try:
        text = tracking.read_artifact(run, PREPROCESSING, uri=uri, most_bytes=50_000_000)
        made = json.loads(text)
        names = _class_names(run, uri)
        spec = _spec(run, cfg, network, names)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"Run {run.id}: its {PREPROCESSING} was not written by samerun.") from error
    largest = _LEVELS.get(type(cfg.dataset), 255.0)
    _check_known(run, cfg, spec)
    return describe_raw(
        cfg.dataset,
        spec,
        made,
        dtype=np.dtype(np.uint8),
        largest=largest,
        target_scaling=None,
    )


def _spec(run: StoredRun, cfg: Config, network: Any, names: list[str]) -> DataSpec:
    shape = tuple(int(size) for size in network.input_shape[1:])
    if isinstance(cfg.dataset, Series):
        layout = Layout.sequence
    elif isinstance(cfg.dataset, Texts):
        layout = Layout.tokens
    elif isinstance(cfg.dataset, TableCsv | Diabetes):
        layout = Layout.table
    else:
        layout = {2: Layout.sequence, 3: Layout.image, 4: Layout.video}.get(
            len(shape), Layout.table
        )
    features = tuple(cfg.dataset.features) if isinstance(cfg.dataset, Diabetes) else ()
    return DataSpec(
        task=Task(run.tags.get(tag.TASK, "")),
        layout=layout,
        input_shape=shape,
        num_outputs=int(network.output_shape[-1]),
        class_names=tuple(names),
        num_train=0,
        num_validation=0,
        num_test=0,
        feature_names=features,
    )


def _class_names(run: StoredRun, uri: str | None) -> list[str]:
    if PER_CLASS not in tracking.list_artifacts(run, "evaluation", uri=uri):
        return []
    content = tracking.read_artifact(run, PER_CLASS, uri=uri, most_bytes=10_000_000)
    rows = csv.reader(io.StringIO(content.decode("utf-8")))
    next(rows)
    return [recorded.clean(row[0]) for row in rows if row]


def _check_known(run: StoredRun, cfg: Config, spec: DataSpec) -> None:
    kind, missing = cfg.dataset.kind, ""
    scales = isinstance(cfg.dataset, ScaledTarget) and cfg.dataset.standardize_target
    if spec.task in (Task.regression, Task.forecast) and scales:
        missing = "the scale of its target"
    elif spec.is_classification and not spec.class_names:
        missing = "the names of its classes"
    elif spec.layout in (Layout.image, Layout.video, Layout.sequence) and not (
        isinstance(cfg.dataset, Digits | MovingDigits | ImageFolder | VideoFolder | Series)
        or kind in _FILES
    ):
        missing = "the range of the numbers that its model was trained on"
    if missing:
        command = line("reproduce", run.id[:8], trust=given_here(run))
        raise UserError(
            f"Run {run.id} was recorded by an earlier version, which did not store {missing}: "
            f"`{command}` trains it again, with a model of raw input."
        )
