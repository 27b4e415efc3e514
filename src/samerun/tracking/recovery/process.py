"""The process of a run, in its tags, and whether that process certainly no longer exists.

A process ID alone names a process only within one PID namespace of one boot of one machine: two
containers may have the same host name and both a process 7. What a system does
not provide (there is no `/proc` outside of Linux) is empty on both sides of the comparison.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import final

from samerun import tags as tag

HEARTBEAT_SECONDS = 60.0

_PROC = Path("/proc")


def process_tags() -> dict[str, str]:
    """Returns the tags that name this process: host, boot, PID namespace, PID and start time.

    What is not known is "", which replaces the value of an earlier process.
    """
    return {
        **_surroundings(),
        tag.PID: str(os.getpid()),
        tag.PROCESS_STARTED: _start_of(os.getpid()) or "",
        tag.HEARTBEAT: _now(),
    }


def is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that the tags name ran where this one runs, and no longer exists.

    `False` where that cannot be known from here: on another host, after a reboot, in another
    container, or where the tags are those of version 0.1.0. A heartbeat proves nothing: while the
    store is unavailable, a healthy process cannot send one.
    """
    here = _surroundings()
    if any(tags.get(key, "") != value for key, value in here.items()):
        return False
    pid, started = tags.get(tag.PID, ""), tags.get(tag.PROCESS_STARTED, "")
    if not (pid.isascii() and pid.isdecimal() and len(pid) < 10 and started):
        return False
    return _start_of(int(pid)) != started


def last_heard_of(tags: Mapping[str, str]) -> str:
    """Returns ` (last heard of 0:02:10 ago)`, by the clocks of both machines; or an empty text."""
    stated = tags.get(tag.HEARTBEAT, "")
    if not (stated.isascii() and stated.isdecimal() and len(stated) < 16):
        return ""
    seconds = max(round(time.time() - int(stated) / 1000), 0)
    return f" (last heard of {timedelta(seconds=seconds)} ago)"


def _surroundings() -> dict[str, str]:
    """Returns what has to be equal for process IDs to mean the same; "" where it is not known."""
    return {
        tag.HOST: socket.gethostname(),
        tag.BOOT: _boot(),
        tag.PID_NAMESPACE: _pid_namespace(),
    }


def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _pid_namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").stat().st_ino)
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """Returns when a process started; `None` if there is none of that ID.

    On Linux in clock ticks since the boot: psutil's time of day moves when the clock is corrected.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[
            19
        ]  # the name before may contain spaces and brackets
    except (OSError, IndexError):
        pass
    import psutil  # most systems have `/proc`

    try:
        return f"{psutil.Process(pid).create_time():.1f}"
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return ""  # it exists, and belongs to another user


def _now() -> str:
    return str(time.time_ns() // 1_000_000)


@final
class Heartbeat:
    """Sets the tag `samerun.heartbeat` at most once a minute, for other machines.

    Args:
        set_tag: sets one tag of the run; may raise.
    """

    def __init__(self, set_tag: Callable[[str, str], object]) -> None:
        self._set_tag = set_tag
        self._next = time.monotonic() + HEARTBEAT_SECONDS
        self._lock = threading.Lock()

    def beat(self) -> None:
        """Sets the tag if it is due.

        Raises:
            Exception: the store is unavailable.
        """
        with self._lock:
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + HEARTBEAT_SECONDS
        self._set_tag(tag.HEARTBEAT, _now())
