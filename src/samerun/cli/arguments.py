"""The arguments of `samerun train`: Hydra's flags, checked before Hydra reads them."""

import itertools
from collections.abc import Sequence
from typing import NoReturn

from samerun.config.composition import selects_sweep
from samerun.config.overrides import Override
from samerun.errors import UserError, nearest

_WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun"),
}
_MAYBE_WITH_VALUE = {"--info", "-i"}
_INFO = {"all", "config", "defaults", "defaults-tree", "plugins", "searchpath"}
_ONE_RUN = {"--cfg", "-c", "--info", "-i", "--run", "-r"}
_MANY_RUNS = {"-m", "--multirun"}


def split_flags(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns Hydra's flags with their values, and the overrides."""
    flags: list[str] = []
    overrides: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        flags.append(argument)
        is_followed = argument in _MAYBE_WITH_VALUE and rest[:1] and rest[0] in _INFO
        if rest and (is_followed or argument in _WITH_VALUE):
            flags.append(rest.pop(0))
    return flags, overrides


def is_multirun(flags: Sequence[str]) -> bool:
    """Whether several runs are requested."""
    return bool(_MANY_RUNS & set(flags))


def only_prints(flags: Sequence[str]) -> bool:
    """Whether Hydra is to print something and to train nothing."""
    return bool({flag.partition("=")[0] for flag in flags} & {"--cfg", "-c", "--info", "-i"})


def value_of(flags: Sequence[str], *names: str) -> str | None:
    """Returns the value of a flag, given as the next argument or after an equals sign."""
    for flag, following in itertools.zip_longest(flags, flags[1:], fillvalue=""):
        if flag in names:
            return following
        if flag.startswith(tuple(f"{name}=" for name in names)):
            return flag.partition("=")[2]
    return None


def check_flags(flags: Sequence[str]) -> None:
    """Checks that Hydra knows its flags and that they go together, by Hydra's own parser.

    Hydra itself would print 13 lines of usage with the message, or a traceback.

    Raises:
        UserError: there is no such flag, its value is missing or wrong, or they do not go together.
    """
    if not flags:
        return
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        known = [name for action in parser._actions for name in action.option_strings]
        unknown = message.removeprefix("unrecognized arguments: ").split()[0]
        text = message.removeprefix("argument ")
        if text.startswith("unrecognized"):
            text = f"{unknown}: there is no such flag"
        raise UserError(
            f"{text}.{nearest(unknown, known) or ' `samerun train --hydra-help` lists all.'}"
        )

    parser.error = refuse
    parser.parse_args(flags)
    names = [flag.partition("=")[0] for flag in flags]
    alone = [name for name in names if name in _ONE_RUN]
    several = [name for name in names if name in _MANY_RUNS]
    if alone and several:
        raise UserError(f"{alone[0]}: received with {several[0]}, expected it alone: leave -m out.")
    if len(set(alone)) > 1:
        raise UserError(f"{alone[0]}: received with {alone[1]}, expected one of them.")
    if "--resolve" in names and not {"--cfg", "-c"} & set(names):
        raise UserError("--resolve: received alone, expected --cfg job with it.")


def config_dir(flags: Sequence[str]) -> str | None:
    """Returns the folder of `--config-dir`."""
    return value_of(flags, "--config-dir", "-cd")


def check_sweep_file(flags: Sequence[str], overrides: Sequence[Override]) -> None:
    """Checks that the user's own sweep file defines a sweep.

    Raises:
        UserError: its defaults lack `optuna`, so Hydra would train one run.
    """
    name = next(one.written for one in overrides if one.key == "sweep")
    if name == "optuna" or any(one.top == "hydra" for one in overrides):
        return
    if selects_sweep(f"sweep={name}", config_dir(flags)) is False:
        raise UserError(
            f"sweep: received '{name}', whose file lacks optuna in its defaults: expected it to "
            "start with defaults: [optuna, _self_]."
        )
