"""Servers that commands start: the port they listen on, their process, and when they answer."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence

from samerun.command_line import line
from samerun.errors import UserError

_PORTS = range(1, 65536)
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 120.0
_WATCHED = 'exec 3<&0; (read -r _ <&3; kill 0) >/dev/null 2>&1 & exec "$@" 3<&- </dev/null'
"""Becomes the server, beside a shell that ends its session when the pipe of this process closes."""


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
            + line(command, "--port", str(_free_port(host)))
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
            + line(command, "--port", str(_free_port(host, port)))
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
def serve(
    command: Sequence[str], environment: Mapping[str, str], *, is_quiet: bool = False
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a server; it ends with this process, however that ends, SIGKILL included.

    It has a session of its own: Ctrl-C reaches this process only, which ends it without the
    traceback that servers print for it.

    Args:
        command: its program and arguments.
        environment: its environment.
        is_quiet: what it prints is left out.
    """
    where = subprocess.DEVNULL if is_quiet else None
    watched = ["/bin/sh", "-c", _WATCHED, "sh", *command]
    with subprocess.Popen(
        watched,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=where,
        stderr=where,
        start_new_session=True,
    ) as server:

        def end(*_: object) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)  # and the processes that it has started

        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
        try:
            yield server
        finally:
            end()
            server.wait()
            for number, handler in before.items():
                signal.signal(number, handler)


def wait_for(server: "subprocess.Popen[bytes]", address: str, name: str) -> None:
    """Waits until a server answers.

    Args:
        server: its process.
        address: a page of it.
        name: its name in a message.

    Raises:
        UserError: it ended, or does not answer.
    """
    from samerun.tracking.pages import opener

    page = opener(address)
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            raise UserError(
                f"{name} ended with code {server.returncode} before it answered at {address}."
            )
        with contextlib.suppress(OSError):
            page.open(address, timeout=2).close()
            return
        time.sleep(_POLL_SECONDS)
    raise UserError(f"{name} does not answer at {address} after {_PATIENCE_SECONDS:.0f} s.")
