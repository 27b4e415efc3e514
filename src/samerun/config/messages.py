"""What Hydra, OmegaConf and PyYAML raise, as one sentence each.

They are told apart by their words, so every new version of theirs has to pass the tests of this
file.
"""

import re

from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from samerun.config import yaml_limits
from samerun.config.root import Config
from samerun.config.schema import known_keys, options
from samerun.errors import UserError, listed, nearest

_A_LIST = "a list such as [32,64]"


def translated(error: Exception) -> UserError:
    """Returns a composition error of Hydra or OmegaConf as one sentence."""
    cause = error.__cause__ or error.__context__
    if isinstance(error, YAMLError):
        return _of_yaml(error)
    if isinstance(error, OmegaConfBaseException):
        return _of_omegaconf(error)
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        file = re.match(r"In '(.+?)': ", str(error))  # a word of the command line names none
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
        return UserError(f"{key}: received several values, expected -m with them, or one value.")
    said = str(error).strip() or type(error).__name__
    first, *rest = [line.strip() for line in said.splitlines() if line.strip()]
    no_list = re.match(r"Invalid defaults list in '(.+)', defaults must be a list", first)
    if no_list:
        return UserError(f"{no_list[1]}.yaml: defaults: expected a list such as [optuna, _self_].")
    if "Could not override" in first and rest:
        key = first.split("'")[1]
        group = key.split("@")[0]
        return UserError(
            f"{key}: there is no such key or group.{nearest(group, known_keys(group))}"
        )
    return UserError(f"The command line could not be understood: {first.rstrip('.')}.")


def without_sweep(key: str) -> UserError:
    """Returns what to say of a sweep's setting where no sweep was asked for."""
    return UserError(f"{key}: there is no sweep: give sweep=optuna with it, and -m.")


def _of_omegaconf(error: OmegaConfBaseException) -> UserError:
    key = str(error.full_key or error.key or "config")
    message = str(error.msg).splitlines()[0]
    if "not in" in message or "not a valid key" in message:
        holder = getattr(error.object_type, "__name__", "the config")
        if holder == "dict" and key.startswith("sweep.params."):
            name = key.removeprefix("sweep.params.")
            return UserError(f"{key}: expected {name}=… itself, or +sweep.params={{{name}: …}}.")
        if holder == "dict" and key.startswith("sweep."):
            return without_sweep(key)
        if holder == "dict":
            return UserError(f"{key}: a new key of a mapping is added with a plus: +{key}=… .")
        return UserError(f"{key}: there is no such key in {holder}.{_hint(key)}")
    if "Missing mandatory value" in message or error.__class__.__name__ == "MissingMandatoryValue":
        return UserError(f"{key}: received nothing, expected a value: give {key}=… .")
    if "ListConfig with DictConfig" in message or "DictConfig with ListConfig" in message:
        return UserError("received a list, expected keys with values, or the other way round.")
    expected = _expected(message)
    if expected == _A_LIST and str(error.value)[:1] not in "[{":
        expected = f"a list: [{error.value}]"
    return UserError(f"{key}: received '{error.value}', expected {expected}.")


def _expected(message: str) -> str:
    wanted = {
        "is incompatible with type hint 'int'": "a whole number",
        "is not Optional": "a value, not null",
        "Integer": "a whole number",
        "Float": "a number",
        "Boolean": "true or false",
        "is not a valid bool": "true or false",
        "ListConfig": _A_LIST,
        "not a string": "text",
    }
    for sign, words in wanted.items():
        if sign in message:
            return words
    if "expected one of [" in message:
        return "one of " + message.split("expected one of [", 1)[1].rstrip("]").replace("'", "")
    if "Union[int, str]" in message:
        return "a whole number or a word"
    if "missing" in message.lower():
        return "a value"
    return "a value of another type"


def _hint(key: str) -> str:
    """Returns what a key could have meant; one without its group is found by its own name."""
    if "." not in key:
        groups = [*Config.__dataclass_fields__, "sweep"]
        named = [known for group in groups for known in known_keys(group) if "." in known]
        for known in named:
            if known.partition(".")[2] == key:
                return f" Did you mean '{known}'?"
    return nearest(key, [known for known in known_keys(key) if known != key])


def _of_yaml(error: YAMLError) -> UserError:
    """Returns where a file is no YAML, and why."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return UserError(f"A YAML file cannot be read: {' '.join(str(error).split())}.")
    what = str(getattr(error, "problem", None) or "").replace("\t", "\\t")
    if isinstance(error, yaml_limits.TooLarge):
        return UserError(
            f"{mark.name}, line {mark.line + 1}: received {what}, expected fewer: write out what "
            "is needed."
        )
    return UserError(
        f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: received no valid YAML "
        f"({what}), expected keys, each once, with spaces before them and closed brackets."
    )
