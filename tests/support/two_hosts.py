"""Two hosts on this machine: network namespaces joined by a cable that can be pulled.

Each host has a name, an address and a working folder of its own, and cannot see the other's folder.
The first one, the head, has PostgreSQL, an MLflow server and a Dask scheduler.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from support import warm
from support.project import PROGRAMS
from support.warm import Warm

TESTS = str(PROGRAMS.parent)
NOBODY = 65534
PASSWORD = "geheim"
ADDRESSES = ("10.213.71.1", "10.213.71.2")
POSTGRES_PORT, MLFLOW_PORT, DASK_PORT = 5433, 5000, 8786
QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONUNBUFFERED": "1",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",  # instead of 30: a cut goes unnoticed as long
}

AGAIN = """
import sys, time
from support.warm import Warm
while True:
    Warm(sys.argv[1:]).wait()
    time.sleep(1)
"""


def postgres_program(name: str) -> Path | None:
    """Returns one of PostgreSQL's programs, which Debian keeps off the path."""
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = newest[-1] if newest else shutil.which(name)
    return Path(found).resolve() if found else None


def missing() -> str | None:
    """Returns why two hosts cannot be made here, `None` where they can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    for program in ("ip", "unshare", "setpriv"):
        if shutil.which(program) is None:
            return f"there is no {program}: apt-get install iproute2 util-linux"
    if postgres_program("initdb") is None:
        return "there is no PostgreSQL: apt-get install postgresql"
    probe = subprocess.run(["unshare", "--net", "--uts", "--mount", "true"], capture_output=True)
    return "namespaces are not allowed here" if probe.returncode else None


class Host:
    """A namespace with a name, an address and a folder of its own."""

    def __init__(self, name: str, address: str, folder: Path) -> None:
        self.name = name
        self.address = address
        self.folder = folder
        self.namespace = f"samerun-{name}-{os.getpid()}"
        self.hidden: list[Path] = []
        self.started: list[subprocess.Popen[bytes]] = []
        folder.mkdir()

    def start(self, *arguments: object, log: str, **environment: str) -> subprocess.Popen[bytes]:
        """Starts a program in the host's folder; it writes to the log file of that name.

        One of Python's starts warm.
        """
        is_python = arguments[0] == sys.executable
        with (self.folder / log).open("ab") as file:
            process = (Warm if is_python else subprocess.Popen)(
                arguments if is_python else self.command(*arguments),
                env=self.environment(environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def run(self, *arguments: object, timeout: float = 120, **environment: str) -> str:
        """Runs a program to its end and returns what it printed."""
        options: dict[str, Any] = {"env": self.environment(environment), "timeout": timeout}
        if arguments[0] == sys.executable:
            done = warm.run(arguments, cwd=self.folder, **options)
        else:
            command = self.command(*arguments)
            done = subprocess.run(command, capture_output=True, text=True, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def command(self, *arguments: object) -> list[str]:
        """Returns what runs a program on this host, with the other's folder out of sight."""
        hide = "; ".join(f"mount -t tmpfs none '{folder}'" for folder in self.hidden) or "true"
        script = f"set -e; hostname {self.name}; {hide}; cd '{self.folder}'; exec \"$@\""
        enter = ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "--mount"]
        return [*enter, "sh", "-c", script, "sh", *map(str, arguments)]

    def environment(self, extra: dict[str, str]) -> dict[str, str]:
        """Returns this process's environment without what would lead to another store.

        A warm process learns from it which host is its own.
        """
        kept = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI",)}
        hidden = [*map(str, self.hidden)]
        own = {"namespace": self.namespace, "name": self.name, "hidden": hidden}
        return {**kept, **QUIET, warm.HOST: json.dumps(own), **extra}

    def pids(self) -> list[int]:
        """Returns every process on this host."""
        answer = _ip("netns", "pids", self.namespace, check=False)
        return [int(word) for word in answer.split()]

    def stop(self) -> None:
        """Kills every process on this host, those that they started too."""
        for _ in range(100):
            pids = self.pids()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self.started:
                process.poll()  # a dead child keeps its number until it is asked for
            if not pids and all(process.returncode is not None for process in self.started):
                return
            time.sleep(0.05)
        raise AssertionError(f"still alive on {self.name}: {self.pids()}")


def _ip(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0 or not check, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


class TwoHosts:
    """The stage; as a context manager it leaves nothing behind, also after a failure.

    Attributes:
        head: the host with the services.
        other: the host that has only workers.
        study: URL of the database for studies, as both hosts reach it, without its password.
        tracking: URL of the MLflow server.
        scheduler: address of the Dask scheduler.
    """

    def __enter__(self) -> "TwoHosts":
        _remove_left_behind()
        self.folder = Path(tempfile.mkdtemp(prefix="samerun-hosts-"))
        self.folder.chmod(0o755)  # PostgreSQL runs under an account without rights
        names = ("head", "other")
        self.head, self.other = (
            Host(name, address, self.folder / name)
            for name, address in zip(names, ADDRESSES, strict=True)
        )
        self.head.hidden, self.other.hidden = [self.other.folder], [self.head.folder]
        address = self.head.address
        self.study = f"postgresql+psycopg2://samerun@{address}:{POSTGRES_PORT}/optuna"
        self.tracking = f"http://{address}:{MLFLOW_PORT}"
        self.scheduler = f"tcp://{address}:{DASK_PORT}"
        try:
            self._connect()
            self._start_postgres()
            self._start_mlflow()
            self._start_dask()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for host in (self.head, self.other):
            host.stop()
            _ip("netns", "del", host.namespace, check=False)  # takes its end of the cable along
        shutil.rmtree(self.folder)

    @property
    def environment(self) -> dict[str, str]:
        """What both hosts have in their environment: where the passwords stand."""
        return {
            "SAMERUN_STORAGE": self.study.replace("samerun@", f"samerun:{PASSWORD}@"),
            "MLFLOW_TRACKING_URI": self.tracking,
        }

    def cut(self) -> None:
        """Pulls the cable: packets are lost without notice."""
        _ip("-n", self.other.namespace, "link", "set", "cable", "down")

    def mend(self) -> None:
        """Plugs the cable in again."""
        _ip("-n", self.other.namespace, "link", "set", "cable", "up")

    def start_worker(self, host: Host, *arguments: str, **environment: str) -> None:
        """Starts a Dask worker that comes back when it ends, as systemd or a queue would do it."""
        worker = [sys.executable, "-m", "dask", "worker", self.scheduler, "--host", host.address]
        worker += ["--nthreads", "1", "--nworkers", "1", "--memory-limit", "0", "--no-dashboard"]
        worker += ["--local-directory", str(host.folder), *arguments]
        environment = {**self.environment, "PYTHONPATH": TESTS, **environment}
        host.start(sys.executable, "-c", AGAIN, *worker, log="worker.log", **environment)

    def query(self, text: str, database: str = "optuna") -> str:
        """Asks PostgreSQL."""
        arguments = [postgres_program("psql"), "-h", self.head.address, "-p", POSTGRES_PORT]
        arguments += ["-U", "samerun", "-d", database, "-qtA", "-c", text]
        return self.head.run(*arguments, PGPASSWORD=PASSWORD).strip()

    def _connect(self) -> None:
        for host in (self.head, self.other):
            _ip("netns", "add", host.namespace)
            _ip("-n", host.namespace, "link", "set", "lo", "up")
        ends = ["link", "add", "cable", "type", "veth", "peer", "name", "cable"]
        _ip("-n", self.head.namespace, *ends, "netns", self.other.namespace)
        for host in (self.head, self.other):
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/30", "dev", "cable")
            _ip("-n", host.namespace, "link", "set", "cable", "up")

    def _start_postgres(self) -> None:
        data = self.folder / "postgres"
        data.mkdir()
        os.chown(data, NOBODY, NOBODY)
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        arguments: list[object] = [postgres_program("initdb"), "-D", data, "-U", "samerun"]
        arguments += ["-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--no-sync"]
        self.head.run(*as_nobody, *arguments)
        with (data / "pg_hba.conf").open("a") as file:
            file.write("host all all 10.213.71.0/30 scram-sha-256\n")
        arguments = [postgres_program("postgres"), "-D", data, "-h", self.head.address]
        arguments += ["-p", POSTGRES_PORT, "-k", data, "-c", "fsync=off"]
        self.head.start(*as_nobody, *arguments, log="postgres.log")
        self._wait(lambda: self.query("select 1", "postgres"), "postgres.log")
        for name in ("optuna", "mlflow"):
            self.query(f"create database {name}", "postgres")

    def _start_mlflow(self) -> None:
        store = self.environment["SAMERUN_STORAGE"].replace("/optuna", "/mlflow")
        allowed = f"{self.head.address}:{MLFLOW_PORT}"
        arguments = ["--host", self.head.address, "--port", str(MLFLOW_PORT)]
        arguments += ["--workers", "1", "--allowed-hosts", allowed]
        arguments += ["--artifacts-destination", str(self.head.folder / "artifacts")]
        self.head.start(
            sys.executable,
            PROGRAMS / "mlflow_server.py",
            *arguments,
            log="mlflow.log",
            MLFLOW_BACKEND_STORE_URI=store,
        )

    def _start_dask(self) -> None:
        arguments = ["scheduler", "--host", self.head.address, "--port", str(DASK_PORT)]
        self.head.start(
            sys.executable,
            "-m",
            "dask",
            *arguments,
            "--no-dashboard",
            "--no-show",
            log="scheduler.log",
        )
        ask = f"import urllib.request as u; u.urlopen('{self.tracking}/health', timeout=5).read()"
        self._wait(lambda: self.head.run(sys.executable, "-c", ask), "mlflow.log")
        ask = f"import socket; socket.create_connection(('{self.head.address}', {DASK_PORT}), 5)"
        self._wait(lambda: self.head.run(sys.executable, "-c", ask), "scheduler.log")

    def _wait(self, ask, log: str, seconds: float = 60) -> None:
        """Asks until no error comes back."""
        end = time.monotonic() + seconds
        while True:
            try:
                ask()
            except AssertionError as error:
                if time.monotonic() > end:
                    content = (self.head.folder / log).read_text()
                    raise AssertionError(f"{log}: {content}") from error
                time.sleep(0.5)
            else:
                return


def _remove_left_behind() -> None:
    """Removes the hosts of a test process that was killed before it could do so itself."""
    for line in _ip("netns", "list", check=False).splitlines():
        namespace = line.split()[0]
        owner = namespace.rpartition("-")[2]
        if namespace.startswith("samerun-") and not Path(f"/proc/{owner}").exists():
            for pid in _ip("netns", "pids", namespace, check=False).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _ip("netns", "del", namespace, check=False)
