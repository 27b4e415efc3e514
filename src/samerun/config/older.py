"""Stored configs of earlier versions: keys that they lack, with the values that apply."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from samerun.config import pruners
from samerun.config.datasets import DATASETS
from samerun.config.fields import added_fields
from samerun.config.models import MODELS

ADDED: dict[str, Any] = {
    "training.on_nan": "fail",
    "training.on_memory": "fail",
    "training.max_retries": 3,
    "training.retry_learning_rate_factor": 0.5,
    "checkpoint.after_success": "keep",
    "tracking.patience_seconds": 30.0,
}
"""Keys that version 0.1.0 did not have, with the values that keep its behavior.

They may differ from today's defaults in `conf/`. Keys added to a kind of model or
dataset are declared with it (`fields.added`)."""


def _added(node: DictConfig) -> dict[str, Any]:
    """Returns `ADDED` with the keys that were added to the config's kinds of model and dataset."""
    found = dict(ADDED)
    for group, kinds in (("model", MODELS), ("dataset", DATASETS)):
        part = node.get(group)
        name = part.get("kind") if OmegaConf.is_dict(part) else None
        for kind in kinds:
            if kind.kind == name:
                found |= {f"{group}.{key}": value for key, value in added_fields(kind).items()}
    return found


def upgrade_sweep(plain: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a recorded sweep without the keys that were removed since.

    Args:
        plain: the settings; they are not changed.
    """
    return {key: value for key, value in plain.items() if key not in pruners.REMOVED}


def add_missing_keys(node: DictConfig) -> DictConfig:
    """Returns a stored config with the keys that did not exist when it was recorded.

    Args:
        node: the stored config; it is not changed.
    """
    complete = node.copy()
    for key, value in _added(node).items():
        group = key.partition(".")[0]
        if OmegaConf.is_dict(node.get(group)) and key.partition(".")[2] not in node[group]:
            OmegaConf.update(complete, key, value, force_add=True)
    return complete


def drop_new_keys(text: str, stored: str) -> str:
    """Returns a config without keys that the code of an earlier version may not have.

    Args:
        text: YAML of a config to train with the code of a stored run.
        stored: YAML of that run's config; a key that it lacks is dropped if its value keeps the
            behavior of that version.
    """
    node, then = OmegaConf.create(text), OmegaConf.create(stored)
    assert isinstance(node, DictConfig)
    assert isinstance(then, DictConfig)
    for key, value in _added(node).items():
        group, _, name = key.partition(".")
        part = node.get(group)
        if name not in then.get(group, {}) and part is not None and part.get(name) == value:
            del part[name]
    return OmegaConf.to_yaml(node)
