"""What runs inside a Dask worker: reporting what is installed there, and training trials.

Dask runs a task in a thread that is not the main one, so nothing here installs signal handlers.
"""

import logging
import os
import platform
import socket
import stat
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import samerun
from samerun import process, provenance, tracking
from samerun.errors import Terminated, UserError, WorkerLost
from samerun.redaction import HIDDEN, is_redacted_form, redact
from samerun.search import STORAGE_VARIABLE
from samerun.sweeper import worker as training
from samerun.tracking.recovery.folders import RUN_FILE

TOKEN = uuid.uuid4().hex
"""Identifies this process: a worker that returns at the same address is a different one."""

_PACKAGE = Path(samerun.__file__).parent
CODE = provenance.digest_of_files(list(_PACKAGE.rglob("*.py")), _PACKAGE)
"""Digest of the source files when this process started; a later installation does not run here."""
DELIVERY_SECONDS = 600.0
"""How long a trial waits for an unavailable store: a server may take as long to restart."""
LOOK_SECONDS = 0.5
"""How often a call checks whether it is still needed."""

_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "grpc": 13000}

_log = logging.getLogger(__name__)
_sent: dict[str, str] = {}
_stops: set[str] = set()


@dataclass(frozen=True, kw_only=True)
class WorkerEnvironment:
    """What a process can run, to be compared with the sweep's own.

    Args:
        token: identifies the process.
        python: version of the interpreter.
        code: digest of the package's own source files.
        packages: versions of the package's requirements, and of theirs.
        unreachable: what it could not reach; empty if it reached everything.
    """

    token: str
    python: str
    code: str
    packages: dict[str, str]
    unreachable: str


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The stores that a worker has to reach, by address without password; `None` if there is none.

    Args:
        storage: that of the study.
        tracking: that of the runs.
        secret: whether the storage's address contains a password.
    """

    storage: str | None = None
    tracking: str | None = None
    secret: bool = False


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What a worker receives with every call.

    Args:
        folder: name of the study's folder on the worker.
        token: the process it is for.
        modules: the user's own modules, by their path below the working folder.
    """

    folder: str
    token: str
    modules: Mapping[str, str] = field(default_factory=dict)


def describe_worker(needs: Needs) -> WorkerEnvironment:
    """Returns what this process can run and reach."""
    return WorkerEnvironment(
        token=TOKEN,
        python=platform.python_version(),
        code=CODE,
        packages=_requirements(),
        unreachable=_unreachable(needs),
    )


def _requirements() -> dict[str, str]:
    """Returns the versions of the package's requirements; a worker may lack other packages."""
    normalized = provenance.normalized
    installed = {normalized(name): version for name, version in provenance.packages().items()}
    found: dict[str, str] = {}
    waiting = ["samerun", "distributed"]
    while waiting:
        name = waiting.pop()
        if name in found or name not in installed:
            continue
        found[name] = installed[name]
        waiting += provenance.requirements(name)
    return found


def _unreachable(needs: Needs) -> str:
    given = os.environ.get(STORAGE_VARIABLE, "")
    if needs.secret and needs.storage and redact(given) != needs.storage:
        return f"has no SAMERUN_STORAGE for {needs.storage}: set it before the worker starts"
    if needs.tracking and HIDDEN in needs.tracking:
        given = os.environ.get("MLFLOW_TRACKING_URI", "")
        if not is_redacted_form(needs.tracking, given):
            return f"has no MLFLOW_TRACKING_URI for {needs.tracking}: set it before it starts"
    for address in filter(None, (needs.storage, needs.tracking)):
        parts = urlsplit(address)
        usual = _PORTS.get(parts.scheme.partition("+")[0])
        if not parts.hostname or not (parts.port or usual):
            continue
        try:
            socket.create_connection((parts.hostname, parts.port or usual), timeout=5).close()
        except OSError as error:
            return f"cannot reach {address}: {error.strerror or error}"
    return ""


def call(context: TaskContext, function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function in the study's folder on this worker, with the user's modules in it.

    Raises:
        WorkerLost: the call was meant for a process that is gone. Dask would rerun it here by
            itself, without telling the sweep.
    """
    from distributed import get_worker

    if context.token != TOKEN:
        raise WorkerLost("its process is gone")
    worker = get_worker()
    folder = _own_folder(_base(worker.local_directory)) / context.folder
    folder.mkdir(exist_ok=True)
    _unpack(context.modules, folder)
    os.chdir(folder)  # for the entire process: a worker runs one trial at a time
    ended = threading.Event()
    watch = (worker, worker.get_current_task(), context.folder, ended)
    threading.Thread(target=_watch, args=watch, daemon=True).start()
    _stops.discard(context.folder)
    try:
        return function(*args)
    finally:
        ended.set()


def run_trial(task: Any) -> Any:
    """Trains a trial, and releases its worker when the store has received the complete run.

    Otherwise undelivered data would stay in a folder of this machine, which the sweep cannot see: a
    trial that ends while the network is down waits until it is up again.
    """
    outcome = training.run_trial(task)
    end = time.monotonic() + DELIVERY_SECONDS
    while not _is_delivered(Path(task.folder)) and time.monotonic() < end:
        time.sleep(5)
    return outcome


def _is_delivered(folder: Path) -> bool:
    if not (folder / RUN_FILE).exists():
        return True  # it never started
    try:
        tracking.deliver(folder)
    except UserError as error:  # the store is unavailable
        _log.warning("%s", error)
        return False
    return True


def request_stop(folder: str) -> None:
    """Asks a trial of a study to write a checkpoint and stop, as SIGTERM does elsewhere."""
    _stops.add(folder)


def _watch(worker: Any, key: Any, folder: str, ended: threading.Event) -> None:
    """Passes on a request to stop, and ends this process when its call is no longer needed.

    Dask cannot stop a thread: a call whose sweep was killed, whose sweep abandoned it, or
    whose worker lost the scheduler would continue beside the call that replaces it.
    """
    while not ended.wait(LOOK_SECONDS):
        task = worker.state.tasks.get(key)
        is_wanted = task is not None and task.state in ("executing", "long-running")
        if not is_wanted or worker.status.name not in ("running", "paused"):
            if not ended.is_set():
                os._exit(1)
            return
        # If the training does not accept the request yet, it is repeated.
        if folder in _stops and process.request_stop(Terminated):
            _stops.discard(folder)


def _base(local_directory: str) -> Path:
    """Returns the worker's folder, which outlives its scratch space."""
    local = Path(local_directory).absolute()
    scratch = (p.parent for p in [local, *local.parents] if p.name.startswith("dask-scratch"))
    return next(scratch, local)


def _own_folder(base: Path) -> Path:
    """Returns a folder that only this user can write to: modules are imported from it.

    Raises:
        PermissionError: it belongs to another user, as it may in a folder such as `/tmp`.
    """
    user = os.getuid() if sys.platform != "win32" else 0
    folder = base / f"samerun-sweeps-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user:
        raise PermissionError(f"{folder} belongs to another user: give the worker another folder")
    return folder


def _unpack(modules: Mapping[str, str], folder: Path) -> None:
    """Writes the user's modules; removes those of an earlier sweep from this process."""
    for name, text in modules.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    if dict(modules) != _sent:
        for name in {*modules, *_sent}:
            sys.modules.pop(_module(name), None)
        _sent.clear()
        _sent.update(modules)


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
