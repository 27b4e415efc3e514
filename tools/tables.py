"""Writes the tables of a new MLflow database; run it when another MLflow is locked.

    python tools/tables.py

A test compares the file with what the migrations of the installed MLflow make.
"""

import contextlib
import logging
import sqlite3
import tempfile
from pathlib import Path

from mlflow.version import VERSION

from samerun.tracking.schema import TABLES, migrate


def tables() -> str:
    """Returns what the migrations leave in a new database, as SQL."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mlflow.db"
        migrate(file)
        with contextlib.closing(sqlite3.connect(file)) as database:
            (schema,) = database.execute("select version_num from alembic_version").fetchone()
            lines = [f"-- MLflow {VERSION}", f"-- schema {schema}", *database.iterdump()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLES.write_text(tables(), encoding="utf-8")
    print(f"Wrote {TABLES}.")
