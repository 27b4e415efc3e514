"""MLflow's tables: which version of them is expected, and how a new database gets them."""

import contextlib
import functools
import sqlite3
from pathlib import Path
from typing import Any

TABLES = Path(__file__).with_name("mlflow_tables.sql")
"""What the migrations of one version of MLflow leave; written by `tools/tables.py`."""

_STARTS = ("-- MLflow ", "-- schema ")


@functools.cache
def expected() -> str:
    """Returns the schema of the installed MLflow, which reads its 67 migrations to find out.

    It would read them again for each store that it opens; it gets the same answer.
    """
    from mlflow.store.db import utils

    found = known()
    latest = str(utils._get_latest_schema_revision()) if found is None else found
    utils._get_latest_schema_revision = lambda: latest
    return latest


def known() -> str | None:
    """Returns the schema of `mlflow_tables.sql`; `None` if another MLflow is installed."""
    from mlflow.version import VERSION

    with TABLES.open(encoding="utf-8") as file:
        version, schema = (next(file).removeprefix(start).rstrip("\n") for start in _STARTS)
    return schema if version == VERSION else None


def fill(file: Path) -> None:
    """Makes MLflow's tables in a new database file, as its migrations would.

    Args:
        file: to create; nothing of it is flushed to the disk.
    """
    if known() is None:
        migrate(file)
        return
    from mlflow.store.db.utils import _check_sqlite_version

    _check_sqlite_version("sqlite:")
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("pragma synchronous = off")
        database.executescript(TABLES.read_text(encoding="utf-8"))


def migrate(file: Path) -> None:
    """Makes the tables by all of MLflow's migrations, which takes 1.1 s instead of 9 ms.

    Args:
        file: to create; nothing of it is flushed to the disk.
    """
    import sqlalchemy
    from mlflow.store.db.utils import _initialize_tables

    def flush_nothing(connection: Any, _: Any) -> None:
        connection.execute("pragma synchronous = off")

    engine = sqlalchemy.create_engine(f"sqlite:///{file}", poolclass=sqlalchemy.NullPool)
    sqlalchemy.event.listen(engine, "connect", flush_nothing)
    _initialize_tables(engine)
    engine.dispose()
