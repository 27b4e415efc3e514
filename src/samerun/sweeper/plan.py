"""What a sweep is going to do, settled before its first trial."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hydra.types import HydraContext

from samerun import config, search, tracking
from samerun.config.checkpoint import Trial
from samerun.config.sweep import ObjectiveFrom, Sweep
from samerun.errors import UserError
from samerun.redaction import redact
from samerun.sweeper.trial_configs import Aims, Frozen, Order


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a sweep is going to do.

    Args:
        sweep: its settings.
        space: what it chooses from.
        frozen: the configs of its trials.
        base: the config that all trials share.
        context: Hydra's loader and callbacks.
        job_name: Hydra's name of the job.
        name: the study's name.
        folder: the sweep's folder.
        storage: the study's whole address.
        objectives: logged names of the objectives.
        directions: `minimize` or `maximize` of each.
        n_trials: trials in the end.
        workers: trials side by side.
        first: points to try before any other.
    """

    sweep: Sweep
    space: search.Space
    frozen: Frozen
    base: config.Config
    context: HydraContext
    job_name: str
    name: str
    folder: Path
    storage: str
    objectives: tuple[str, ...]
    directions: tuple[str, ...]
    n_trials: int
    workers: int
    first: tuple[dict[str, Any], ...] = ()

    def tracking_uri(self) -> str:
        """Returns the whole address of the tracking store."""
        return tracking.resolve_uri(self.base.tracking.uri)

    def check_places(self) -> None:
        """Checks that the study and the runs are not to be in one database, as neither can share.

        Raises:
            UserError: they are.
        """
        if self.storage.partition("?")[0] == self.tracking_uri().partition("?")[0]:
            raise UserError(
                f"sweep.storage: received {redact(self.storage)}, which keeps the runs: "
                "give the study a database of its own."
            )

    def check_reach(self) -> None:
        """Checks that study and runs are kept where other machines reach them.

        Raises:
            UserError: they are not.
        """
        for key, address, instead in (
            ("sweep.storage", self.storage, "a database that all workers reach: postgresql://…"),
            ("tracking.uri", self.tracking_uri(), "a server that all workers reach: http://…"),
        ):
            if urlsplit(address).scheme.partition("+")[0] in ("sqlite", "file"):
                raise UserError(
                    f"{key}: received {redact(address)} with a cluster, expected {instead}."
                )

    def order(self, number: int, values: dict[str, Any], run_id: str) -> Order:
        """Returns a trial as a worker gets it."""
        trial = Trial(study=self.name, storage=redact(self.storage), number=number, run=run_id)
        # Another machine has folders of its own: a trial is in the one that its worker chose.
        is_away = self.sweep.cluster is not None
        folder = Path() if is_away else self.folder
        node = self.frozen.node(values, trial, folder)
        if is_away:
            uri = self.tracking_uri()
            node.tracking.uri = uri if redact(uri) == uri else None  # from its environment
        return Order(
            number=number,
            node=node,
            # Its loader caches types that are made at run time and cannot be pickled; `run_job`
            # asks for the callbacks only.
            context=replace(self.context, config_loader=None),
            job_name=self.job_name,
            folder=str(folder / str(number)),
            trial=trial,
            words=tuple(self.frozen.words(values)),
            aims=Aims(
                objectives=self.objectives,
                directions=self.directions,
                from_best=self.sweep.objective_from is ObjectiveFrom.best,
            ),
        )
