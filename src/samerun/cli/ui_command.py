"""`samerun ui`: MLflow's server on the runs of this folder, and the page that shows them."""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from typing import TYPE_CHECKING

from samerun.errors import UserError
from samerun.process import program

if TYPE_CHECKING:
    from samerun.tracking import StoredRun

_PORTS = range(1, 65536)
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 120.0


def ui_command(arguments: list[str]) -> int:
    """Starts MLflow's server, and opens a page of it once it answers."""
    parser = argparse.ArgumentParser(
        prog="samerun ui",
        description="Opens the MLflow UI: all runs of this folder, one run, or a sweep's trials.",
    )
    parser.add_argument(
        "id", nargs="?", metavar="ID", help="a run, a sweep or a multirun (default: all runs)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", default=5000, type=int, help="port to listen on (%(default)s)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    chosen = parser.parse_args(arguments)
    from samerun import tracking

    check_port(chosen.host, chosen.port, "ui")
    uri = tracking.existing()
    run = tracking.find_runs([chosen.id])[0] if chosen.id else None
    opens = not chosen.no_browser and sys.stdout.isatty()
    if uri.startswith("http"):
        _show(tracking.server_address(uri), run, opens=opens)
        return 0
    command, environment = tracking.ui_command(host=chosen.host, port=chosen.port)
    local = "127.0.0.1" if chosen.host in ("0.0.0.0", "::") else chosen.host
    base = f"http://{f'[{local}]' if ':' in local else local}:{chosen.port}"
    with _server([sys.executable, *command], environment) as server:
        _wait(server, base)
        _show(base, run, opens=opens)
        print("Ctrl-C ends it.", flush=True)
        return server.wait()


def check_port(host: str, port: int, command: str) -> None:
    """Checks that a server can listen on a port.

    Args:
        host: address to listen on.
        port: the port.
        command: the command of samerun that has the option `--port`.

    Raises:
        UserError: it cannot; the message has a port that is free.
    """
    if port not in _PORTS:
        raise UserError(
            f"--port: received {port}, expected a number from 1 to 65535: "
            f"{program()} {command} --port {_free_port(host)}"
        )
    try:
        _bind(host, port)
    except socket.gaierror as error:
        raise UserError(
            f"--host: received '{host}', expected an address of this machine, such as 127.0.0.1."
        ) from error
    except OSError as error:
        raise UserError(
            f"--port: received {port}, on which this command cannot listen "
            f"({os.strerror(error.errno) if error.errno else error}), expected a free one: "
            f"{program()} {command} --port {_free_port(host, port)}"
        ) from error


def _bind(host: str, port: int) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        probe.bind(address)
        return int(probe.getsockname()[1])


def _free_port(host: str, near: int = 5000) -> int:
    for port in range(max(near, 1024) + 1, min(max(near, 1024) + 50, 65536)):
        with contextlib.suppress(OSError):
            return _bind(host, port)
    with contextlib.suppress(OSError):
        return _bind(host, 0)
    return near + 1


@contextlib.contextmanager
def _server(command: list[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs MLflow's server; it ends with this process, also on SIGTERM."""
    environment.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    environment.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    server = subprocess.Popen(command, env=environment)
    before = signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        yield server
    except KeyboardInterrupt:  # the server received it, too
        server.wait()
    finally:
        if server.poll() is None:
            server.terminate()
        server.wait()
        signal.signal(signal.SIGTERM, before)


def _wait(server: "subprocess.Popen[bytes]", base: str) -> None:
    """Waits until the server answers.

    Raises:
        UserError: it ended, or does not answer.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            raise UserError(
                f"MLflow's server ended with code {server.returncode} before it answered at "
                f"{base}; its messages are above."
            )
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{base}/health", timeout=2).close()
            return
        time.sleep(_POLL_SECONDS)
    raise UserError(f"MLflow's server does not answer at {base} after {_PATIENCE_SECONDS:.0f} s.")


def _show(base: str, run: "StoredRun | None", *, opens: bool) -> None:
    """Prints the address of a page, alone on its line, and opens it."""
    from samerun.tracking import pages

    try:
        address = pages.find_address(base, run.id if run else None)
    except (OSError, ValueError, LookupError, TypeError):  # such as a server that asks for a login
        address = pages.plain_address(base, (run.experiment_id, run.id) if run else None)
    print(f"The MLflow UI is at\n{address}", flush=True)
    if opens:
        webbrowser.open(address)
