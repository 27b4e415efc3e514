"""A shared tracking server: MLflow's own, with user accounts and closed by default.

Everything of a server is in one folder that only its owner can read: the database of runs (unless
they are in PostgreSQL), the database of accounts, the artifacts and MLflow's auth configuration.
MLflow takes addresses and secrets from the environment, since every user of a machine can read the
command lines of all processes.
"""

import logging
import os
import secrets
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from samerun.errors import UserError, first_line, see
from samerun.redaction import redact
from samerun.tracking.database import check_database, database_file
from samerun.tracking.store import DATABASES

ADMIN = "admin"
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# Of MLflow's own settings only these reach the server: one left over in a shell could switch off
# what this command promises, such as MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE.
_KEPT = ("MLFLOW_S3_", "MLFLOW_AZURE_", "MLFLOW_GCS_", "MLFLOW_MYSQL_SSL_", "MLFLOW_SQLALCHEMY")
_AUTH_CONFIG = """\
# Written by `samerun server` at each start; changes made here are lost.
[mlflow]
# An account without grants sees nothing, also one that was made on MLflow's own pages.
default_permission = NO_PERMISSIONS
database_uri = {database}
admin_username = admin
authorization_function = samerun.tracking.server.rules:authenticate
# Without a cache each request pays about 0.1 s, several times, for the hash of its password.
auth_cache_ttl_seconds = 60
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    """The files of a server and the address it listens on.

    Args:
        folder: its own folder, made private.
        host: address to listen on.
        port: port to listen on.
        workers: number of server processes.
        backend: SQLAlchemy URI of the database of runs; None for a file in the folder.
        artifacts: where the server puts artifacts; None for a folder in the folder.
        allowed_hosts: names under which clients may address the server, besides the loopback ones.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 5000
    workers: int = 1
    backend: str | None = None
    artifacts: str | None = None
    allowed_hosts: tuple[str, ...] = ()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "localhost" or _is_address(self.host, "is_loopback")

    @property
    def backend_uri(self) -> str:
        """The SQLAlchemy URI of the database of runs."""
        return self.backend or f"sqlite:///{self.folder / 'mlflow.db'}"


def prepare_server(server: Server, password: str | None) -> str | None:
    """Checks everything before the server starts, and creates its accounts.

    Args:
        server: the server.
        password: the administrator's, if chosen; used only when there is no account yet.

    Returns:
        The administrator's password, if it was generated now. It is stored as a hash only.

    Raises:
        UserError: the folder, the port, the database or the password cannot be used.
    """
    _allowed_hosts(server)
    _check_port(server)
    _make_private(server.folder)
    _check_backend(server.backend_uri)
    with _accounts(server.folder) as accounts:
        if accounts.list_users():
            return None
        chosen = password or new_password()
        accounts.create_user(ADMIN, chosen, is_admin=True)
    return None if password else chosen


def server_command(server: Server) -> list[str]:
    """Returns the arguments of `python` that run the server; none of them is a secret."""
    arguments = ["-m", "mlflow", "server", "--app-name", "basic-auth", "--host", server.host]
    return [*arguments, "--port", str(server.port), "--workers", str(server.workers)]


def server_environment(server: Server) -> dict[str, str]:
    """Returns the environment of the server's processes."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.lstrip("_").startswith("MLFLOW_") or key.startswith(_KEPT)
    }
    hosts, origins = _allowed_hosts(server)
    own = {
        "MLFLOW_BACKEND_STORE_URI": server.backend_uri,
        "MLFLOW_ARTIFACTS_DESTINATION": server.artifacts or str(server.folder / "artifacts"),
        "MLFLOW_AUTH_CONFIG_PATH": str(server.folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
    }
    return {**kept, **own}


def add_user(folder: Path, name: str, password: str | None, *, read_only: bool) -> str | None:
    """Creates an account on the server of a folder, which may be running.

    Args:
        folder: the server's folder.
        name: name of the account.
        password: its password; None generates one.
        read_only: whether it can only read. Otherwise it can also create experiments, and runs in
            every experiment.

    Returns:
        The password, if it was generated.

    Raises:
        UserError: there is no server in the folder, the name is taken or the password too short.
    """
    chosen = password or new_password()
    if not name.strip() or ":" in name:  # HTTP basic authentication ends the name at a colon
        raise UserError(f"received the name {name!r}, expected one without a colon.")
    with _accounts(_existing(folder)) as accounts:
        if accounts.has_user(name):
            raise UserError(
                f"'{name}' has an account: change its password with "
                f"`samerun server set-password {name}`, or choose another name."
            )
        accounts.create_user(name, chosen)
        for kind in ("experiment", "registered_model"):
            accounts.grant_user_permission(name, kind, "*", "READ" if read_only else "EDIT")
    return None if password else chosen


def set_password(folder: Path, name: str, password: str | None) -> str | None:
    """Changes the password of an account; a running server accepts the old one for up to 60 s.

    Returns:
        The password, if it was generated.

    Raises:
        UserError: there is no server in the folder, no such account, or the password is too short.
    """
    chosen = password or new_password()
    with _accounts(_existing(folder)) as accounts:
        if not accounts.has_user(name):
            known = ", ".join(user.username for user in accounts.list_users())
            raise UserError(f"'{name}' has no account here, expected one of: {known}.")
        accounts.update_user(name, password=chosen)
    return None if password else chosen


def new_password() -> str:
    """Returns a password of 128 random bits."""
    return secrets.token_urlsafe(16)


@contextmanager
def _accounts(folder: Path) -> Iterator[Any]:
    """Opens MLflow's own store of accounts; its errors become one sentence."""
    database = f"sqlite:///{folder / 'users.db'}"
    config = folder / "auth.ini"
    config.write_text(_AUTH_CONFIG.format(database=database.replace("%", "%%")))
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(config)  # read when MLflow's module is imported
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's mappers use what SQLAlchemy 2.1 deprecates
        from mlflow.exceptions import MlflowException
        from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

        accounts = SqlAlchemyStore()
        try:
            accounts.init_db(database)
        except Exception as error:
            raise UserError(
                f"{folder / 'users.db'} cannot be used as MLflow's database of accounts "
                f"({first_line(error)}): unlock the file, or choose another folder with --folder."
            ) from error
        try:
            yield accounts
        except MlflowException as error:
            raise UserError(f"The account was not changed: {first_line(error)}") from error
        finally:
            accounts.engine.dispose()


def _existing(folder: Path) -> Path:
    if not (folder / "users.db").exists():
        raise UserError(
            f"{folder} is not the folder of a server: start one with `samerun server`, or name its "
            "folder with --folder."
        )
    return folder


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name in ("auth.ini", "users.db"):
            (folder / name).touch(mode=0o600)
            (folder / name).chmod(0o600)
    except OSError as error:
        raise UserError(
            f"--folder: {folder} cannot be written ({error.strerror}): choose a folder "
            "that you may write to."
        ) from error


def _check_port(server: Server) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"The server cannot listen on {server.host}:{server.port} ({reason}): choose another "
            "--port or --host, or end the program that uses it."
            + see("how-to/troubleshooting.md#stores")
        ) from error


def _allowed_hosts(server: Server) -> tuple[list[str], list[str]]:
    """Returns the Host headers and the origins that are accepted: no other name reaches a handler.

    MLflow would accept every private address when no name is given.
    """
    names = [*_LOOPBACK, *server.allowed_hosts]
    if not server.is_loopback and not _is_address(server.host, "is_unspecified"):
        names.append(f"[{server.host}]" if ":" in server.host else server.host)
    elif not server.is_loopback and not server.allowed_hosts:
        raise UserError(
            f"--host {server.host} listens on every address of this machine: give the names "
            "by which clients reach it, such as --allowed-hosts runs.example.org."
        )
    for name in server.allowed_hosts:
        if not name or "/" in name or "*" in name:
            raise UserError(
                f"--allowed-hosts: received {name!r}, expected names such as runs.example.org, "
                "without a scheme, a path or a wildcard."
            )
    hosts = [known for name in names for known in (name, f"{name}:{server.port}")]
    others = hosts[2 * len(_LOOPBACK) :]  # MLflow accepts pages of this machine anyway
    origins = [f"{scheme}://{name}" for name in others for scheme in ("http", "https")]
    return hosts, origins


def _is_address(host: str, kind: str) -> bool:
    try:
        return bool(getattr(ip_address(host), kind))
    except ValueError:
        return False


def _check_backend(uri: str) -> None:
    """Checks that the database answers, is MLflow's or empty, and of the installed version."""
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme not in DATABASES:
        raise UserError(
            f"The database of runs: received '{redact(uri)}', expected an SQLAlchemy URI such as "
            "postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    if scheme == "sqlite":
        try:
            check_database(database_file(uri))
        except UserError as error:
            raise UserError(str(error).removeprefix("tracking.uri: ")) from error
        return
    version = _database_version(uri, scheme)
    from mlflow.store.db.utils import _get_latest_schema_revision

    if version not in (None, _get_latest_schema_revision()):
        raise UserError(
            f"{redact(uri)} was made by another version of MLflow (schema {version}, expected "
            f"{_get_latest_schema_revision()}): back it up, then run `mlflow db upgrade URI`."
        )


def _database_version(uri: str, scheme: str) -> str | None:
    """Returns the version of MLflow's tables in a database server; None where there are none."""
    import sqlalchemy

    options = {"connect_timeout": 10} if scheme == "postgresql" else {}
    try:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool, connect_args=options)
        with engine.connect() as connection:
            tables = sqlalchemy.inspect(connection).get_table_names()
            if "alembic_version" not in tables:
                return None
            query = sqlalchemy.text("select version_num from alembic_version")
            return str(connection.execute(query).scalar())
    except Exception as error:
        raise UserError(
            f"The database of runs, {redact(uri)}, cannot be used ({first_line(error)}): start "
            "it, or correct MLFLOW_BACKEND_STORE_URI."
        ) from error


def run_server(server: Server) -> None:
    """Replaces this process by the server, which handles its signals."""
    os.umask(0o077)
    os.chdir(server.folder)
    command = [sys.executable, *server_command(server)]
    os.execve(sys.executable, command, server_environment(server))
