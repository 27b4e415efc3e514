"""Composes a sweep as Hydra does, without Hydra's command line."""

import contextlib
from collections.abc import Iterator, Sequence

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.initialize import initialize_config_dir
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from samerun.config.hydra_internals import Callbacks
from samerun.config.messages import translate
from samerun.config.project import split_config_dirs, with_config_dirs
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
    rest, folders = split_config_dirs(arguments)
    with contextlib.ExitStack() as stack:
        stack.enter_context(with_config_dirs(folders))
        overrides = hide_passwords(check_overrides(_without_flags(rest)))
        register()
        GlobalHydra.instance().clear()
        stack.enter_context(
            initialize_config_dir(
                str(package_folder("conf")), version_base="1.3", job_name="samerun"
            )
        )
        loader = GlobalHydra.instance().config_loader()
        try:
            master = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
        except (HydraException, OmegaConfBaseException, ValueError, OverflowError) as error:
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


def _without_flags(arguments: Sequence[str]) -> list[str]:
    """Returns the overrides; `-m` says what `samerun.sweep` does anyway."""
    given = [argument for argument in arguments if argument not in ("-m", "--multirun")]
    for argument in given:
        if argument.startswith("-"):
            raise UserError(f"samerun.sweep: received {argument}, expected KEY=VALUE.")
    return given
