"""From the command line's words to a checked `Config`: Hydra's ConfigStore, composition, parsing.

`config`, `cli` and the sweeper alone know Hydra and OmegaConf.
"""

import functools
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from samerun.config import yaml_limits
from samerun.config.checkpoint import Checkpoint
from samerun.config.datasets import DATASETS, Augmentation
from samerun.config.fields import check_ranges
from samerun.config.models import MODELS
from samerun.config.older import completed
from samerun.config.optimizers import OPTIMIZERS
from samerun.config.root import Config, as_dict
from samerun.config.schedules import SCHEDULES
from samerun.config.sweep import Sweep
from samerun.config.training import Evaluation, Tracking, Training
from samerun.errors import UserError, listed, nearest
from samerun.redaction import hidden_keys, redact_mapping, redact_override, redact_value

GROUPS: dict[str, tuple[type[Any], ...]] = {
    "model": MODELS,
    "dataset": DATASETS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
"""The groups with a choice of classes, told apart by their `kind`."""
_A_LIST = "a list such as [32,64]"
_INTERPOLATION = re.compile(r"(\\*)\$\{")


def folder(name: str) -> Path:
    """Returns the folder `conf` or `experiments` of the installed package or of the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / name
    return installed if installed.is_dir() else package.parents[1] / name


def available_cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache  # making the classes anew was a fifth of every composition
def register() -> None:
    """Makes the schemas and the resolvers known to Hydra; may be called again."""
    yaml_limits.install()
    store = ConfigStore.instance()
    whole = make_dataclass("Config", [("sweep", Any, None)], bases=(Config,), kw_only=True)
    store.store(name="schema", node=whole)
    for group, kinds in GROUPS.items():
        for kind in kinds:
            store.store(group=f"schema/{group}", name=kind.kind, node=kind)
    parts = (Training, Evaluation, Tracking, Checkpoint, Augmentation, Sweep)
    for part in parts:
        store.store(group="schema", name=part.__name__.lower(), node=part)
    OmegaConf.register_new_resolver("cores", available_cores, replace=True)
    OmegaConf.register_new_resolver("samerun_folder", lambda name: str(folder(name)), replace=True)


@dataclass(frozen=True, kw_only=True)
class Composition:
    """A config and how it came about.

    Args:
        config: the parsed config.
        composed: YAML of the config with its interpolations still in it, without secrets.
        resolved: YAML of the config as it was used, without secrets.
        overrides: the arguments of the command line, without secrets.
    """

    config: Config
    composed: str
    resolved: str
    overrides: tuple[str, ...]


def options(group: str) -> list[str]:
    """Returns the names of a group's options: the YAML files in its folder."""
    found = []
    for root in (folder("conf") / group, folder("experiments") / group):
        deep = root.parent.name == "experiments"
        found += [
            str(path.relative_to(root).with_suffix(""))
            for path in root.glob("**/*.yaml")
            if deep or path.parent == root
        ]
    return sorted(found)


def compose(overrides: Sequence[str] = ()) -> Composition:
    """Composes and checks a config from command-line words such as `model=mlp training.epochs=5`.

    Raises:
        UserError: a word that is not understood, in one sentence.
    """
    register()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(folder("conf")), version_base="1.3", job_name="samerun"):
            try:
                node = hydra_compose("config", overrides=list(overrides))
            except (OSError, TypeError, AssertionError) as error:  # no key, a number for a name
                raise translated(error) from error
        return parse(node, overrides)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise translated(error) from error


def is_sweep(word: str, place: str | None) -> bool | None:
    """Returns whether a word makes a sweep of a run; `None` if it cannot be composed alone.

    Args:
        word: such as `sweep=mine`.
        place: a folder of the user's own to find it in.
    """
    register()
    GlobalHydra.instance().clear()
    places = [folder("experiments"), *([Path(place).absolute()] if place else [])]
    path = json.dumps([f"file://{one}" for one in places])
    try:
        with initialize_config_dir(str(folder("conf")), version_base="1.3", job_name="samerun"):
            words = [f"hydra.searchpath={path}", word]
            node = hydra_compose("config", overrides=words, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError):
        return None  # the whole command line is going to say why
    finally:
        GlobalHydra.instance().clear()
    return "samerun" in str(node.hydra.sweeper.get("_target_"))


def parse(node: DictConfig, overrides: Iterable[str] = ()) -> Composition:
    """Turns a composed config into typed objects and checks every value on its own.

    Args:
        node: what Hydra composed, or a stored resolved config, which has no types any more.
        overrides: the words it was composed from.

    Raises:
        UserError: an unknown key, a wrong type, a value out of range or a missing value.
    """
    try:
        typed = OmegaConf.merge(OmegaConf.structured(Config), _typed_groups(node))
        cfg = OmegaConf.to_object(typed)
    except OmegaConfBaseException as error:
        raise translated(error) from error
    assert isinstance(cfg, Config)
    check_ranges(cfg)
    return Composition(
        config=cfg,
        composed=safe_yaml(_without_sweep(node)),
        resolved=OmegaConf.to_yaml(OmegaConf.create(redact_mapping(as_dict(cfg)))),
        overrides=tuple(redact_override(word) for word in overrides),
    )


def safe_yaml(node: DictConfig | str) -> str:
    """Returns a mapping as YAML, its interpolations still in it, with `***` for secrets.

    Args:
        node: any mapping that Hydra composed or wrote, or its YAML.
    """
    whole = OmegaConf.create(node) if isinstance(node, str) else node
    plain = OmegaConf.to_container(whole, resolve=False, enum_to_str=True)
    assert isinstance(plain, dict)
    safe = redact_mapping({str(key): value for key, value in plain.items()})
    return OmegaConf.to_yaml(OmegaConf.create(safe))


def check_secrets_given(cfg: Config) -> None:
    """Checks that no secret is missing that was not written down and that training needs.

    Tags and the store's address are not looked at: nothing is trained by them.

    Args:
        cfg: the config of a stored run, with what the command line changes in it.

    Raises:
        UserError: names the key and what to type.
    """
    plain = as_dict(cfg)
    for part in ("tracking", "trial"):
        del plain[part]
    missing = hidden_keys(plain)
    if missing:
        raise UserError(
            f"{missing[0]}: is a secret, and secrets are not recorded: give it again, as "
            f"{missing[0]}=VALUE, or as {missing[0]}='${{oc.env:NAME}}' from a variable of the "
            "environment."
        )


def hide_secrets(file: Path) -> None:
    """Replaces the secrets in a YAML file of Hydra's by `***`; without any it stays as it is.

    Args:
        file: such as `.hydra/config.yaml`.
    """
    text = file.read_text(encoding="utf-8")
    node = OmegaConf.create(text)
    plain = OmegaConf.to_container(node, resolve=False)
    safe = redact_value("", plain)
    if safe != plain:
        fresh = file.with_name(f"{file.name}.new")
        fresh.write_text(OmegaConf.to_yaml(OmegaConf.create(safe)), encoding="utf-8")
        os.replace(fresh, file)


def parse_sweep(node: DictConfig) -> Sweep:
    """Turns the `sweep` part of a composed config into typed objects and checks every value.

    Args:
        node: the whole config as Hydra composed it.

    Raises:
        UserError: there is no such part, or a key or value in it is not understood.
    """
    part = node.get("sweep")
    if part is None:
        raise UserError("sweep: received nothing, expected a search space: give sweep=optuna.")
    try:
        plain = literal(OmegaConf.to_container(part, resolve=True, enum_to_str=True))
        assert isinstance(plain, dict)
        typed = OmegaConf.merge(OmegaConf.structured({"sweep": Sweep}).sweep, _held("sweep", plain))
        sweep = OmegaConf.to_object(typed)
    except OmegaConfBaseException as error:
        raise translated(error) from error
    assert isinstance(sweep, Sweep)
    check_ranges(sweep, "sweep.")
    return sweep


def _without_sweep(node: DictConfig) -> DictConfig:
    """How trials are chosen is no part of any of them."""
    return OmegaConf.masked_copy(node, [str(key) for key in node if key != "sweep"])


def stored_sweep(text: str) -> Sweep:
    """Reads a sweep's settings that were written down as JSON."""
    return parse_sweep(OmegaConf.create({"sweep": json.loads(text)}))


def _typed_groups(node: DictConfig) -> DictConfig:
    plain = literal(
        OmegaConf.to_container(
            _without_sweep(node), resolve=True, throw_on_missing=False, enum_to_str=True
        )
    )
    assert isinstance(plain, dict)
    typed: dict[str, Any] = {}
    for name, value in plain.items():
        key = str(name)
        kinds = {kind.kind: kind for kind in GROUPS.get(key, ())}
        if kinds and isinstance(value, dict):
            kind = str(value.get("kind"))
            if kind not in kinds:
                raise UserError(f"{key}.kind: received '{kind}', expected one of {listed(kinds)}.")
            value = OmegaConf.merge(OmegaConf.structured(kinds[kind]), _held(key, value))
        typed[key] = value
    return OmegaConf.create(typed)


def _held(group: str, value: dict[Any, Any]) -> DictConfig:
    """Gives a group's node its place in the whole, so that errors name the full key."""
    held = OmegaConf.create({group: value})[group]
    assert isinstance(held, DictConfig)
    return held


def to_yaml(cfg: Config) -> str:
    """Returns a config as YAML that `parse` reads back to an equal config."""
    return OmegaConf.to_yaml(OmegaConf.create(as_dict(cfg)))


def from_yaml(text: str) -> Config:
    """Reads a config that `to_yaml` wrote.

    Raises:
        UserError: it is not such a config.
    """
    try:
        node = stored_node(text)
    except (YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise UserError(
            f"The stored config is not valid ({reason}): expected what `to_yaml` writes."
        ) from error
    if not isinstance(node, DictConfig):
        raise UserError("The stored config is not a mapping: expected what `to_yaml` writes.")
    return parse(completed(node)).config


def stored_node(text: str) -> Any:
    """Returns the YAML of a stored config as a node in which nothing is an interpolation.

    Every value in it is final. A `${oc.env:NAME}` in a config from elsewhere would otherwise
    publish a variable of this machine's environment.
    """
    return OmegaConf.create(literal(OmegaConf.to_container(OmegaConf.create(text), resolve=False)))


def literal(value: Any) -> Any:
    """Returns plain values in which OmegaConf reads every `${` as these two characters."""
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [literal(item) for item in value]
    if isinstance(value, str):
        return _INTERPOLATION.sub(lambda found: found[1] * 2 + r"\${", value)
    return value


def known_keys(key: str) -> list[str]:
    """Returns the keys that a key of this group could have meant, for `nearest`."""
    group = key.split(".")[0]
    if group == "sweep":
        return [f"sweep.{name}" for name in _names(Sweep)]
    top = [*Config.__dataclass_fields__]
    if group not in top:
        return [*top, "experiment", "sweep", "debug"]
    kinds = GROUPS.get(group) or (Config.__dataclass_fields__[group].type,)
    return [f"{group}.{name}" for kind in kinds for name in _names(kind)]


def _names(kind: Any) -> list[str]:
    names = []
    for name, entry in getattr(kind, "__dataclass_fields__", {}).items():  # seed has none
        inner = getattr(entry.type, "__dataclass_fields__", {})
        names += [name, *(f"{name}.{part}" for part in inner)]
    return names


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


def without_sweep(key: str) -> UserError:
    """Returns what to say of a sweep's setting where no sweep was asked for."""
    return UserError(f"{key}: there is no sweep: give sweep=optuna with it, and -m.")


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
