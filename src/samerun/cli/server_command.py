"""`samerun server`: a shared tracking server, and the accounts on it."""

import argparse
import os
import sys
from pathlib import Path

from samerun.errors import UserError

_URI = "MLFLOW_BACKEND_STORE_URI"
_PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"


def server_command(arguments: list[str]) -> int:
    """Starts the server, or changes the accounts on it."""
    chosen = _parser().parse_args(arguments)
    return int(chosen.run(chosen))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun server",
        description="Starts MLflow's tracking server with user accounts. Runs are stored in a "
        f"database file in the server's folder, or in the database given by {_URI}.",
    )
    _add_folder(parser, "server")
    _add_password_file(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", default=5000, type=int, help="port to listen on (%(default)s)")
    parser.add_argument(
        "--workers", default=1, type=int, help="number of server processes (%(default)s)"
    )
    parser.add_argument(
        "--allowed-hosts",
        default="",
        metavar="NAME[,NAME…]",
        help="host names of the server besides localhost",
    )
    parser.add_argument(
        "--artifacts-destination", metavar="URI", help="folder or bucket for artifacts"
    )
    parser.set_defaults(run=_start_server)
    accounts = parser.add_subparsers(title="accounts", metavar="")
    add = accounts.add_parser("add-user", help="create an account for a person or a machine")
    add.add_argument("--read-only", action="store_true", help="the account can read but not write")
    change = accounts.add_parser("set-password", help="change the password of an account")
    for name, command in ((add, _add_user), (change, _set_password)):
        name.add_argument("name", metavar="NAME", help="name of the account")
        _add_folder(name, argparse.SUPPRESS)
        _add_password_file(name)
        name.set_defaults(run=command)
    return parser


def _add_folder(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--folder", default=default, help="the server's own folder (server)")


def _add_password_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="file that contains the password, '-' for standard input; by default one is generated",
    )


def _start_server(chosen: argparse.Namespace) -> int:
    """Replaces this process by MLflow's own server."""
    from samerun.tracking.server import server

    if chosen.workers < 1:
        raise UserError(f"--workers: received {chosen.workers}, expected 1 or more.")
    if not 1 <= chosen.port <= 65535:
        raise UserError(f"--port: received {chosen.port}, expected 1 to 65535.")
    password = _password(chosen) or os.environ.get(_PASSWORD)
    made = server.Server(
        folder=Path(chosen.folder).absolute(),
        host=chosen.host,
        port=chosen.port,
        workers=chosen.workers,
        backend=os.environ.get(_URI),
        artifacts=_absolute(chosen.artifacts_destination),
        allowed_hosts=tuple(n.strip() for n in chosen.allowed_hosts.split(",") if n.strip()),
    )
    new = server.prepare_server(made, password)
    if new is not None:
        _show(server.ADMIN, new, "The administrator's account")
        print("Create an account for each person with: samerun server add-user NAME\n")
    if not made.is_loopback:
        print(
            "Passwords and runs are sent unencrypted: put a proxy with TLS in front of the server, "
            "as docs/how-to/server.md shows.",
            file=sys.stderr,
        )
    place = f"[{made.host}]" if ":" in made.host else made.host
    print(f"The server opens at http://{place}:{made.port} — Ctrl-C ends it.", flush=True)
    server.run_server(made)
    return 0


def _add_user(chosen: argparse.Namespace) -> int:
    """Creates an account on the server of a folder."""
    from samerun.tracking.server import server

    folder = Path(chosen.folder).absolute()
    generated = server.add_user(folder, chosen.name, _password(chosen), read_only=chosen.read_only)
    rights = "read every run" if chosen.read_only else "read every run and train"
    print(f"'{chosen.name}' can {rights}.")
    if generated is not None:
        _show(chosen.name, generated, "The account")
    return 0


def _set_password(chosen: argparse.Namespace) -> int:
    """Changes the password of an account on the server of a folder."""
    from samerun.tracking.server import server

    generated = server.set_password(Path(chosen.folder).absolute(), chosen.name, _password(chosen))
    print(f"'{chosen.name}' has a new password; a running server accepts the old one for 60 s.")
    if generated is not None:
        _show(chosen.name, generated, "The account")
    return 0


def _password(chosen: argparse.Namespace) -> str | None:
    """Returns the first line of the file with the password, if one is named."""
    if chosen.password_file is None:
        return None
    try:
        named = chosen.password_file
        text = sys.stdin.read() if named == "-" else Path(named).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--password-file: {chosen.password_file} cannot be read ({error}): name a text file "
            "whose first line is the password."
        ) from error
    lines = text.splitlines()
    if not lines or not lines[0]:
        raise UserError(f"--password-file: {chosen.password_file} has no password in line 1.")
    return lines[0]


def _show(name: str, password: str, what: str) -> None:
    """Shows a password once, on a terminal only: other outputs are kept, and read by others."""
    if sys.stdout.isatty():
        print(f"{what}; the password is shown only now:\n")
        print(f"  export MLFLOW_TRACKING_USERNAME={name}")
        print(f"  export MLFLOW_TRACKING_PASSWORD={password}\n")
    else:
        print(
            f"{what} is '{name}'. Its password is not written to a log: choose one with "
            f"`samerun server set-password {name}` in a terminal, or give --password-file."
        )


def _absolute(place: str | None) -> str | None:
    """Returns a local folder as an absolute path: the server works in its own folder."""
    return place if place is None or "://" in place else str(Path(place).absolute())
