"""What is wrong with overrides, before Hydra reads them."""

import os
from collections.abc import Sequence

from samerun.config.composition import selects_sweep
from samerun.config.messages import sweep_missing
from samerun.config.overrides import Override, check_single_value, parse_overrides
from samerun.errors import UserError
from samerun.redaction import redact


def check_overrides(overrides: Sequence[str]) -> list[Override]:
    """Checks each override by itself, and that none replaces another one that takes several values.

    Args:
        overrides: such as `model=mlp`.

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
    _check_sweep(parsed)
    return parsed


def hide_passwords(overrides: Sequence[Override]) -> list[str]:
    """Returns the overrides as text, with `***` for the password of the tracking store.

    Hydra writes the overrides and what it makes of them into every run's folder. The complete
    address goes into the environment, where `tracking.resolve_uri` finds it in this process and in
    workers.

    Raises:
        UserError: there are several addresses with passwords.
    """
    safe = []
    for override in overrides:
        hidden = redact(override.text)
        if hidden != override.text and override.key == "tracking.uri":
            if not isinstance(override.value, str):
                raise UserError(
                    f"tracking.uri: received {hidden.partition('=')[2]}, expected one address "
                    "where it holds a password."
                )
            os.environ["MLFLOW_TRACKING_URI"] = override.value
            safe.append(hidden)
        else:
            safe.append(override.text)
    return safe


def _check_sweep(overrides: Sequence[Override]) -> None:
    """Checks that settings of a sweep come with a sweep, which an experiment may bring."""
    chosen = [one.written for one in overrides if one.key == "sweep"]
    if [written for written in chosen if written.strip().lower() in ("null", "")]:
        raise UserError("sweep: received null, expected a search space such as sweep=optuna.")
    settings = [one for one in overrides if one.key.startswith("sweep.")]
    if chosen or not settings:
        return
    experiments = [one.written.split(",")[0] for one in overrides if one.key == "experiment"]
    selected = [f"experiment={name}" for name in experiments]
    if all(selects_sweep(override) is False for override in selected):
        raise sweep_missing(settings[0].key, str(settings[0]).partition("=")[2])
