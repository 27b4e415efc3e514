"""What Hydra finds of samerun: light, since Hydra imports it whenever it starts."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.plugins.search_path_plugin import SearchPathPlugin
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


class SamerunSearchPath(SearchPathPlugin):  # type: ignore[misc]
    """Adds the user's own folders in front of samerun's config files, and its experiments behind.

    Not as `hydra.searchpath` in `config.yaml`: a `hydra.searchpath` of the user's own replaces it.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Adds the folders, unless it is another program's search path."""
        from samerun.config import project

        project.extend(search_path)


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
        """Runs the whole sweep, with the arguments that are not for Hydra itself."""
        from samerun.sweeper.run import run_sweep

        assert self.hydra_context is not None
        assert self.config is not None
        return run_sweep(self.hydra_context, self.config, arguments)
