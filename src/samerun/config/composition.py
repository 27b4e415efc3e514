"""Composes and parses configs: from overrides to a checked `Config`."""

import copy
import functools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, final

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from samerun.config import hydra_internals, own, quick_yaml
from samerun.config.checks import check_keys, check_names
from samerun.config.direct import build_config, build_object
from samerun.config.fields import check_ranges
from samerun.config.instances import as_first
from samerun.config.messages import too_large, translate
from samerun.config.older import upgrade_sweep
from samerun.config.overrides import for_hydra
from samerun.config.parts import escape_interpolations, fill, put_in, take_out
from samerun.config.root import Config, as_dict
from samerun.config.schema import GROUPS, load_own, may_import_own, register, schema_of
from samerun.config.secrets import safe_mapping
from samerun.config.sweep import Sweep
from samerun.errors import UserError, listed
from samerun.folders import package_folder
from samerun.redaction import redact_mapping, redact_override


@final
class Composition:
    """A config and how it came about.

    Args:
        config: the parsed config.
        composed: the config with its interpolations still in it, without secrets; YAML, or the
            mapping that becomes YAML when it is asked for: most compositions are not recorded.
        resolved: the config used, without secrets; YAML or a mapping too.
        overrides: the arguments of the command line, without secrets.
    """

    def __init__(
        self,
        *,
        config: Config,
        composed: str | Mapping[str, Any],
        resolved: str | Mapping[str, Any],
        overrides: tuple[str, ...],
    ) -> None:
        self.config = config
        self.overrides = overrides
        self._composed, self._resolved = composed, resolved

    @functools.cached_property
    def composed(self) -> str:
        """YAML of the config with its interpolations still in it, without secrets."""
        return _as_yaml(self._composed)

    @functools.cached_property
    def resolved(self) -> str:
        """YAML of the config used, without secrets."""
        return _as_yaml(self._resolved)

    def with_config(self, config: Config) -> "Composition":
        """Returns the same with another parsed config."""
        return Composition(
            config=config,
            composed=self._composed,
            resolved=self._resolved,
            overrides=self.overrides,
        )


def _as_yaml(content: str | Mapping[str, Any]) -> str:
    return content if isinstance(content, str) else quick_yaml.dump(content)


def composition_of(
    composition: Composition, cfg: Config, overrides: Mapping[str, str]
) -> Composition:
    """Returns the composition of a config that differs from another one in a few keys.

    Args:
        composition: of the other one.
        cfg: the config.
        overrides: their values as text, by key; these replace the other one's overrides, and `null`
            leaves one out.
    """
    node = OmegaConf.create(composition.composed)
    plain = OmegaConf.create(as_dict(cfg))
    for key in overrides:
        OmegaConf.update(node, key, OmegaConf.select(plain, key), force_add=True)
    kept = [o for o in composition.overrides if o.lstrip("+").partition("=")[0] not in overrides]
    given = [f"{key}={value}" for key, value in overrides.items() if value != "null"]
    return Composition(
        config=cfg,
        composed=OmegaConf.to_yaml(node),
        resolved=redact_mapping(as_dict(cfg)),
        overrides=(*kept, *given),
    )


def compose(overrides: Sequence[str] = ()) -> Composition:
    """Composes and checks a config from overrides such as `model=mlp` and `training.epochs=5`.

    Raises:
        UserError: an override is not understood.
    """
    return compose_with_hydra(overrides)[0]


def compose_with_hydra(overrides: Sequence[str] = ()) -> tuple[Composition, DictConfig]:
    """Composes and checks a config; also returns all that Hydra composed, its settings included.

    Raises:
        UserError: an override is not understood.
    """
    register()
    overrides = [for_hydra(text) for text in overrides]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(
            str(package_folder("conf")), version_base="1.3", job_name="samerun"
        ):
            try:
                node = hydra_compose("config", overrides=overrides, return_hydra_config=True)
            except (OSError, TypeError, AssertionError) as error:  # no key, or a number as a name
                raise translate(error, overrides) from error
        node = fill(node)
        return parse_complete(node, node.hydra.overrides.task), node
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, OverflowError) as error:
        raise translate(error, overrides) from error


def selects_sweep(override: str) -> bool | None:
    """Returns whether an override selects samerun's sweeper; `None` if it does not compose alone.

    Args:
        override: such as `sweep=mine`.
    """
    register()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(
            str(package_folder("conf")), version_base="1.3", job_name="samerun"
        ):
            node = hydra_compose("config", overrides=[override], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, OverflowError):
        return None  # composing the complete command line reports why
    finally:
        GlobalHydra.instance().clear()
    return "samerun" in str(node.hydra.sweeper.get("_target_"))


def parse(node: DictConfig, overrides: Iterable[str] = ()) -> Composition:
    """Turns a composed config into typed objects and checks every value on its own.

    Args:
        node: what Hydra composed, or a stored resolved config, without types.
        overrides: those it was composed from.

    Raises:
        UserError: an unknown key, a wrong type, a value out of range or a missing value.
    """
    return _parse(_without(_filled(node), "sweep"), overrides)


def parse_complete(node: DictConfig, overrides: Iterable[str] = ()) -> Composition:
    """Is `parse` of a config with Hydra's own settings, which are left out.

    Args:
        node: all that Hydra composed.
        overrides: see `parse`.

    Raises:
        UserError: see `parse`.
    """
    return _parse(_without(_filled(node), "hydra", "sweep"), overrides)


def _filled(node: DictConfig) -> DictConfig:
    try:
        return fill(node)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, OverflowError) as error:
        raise translate(error) from error


def _parse(job: DictConfig, overrides: Iterable[str]) -> Composition:
    overrides = tuple(overrides)
    register()
    try:
        plain = OmegaConf.to_container(job, resolve=True, throw_on_missing=False, enum_to_str=True)
        assert isinstance(plain, dict)
        plain, components = take_out(plain)
        cfg = put_in(build_config(plain) or _convert(plain), components)
    except OverflowError as error:
        raise too_large(next(_huge(plain), "A value of the config")) from error
    except OmegaConfBaseException as error:
        raise translate(error, overrides) from error
    cfg = checked(cfg)
    return Composition(
        config=cfg,
        composed=safe_mapping(job),
        resolved=redact_mapping(as_dict(cfg)),
        overrides=tuple(redact_override(one) for one in overrides),
    )


def checked(cfg: Config) -> Config:
    """Checks every value of a config on its own; returns the config of its first run.

    Raises:
        UserError: a value is out of range or not one that is possible.
    """
    check_ranges(cfg)
    check_names(cfg)
    check_keys(cfg)
    return as_first(cfg)


def parse_sweep(node: DictConfig) -> Sweep:
    """Turns the `sweep` part of a composed config into typed objects and checks every value.

    Args:
        node: the complete config as Hydra composed it.

    Raises:
        UserError: there is no such part, or a key or value in it is not valid.
    """
    part = node.get("sweep")
    if part is None:
        raise UserError("sweep: received no value, expected a search space such as sweep=optuna.")
    try:
        plain = OmegaConf.to_container(part, resolve=True, enum_to_str=True)
        sweep = build_object(Sweep, plain) or _convert_sweep(plain)
    except (OmegaConfBaseException, OverflowError) as error:
        raise translate(error) from error
    check_ranges(sweep, "sweep.")
    return sweep


def _convert_sweep(plain: Any) -> Sweep:
    """Returns the settings of a sweep, each value converted to the type of its field."""
    given = _with_parent("sweep", escape_interpolations(plain))
    typed = OmegaConf.merge(OmegaConf.structured({"sweep": Sweep}).sweep, given)
    sweep = OmegaConf.to_object(typed)
    assert isinstance(sweep, Sweep)
    return sweep


def without_hydra(node: DictConfig) -> DictConfig:
    """Returns a composed config without Hydra's own settings."""
    return _without(node, "hydra")


def _without(node: DictConfig, *parts: str) -> DictConfig:
    """Returns a copy without some parts; the settings of a sweep are not part of its trials."""
    return hydra_internals.copy_without(node, parts)


@functools.lru_cache(maxsize=1)  # a worker reads that of its sweep twice for each trial
def stored_sweep(text: str) -> Sweep:
    """Reads the settings of a sweep from JSON."""
    return parse_sweep(OmegaConf.create({"sweep": upgrade_sweep(json.loads(text))}))


def _convert(plain: dict[Any, Any]) -> Config:
    """Returns the config with these values, each converted to the type of its field."""
    typed = OmegaConf.unsafe_merge(copy.deepcopy(schema_of(Config)), _typed_groups(plain))
    cfg = OmegaConf.to_object(typed)
    assert isinstance(cfg, Config)
    return cfg


def _typed_groups(plain: dict[Any, Any]) -> DictConfig:
    typed: dict[str, Any] = {}
    for name, value in escape_interpolations(plain).items():
        key = str(name)
        kinds = {kind.kind: kind for kind in GROUPS.get(key, ())}
        if kinds and isinstance(value, dict):
            kind = str(value.get("kind"))
            if kind not in kinds:
                load_own()
                kinds = {kind.kind: kind for kind in GROUPS[key]}
            made = kinds.get(kind) or (None if may_import_own() else own.unread(key, value))
            if made is None:
                raise UserError(f"{key}.kind: received '{kind}', expected one of {listed(kinds)}.")
            schema = copy.deepcopy(schema_of(made))
            value = OmegaConf.unsafe_merge(schema, _with_parent(key, value))
        typed[key] = value
    return OmegaConf.create(typed)


def _huge(node: Any, key: str = "") -> Iterator[str]:
    """Yields the keys with integers that no float can hold."""
    if isinstance(node, int) and abs(node) > sys.float_info.max:
        yield key
    for name, value in node.items() if isinstance(node, dict) else ():
        yield from _huge(value, f"{key}.{name}".removeprefix("."))


def _with_parent(group: str, value: dict[Any, Any]) -> DictConfig:
    """Returns a group's node with its parent, since errors then contain the full key."""
    held = OmegaConf.create({group: value})[group]
    assert isinstance(held, DictConfig)
    return held
