"""What is wrong with overrides, before Hydra reads them."""

import re
from collections.abc import Sequence

from samerun.config.composition import is_sweep
from samerun.config.messages import without_sweep
from samerun.errors import UserError
from samerun.redaction import redact_override
from samerun.search.grammar import understood
from samerun.search.parse_space import check_one_value


def check_overrides(overrides: Sequence[str], *, config_dir: str | None = None) -> list[str]:
    """Checks each override by itself, and that none replaces another one that takes several values.

    Args:
        overrides: such as `model=mlp`.
        config_dir: a folder of the user's own with config files.

    Returns:
        The same overrides.

    Raises:
        UserError: the first that is wrong.
    """
    known: dict[str, tuple[str, bool]] = {}
    for word in overrides:
        override = understood(word, re.split(r"[=\s]", word.lstrip("+~"))[0])
        key = str(override.get_key_element()).lstrip("+~")
        setting = key.partition(".")[0]
        if setting == "trial" and word != "trial=null":
            raise UserError(f"{key}: only a sweep says which trial a run is: leave it out.")
        if setting == "sweep":
            check_one_value(word)
        before, does_vary = known.get(key, ("", False))
        if before and (key == "sweep" or does_vary or override.is_sweep_override()):
            raise UserError(
                f"{key}: received '{redact_override(before)}' and '{redact_override(word)}', "
                "expected one of them."
            )
        known[key] = (word, override.is_sweep_override())
    _check_sweep(overrides, config_dir)
    return list(overrides)


def _check_sweep(overrides: Sequence[str], config_dir: str | None) -> None:
    """Checks that settings of a sweep come with a sweep, which an experiment may bring."""
    given = [word.lstrip("+").partition("=") for word in overrides]
    chosen = [value for key, _, value in given if key == "sweep"]
    if [value for value in chosen if value.strip().lower() in ("null", "")]:
        raise UserError("sweep: received null, expected a search space such as sweep=optuna.")
    settings = [key for key, _, _ in given if key.startswith("sweep.")]
    if chosen or not settings:
        return
    experiments = [value.split(",")[0] for key, _, value in given if key == "experiment"]
    words = [f"experiment={name}" for name in experiments]
    if all(is_sweep(word, config_dir) is False for word in words):
        raise without_sweep(settings[0])
