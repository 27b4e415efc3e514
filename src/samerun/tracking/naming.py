"""Names of runs: their parts, what differs from the defaults, and four random characters."""

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samerun import config
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # without l, o, 0 and 1, which are easily misread
_NUM_DIFFERENCES = 3
_LONGEST = 16


def _difference(override: str) -> str | None:
    """Shortens an override such as `model.dropout=0.3` to `dropout0.3`."""
    key, equals, value = override.lstrip("+~").partition("=")
    group = key.partition("@")[0]
    if not equals or "." not in group or group.startswith(("tracking.", "hydra.")):
        return None
    plain = value.strip("[](){}'\" ").replace(",", "x").replace(" ", "")
    kept = "".join(c for c in plain if c.isalnum() or c in "._-")
    return f"{group.rpartition('.')[2]}{kept[:_LONGEST]}"


def run_name(cfg: "config.Config", overrides: Sequence[str] = ()) -> str:
    """Returns `cnn-digits-adam-cosine-dropout0.3-x7fq`, or the name the config gives.

    The four characters at the end come from the operating system, not from a seeded generator:
    MLflow's own names are drawn with Python's `random`, and after seeding every run has the
    same name.

    Args:
        cfg: the run's config.
        overrides: those of the command line, such as `model.dropout=0.3`.
    """
    if cfg.tracking.run_name:
        return cfg.tracking.run_name
    parts = [cfg.model.kind, cfg.dataset.kind, cfg.optimizer.kind, cfg.schedule.kind]
    differences = [short for override in overrides if (short := _difference(override))]
    suffix = "".join(secrets.choice(_LETTERS) for _ in range(4))
    return "-".join([*parts, *differences[:_NUM_DIFFERENCES], suffix])


def fresh_folder() -> Path:
    """Returns a new run's folder: `outputs/DATE/TIME` in the working folder."""
    now = datetime.now()
    return Path("outputs", now.strftime("%Y-%m-%d"), now.strftime("%H-%M-%S-%f")).absolute()
