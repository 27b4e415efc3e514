"""Registers samerun with Hydra: config groups, their schemas and options, and resolvers."""

import functools
import os
from dataclasses import make_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from samerun.config import yaml_limits
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
    store = ConfigStore.instance()
    root = make_dataclass("Config", [("sweep", Any, None)], bases=(Config,), kw_only=True)
    store.store(name="schema", node=root)
    for group, kinds in GROUPS.items():
        for kind in kinds:
            store.store(group=f"schema/{group}", name=kind.kind, node=kind)
    parts = (Training, Evaluation, Tracking, Checkpoint, Augmentation, Sweep)
    for part in parts:
        store.store(group="schema", name=part.__name__.lower(), node=part)
    OmegaConf.register_new_resolver("cores", available_cores, replace=True)
    OmegaConf.register_new_resolver(
        "samerun_folder", lambda name: str(package_folder(name)), replace=True
    )


def options(group: str) -> list[str]:
    """Returns the names of a group's options: the YAML files in its folder."""
    found = []
    for root in (package_folder("conf") / group, package_folder("experiments") / group):
        deep = root.parent.name == "experiments"
        found += [
            str(path.relative_to(root).with_suffix(""))
            for path in root.glob("**/*.yaml")
            if deep or path.parent == root
        ]
    return sorted(found)


def known_keys(key: str) -> list[str]:
    """Returns the keys of the same group, as candidates for a suggestion."""
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
