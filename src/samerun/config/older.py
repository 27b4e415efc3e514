"""Stored configs of earlier versions: keys that they lack, with the values that apply."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from samerun.config.datasets.base import Augmentation
from samerun.config.fields import added_fields
from samerun.config.schema import GROUPS
from samerun.errors import UserError

ADDED: dict[str, Any] = {
    "training.on_nan": "fail",
    "training.on_memory": "fail",
    "training.callbacks": [],
    "training.params": {},
    "training.max_retries": 3,
    "training.retry_learning_rate_factor": 0.5,
    "checkpoint.after_success": "keep",
    "tracking.log_seconds": False,
    "tracking.patience_seconds": 30.0,
    "seeds": None,
    "folds": None,
    "workers": 1,
}
"""Keys that version 0.1.0 did not have, with the values that keep its behavior.

They may differ from today's defaults in `conf/`. Keys added to a kind of model or dataset
and to augmentation are declared there (`fields.added`)."""


def _added(node: DictConfig) -> dict[str, Any]:
    """Returns `ADDED` with the keys that were added to the config's model and dataset."""
    parts: dict[str, Any] = {"dataset.augmentation": Augmentation}
    for group in ("model", "dataset"):
        part = _part(node, group)
        name = None if part is None else part.get("kind")
        parts[group] = next((kind for kind in GROUPS[group] if kind.kind == name), None)
    return ADDED | {
        f"{part}.{key}": value
        for part, owner in parts.items()
        if owner is not None
        for key, value in added_fields(owner).items()
    }


def _part(node: Any, group: str) -> DictConfig | None:
    """Returns a group of a stored config, such as `dataset.augmentation`; `None` without one.

    The group '' is the config itself.
    """
    for name in filter(None, group.split(".")):
        node = node.get(name) if isinstance(node, DictConfig) else None
    return node if isinstance(node, DictConfig) else None


SWEEP_ADDED: dict[str, Any] = {
    "constraints": [],
    "confirm": {"top": 0, "seeds": 5},
    "wilcoxon": {"p_threshold": 0.1, "startup_instances": 2},
    "promote": False,
    "learn_from": None,
}
"""Keys that the sweeps of version 0.1.0 did not have, with the values that keep its behavior."""


def upgrade_sweep(plain: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a recorded sweep with today's keys.

    Args:
        plain: the settings; they are not changed.

    Raises:
        UserError: its pruner was the `wilcoxon` of version 0.1.0, whose steps were epochs.
    """
    options, patient = plain.get("wilcoxon"), plain.get("patient")
    if not isinstance(options, dict) or "startup_instances" in options:
        return {**SWEEP_ADDED, **plain}
    inner = patient.get("pruner") if isinstance(patient, dict) else None
    if "wilcoxon" in (plain.get("pruner"), inner):
        raise UserError(
            "sweep.pruner: the sweep was recorded with the wilcoxon of an earlier version, which "
            "took the epochs of one training for independent results: start a new study, with "
            "sweep.pruner=median, or with sweep.pruner=wilcoxon and seeds=5."
        )
    return {**SWEEP_ADDED, **{key: value for key, value in plain.items() if key != "wilcoxon"}}


def add_missing_keys(node: DictConfig) -> DictConfig:
    """Returns a stored config with the keys that did not exist when it was recorded.

    Args:
        node: the stored config; it is not changed.
    """
    complete = node.copy()
    for key, value in _added(node).items():
        group, _, name = key.rpartition(".")
        part = _part(node, group)
        if part is not None and name not in part:
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
        group, _, name = key.rpartition(".")
        part, recorded = _part(node, group), _part(then, group)
        if part is not None and part.get(name) == value and name not in (recorded or {}):
            del part[name]
    return OmegaConf.to_yaml(node)
