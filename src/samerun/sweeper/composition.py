"""Composes a sweep as Hydra does, without Hydra's command line."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.initialize import initialize_config_dir
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from samerun.config.hydra_internals import Callbacks
from samerun.config.messages import translate
from samerun.config.schema import register
from samerun.errors import UserError
from samerun.folders import package_folder
from samerun.launch.overrides import check_overrides, hide_passwords


@contextlib.contextmanager
def compose_sweep(
    arguments: Sequence[str],
) -> Iterator[tuple[HydraContext, DictConfig, list[str]]]:
    """Composes what Hydra composes for `samerun train -m`.

    Args:
        arguments: overrides, Hydra's own settings included; `-m` and `--config-dir` too.

    Yields:
        Hydra's loader and callbacks, the config of the sweep itself, and the overrides of its
        trials: what `run_sweep` takes.

    Raises:
        UserError: an argument is wrong, or none chooses a sweep.
    """
    given, config_dir = _parse_flags(arguments)
    overrides = hide_passwords(check_overrides(given, config_dir=config_dir))
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(package_folder("conf")), version_base="1.3", job_name="samerun"):
        loader = GlobalHydra.instance().config_loader()
        if config_dir is not None:
            path = loader.get_search_path()
            schema = SearchPathQuery(provider="schema")
            path.prepend("command-line", f"file://{Path(config_dir).absolute()}", schema)
            loader = type(loader)(config_search_path=path)
        try:
            master = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise translate(error) from error
        if "samerun" not in str(master.hydra.sweeper.get("_target_")):
            raise UserError(
                "samerun.sweep: received no sweep, expected sweep=grid, which tries every "
                "combination, or a search such as sweep=optuna."
            )
        composed = OmegaConf.to_container(master.hydra.overrides.task)
        assert isinstance(composed, list)
        context = HydraContext(config_loader=loader, callbacks=Callbacks(master))
        yield context, master, [str(override) for override in composed]


def _parse_flags(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Returns the overrides, and the folder of the user's own config files if there is one."""
    overrides: list[str] = []
    config_dir: str | None = None
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if name in ("--config-dir", "-cd") and (equals or rest):
            config_dir = value if equals else rest.pop(0)
        elif argument.startswith("-") and argument not in ("-m", "--multirun"):
            raise UserError(f"samerun.sweep: received {argument}, expected KEY=VALUE.")
        elif not argument.startswith("-"):
            overrides.append(argument)
    return overrides, config_dir
