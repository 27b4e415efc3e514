"""Translates errors of Hydra, OmegaConf and PyYAML into one sentence each.

These libraries' errors can only be distinguished by their text, so each new version of them has to
pass the tests of this file.
"""

import re

from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from samerun.config import pruners, yaml_limits
from samerun.config.root import Config
from samerun.config.schema import known_keys, options
from samerun.errors import UserError, listed, nearest

_A_LIST = "a list such as [32,64]"


def translate(error: Exception) -> UserError:
    """Returns an error of Hydra, OmegaConf or PyYAML as one sentence."""
    cause = error.__cause__ or error.__context__
    if isinstance(error, YAMLError):
        return _of_yaml(error)
    if isinstance(error, OmegaConfBaseException):
        return _of_omegaconf(error)
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        file = re.match(r"In '(.+?)': ", str(error))  # an override has no file
        place = f"{file[1]}.yaml: " if file else ""
        return UserError(f"{place}{_of_omegaconf(cause)}")
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = list(error.options or options(group))
        if known:
            hint = nearest(name, known)
            return UserError(f"{group}: received '{name}', expected one of {listed(known)}.{hint}")
    if str(error).startswith("Ambiguous value for argument '"):
        key = str(error).split("'")[1].partition("=")[0]
        return UserError(f"{key}: received several values, expected one value, or -m.")
    text = str(error).strip() or type(error).__name__
    first, *rest = [line.strip() for line in text.splitlines() if line.strip()]
    no_list = re.match(r"Invalid defaults list in '(.+)', defaults must be a list", first)
    if no_list:
        return UserError(f"{no_list[1]}.yaml: defaults: expected a list such as [optuna, _self_].")
    if "Could not override" in first and rest:
        key = first.split("'")[1]
        removed = key.removeprefix("sweep.").partition(".")[0]
        if removed in pruners.REMOVED:
            return _removed_pruner(removed)
        group = key.split("@")[0]
        return UserError(
            f"{key}: there is no such key or group.{nearest(group, known_keys(group))}"
        )
    return UserError(f"The overrides are not valid: {first.rstrip('.')}.")


def sweep_missing(key: str) -> UserError:
    """Returns the error for a setting of a sweep without a sweep."""
    return UserError(f"{key}: there is no sweep: add sweep=optuna and -m.")


def _removed_pruner(name: str) -> UserError:
    return UserError(
        f"sweep.pruner: {name} was removed, since {pruners.REMOVED[name]}: use sweep.pruner=median."
    )


def _of_omegaconf(error: OmegaConfBaseException) -> UserError:
    key = str(error.full_key or error.key or "config")
    if key.startswith("sweep."):
        for name in (str(error.value), key.partition(".")[2].partition(".")[0]):
            if name in pruners.REMOVED:
                return _removed_pruner(name)
    message = str(error.msg).splitlines()[0]
    if "not in" in message or "not a valid key" in message:
        holder = getattr(error.object_type, "__name__", "the config")
        if holder == "dict" and key.startswith("sweep.params."):
            name = key.removeprefix("sweep.params.")
            return UserError(f"{key}: expected {name}=… or +sweep.params={{{name}: …}}.")
        if holder == "dict" and key.startswith("sweep."):
            return sweep_missing(key)
        if holder == "dict":
            return UserError(f"{key}: new keys of a mapping need a plus: +{key}=… .")
        return UserError(f"{key}: there is no such key in {holder}.{_hint(key)}")
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
    return UserError(f"{key}: received '{received}', expected {expected}.")


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


def _hint(key: str) -> str:
    """Returns a suggestion for an unknown key; a key without its group is found, too."""
    if "." not in key:
        groups = [*Config.__dataclass_fields__, "sweep"]
        named = [known for group in groups for known in known_keys(group) if "." in known]
        for known in named:
            if known.partition(".")[2] == key:
                return f" Did you mean '{known}'?"
    return nearest(key, [known for known in known_keys(key) if known != key])


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
