"""The tables of a new database are those that MLflow's migrations make."""

import contextlib
import os
import re
import sqlite3
import warnings
from pathlib import Path

import pytest

from samerun.files import replacing
from samerun.tracking import schema

ROOT = Path(__file__).resolve().parents[2]
PRAGMAS = (
    *("application_id", "auto_vacuum", "encoding", "foreign_keys", "journal_mode"),
    *("page_size", "user_version"),
)
OF_A_TABLE = ("table_xinfo", "foreign_key_list")


def parts(sql):
    """Returns the columns and constraints of a table, or the statement of an index, sorted."""
    return sorted(line.strip().removesuffix(",") for line in (sql or "").splitlines())


def described(file):
    """Returns all that a database holds: its settings, tables with their rows, and indexes.

    Without the order of indexes and constraints, in which the migrations differ between processes.
    """
    with contextlib.closing(sqlite3.connect(file)) as database:

        def rows(query):
            return sorted(map(repr, database.execute(query)))

        tables = [name for (name,) in database.execute("select name from pragma_table_list")]
        found = {name: rows(f"pragma {name}") for name in PRAGMAS}
        made = database.execute("select type, name, sql from sqlite_master").fetchall()
        found["all"] = sorted((kind, name, parts(sql)) for kind, name, sql in made)
        for table in tables:
            found[table] = [] if table == "sqlite_schema" else rows(f'select * from "{table}"')
            columns = 'name, "unique", origin, partial'
            found[f"indexes {table}"] = rows(f"select {columns} from pragma_index_list('{table}')")
            found |= {f"{name} {table}": rows(f'pragma {name}("{table}")') for name in OF_A_TABLE}
        return found


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    file = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's mappers use what SQLAlchemy 2.1 deprecates
        schema.migrate(file)
    return described(file)


def test_a_new_database_is_the_one_that_all_migrations_make(tmp_path, migrated):
    schema.fill(tmp_path / "mlflow.db")
    assert len(migrated["all"]) > 50
    assert described(tmp_path / "mlflow.db") == migrated


def test_what_a_killed_process_with_the_same_number_left_is_replaced(tmp_path, migrated):
    with replacing(tmp_path / "left") as file:
        schema.fill(file)
    (tmp_path / "left").rename(tmp_path / f"mlflow.db.{os.getpid()}.tmp")
    with replacing(tmp_path / "mlflow.db") as file:
        schema.fill(file)
    assert described(tmp_path / "mlflow.db") == migrated


def test_another_mlflow_makes_its_own_tables(tmp_path, monkeypatch):
    monkeypatch.setattr("mlflow.version.VERSION", "3.17.999")
    monkeypatch.setattr(schema, "migrate", lambda file: file.write_text("by its migrations"))
    schema.fill(tmp_path / "mlflow.db")
    assert (tmp_path / "mlflow.db").read_text() == "by its migrations"


def test_the_tables_are_those_of_the_locked_mlflow():
    (locked,) = re.findall(r"(?m)^mlflow==(\S+)", (ROOT / "requirements.lock").read_text())
    assert schema.TABLES.read_text().startswith(f"-- MLflow {locked}\n"), "run tools/tables.py"


def test_the_expected_schema_is_the_one_that_mlflow_reads_from_its_migrations():
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    config = utils._get_alembic_config("")
    assert [schema.expected()] == ScriptDirectory.from_config(config).get_heads()
