"""Python processes that start warm: forked from one that has imported what takes seconds.

A fresh process pays 15 s of processor time for TensorFlow, Keras and MLflow before it does what a
test asks for. Where the start is not the question, `Warm` and `run` fork a process that has done
these imports; TensorFlow's runtime starts in the fork, as in every process. The workers of such a
process start warm too. Start cold what reads the environment at import, looks at its own command
line or imports, or compares fresh processes.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import json
import multiprocessing.util
import os
import platform
import random
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from pathlib import Path

TRAINS = (
    "samerun.cli",
    "samerun.training",
    "samerun.launch",
    "sklearn.datasets",
    "sklearn.metrics",
)
SWEEPS = ("samerun.sweeper.execution", "samerun.report", "optuna.visualization", "sklearn.metrics")
SERVES = ("mlflow.server.fastapi_app", "uvicorn")
LIBRARIES = (  # what these import, for other source files of samerun
    *("keras", "mlflow", "tensorflow", "optuna.visualization", "hydra.main", "rich.console"),
    *(
        "sklearn.datasets",
        "sklearn.metrics",
        "matplotlib.pyplot",
        "matplotlib.backends.backend_svg",
    ),
)
PREPARED = {
    "all": (*TRAINS, *SWEEPS, *SERVES),
    "libraries": LIBRARIES,
    "little": ("samerun.cli", "samerun.config", "hydra.main"),
}
OWNER = "TESTS_OWNER"
HOST = "TESTS_HOST"
"""JSON of the place where a process is to run, see `enter`."""
WORKER = "warm worker"
CHILD_SUBREAPER, NAME = 36, 15  # of prctl
NEW_NETWORK, NEW_NAMES, NEW_MOUNTS = 0x40000000, 0x04000000, 0x00020000  # of setns, unshare
PRIVATE = 1 << 18 | 0x4000  # of mount: for all that is below


class Warm(subprocess.Popen):
    """A process of `python`, with arguments `-m MODULE ...`, `-c CODE ...` or `FILE ...`."""

    prepared = "all"

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *more):
        (_, _, _, *pipes, _, _, _, _, umask, is_session, _) = more
        order = {
            "args": [str(word) for word in args],
            "cwd": os.path.abspath(cwd or os.getcwd()),  # the host is in another folder
            "env": dict(os.environ if env is None else env) | {OWNER: str(_owner())},
            "umask": umask,
            "is_session": is_session,
            "numbers": [0, 1, 2],
        }
        theirs, ours = (pipes[0], pipes[3], pipes[5]), (pipes[1], pipes[2], pipes[4])
        files = [standard if own == -1 else own for standard, own in enumerate(theirs)]
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(_address(self.prepared))
        _send(self._connection, order, files)
        self.pid = int(_line(self._connection))
        self._child_created = True
        for own, other in zip(theirs, ours, strict=True):
            if other != -1:  # a pipe
                os.close(own)

    def _internal_poll(self, *unused, **also_unused):
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)
        return self.returncode

    def _try_wait(self, wait_flags):
        self._connection.settimeout(0 if wait_flags else None)
        with contextlib.suppress(BlockingIOError):
            status = int(_line(self._connection))
            self._connection.close()
            return self.pid, status
        return 0, 0


class Light(Warm):
    """A process that has imported the command line only, and no heavy library."""

    prepared = "little"


class Libraries(Warm):
    """A process that has imported the heavy libraries, and nothing of samerun."""

    prepared = "libraries"


def run(args, *, timeout=300, kind=Warm, **options):
    """Is `subprocess.run` with text, of a warm process."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with kind(args, text=True, **options) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(args, process.returncode, stdout, stderr)


def _line(connection):
    found = b""
    while not found.endswith(b"\n"):
        found += connection.recv(1) or b"9\n"  # the warm process is gone: as if killed
    return found


def is_worker(process):
    """Whether a process of psutil's is a worker that `multiprocessing` started, warm or cold."""
    return process.name() == WORKER or "spawn_main" in " ".join(process.cmdline())


def _owner():
    """Returns the ID of the process of pytest that the whole session ends with."""
    own = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    return int(os.environ.get(OWNER, own))


def prepare(prepared):
    """Starts the process that the others are forked from, unless it has been; does not wait for it.

    Workers of pytest-xdist share one, and the programs that they start; it ends soon after them.

    Returns:
        Its folder, with a `socket` as soon as it takes orders.
    """
    owner = _owner()
    folder = Path(tempfile.gettempdir(), f"samerun-warm-{os.getuid()}-{owner}-{prepared}")
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "socket").exists() and not _is_running(folder):
            arguments = [sys.executable, __file__, str(folder / "socket"), str(owner), prepared]
            with (folder / "log").open("wb") as log:
                started = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder,
                    env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
                    start_new_session=True,
                )
            (folder / "pid").write_text(str(started.pid))
            started.returncode = 0  # it keeps running
    return folder


def _address(prepared):
    """Returns where orders go; waits until that process takes them."""
    folder = prepare(prepared)
    while not (folder / "socket").exists():
        assert _is_running(folder), (folder / "log").read_text()
        time.sleep(0.05)
    return str(folder / "socket")


def _is_running(folder):
    try:
        stat = Path("/proc", (folder / "pid").read_text(), "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


# In the process that the others are forked from.


def serve(address, owner, prepared):
    """Forks for each order; returns the order in the fork, and never otherwise.

    Args:
        address: of the socket on which orders come.
        owner: ID of the process with which this one ends.
        prepared: which modules to import.
    """
    for name in PREPARED[prepared]:
        __import__(name)
    if prepared == "all":
        sys.modules["samerun.provenance"].collect("")  # it keeps the versions of all packages
    if "samerun.config" in sys.modules:
        sys.modules["samerun.config"].compose([])  # the first time takes ten times as long
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all of the memory
    wakeup, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{address}.new")
    listening.listen(100)
    os.rename(f"{address}.new", address)
    running = {}
    while Path("/proc", owner).exists():
        for ready in select.select([listening, wakeup], [], [], 1.0)[0]:
            if ready == wakeup:
                os.read(wakeup, 1000)
                _report(running)
                continue
            connection, _ = listening.accept()
            order, files = _receive(connection)
            assert order is not None
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                if order["is_session"]:
                    os.setsid()  # before its ID is known: the caller may end its process group
                connection.sendall(b"%d\n" % os.getpid())
                for own in (listening, connection, *running.values()):
                    own.close()
                os.close(wakeup)
                os.close(woken)
                return order, files
            running[pid] = connection
            for number in files:
                os.close(number)
    shutil.rmtree(Path(address).parent)
    os._exit(0)


def _send(connection, order, files):
    message = json.dumps(order).encode()
    socket.send_fds(connection, [len(message).to_bytes(8, "big")], files)
    connection.sendall(message)


def _receive(connection):
    """Returns an order and the files that came with it; `None` where no order comes any more."""
    head, files, _, _ = socket.recv_fds(connection, 8, 16)
    if not head:
        return None, []
    with connection.makefile("rb", buffering=0) as stream:
        content, size = b"", int.from_bytes(head, "big")
        while len(content) < size:
            content += stream.read(size - len(content))
    return json.loads(content), files


def _report(running):
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        connection = running.pop(pid)
        with contextlib.suppress(OSError), connection:
            connection.sendall(b"%d\n" % status)


def become(order, files):
    """Turns this process into the ordered one; what it runs ends it as it ends any process."""
    above = 1 + max(order["numbers"])
    files = [(own, fcntl.fcntl(own, fcntl.F_DUPFD, above)) for own in files]
    for own, _ in files:  # all of them first: one may have the number that another is to get
        os.close(own)
    for number, (_, copy) in zip(order["numbers"], files, strict=True):
        os.dup2(copy, number)
        os.close(copy)
    os.environ.clear()
    os.environ.update(order["env"])
    if HOST in os.environ:
        enter(**json.loads(os.environ[HOST]))
    os.chdir(order["cwd"])
    if order["umask"] >= 0:
        os.umask(order["umask"])
    is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        errors = "backslashreplace" if name == "stderr" else "strict"
        stream = os.fdopen(number, mode, closefd=False, errors=errors, encoding="utf-8")
        if mode == "w":
            is_line = name == "stderr" or os.isatty(number)
            stream.reconfigure(line_buffering=is_line, write_through=is_unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    random.seed()
    import numpy as np

    np.random.seed()


def enter(namespace, name, hidden):
    """Moves this process to a host of `two_hosts`; workers that it starts are there from the start.

    Args:
        namespace: name of its network.
        name: its own name.
        hidden: folders of other hosts, which are empty here.
    """
    if socket.gethostname() == name:
        return
    libc = ctypes.CDLL(None, use_errno=True)

    def call(function, *arguments):
        if getattr(libc, function)(*arguments):
            raise OSError(ctypes.get_errno(), function)

    with open(f"/run/netns/{namespace}") as network:
        call("setns", network.fileno(), NEW_NETWORK)
    call("unshare", NEW_NAMES | NEW_MOUNTS)
    socket.sethostname(name)
    platform._uname_cache = None
    call("mount", b"none", b"/", None, PRIVATE, None)
    for folder in hidden:
        call("mount", b"none", folder.encode(), b"tmpfs", 0, None)


def start_workers_warm():
    """Has the workers that `multiprocessing` starts from here forked instead of started.

    From a process that is forked now, before anything has run here, and through one that ends at
    once: so they become children of this process, as they are where they start cold.
    """
    ctypes.CDLL(None).prctl(CHILD_SUBREAPER, 1, 0, 0, 0)
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        return _next_worker(theirs)
    theirs.close()
    cold, lock = multiprocessing.util.spawnv_passfds, threading.Lock()

    def start(path, arguments, numbers):
        if "--multiprocessing-fork" not in arguments:
            return cold(path, arguments, numbers)
        now = os.umask(0)
        os.umask(now)
        order = {
            "args": [sys.executable, *arguments[arguments.index("-c") :]],
            "cwd": os.getcwd(),
            "env": dict(os.environ),
            "umask": now,
            "is_session": False,
            "numbers": list(numbers),
        }
        with lock:
            _send(ours, order, numbers)
            return int(_line(ours))

    multiprocessing.util.spawnv_passfds = start
    return None


def _next_worker(connection):
    """Forks for each order; returns the order in the fork, and never otherwise."""
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches every process of a group
        signal.signal(number, signal.SIG_IGN)
    while True:
        order, files = _receive(connection)
        if order is None:
            os._exit(0)
        between = os.fork()
        if between == 0:
            between = os.getpid()
            if os.fork():
                os._exit(0)
            while os.getppid() == between:
                time.sleep(0.001)
            connection.sendall(b"%d\n" % os.getpid())
            connection.close()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            ctypes.CDLL(None).prctl(NAME, WORKER.encode(), 0, 0, 0)
            return order, files
        os.waitpid(between, 0)
        for number in files:
            os.close(number)


def execute(arguments):
    """Runs a module or a file as `python` does."""
    is_module = arguments[0] == "-m"
    sys.argv = arguments[is_module:]
    file = Path(arguments[0]).absolute()
    places = [place for place in os.environ.get("PYTHONPATH", "").split(":") if place]
    sys.path[:0] = places
    if places and "hydra.core.plugins" in sys.modules:  # there may be more plug-ins
        from hydra.core.plugins import Plugins, Singleton

        Singleton._instances.pop(Plugins, None)
    if not os.environ.get("PYTHONSAFEPATH"):
        sys.path.insert(0, str(file.parent if file.is_file() else Path.cwd()))
    if is_module:
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(arguments[1], vars(main))
    else:
        runpy.run_path(arguments[0], run_name="__main__")


def leave(function, *arguments):
    """Ends the process with the function, as Python does, but does not take all modules down."""
    code = 0
    try:
        function(*arguments)
    except SystemExit as end:
        code = end.code
        if not isinstance(code, int | None):
            print(code, file=sys.stderr)
            code = 1
    except BaseException as error:
        code = 1
        if isinstance(error, KeyboardInterrupt):
            code = 130
        sys.excepthook(*sys.exc_info())
    try:
        threading._shutdown()
    except Exception:  # Python prints what is raised here, too, and keeps the exit code
        sys.excepthook(*sys.exc_info())
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    del sys.path[0]  # this folder
    order, files = serve(*sys.argv[1:])
    become(order, files)
    words = order["args"][2:]
    # `train -m`, `dask worker`, a notebook with a sweep
    starts_workers = {"-m", "worker", "ipykernel_launcher"} & set(words)
    if starts_workers or any(word.startswith("workers=") for word in words):
        worker = start_workers_warm()
        if worker is not None:
            order, files = worker
            become(order, files)
    python, *arguments = order["args"]
    assert python == sys.executable, python
    leave(execute, arguments)
