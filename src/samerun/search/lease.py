"""The lease of a study: which machine's sweep runs it. A file lock does not reach that far."""

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
"""How often a sweep renews its lease."""
STALE_SECONDS = 60.0
"""Age of a lease that has expired, unless it is renewed while we watch: clocks differ and jump."""


@final
@dataclass
class Lease:
    """The right to run a study.

    Args:
        study: the study.
        own: what is stored of the sweep that has the lease.
        taken_by: the machine whose sweep took the study over while this one did not respond, as
            when a laptop sleeps; empty while the lease is ours.
    """

    study: "optuna.Study"
    own: dict[str, Any]
    taken_by: str = ""

    def look(self) -> None:
        """Reads now whether another sweep has taken the study over."""
        self.taken_by = _other(self.study, self.own) or ""


@contextlib.contextmanager
def acquire_lease(study: "optuna.Study") -> Iterator[Lease]:
    """Keeps sweeps on other machines off a study; those on this machine are kept off by a lock.

    Of two sweeps that acquire a lease at the same moment, the last one keeps it: the other one
    notices when it renews its own, and ends.

    Args:
        study: the study, in a storage that the machines share.

    Raises:
        UserError: a sweep on another machine holds the lease.
    """
    own = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex}
    _refuse(study, own["host"])
    _say(study, own)
    ended, lease = threading.Event(), Lease(study, own)
    thread = threading.Thread(target=_renew, args=(lease, ended), daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(Exception):  # the storage is unavailable: the lease expires
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
        f"{found.get('pid')}, last seen {max(0.0, silent):.0f} s ago): stop it there, or wait "
        f"{STALE_SECONDS:.0f} s if it is dead."
    )


def _is_renewed(study: "optuna.Study", found: dict[str, Any]) -> bool:
    """Whether a lease that seems to have expired is renewed, by our own clock."""
    end = time.monotonic() + 2 * RENEWED_SECONDS
    while time.monotonic() < end:
        if study.user_attrs.get(tag.STUDY_HOLDER) != found:
            return bool(study.user_attrs.get(tag.STUDY_HOLDER))
        time.sleep(min(1.0, RENEWED_SECONDS / 4))
    return False


def _say(study: "optuna.Study", own: dict[str, Any]) -> None:
    study.set_user_attr(tag.STUDY_HOLDER, {**own, "at": round(time.time(), 1)})


def _other(study: "optuna.Study", own: dict[str, Any]) -> str | None:
    """Returns the machine that holds the lease, if this sweep does not."""
    found = study.user_attrs.get(tag.STUDY_HOLDER)
    return str(found["host"]) if found and found.get("token") != own["token"] else None


def _renew(lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(RENEWED_SECONDS):
        with contextlib.suppress(Exception):  # the storage is unavailable for a while
            lease.look()
            if lease.taken_by:
                return
            _say(lease.study, lease.own)
