"""The complete config of a run, and what is derived from it."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from enum import Enum
from typing import Any

from samerun.config.checkpoint import Checkpoint, Trial
from samerun.config.datasets import Dataset
from samerun.config.datasets.base import Pictures
from samerun.config.fields import Range, added, added_fields, at_least, config
from samerun.config.models import Model
from samerun.config.optimizers import Optimizer
from samerun.config.schedules import Schedule
from samerun.config.training import Evaluation, OnMemory, OnNan, Tracking, Training
from samerun.redaction import redact_mapping, without_secrets


@config
class Config:
    """Everything a run depends on besides code, data and machine.

    Args:
        model: the model, independent of the data.
        dataset: the dataset, its splits, scaling and augmentation.
        optimizer: the optimizer.
        schedule: the learning rate schedule.
        training: epochs, loss, metrics, early stopping, precision and threads.
        evaluation: what is evaluated after training, with the final weights.
        tracking: where and under which names the run is recorded.
        checkpoint: when the state of the run is saved.
        seed: seed of the weights, the order of the data, dropout and augmentation.
        trial: the trial of a sweep that the run is; `null` outside a sweep.
        seeds: number of runs of this config, with the seeds `seed`, `seed` + 1, …, below one parent
            run; `null`: one run.
        folds: number of folds, with one run for each of `dataset.fold=1/folds` to `folds/folds`,
            below one parent run; `null`: one run.
        workers: how many runs of `seeds` or `folds` are trained side by side, each in a process of
            its own; 1: one after the other.
    """

    model: Model
    dataset: Dataset
    optimizer: Optimizer
    schedule: Schedule
    training: Training
    evaluation: Evaluation
    tracking: Tracking
    checkpoint: Checkpoint
    trial: Trial | None
    seed: int = at_least(0)
    seeds: int | None = added(None, Range(low=2, high=1000))
    folds: int | None = added(None, Range(low=2, high=1000))
    workers: int = added(1, Range(low=1, high=64))


def as_dict(node: Any) -> Any:
    """Returns a config object, or a part of one, as plain dicts, lists and scalars."""
    if dataclasses.is_dataclass(node):
        return {f.name: as_dict(getattr(node, f.name)) for f in dataclasses.fields(node)}
    if isinstance(node, dict):
        return {str(key): as_dict(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [as_dict(item) for item in node]
    return node.name if isinstance(node, Enum) else node


def _text(value: Any) -> str:
    """Returns a value as it is written on the command line: `null`, `true`, `[32,64]`."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _leaves(node: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def flatten(cfg: Config) -> dict[str, str]:
    """Returns every leaf of the config under the name that overrides it on the command line.

    A group's `kind` has the key of the group: `model=cnn`, `model.filters=[32,64]`. The trial of a
    sweep is not a setting and left out, as are `seeds`, `folds` and `workers` of a single run;
    secrets are `***`.
    """
    plain = redact_mapping(as_dict(cfg))
    single = {"seeds": None, "folds": None, "workers": 1}
    for key in ("trial", *(key for key, value in single.items() if plain[key] == value)):
        del plain[key]
    for name, values in cfg.training.params.items():
        if dataclasses.is_dataclass(values):  # named by `training.loss` and its like
            del plain["training"]["params"][name]["kind"]
    leaves = dict(_leaves(plain, ""))
    return {key.removesuffix(".kind"): value for key, value in leaves.items()}


_WITHOUT_MEANING = (
    "tracking",
    "checkpoint",
    "trial",
    "evaluation",
    "workers",
    "training.steps_per_execution",
)
"""Parts and keys of a config that do not affect training."""


def has_meaning(key: str) -> bool:
    """Whether a key, such as `model.dropout`, affects training."""
    return not any(key == part or key.startswith(f"{part}.") for part in _WITHOUT_MEANING)


def parameters(cfg: Config) -> dict[str, str]:
    """Returns the parameters of a run in MLflow: the flattened keys that can change its result."""
    return {key: value for key, value in flatten(cfg).items() if has_meaning(key)}


def idle_keys(cfg: Config) -> set[str]:
    """Returns the options that are off, which do not affect training.

    Runs and studies recorded before these keys existed keep their fingerprints.
    """
    training = cfg.training
    nan_fails = training.on_nan is OnNan.fail
    memory_fails = training.on_memory is OnMemory.fail
    idle = {"training.on_nan", "training.retry_learning_rate_factor"} if nan_fails else set()
    idle |= {"training.on_memory"} if memory_fails else set()
    idle |= {f"training.{key}" for key in ("callbacks", "params") if not getattr(training, key)}
    return idle | ({"training.max_retries"} if nan_fails and memory_fails else set())


def keys_as_before(cfg: Config) -> set[str]:
    """Returns the keys that earlier versions did not have, where nothing changed."""
    parts: dict[str, Any] = {"": cfg, "model": cfg.model, "dataset": cfg.dataset}
    if isinstance(cfg.dataset, Pictures):
        parts["dataset.augmentation"] = cfg.dataset.augmentation
    for name, values in cfg.training.params.items():
        if dataclasses.is_dataclass(values):
            parts[f"training.params.{name}"] = values
    return {
        f"{part}.{name}".removeprefix(".")
        for part, node in parts.items()
        for name, value in added_fields(node).items()
        if as_dict(getattr(node, name)) == value
    }


def _meaning(node: dict[str, Any], left_out: set[str], prefix: str = "") -> dict[str, Any]:
    return {
        key: _meaning(value, left_out, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in node.items()
        if has_meaning(f"{prefix}{key}") and f"{prefix}{key}" not in left_out
    }


def fingerprint(cfg: Config) -> str:
    """Returns the SHA-256 of all settings that affect training, in hex.

    Excluded is what does not affect training: `tracking`, `checkpoint`, `trial`, `evaluation` and
    `workers`; `training.steps_per_execution`, which only affects speed, and policies of `training`
    that are off; and keys that earlier versions did not have, where their value means what those
    did.
    """
    plain = without_secrets(as_dict(cfg))  # a digest of a short secret could be reversed
    meaning = _meaning(plain, idle_keys(cfg) | keys_as_before(cfg))
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()
