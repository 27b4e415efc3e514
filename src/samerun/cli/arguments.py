"""The arguments of `samerun train`: Hydra's flags, checked before Hydra reads them."""

from collections.abc import Sequence
from typing import NoReturn

from samerun.config.composition import selects_sweep
from samerun.config.overrides import Override
from samerun.config.project import own_options
from samerun.config.schema import leaves, options
from samerun.config.suggestions import as_hint, chosen_options, correct, needless
from samerun.errors import UserError, nearest
from samerun.redaction import redact_override, redact_value

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


def check_settings(arguments: Sequence[str]) -> None:
    """Checks that no setting is given like an option of other programs: `--epochs 5`.

    Args:
        arguments: all of the command line.

    Raises:
        UserError: one is; Hydra would take its value for an override.
    """
    from samerun.config.hydra_internals import get_args_parser

    known = [*get_args_parser()._option_string_actions, "--schedule-plot"]
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        key = flag.lstrip("-").replace("-", "_")
        is_short = any(name.startswith(flag) for name in known) and not options(key)
        if not flag.startswith("-") or flag in known or is_short:
            continue
        rest = [*arguments[:index], *arguments[index + 1 :]]
        following = "".join(arguments[index + 1 : index + 2])
        if not equals and following and not following.startswith("-") and "=" not in following:
            value = following
            del rest[index]
        _refuse_setting(flag, key, value or "true", rest)


def _refuse_setting(flag: str, key: str, value: str, rest: Sequence[str]) -> None:
    others = [text for text in rest if not text.startswith("-")]
    reason = needless(key)
    if reason:
        line = " ".join(["samerun train", *map(redact_override, others)])
        raise UserError(f"{flag}: there is no such flag, {reason}: leave it out: `{line}`.")
    if reason is not None:
        line = f"samerun resume {value}"
    else:
        value = str(redact_value(key, value))
        line = correct(key, value, chosen_options(others))
        if not line and (key in leaves() or options(key)):
            line = f"{key}={value}"
    if line:
        raise UserError(
            f"{flag}: there is no such flag, since settings are KEY=VALUE.{as_hint(line)}"
        )


def check_flags(flags: Sequence[str]) -> None:
    """Checks that Hydra knows its flags and that they go together, by Hydra's own parser.

    Hydra itself would print 13 lines of usage with the message, or a traceback.

    Raises:
        UserError: there is no such flag, its value is missing or wrong, or they do not go together.
    """
    if not flags:
        return
    from samerun.config.hydra_internals import get_args_parser

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


def check_sweep_file(overrides: Sequence[Override]) -> None:
    """Checks that the user's own sweep file defines a sweep.

    Raises:
        UserError: its defaults lack `optuna`, so Hydra would train one run.
    """
    name = next(one.written for one in overrides if one.key == "sweep")
    if name not in own_options("sweep") or any(one.top == "hydra" for one in overrides):
        return  # those of samerun define one, and composing takes a third of a second
    if selects_sweep(f"sweep={name}") is False:
        raise UserError(
            f"sweep: received '{name}', whose file lacks optuna in its defaults: expected it to "
            "start with defaults: [optuna, _self_]."
        )
