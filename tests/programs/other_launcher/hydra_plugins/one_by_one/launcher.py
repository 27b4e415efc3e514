"""A third-party launcher: one job after the other, in Hydra's own process."""

from dataclasses import dataclass

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore


@dataclass
class OneByOneConf:
    _target_: str = "hydra_plugins.one_by_one.launcher.OneByOne"


ConfigStore.instance().store(group="hydra/launcher", name="one_by_one", node=OneByOneConf)


class OneByOne(BasicLauncher):
    """As Hydra's own, under another name."""
