"""Who runs a study: the sweep's lock is a file, which another machine does not see."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from samerun.config import UserError

if TYPE_CHECKING:
    import optuna

_HOLDER = "samerun.holder"
RENEWED_SECONDS = 15.0
"""How often a sweep says that it still runs."""
STALE_SECONDS = 60.0
"""After how long a silent sweep counts as dead; clocks may differ by what is left."""


@contextlib.contextmanager
def held(study: "optuna.Study") -> Iterator[None]:
    """Holds a study against sweeps on other machines while it runs; those of this one know a lock.

    Two that begin within the same moment do not see each other.

    Args:
        study: the study, in a storage that the machines share.

    Raises:
        UserError: a sweep on another machine holds it.
    """
    own = {"host": socket.gethostname(), "pid": os.getpid()}
    _refuse(study, own["host"])
    _say(study, own)
    ended = threading.Event()
    thread = threading.Thread(target=_renew, args=(study, own, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(Exception):  # the storage is away: it goes stale
            study.set_user_attr(_HOLDER, None)


def _refuse(study: "optuna.Study", host: Any) -> None:
    found = study.user_attrs.get(_HOLDER) or {}
    silent = time.time() - float(found.get("at", 0.0))
    if found.get("host", host) == host or silent > STALE_SECONDS:
        return
    raise UserError(
        f"sweep.study: '{study.study_name}' is running on {found['host']} (process "
        f"{found.get('pid')}, heard of {max(0.0, silent):.0f} s ago): stop it there, or wait "
        f"{STALE_SECONDS:.0f} s if it is dead."
    )


def _say(study: "optuna.Study", own: dict[str, Any]) -> None:
    study.set_user_attr(_HOLDER, {**own, "at": round(time.time(), 1)})


def _renew(study: "optuna.Study", own: dict[str, Any], ended: threading.Event) -> None:
    while not ended.wait(RENEWED_SECONDS):
        with contextlib.suppress(Exception):  # the storage is away for a while
            _say(study, own)
