"""Registers samerun with Hydra: config groups, their schemas and options, and resolvers."""

import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from samerun.config import hydra_internals, own, project, yaml_limits
from samerun.config.checkpoint import Checkpoint
from samerun.config.datasets import DATASETS
from samerun.config.datasets.base import Augmentation
from samerun.config.models import MODELS
from samerun.config.optimizers import OPTIMIZERS
from samerun.config.root import Config
from samerun.config.schedules import SCHEDULES
from samerun.config.sweep import Sweep
from samerun.config.training import Evaluation, Loss, Metric, Tracking, Training
from samerun.errors import UserError
from samerun.folders import package_folder

GROUPS: dict[str, tuple[type[Any], ...]] = {
    "model": MODELS,
    "dataset": DATASETS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
"""The groups with several config classes, distinguished by `kind`; the user's own come last."""
_BUILTIN = dict(GROUPS)
PARTS: dict[str, tuple[type[Any], ...]] = {group: () for group in own.BASES if group not in GROUPS}
"""The user's own components that are part of a group: losses, metrics, callbacks, augmentation."""


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def register() -> None:
    """Registers the schemas and the resolvers with Hydra; may be called again."""
    _register_builtin()
    if follow_folder():
        for group in own.BASES:
            for name in project.own_options(group):
                if (group, name) not in _own_schemas:
                    _own_schemas.add((group, name))
                    make = functools.partial(_own_schema, group, name)
                    hydra_internals.store_schema(f"schema/{group}", name, make)


def follow_folder() -> bool:
    """Forgets components of another working folder; returns whether this one names a package."""
    place = (Path.cwd(), project.settings().package)
    if place != _own_place[0]:
        _own_place[0] = place
        forget_own()
    return bool(place[1])


_own_place: list[tuple[Path, str] | None] = [None]
_own_schemas: set[tuple[str, str]] = set()
_imports_code: ContextVar[bool] = ContextVar("imports_code", default=True)


def forget_own() -> None:
    """Forgets the user's own components, as in a working folder without any."""
    for group, name in _own_schemas:
        hydra_internals.drop_schema(f"schema/{group}", name)
    _own_schemas.clear()
    GROUPS.update(_BUILTIN)
    PARTS.update(dict.fromkeys(PARTS, ()))
    leaves.cache_clear()


def load_own() -> None:
    """Adds the components of the user's own package to their groups, where it may be imported.

    Raises:
        UserError: the package cannot be imported.
    """
    if not may_import_own():
        return
    builtin = {group: {kind.kind for kind in kinds} for group, kinds in _BUILTIN.items()}
    builtin |= {group: set(_options().get(group, ())) for group in PARTS}
    builtin |= {"loss": {*Loss}, "metric": {*Metric, "loss"}}
    for group, kinds in own.load(builtin).items():
        if group in PARTS:
            PARTS[group] = kinds
        else:
            GROUPS[group] = (*_BUILTIN[group], *kinds)
    leaves.cache_clear()


def _own_schema(group: str, name: str) -> DictConfig:
    """Returns the schema that an own option is checked by; its package is imported for it."""
    if not may_import_own():
        return schema_of(own.placeholder(group, name))
    load_own()
    for kind in {**GROUPS, **PARTS}[group]:
        if kind.kind == name:
            return schema_of(kind)
    package = project.settings().package
    raise UserError(
        f"schema/{group}/{name}: {package}.components has no such component, expected a class "
        f'with kind: str = "{name}".'
    )


def may_import_own() -> bool:
    """Whether the user's own package may be imported now."""
    return _imports_code.get()


@contextmanager
def importing_own(allowed: bool) -> Iterator[None]:
    """Lets the user's own package be imported in the block, or not.

    Args:
        allowed: `False` cannot be undone by a block inside.
    """
    token = _imports_code.set(allowed and may_import_own())
    try:
        yield
    finally:
        _imports_code.reset(token)


@contextmanager
def without_own_code() -> Iterator[None]:
    """Composes without importing the user's own package; its components are not checked then."""
    forget_own()
    try:
        with importing_own(False):
            yield
    finally:
        forget_own()


def compose_alone(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Composes a config while another composition may be under way.

    Args:
        name: of the config: `config`, or a group and an option of it.
        overrides: in Hydra's grammar.
    """
    register()
    state = GlobalHydra.instance()
    before = state.hydra
    try:
        state.clear()
        with initialize_config_dir(
            str(package_folder("conf")), version_base="1.3", job_name="samerun"
        ):
            node: DictConfig = compose(name, overrides=list(overrides))
        return node
    finally:
        state.hydra = before


@functools.cache  # creating the classes took a fifth of the time of each composition
def _register_builtin() -> None:
    yaml_limits.install()
    hydra_internals.install()
    store = ConfigStore.instance()
    root = make_dataclass("Config", [("sweep", Any, None)], bases=(Config,), kw_only=True)
    store.store(name="schema", node=root)
    for group, kinds in GROUPS.items():
        for kind in kinds:
            make = functools.partial(schema_of, kind)
            hydra_internals.store_schema(f"schema/{group}", kind.kind, make)
    parts = (Training, Evaluation, Tracking, Checkpoint, Augmentation, Sweep)
    for part in parts:
        store.store(group="schema", name=part.__name__.lower(), node=part)
    OmegaConf.register_new_resolver("cores", available_cores, replace=True)


_schemas: dict[type[Any], DictConfig] = {}


def schema_of(kind: type[Any]) -> DictConfig:
    """Returns the node of a config class; it is to be copied before it is changed."""
    if kind not in _schemas:
        _schemas[kind] = OmegaConf.structured(kind)
    return _schemas[kind]


def options(group: str) -> list[str]:
    """Returns the names of a group's options: the YAML files in its folder, the user's own too."""
    return sorted({*_options().get(group, ()), *project.own_options(group)})


@functools.cache
def _options() -> dict[str, list[str]]:
    """Returns samerun's own options; a file in `experiments` is one of its outer folder."""
    found: dict[str, set[str]] = {}
    for top in ("conf", "experiments"):
        root = package_folder(top)
        for path in root.rglob("*.yaml"):
            option = path.relative_to(root).with_suffix("")
            groups = list(option.parents)[:-1]
            for group in groups if top == "experiments" else groups[:1]:
                name = option.relative_to(group).as_posix()
                found.setdefault(group.as_posix(), set()).add(name)
    return {group: sorted(names) for group, names in found.items()}


@functools.cache
def leaves() -> dict[str, dict[str, Any]]:
    """Returns every key that has a value, with its type in each option of its group.

    The options are those of `GROUPS`; a key outside of these groups has its type under ''.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, entry in (*Config.__dataclass_fields__.items(), ("sweep", None)):
        kinds = GROUPS.get(name)
        if kinds:
            parts = [(kind.kind, leaf) for kind in kinds for leaf in _leaves(kind, name)]
        elif name != "trial":
            parts = [("", leaf) for leaf in _leaves(entry.type if entry else Sweep, name)]
        else:
            parts = []
        for kind, (key, field_type) in parts:
            found.setdefault(key, {})[kind] = field_type
    for group, kinds in PARTS.items():
        for kind in kinds:
            for key, field_type in _leaves(kind, place_of(group, kind.kind)):
                found.setdefault(key, {})[""] = field_type
    return found


def place_of(group: str, name: str) -> str:
    """Returns the key that has the options of a part: `training.params.focal`.

    Args:
        group: of `PARTS`.
        name: of the component.
    """
    return f"training.params.{name}" if group in own.NAMED else group.replace("/", ".")


def _leaves(kind: Any, key: str) -> list[tuple[str, Any]]:
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is None:
        return [(key, kind)]
    return [
        leaf
        for name, entry in fields.items()
        if name != "kind" and entry._field_type.name == "_FIELD"
        for leaf in _leaves(entry.type, f"{key}.{name}")
    ]
