"""Who runs a study: the sweep's lock is a file, which another machine does not see."""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from samerun import tags as tag
from samerun.errors import UserError

if TYPE_CHECKING:
    import optuna

RENEWED_SECONDS = 15.0
"""How often a sweep says that it still runs."""
STALE_SECONDS = 60.0
"""After how long a silent sweep counts as dead, if it then stays silent: clocks differ and jump."""


@final
@dataclass
class Lease:
    """Whether a study is still this sweep's own.

    Args:
        taken_by: the machine whose sweep took the study over while this one was silent, as that of
            a laptop is that slept; empty while it is ours.
    """

    taken_by: str = ""


@contextlib.contextmanager
def acquire_lease(study: "optuna.Study") -> Iterator[Lease]:
    """Holds a study against sweeps on other machines while it runs; those of this one know a lock.

    Of two that say so within the same moment the last one has it: the other one sees that when it
    would say so again, and ends.

    Args:
        study: the study, in a storage that the machines share.

    Raises:
        UserError: a sweep on another machine holds it.
    """
    own = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex}
    _refuse(study, own["host"])
    _say(study, own)
    ended, lease = threading.Event(), Lease()
    thread = threading.Thread(target=_renew, args=(study, own, ended, lease), daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(Exception):  # the storage is away: it goes stale
            if _other(study, own) is None:
                study.set_user_attr(tag.STUDY_HOLDER, None)


def _refuse(study: "optuna.Study", host: Any) -> None:
    found = study.user_attrs.get(tag.STUDY_HOLDER) or {}
    silent = time.time() - float(found.get("at", 0.0))
    if found.get("host", host) == host:
        return
    if not -RENEWED_SECONDS < silent < STALE_SECONDS and not _is_renewed(study, found):
        return
    raise UserError(
        f"sweep.study: '{study.study_name}' is running on {found['host']} (process "
        f"{found.get('pid')}, heard of {max(0.0, silent):.0f} s ago): stop it there, or wait "
        f"{STALE_SECONDS:.0f} s if it is dead."
    )


def _is_renewed(study: "optuna.Study", found: dict[str, Any]) -> bool:
    """Whether a sweep whose last word is not of the last minute says it again, by our own clock."""
    end = time.monotonic() + 2 * RENEWED_SECONDS
    while time.monotonic() < end:
        if study.user_attrs.get(tag.STUDY_HOLDER) != found:
            return bool(study.user_attrs.get(tag.STUDY_HOLDER))
        time.sleep(min(1.0, RENEWED_SECONDS / 4))
    return False


def _say(study: "optuna.Study", own: dict[str, Any]) -> None:
    study.set_user_attr(tag.STUDY_HOLDER, {**own, "at": round(time.time(), 1)})


def _other(study: "optuna.Study", own: dict[str, Any]) -> str | None:
    """Returns the machine of the sweep that holds the study, if that is not ours."""
    found = study.user_attrs.get(tag.STUDY_HOLDER)
    return str(found["host"]) if found and found.get("token") != own["token"] else None


def _renew(
    study: "optuna.Study", own: dict[str, Any], ended: threading.Event, lease: Lease
) -> None:
    while not ended.wait(RENEWED_SECONDS):
        with contextlib.suppress(Exception):  # the storage is away for a while
            lease.taken_by = _other(study, own) or ""
            if lease.taken_by:
                return
            _say(study, own)
