"""What is wrong with overrides, before Hydra reads them."""

from collections.abc import Sequence

from samerun.config.composition import is_sweep
from samerun.config.messages import without_sweep
from samerun.config.overrides import Override, check_single_value, parse_overrides
from samerun.errors import UserError


def check_overrides(overrides: Sequence[str], *, config_dir: str | None = None) -> list[Override]:
    """Checks each override by itself, and that none replaces another one that takes several values.

    Args:
        overrides: such as `model=mlp`.
        config_dir: a folder of the user's own with config files.

    Returns:
        The overrides, parsed.

    Raises:
        UserError: the first that is wrong.
    """
    known: dict[str, Override] = {}
    parsed = parse_overrides(overrides)
    for override in parsed:
        key = override.key
        if override.top == "trial" and override.text != "trial=null":
            raise UserError(f"{key}: only a sweep says which trial a run is: leave it out.")
        if override.top == "sweep":
            check_single_value(override)
        before = known.get(key)
        if before and (key == "sweep" or before.is_sweep or override.is_sweep):
            raise UserError(f"{key}: received '{before}' and '{override}', expected one of them.")
        known[key] = override
    _check_sweep(parsed, config_dir)
    return parsed


def _check_sweep(overrides: Sequence[Override], config_dir: str | None) -> None:
    """Checks that settings of a sweep come with a sweep, which an experiment may bring."""
    chosen = [one.written for one in overrides if one.key == "sweep"]
    if [written for written in chosen if written.strip().lower() in ("null", "")]:
        raise UserError("sweep: received null, expected a search space such as sweep=optuna.")
    settings = [one.key for one in overrides if one.key.startswith("sweep.")]
    if chosen or not settings:
        return
    experiments = [one.written.split(",")[0] for one in overrides if one.key == "experiment"]
    words = [f"experiment={name}" for name in experiments]
    if all(is_sweep(word, config_dir) is False for word in words):
        raise without_sweep(settings[0])
