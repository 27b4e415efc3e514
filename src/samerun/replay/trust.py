"""Which code of a recorded config may be imported: only what the user names."""

import socket
from collections.abc import Sequence
from pathlib import Path

from samerun import config, tracking, user_code
from samerun import tags as tag
from samerun.command_line import is_name
from samerun.config import Config
from samerun.config.own import declaring_module
from samerun.errors import UserError, see
from samerun.user_code import DATA

CONFIG = "config/resolved.yaml"
MOST_BYTES = 200_000


def check_plain(text: str) -> None:
    """Checks that a stored config holds values only.

    `${oc.env:AWS_SECRET_ACCESS_KEY}` would put a secret of this machine into the config, and with
    it into the store it came from. What samerun stores is resolved.

    Args:
        text: YAML of the stored config.

    Raises:
        UserError: it holds an interpolation.
    """
    if "${" in text:
        raise UserError(
            "The stored config holds an interpolation, ${…}; only values are expected: it was not "
            "written by samerun and is not used."
        )


def check_trusted(cfg: Config, trusted: Sequence[str]) -> None:
    """Checks that a stored config imports nothing but modules that were named.

    Another person may have written a config in a store; importing what it names would run their
    code.

    Args:
        cfg: the stored config.
        trusted: names of modules or packages, or complete targets; a package includes its modules.
            `data` stands for the data of the run and is no module here.

    Raises:
        UserError: it would import something else.
    """
    for own in user_code.own_functions(cfg):
        module = own.target.partition(":")[0]
        if own.target in trusted or _is_trusted(module, trusted):
            continue
        name = own.trust if is_name(own.trust) else "MODULE"
        raise UserError(
            f"{own.key}: the stored run names {own.target!r}, which would be imported and run: "
            f"give --trust {name} if that code is yours or you have read it."
            + see("how-to/custom-components.md#reproducing")
        )


def trusts_components(trusted: Sequence[str]) -> bool:
    """Whether the module of the working folder that declares components may be imported.

    Args:
        trusted: as for `check_trusted`.
    """
    module = declaring_module()
    return bool(module) and _is_trusted(module, trusted)


def given_here(run: tracking.StoredRun, *, uri: str | None = None) -> tuple[str, ...]:
    """Returns what a line to type names with `--trust`, for a run that this machine trained.

    Its user gave that code to it. What a store says is no reason to trust code: the names are those
    of the config in the run's own folder, which has to be where the run was trained, on this host.
    Of every other run, the command itself says what it would import.

    Args:
        run: the run.
        uri: the store, by default that of this folder.
    """
    folder = tracking.folder_of(run, uri=uri)
    is_here = run.tags.get(tag.HOST) == socket.gethostname()
    if folder is None or not is_here or folder != Path(run.tags.get(tag.FOLDER, "")):
        return ()
    file = folder / "artifacts" / CONFIG
    try:
        if file.resolve() != folder.resolve() / "artifacts" / CONFIG:
            return ()
        with file.open(encoding="utf-8") as opened:
            text = opened.read(MOST_BYTES)
        return user_code.trust_names(config.from_yaml(text))
    except (OSError, UserError, ValueError):
        return ()


def _is_trusted(module: str, trusted: Sequence[str]) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in trusted if name != DATA)
