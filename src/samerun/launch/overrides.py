"""What is wrong with overrides, before Hydra reads them."""

import os
from collections.abc import Sequence

from samerun.config import project
from samerun.config.composition import selects_sweep
from samerun.config.messages import sweep_missing, unknown_key, unknown_option
from samerun.config.overrides import Override, check_single_value, parse_overrides
from samerun.config.schema import GROUPS, leaves, options
from samerun.config.suggestions import chosen_options
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
    _check_options(parsed)
    _check_keys(parsed)
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


def _check_options(overrides: Sequence[Override]) -> None:
    """Checks that each single option exists, which needs no composing.

    Raises:
        UserError: there is no such option.
    """
    if any(one.top == "hydra" for one in overrides):
        return  # it may search other folders
    for one in overrides:
        known = [] if one.prefix == "~" else options(one.key)
        if known and isinstance(one.value, str) and one.value not in known:
            raise unknown_option(one.key, one.value, known)


def _check_keys(overrides: Sequence[Override]) -> None:
    """Checks that each key exists, as far as the config classes say: composing takes 0.2 s.

    Hydra checks all of it again; what depends on config files is left to it.

    Raises:
        UserError: no option has the key, or the one that is chosen lacks it.
    """
    texts = [one.text for one in overrides]
    chosen = {one.key: one.written for one in overrides}
    varied = {one.top for one in overrides if one.is_sweep and one.key == one.top}
    # Their files may choose other options, or vary them.
    has_files = {"experiment", "debug"} & set(chosen) or chosen.get("sweep", "optuna") != "optuna"
    for one in overrides:
        kinds = _kinds(one)
        if kinds is None or (one.is_sweep and "sweep" not in chosen):  # `lr=0,01` lacks a dot
            continue
        if kinds and (has_files or one.top in varied or "sweep.params" in chosen):
            continue
        option = chosen_options(texts).get(one.top, "") if kinds else None
        if option not in ("", *kinds) and "" not in kinds:
            raise unknown_key(one.path, texts)


def _kinds(override: Override) -> list[str] | None:
    """Returns the options of its group that have a key; `None` where only composing can know."""
    path, top = override.path, override.top
    group = override.key.partition("@")[0]
    if override.prefix == "~" or top in ("hydra", "trial") or path.endswith(".kind"):
        return None
    if options(group) or project.own_options(top) or (top in GROUPS and project.settings().package):
        return None
    known = leaves()
    if any(leaf.startswith(f"{path}.") or path.startswith(f"{leaf}.") for leaf in known):
        return None
    return list(known.get(path, ()))
