"""A PostgreSQL server for one test: in a temporary folder, on a loopback port."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.project import until
from support.two_hosts import NOBODY, postgres_program


def missing_postgres() -> str | None:
    """Returns why PostgreSQL cannot be started here, `None` where it can."""
    if postgres_program("initdb") is None:
        return "there is no PostgreSQL: apt-get install postgresql"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "PostgreSQL does not run as root, and there is no setpriv"
    return None


def free_port() -> int:
    """Returns a port of the loopback address that is free."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def postgres(password: str) -> Iterator[str]:
    """Runs PostgreSQL with an empty database `runs`; yields its URI with the password."""
    folder = Path(tempfile.mkdtemp(prefix="samerun-postgres-"))
    data, secret, port = folder / "data", folder / "secret", free_port()
    data.mkdir(mode=0o700)
    secret.write_text(password)
    user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        for place in (folder, data, secret):
            os.chown(place, NOBODY, NOBODY)
    arguments = [postgres_program("initdb"), "-D", data, "-U", "samerun", "-A", "scram-sha-256"]
    arguments += ["--pwfile", secret, "-E", "UTF8", "--no-sync"]
    done = subprocess.run([*user, *arguments], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    arguments = [postgres_program("postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*user, *arguments, "-k", data, "-c", "fsync=off"], stdout=log, stderr=log, cwd=folder
        )
    try:
        until(lambda: _ask(port, password, "create database runs").returncode == 0)
        yield f"postgresql+psycopg2://samerun:{password}@127.0.0.1:{port}/runs"
    finally:
        process.send_signal(signal.SIGQUIT)  # at once, without waiting for clients
        process.wait(timeout=60)
        shutil.rmtree(folder)


def _ask(port: int, password: str, query: str) -> "subprocess.CompletedProcess[bytes]":
    arguments = [postgres_program("psql"), "-h", "127.0.0.1", "-p", str(port), "-U", "samerun"]
    environment = {**os.environ, "PGPASSWORD": password}
    return subprocess.run(
        [*arguments, "-d", "postgres", "-c", query], capture_output=True, env=environment
    )


def command_lines(session: int) -> list[str]:
    """Returns the command lines of all processes of a session and of those that they started.

    They are what every user can read.
    """
    found, parents = {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            number = int(process.name)
            parents[number] = session if int(fields[3]) == session else int(fields[1])
            found[number] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return [shown for number, shown in found.items() if _is_below(session, number, parents)]


def _is_below(session: int, number: int, parents: dict[int, int]) -> bool:
    while number in parents and number != session:
        number = parents[number]
    return number == session
