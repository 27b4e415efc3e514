"""The sweeper as Hydra finds it: light, since Hydra imports it whenever it starts."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class SamerunSweeperConf:
    """What `hydra/sweeper=samerun_optuna` stands for; all settings are in the group `sweep`."""

    _target_: str = "hydra_plugins.samerun_sweeper.samerun_sweeper.SamerunSweeper"


ConfigStore.instance().store(
    group="hydra/sweeper", name="samerun_optuna", node=SamerunSweeperConf, provider="samerun"
)


class SamerunSweeper(Sweeper):  # type: ignore[misc]
    """Searches with Optuna; a new trial starts the moment one ends."""

    def __init__(self) -> None:
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keeps what Hydra composed; the function that trains is our own, found by its name."""
        self.hydra_context = hydra_context
        self.config = config

    def sweep(self, arguments: list[str]) -> Any:
        """Runs the whole sweep.

        Args:
            arguments: those of the command line, without the ones for Hydra itself.
        """
        from samerun.sweeper.run import run_sweep

        assert self.hydra_context is not None
        assert self.config is not None
        return run_sweep(self.hydra_context, self.config, arguments)
