"""Registers samerun with Hydra: config groups, their schemas and options, and resolvers."""

import functools
import os
from dataclasses import make_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from samerun.config import hydra_internals, project, yaml_limits
from samerun.config.checkpoint import Checkpoint
from samerun.config.datasets import DATASETS
from samerun.config.datasets.base import Augmentation
from samerun.config.models import MODELS
from samerun.config.optimizers import OPTIMIZERS
from samerun.config.root import Config
from samerun.config.schedules import SCHEDULES
from samerun.config.sweep import Sweep
from samerun.config.training import Evaluation, Tracking, Training
from samerun.folders import package_folder

GROUPS: dict[str, tuple[type[Any], ...]] = {
    "model": MODELS,
    "dataset": DATASETS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
"""The groups with several config classes, distinguished by `kind`."""


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache  # creating the classes took a fifth of the time of each composition
def register() -> None:
    """Registers the schemas and the resolvers with Hydra; may be called again."""
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
    return found


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
