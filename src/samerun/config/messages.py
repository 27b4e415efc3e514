"""Translates errors of Hydra, OmegaConf and PyYAML into one sentence each.

These libraries' errors can only be distinguished by their text, so each new version of them has to
pass the tests of this file.
"""

import re
from collections.abc import Sequence
from typing import Any

from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from samerun.config import project, yaml_limits
from samerun.config.overrides import Override, parse_override
from samerun.config.schema import GROUPS, PARTS, options
from samerun.config.suggestions import as_hint, chosen_options, correct, needless, owners
from samerun.errors import UserError, listed, nearest
from samerun.redaction import redact, redact_override

_WHOLE_CONFIGS = ("experiment", "debug")
_A_LIST = "a list such as [32,64]"


def translate(error: Exception, overrides: Sequence[str] = ()) -> UserError:
    """Returns an error of Hydra, OmegaConf or PyYAML as one sentence.

    Args:
        error: what was raised.
        overrides: what was composed, from which the line to type is made.
    """
    cause = error.__cause__ or error.__context__
    if isinstance(error, YAMLError):
        return _of_yaml(error)
    chooser = _kind_of_group(overrides)
    if chooser is not None:
        return chooser
    if isinstance(error, OmegaConfBaseException):
        return _of_omegaconf(error, overrides)
    if isinstance(error, OverflowError):  # OmegaConf adds the key to Python's own error
        found = re.search(r"full_key: (\S+)", str(error))
        return too_large(found[1] if found else "A value of the config")
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        file = re.match(r"In '(.+?)': ", str(error))  # an override has no file
        if file:
            return _of_file(file[1], cause)
        return _of_omegaconf(cause, overrides)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        outer, _, inner = group.partition("/")
        if outer in _WHOLE_CONFIGS and inner and options(inner):
            file = re.match(r"In '(.+?)'", str(error))
            return _not_in_defaults(file[1] if file else outer, inner, name)
        if outer == "schema":
            return _no_schema(inner, name)
        known = list(error.options or options(group))
        if known:
            return unknown_option(group, name, known)
    text = str(error).strip() or type(error).__name__
    first, *rest = [line.strip() for line in text.splitlines() if line.strip()]
    if first.startswith("Ambiguous value for argument '"):
        return _several_values(first.split("'")[1])
    wrong = _of_defaults(first, overrides)
    if wrong is not None:
        return wrong
    if "Could not override" in first and rest:
        key = first.split("'")[1].split("@")[0]
        return unknown_key(key, overrides)
    if first.startswith("Config group override must be a string"):
        return _no_option(overrides)
    return UserError(f"The overrides are not valid: {first.rstrip('.')}.")


def unknown_option(group: str, name: str, known: Sequence[str]) -> UserError:
    """Returns the error for an option that does not exist, with the line to type.

    Args:
        group: such as `model`.
        name: what was chosen.
        known: the options that exist.
    """
    hint = as_hint(correct(group, name, {"sweep": ""})) or nearest(name, known)
    # Both may be a part of what was typed, such as a store's address with its password.
    received = f"{redact(group)}: received '{redact(name)}'"
    hint = hint or project.needs_file(group, redact(name))
    return UserError(f"{received}, expected one of {listed(known)}.{hint}")


def _no_schema(group: str, name: str) -> UserError:
    """Returns the error for an option whose schema is that of no class."""
    package = project.settings().package
    if not package:
        return UserError(
            f"{group}={name}: there is no config class of this kind, expected its package in "
            'pyproject.toml: [tool.samerun] with package = "my_project".'
        )
    return UserError(
        f"schema/{group}/{name}: received '{name}', expected the kind of a class in "
        f"{package}.components that has a file {group}/KIND.yaml."
        f"{nearest(name, project.own_options(group))}"
    )


def too_large(key: str) -> UserError:
    """Returns the error for an integer that cannot become a float.

    Args:
        key: that has it.
    """
    return UserError(
        f"{key}: received an integer of hundreds of digits, expected a number that a float can "
        "hold, such as 1.0e+30."
    )


def unknown_key(
    key: str, overrides: Sequence[str] = (), *, kind: str = "", written: str | None = None
) -> UserError:
    """Returns the error for a key that does not exist, with the line to type.

    Args:
        key: with dots or slashes; that of an override, or the first part of one.
        overrides: all of the command line.
        kind: the option of its group; by default the one that the overrides choose.
        written: its value as typed; by default that of the override.
    """
    typed = _typed(key, overrides)
    if typed is not None:
        key = typed.key if "/" in typed.key else typed.path
        written = str(typed).partition("=")[2]
    group = re.split(r"[./]", key)[0]
    chosen = chosen_options(overrides)
    if kind in {one.kind for one in GROUPS.get(group, ())}:
        chosen[group] = kind
    if typed is None:  # in a file, which Hydra has chosen
        chosen.setdefault("sweep", "")
    others = [text for text in overrides if typed is None or text != typed.text]
    reason = needless(key)
    if reason is not None:
        return _needless(key, written, reason, others)
    hint = as_hint(correct(key, written, chosen))
    having = owners(key)
    place = f" with {group}={chosen[group]}" if chosen.get(group) and group in GROUPS else ""
    if having:
        place += f", only with {listed(having)}"
    return UserError(f"{key}: there is no such key{place}.{hint}")


def _needless(key: str, written: str | None, reason: str, others: Sequence[str]) -> UserError:
    if not reason:  # a run is resumed by a command of its own
        return UserError(
            f"{key}: there is no such key: a run is resumed by its ID or name."
            f"{as_hint(f'samerun resume {written}') if written else ''}"
        )
    line = " ".join(["samerun train", *map(redact_override, others)])
    return UserError(f"{key}: there is no such key, {reason}: leave it out: `{line}`.")


def _typed(key: str, overrides: Sequence[str]) -> Override | None:
    """Returns the override that an error is about: of a key, or of one below it."""
    below = None
    for text in overrides:
        try:
            override = parse_override(text)
        except UserError:
            continue
        if key in (override.path, override.key):
            return override
        if override.path.startswith(f"{key.replace('/', '.')}."):
            below = below or override
    return below


def _several_values(text: str) -> UserError:
    key, _, value = text.partition("=")
    comma = re.fullmatch(r"\d+,\d+", value)
    hint = as_hint(f"-m {text}")
    if key == "seeds":  # it is the number of runs, each of which has one seed
        hint = as_hint(f"-m seed={value}")
    elif comma:
        number = value.replace(",", ".")
        hint = as_hint(correct(key, number, chosen_options()) or f"{key}={number}")
    return UserError(f"{key}: received several values, expected one value, or -m.{hint}")


def _kind_of_group(overrides: Sequence[str]) -> UserError | None:
    """Returns the error for an override of a group's kind, which its option sets."""
    for group in GROUPS:
        for text in overrides:
            if text.startswith(f"{group}.kind="):
                line = correct(f"{group}.kind", text.partition("=")[2], {})
                return UserError(f"{group}.kind: is set by the option of {group}.{as_hint(line)}")
    return None


def _no_option(overrides: Sequence[str]) -> UserError:
    """Returns the error for a group whose option is a number or a boolean."""
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        names = options(key)
        if key and names and value not in names:
            hint = as_hint(correct(key, value, {"sweep": ""}))
            return UserError(f"{key}: received '{value}', expected one of {listed(names)}.{hint}")
    return UserError("The overrides are not valid: a group takes the name of one of its options.")


def _of_file(name: str, error: OmegaConfBaseException) -> UserError:
    """Returns what is wrong with the values of a config file."""
    key = str(error.full_key or error.key or "")
    group = name.partition("/")[0]
    holder = getattr(error.object_type, "__name__", "")
    if group in _WHOLE_CONFIGS and key.partition(".")[0] == group:
        return _without_package(name)
    not_a_group = re.search(r"is not a subclass of (\w+)\. value: (\S+)", str(error.msg))
    if not_a_group and not_a_group[2].startswith("{"):
        return _schema_first(not_a_group[1])
    if not_a_group:
        return _not_in_defaults(name, _group_of_class(not_a_group[1]), not_a_group[2])
    if group in GROUPS and not hasattr(error.object_type, "kind") and holder.lower() == group:
        having = owners(key) or options(group)
        start = f"`defaults: [{having[0]}, _self_]`"
        if project.settings().package:
            start += (
                f", or for a class of your own with `defaults: [/schema/{name}@_here_, _self_]`"
            )
        return UserError(
            f"{name}.yaml: {key}: has no base that has this key, expected the file to start with "
            f"{start}."
        )
    return UserError(f"{name}.yaml: {_of_omegaconf(error)}")


def _schema_first(name: str) -> UserError:
    """Returns the error for an option whose schema comes before the option that it starts from."""
    parts = ((group, kind) for group, kinds in PARTS.items() for kind in kinds)
    found = [f"{group}/{kind.kind}" for group, kind in parts if kind.__name__ == name]
    option = found[0] if found else "dataset/augmentation/mine"
    return UserError(
        f"{option}.yaml: defaults: expected the schema after the option that it starts from: "
        f"`defaults: [none, /schema/{option}@_here_, _self_]`."
    )


def _group_of_class(name: str) -> str:
    """Returns the group whose options have a config class of this name."""
    groups = (group for group, kinds in GROUPS.items() if name in {kind.__name__ for kind in kinds})
    return next(groups, "dataset/augmentation" if name == "Augmentation" else name.lower())


def _without_package(name: str) -> UserError:
    return UserError(
        f"{name}.yaml: sets keys of the whole config, expected its first line to be "
        "`# @package _global_`."
    )


def _not_in_defaults(name: str, group: str, option: str) -> UserError:
    return UserError(
        f"{name}.yaml: chooses {group}={option}, expected this in its defaults: "
        f"`- override /{group}: {option}`."
    )


def _of_defaults(first: str, overrides: Sequence[str]) -> UserError | None:
    """Returns what is wrong with the defaults of a config file."""
    no_list = re.match(r"Invalid defaults list in '(.+)', defaults must be a list", first)
    if no_list:
        return UserError(f"{no_list[1]}.yaml: defaults: expected a list such as [optuna, _self_].")
    second = re.match(r"Multiple values for (\S+)\. .* use 'override \S+ (\S+)'", first)
    if second:
        wholes = [text for text in overrides if text.partition("=")[0] in _WHOLE_CONFIGS]
        name = wholes[0].replace("=", "/") if len(wholes) == 1 else "A config file, such as mine"
        return _not_in_defaults(name, second[1].partition("@")[0], second[2])
    inside = re.match(r"In '(.+?)': Could not override '([^'@]+)(?:@([^']+))?'", first)
    if inside and inside[1].partition("/")[0] in _WHOLE_CONFIGS:
        whole = inside[1].partition("/")[0]
        if (inside[3] or "").startswith(f"{whole}."):
            return _without_package(inside[1])
        group = inside[2].removeprefix(f"{whole}/")
        if options(group):
            return _not_in_defaults(inside[1], group, "OPTION")
    return None


def sweep_missing(key: str, written: str = "") -> UserError:
    """Returns the error for a setting of a sweep without a sweep.

    Args:
        key: of the setting.
        written: its value as typed.
    """
    hint = as_hint(f"-m sweep=optuna {key}={written}" if written else "")
    return UserError(f"{key}: there is no sweep: add sweep=optuna and -m.{hint}")


def _lacks_function(key: str, overrides: Sequence[str]) -> bool:
    """Whether a key is an argument of a loss, metric or callback without the name of it."""
    first = key.removeprefix("training.params.")
    named = {part for text in overrides for part in re.findall(r"\w+", text.partition("=")[2])}
    return first != key and "." not in first and first not in named


def _of_omegaconf(error: OmegaConfBaseException, overrides: Sequence[str] = ()) -> UserError:
    key = str(error.full_key or error.key or "config")
    message = str(error.msg).splitlines()[0]
    if "not in" in message or "not a valid key" in message:
        holder = getattr(error.object_type, "__name__", "the config")
        if holder == "dict" and key.startswith("sweep.params."):
            name = key.removeprefix("sweep.params.")
            return UserError(f"{key}: expected {name}=… or +sweep.params={{{name}: …}}.")
        if holder == "dict" and key.startswith("sweep."):
            return sweep_missing(key)
        if holder == "dict" and _lacks_function(key, overrides):
            argument = key.removeprefix("training.params.")
            return UserError(
                f"{key}: expected the loss, metric or callback before its argument: "
                f"training.params.NAME.{argument}=… ."
            )
        if holder == "dict":
            return UserError(f"{key}: new keys of a mapping need a plus: +{key}=… .")
        return unknown_key(key, overrides, kind=getattr(error.object_type, "kind", ""))
    if "does not support deletion" in message:
        return UserError(f"{key}: cannot be removed, expected a value: {key}=… .")
    if "Missing mandatory value" in message or error.__class__.__name__ == "MissingMandatoryValue":
        return UserError(f"{key}: received no value, expected {key}=… .")
    if "ListConfig with DictConfig" in message or "DictConfig with ListConfig" in message:
        return UserError(
            "received a list where a mapping is expected, or a mapping where a list is expected."
        )
    expected = _expected(message)
    if expected == _A_LIST and str(error.value)[:1] not in "[{":
        expected = f"a list: [{error.value}]"
    received = "null" if error.value is None else error.value
    hint = as_hint(_corrected(key, received, overrides))
    return UserError(f"{key}: received '{received}', expected {expected}.{hint}")


def _corrected(key: str, received: Any, overrides: Sequence[str]) -> str:
    """Returns what to type for a value that a key does not take."""
    typed = _typed(re.sub(r"\[\d+\]$", "", key), overrides)
    if typed is None:
        return correct(key, str(received), {}) if overrides == () and "[" not in key else ""
    return correct(typed.path, str(typed).partition("=")[2], chosen_options(overrides))


def _expected(message: str) -> str:
    expected = {
        "is incompatible with type hint 'int'": "an integer",
        "is not Optional": "a value, not null",
        "Integer": "an integer",
        "Float": "a number",
        "Boolean": "true or false",
        "is not a valid bool": "true or false",
        "ListConfig": _A_LIST,
        "not a string": "a string",
    }
    for phrase, kind in expected.items():
        if phrase in message:
            return kind
    if "expected one of [" in message:
        return "one of " + message.split("expected one of [", 1)[1].rstrip("]").replace("'", "")
    if "Union[int, str]" in message:
        return "an integer or a string"
    if "missing" in message.lower():
        return "a value"
    return "a value of another type"


def _of_yaml(error: YAMLError) -> UserError:
    """Returns where and why a file is not valid YAML."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return UserError(f"A YAML file is not valid: {' '.join(str(error).split())}.")
    what = str(getattr(error, "problem", None) or "").replace("\t", "\\t")
    if isinstance(error, yaml_limits.TooLarge):
        return UserError(
            f"{mark.name}, line {mark.line + 1}: received {what}, expected fewer: write them out."
        )
    return UserError(
        f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: invalid YAML "
        f"({what}): expected unique keys, indentation by spaces and closed brackets."
    )
