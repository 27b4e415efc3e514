"""What the config of a run may read here, if another machine recorded the run.

Anyone who can write to the store can write such a config. It may name any file of this machine, and
what is trained on a file goes to the store: its vocabulary, its class names, its worst mistakes in
full. So a path must stay inside the working folder, and the data must be the data that the run was
trained with, unless the user named it or gave `--trust data`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from samerun import data, tracking
from samerun import tags as tag
from samerun.config import Config
from samerun.config.overrides import parse_overrides
from samerun.config.own import is_component
from samerun.config.paths import paths
from samerun.errors import UserError, listed
from samerun.replay.recorded import clean
from samerun.tracking import StoredRun
from samerun.user_code import DATA, is_function


def check_paths(
    run: StoredRun,
    cfg: Config,
    overrides: Sequence[str],
    trusted: Sequence[str],
    *,
    uri: str | None = None,
) -> None:
    """Checks that the paths of a stored config stay inside the working folder.

    Args:
        run: the stored run.
        cfg: its config with the changes of the command line.
        overrides: these changes; a path that they name is the user's own.
        trusted: what the user trusts.
        uri: the store, by default that of this folder.

    Raises:
        UserError: another machine recorded the run, and a path leads outside.
    """
    if _is_trusted(run, trusted, uri):
        return
    for key, value in paths(cfg).items():
        reason = None if _is_named(key, overrides) else _why_outside(value)
        if reason:
            raise UserError(
                f"{key}: run {run.id}, which this machine did not record, names "
                f"'{clean(value)}', {reason}, and what is trained on it goes to the tracking "
                f"store: give {key}=… with a path of your own, or --trust {DATA} if it may."
            )


def must_match(
    run: StoredRun,
    cfg: Config,
    overrides: Sequence[str],
    trusted: Sequence[str],
    *,
    uri: str | None = None,
) -> bool:
    """Whether the data here has to be, byte for byte, the data that a run was trained with.

    Embedded and published datasets contain nothing from this machine.

    Args:
        run: the stored run.
        cfg: its config with the changes of the command line.
        overrides: these changes; data that they name is the user's own.
        trusted: what the user trusts.
        uri: the store, by default that of this folder.
    """
    if _is_trusted(run, trusted, uri):
        return False
    keys = [f"dataset.{key}" for key in paths(cfg.dataset)]
    if is_function(cfg.dataset):
        keys = ["dataset" if is_component(cfg.dataset) else "dataset.target"]
    return bool(keys) and not any(_is_named(key, overrides) for key in keys)


def check_data(run: StoredRun, stored: Config, here: Mapping[str, str] | None = None) -> None:
    """Checks that the data here is the data that a run was trained with.

    Args:
        run: the stored run.
        stored: its recorded config.
        here: digests of the data, if they are known already.

    Raises:
        UserError: the run does not say which data it was, or it is another.
    """
    now = data.digests(stored.dataset) if here is None else here
    check_digests(run.id, recorded_digests(run), now)


def recorded_digests(run: StoredRun) -> dict[str, str]:
    """Returns the digest of each split as the store has it."""
    return tag.data_digests(run.tags)


def check_digests(run_id: str, recorded: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Checks digests of splits that must be equal.

    Args:
        run_id: of the run.
        recorded: as the store has them.
        here: as they are here.

    Raises:
        UserError: they differ, or none were recorded.
    """
    differing = sorted(
        split for split in {*recorded, *here} if recorded.get(split) != here.get(split)
    )
    if not differing:
        return
    reason = (
        f"another than the run was trained with ({clean(listed(differing))})"
        if recorded
        else "not known to be the run's, which recorded no digest"
    )
    raise UserError(
        f"dataset: run {run_id} was not recorded by this machine, and the data here is {reason}; "
        "nothing was uploaded: give dataset.path=… with data of your own, or "
        f"--trust {DATA} if this data may go to the tracking store."
    )


def _is_trusted(run: StoredRun, trusted: Sequence[str], uri: str | None) -> bool:
    """Whether the user trusts the run's data, or this machine recorded it: its folder says so."""
    return DATA in trusted or tracking.folder_of(run, uri=uri) is not None


def _is_named(key: str, overrides: Sequence[str]) -> bool:
    """Whether the command line gives this key, or a part of the config that holds it."""
    given = parse_overrides(overrides)
    return any(re.match(rf"{re.escape(one.path)}([.\[]|$)", key) for one in given)


def _why_outside(value: str) -> str | None:
    """Returns why a path does not stay inside the working folder, `None` where it does."""
    if "://" in value:
        return "an address"
    here = Path.cwd()
    try:
        real = here.joinpath(Path(value).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, no such user, a NUL
        return "which is no path"
    return None if real.is_relative_to(here.resolve()) else "outside of the working folder"
