"""What is wrong with overrides, before Hydra reads them."""

import os
import re
from collections.abc import Sequence, Set

from hydra.core.config_store import ConfigStore

from samerun.config import project
from samerun.config.composition import selects_sweep
from samerun.config.messages import sweep_missing, unknown_key, unknown_option
from samerun.config.overrides import Override, check_single_value, parse_overrides
from samerun.config.schema import GROUPS, leaves, options
from samerun.config.suggestions import chosen_options
from samerun.errors import UserError
from samerun.redaction import redact

_NAME = re.compile(r"[\w-]+")
_WHOLES = frozenset(("experiment", "sweep", "debug"))
_REGISTERED = frozenset(("hydra", "schema", "schema.yaml", "_dummy_empty_config_.yaml"))
"""What Hydra and samerun themselves add to Hydra's `ConfigStore`."""


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
    if not _searches_elsewhere(parsed):
        _check_options(parsed)
        _check_keys(parsed, _own_files())
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


def _own_files() -> set[str]:
    """Returns the names in the user's own folders: groups, mostly."""
    return {entry.name for folder in project.config_folders() for entry in folder.glob("*")}


def _searches_elsewhere(overrides: Sequence[Override]) -> bool:
    """Whether Hydra may find options in folders or objects that are not known here."""
    registered = set(ConfigStore.instance().repo) - _REGISTERED
    return bool(registered) or any(one.top == "hydra" for one in overrides)


def _check_options(overrides: Sequence[Override]) -> None:
    """Checks that each single option exists, which needs no composing.

    Raises:
        UserError: there is no such option.
    """
    for one in {one.key: one for one in overrides}.values():  # the last one of a key counts
        known = [] if one.prefix == "~" else options(one.key)
        is_name = isinstance(one.value, str) and _NAME.fullmatch(one.value)  # no path, no `${…}`
        if known and is_name and one.value not in known:
            raise unknown_option(one.key, one.value, known)


def _check_keys(overrides: Sequence[Override], own: Set[str]) -> None:
    """Checks that each key exists, as far as the config classes say: composing takes 0.2 s.

    Hydra checks all of it again; what depends on config files is left to it.

    Args:
        overrides: of the command line.
        own: the names in the user's own folders.

    Raises:
        UserError: no option has the key, or the one that is chosen lacks it.
    """
    texts = [one.text for one in overrides]
    is_searched = any(one.key == "sweep" for one in overrides)
    # A file may choose the options of other groups; one of a group above only if it is chosen.
    is_known = own <= _WHOLES and not any(_may_choose(one, own) for one in overrides)
    for one in overrides:
        kinds = _kinds(one, own)
        if kinds is None or (one.is_sweep and not is_searched):  # `lr=0,01` lacks a dot
            continue
        if not kinds:
            raise unknown_key(one.path, texts)
        is_sure = is_known and "" not in kinds
        if is_sure and chosen_options(texts).get(one.top, "") not in ("", *kinds):
            raise unknown_key(one.path, texts)


def _may_choose(override: Override, own: Set[str]) -> bool:
    """Whether options may be chosen by more than one that is written as `model=mlp`."""
    group, _, name = override.text.partition("=")
    if override.text == "sweep=optuna":
        return "sweep" in own
    if group in GROUPS:
        return not _NAME.fullmatch(name)
    is_kind = override.path.endswith(".kind") or override.path.startswith("sweep.params")
    return is_kind or "@" in override.key or override.is_group()


def _kinds(override: Override, own: Set[str]) -> list[str] | None:
    """Returns the options of its group that have a key; `None` where only composing can know."""
    path, top = override.path, override.top
    if override.prefix == "~" or top == "trial" or path.endswith(".kind") or top in own:
        return None
    if "@" in override.key or override.is_group() or (top in GROUPS and project.settings().package):
        return None
    known = leaves()
    if any(leaf.startswith(f"{path}.") or path.startswith(f"{leaf}.") for leaf in known):
        return None
    return list(known.get(path, ()))
