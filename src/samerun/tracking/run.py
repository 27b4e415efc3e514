"""The interface by which a run is recorded, whatever the store; and a run that is not recorded."""

import abc
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, final

from samerun.tracking.raw_flavor import RawInput


class Status(StrEnum):
    """How a run ended, by the names of MLflow."""

    finished = "FINISHED"
    failed = "FAILED"
    killed = "KILLED"


class Run(abc.ABC):
    """A run that is being recorded.

    No method raises because the store is unavailable or the disk is full: training continues, and
    what could not be delivered waits in the run's folder.

    Attributes:
        id: the run's identifier in the store; its uid while the store has not created it.
        name: its name in the store; unique.
        folder: the run's own folder on disk, which holds everything that the store gets.
        url: address of the run in MLflow's pages, or `None` if no server is known.
        experiment_id: the experiment it belongs to; empty while the store has not been asked.
        undelivered: after the end, what the store does not have, such as `3 artifacts`; else empty.
    """

    id: str
    name: str
    folder: Path
    url: str | None
    experiment_id: str
    undelivered: str = ""

    @abc.abstractmethod
    def log_params(self, params: Mapping[str, str]) -> None:
        """Records parameters: any number, each of any length."""

    @abc.abstractmethod
    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags; a tag of the same name is replaced."""

    @abc.abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Records one point of each metric, now and at this step."""

    @abc.abstractmethod
    def log_text(self, text: str, path: str) -> None:
        """Stores a text as an artifact, such as `config/resolved.yaml`."""

    @abc.abstractmethod
    def log_file(self, source: Path, folder: str = "") -> None:
        """Stores a file as an artifact, in a folder of the artifacts."""

    @abc.abstractmethod
    def log_folder(self, source: Path, folder: str = "") -> None:
        """Stores all files below `source` as artifacts, in a folder of the artifacts."""

    @abc.abstractmethod
    def log_dataset(
        self,
        *,
        name: str,
        split: str,
        digest: str,
        num_examples: int,
        schema: Mapping[str, str],
        source: str,
    ) -> None:
        """Records which data the run used.

        Args:
            name: what the dataset is called.
            split: `train`, `validation` or `test`.
            digest: SHA-256 of the split, in hex.
            num_examples: how many examples the split holds.
            schema: the dtype and shape of each column, by its name.
            source: where the data came from.
        """

    @abc.abstractmethod
    def log_model(self, model: Any, example: Any, raw: RawInput | None = None) -> None:
        """Stores a Keras model in MLflow's format, with a signature and an input example.

        Args:
            model: a Keras model that is not compiled: what it is made of must load where samerun
                is not installed.
            example: a few inputs, `(examples, ...)`.
            raw: how raw input becomes such inputs; `None` if that is not known.
        """

    @abc.abstractmethod
    def describe(self, markdown: str) -> None:
        """Sets the description of the run on its page in MLflow."""

    @abc.abstractmethod
    def sync_to_disk(self) -> None:
        """Returns when all that was logged so far is on the disk, safe from a power failure."""

    @abc.abstractmethod
    def flush(self) -> bool:
        """Delivers what waits; returns whether nothing waits any more."""


@final
class NullRun(Run):
    """A run that is not recorded, for notebooks and tests.

    Args:
        folder: the run's folder; by default a temporary one that goes with this object.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.id = "none"
        self.name = "none"
        self.folder = folder or Path(tempfile.mkdtemp(prefix="samerun-"))
        if folder is None:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.url = None
        self.experiment_id = "none"

    def log_params(self, params: Mapping[str, str]) -> None:
        """Does nothing."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Does nothing."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Does nothing."""

    def log_text(self, text: str, path: str) -> None:
        """Does nothing."""

    def log_file(self, source: Path, folder: str = "") -> None:
        """Does nothing."""

    def log_folder(self, source: Path, folder: str = "") -> None:
        """Does nothing."""

    def log_dataset(
        self,
        *,
        name: str,
        split: str,
        digest: str,
        num_examples: int,
        schema: Mapping[str, str],
        source: str,
    ) -> None:
        """Does nothing."""

    def log_model(self, model: Any, example: Any, raw: RawInput | None = None) -> None:
        """Does nothing."""

    def describe(self, markdown: str) -> None:
        """Does nothing."""

    def sync_to_disk(self) -> None:
        """Does nothing."""

    def flush(self) -> bool:
        """Returns that nothing waits."""
        return True
