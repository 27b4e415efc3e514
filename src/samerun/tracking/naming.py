"""Names of runs: what differs first, then what it is, and four random characters."""

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from samerun.folders import was_passed_in

if TYPE_CHECKING:
    from samerun import config

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # without l, o, 0 and 1, which are easily misread
_NUM_DIFFERENCES = 6
_WHAT = ("model", "dataset")
_NAMED_BY_OPTION = (*_WHAT, "optimizer", "schedule", "experiment")  # others as `debug=fast`
_ONLY_SPEED = "training.steps_per_execution"
_LAST = ("training.epochs", "dataset.limit")
_KEPT = frozenset("._-:+")


def run_name(
    cfg: "config.Config", overrides: Sequence[str] = (), varied: Collection[str] = ()
) -> str:
    """Returns `dropout=0.3 cosine · cnn digits x7fq`, or the name the config gives.

    MLflow's list of runs shows the first 20 characters or so, hence the order: what varies among
    the runs of a multirun, settings, chosen options, then model and dataset, or the experiment.

    The four characters at the end come from the operating system, not from a seeded generator:
    MLflow's own names are drawn with Python's `random`, and after seeding every run has the
    same name.

    Args:
        cfg: the run's config.
        overrides: those of the command line, such as `model.dropout=0.3`.
        varied: the keys that have several values in the multirun.
    """
    from samerun.config.short_names import short_word  # with Hydra, which takes 0.3 s to import

    if cfg.tracking.run_name:
        return cfg.tracking.run_name
    given = dict(pair for override in overrides if (pair := _setting(override)))
    varied = {_path(key) for key in varied}
    what = [group for group in _WHAT if group not in varied]
    if "experiment" in given and "experiment" not in varied:
        what = ["experiment"]
    kinds = {"model": cfg.model.kind, "dataset": cfg.dataset.kind}
    first = [key for key in given if key in varied]
    rest = [key for key in given if key not in {*varied, *what}]
    rest.sort(key=_rank)
    shown = max(_NUM_DIFFERENCES, len(first))
    differences = [_word(key, given[key]) for key in [*first, *rest]]
    more = [f"+{len(differences) - shown}"] if len(differences) > shown else []
    parts = [" ".join([*differences[:shown], *more])]
    parts.append(" ".join(short_word(given.get(key) or kinds[key], 40) for key in what))
    suffix = "".join(secrets.choice(_LETTERS) for _ in range(4))
    return f"{' · '.join(filter(None, parts))} {suffix}"


def _rank(key: str) -> int:
    """Returns how late a setting comes: those that are compared most often come first."""
    if key == "debug":
        return 0
    if key in _NAMED_BY_OPTION:
        return 2
    return 3 if key in _LAST else 1


def _path(key: str) -> str:
    return key.partition("@")[0].replace("/", ".")


def _setting(override: str) -> tuple[str, str] | None:
    """Returns key and value of an override that can change a result, or the speed."""
    from samerun.config.root import has_meaning

    key, equals, value = override.lstrip("+~").partition("=")
    group = _path(key)
    is_named = has_meaning(group) or group == _ONLY_SPEED
    if not equals or not is_named or group.partition(".")[0] in ("hydra", "sweep"):
        return None
    if group == "dataset.path" and was_passed_in(value):
        return None  # a digest, which tells a person nothing
    plain = value.strip("[](){}'\" ").replace(", ", ",").replace(",", "x")
    if group.rpartition(".")[2] == "path":
        plain = PurePath(plain).name
    plain = plain.replace("/", "-").replace(" ", "-")
    return group, "".join(c for c in plain if c.isalnum() or c in _KEPT)


def _word(key: str, value: str) -> str:
    from samerun.config.short_names import short_setting, short_word

    if key in _NAMED_BY_OPTION and value not in ("none", "default", "custom"):
        return short_word(value)
    return short_setting(key.rpartition(".")[2], value)


def fresh_folder() -> Path:
    """Returns a new run's folder: `outputs/DATE/TIME` in the working folder."""
    now = datetime.now()
    return Path("outputs", now.strftime("%Y-%m-%d"), now.strftime("%H-%M-%S-%f")).absolute()
