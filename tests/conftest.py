"""Fixtures of all tests: a project folder with a prepared database, and the command."""

import gc
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import optuna
import psutil
import pytest
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import Engine, event, util
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from samerun import tracking
from samerun.config import hydra_internals
from samerun.tracking.delivery import courier
from support import warm
from support.recorded import RecordedRuns, connected, run_maker, unpack_version_0_1_0
from support.refusal import refused
from support.sweeps import instant_executor

# A shell starts background jobs (`&`, `nohup`) with SIGINT and SIGQUIT ignored, and so would be
# those that tests send to processes started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGQUIT") and signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_addoption(parser):
    parser.addoption("--update-screens", action="store_true", help="write tests/screens/ again")
    parser.addoption("--no-skips", action="store_true", help="a test that is skipped has failed")


MEMORY = Path("/dev/shm")
"""A folder in memory. A database there waits for no disk: 5 to 20 ms for each commit."""
_ROOM_BYTES = 8_000_000_000
"""Much more than the tests of a room write; where there is less, they write to the disk."""
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files with the memory that a container may use, in bytes."""


def pytest_configure(config):
    """Has a room of quick tests write into memory, where there is enough of it."""
    if "not slow" in config.option.markexpr and has_room(MEMORY):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def has_room(folder):
    try:
        state = os.statvfs(folder)
    except (OSError, AttributeError):
        return False
    limits = [Path(file).read_text().strip() for file in _LIMITS if Path(file).is_file()]
    free = min(
        state.f_bavail * state.f_frsize,
        psutil.virtual_memory().available,
        *(int(limit) for limit in limits if limit.isdecimal()),
    )
    return free > _ROOM_BYTES and os.access(folder, os.W_OK) and not state.f_flag & os.ST_NOEXEC


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Frees the memory, unless a test has failed."""
    folder = session.config._tmp_path_factory._basetemp
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if folder is not None and MEMORY in folder.parents and not is_worker and exitstatus == 0:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where everything that tests need is installed, a check that did not run is no check."""
    report = yield
    if report.skipped and item.config.getoption("--no-skips") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped: {report.longrepr[2]}"
    return report


hydra_internals._MOST_COMPOSED = 300
"""A process of tests composes more choices than one of a user's: merging one anew takes 0.1 s."""

_others = set()
"""Names of modules that no test wrote."""


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    with refused(collector.path):
        report = yield
    if report.skipped and collector.config.getoption("--no-skips"):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr[2]}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Has the longest tests begin first, so that all processes end at the same time.

    Their mark `slow` gives their seconds; all others stay in random order. Each process of
    pytest-xdist begins with an equal share of the list, so the longest are spread over the
    beginnings of the shares.
    """
    longest = sorted(filter(_seconds, items), key=_seconds, reverse=True)
    others = [item for item in items if not _seconds(item)]
    num_shares = getattr(config, "workerinput", {}).get("workercount", 1)
    left, items[:] = len(items), []
    for share in range(num_shares):
        num = left // (num_shares - share)  # as pytest-xdist divides
        left -= num
        first = longest[share::num_shares]
        num = max(num - len(first), 0)
        items += first + others[:num]
        del others[:num]
    items += others


def _seconds(item):
    return max((mark.kwargs.get("seconds", 0) for mark in item.iter_markers("slow")), default=0)


def pytest_collection_finish():
    """Keeps what the imports made out of the garbage collector's sight, as it lives on.

    What tests leave is collected less often, too: a tenth of the time of a sweep was spent on it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with refused(item.path):
        return (yield)


@pytest.fixture(autouse=True)
def process_as_it_was(tmp_path_factory):
    """Takes back what a test leaves behind for the next one in this process.

    `mlflow.set_tracking_uri` writes to the environment, and a module of a user's own, which a test
    wrote, would be found again under its name although the next test writes another one.
    TensorFlow's log handler, which takes the standard error that it finds at import, would close it
    when Hydra sets up logging in a later test: that of pytest, for the rest of the session.
    """
    absl = sys.modules.get("absl.logging")
    if absl is not None:
        absl.get_absl_handler().python_handler.stream = sys.__stderr__
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    folder = str(tmp_path_factory.getbasetemp())
    for name in sys.modules.keys() - _others:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(folder):
            del sys.modules[name]
        else:
            _others.add(name)


@pytest.fixture(scope="session", autouse=True)
def migrations_are_read_once():
    """Keeps the version that an installed package gives its tables.

    Optuna imports all of its migrations again for it each time that a study's database is opened.
    """
    real, found = ScriptDirectory.get_current_head, {}

    def kept(self):
        if self.dir not in found:
            found[self.dir] = real(self)
        return found[self.dir]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "get_current_head", kept)
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_waits_for_the_disk():
    """Has SQLite and `os.fsync` return before the disk has what was written.

    A commit of SQLite waits for it three times, and a sweep commits twenty times for each trial.
    What a process wrote survives its end; only a machine that loses its power needs more.
    """

    def write_only(connection, record):
        if isinstance(connection, sqlite3.Connection):
            connection.execute("pragma synchronous = off")

    event.listen(Engine, "connect", write_only)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield
    event.remove(Engine, "connect", write_only)


@pytest.fixture(scope="session", autouse=True)
def statements_are_compiled_once():
    """Has all SQLite databases of a process share the statements that SQLAlchemy compiled.

    It keeps them for each engine and dialect, and every test opens engines of its own: a tenth of
    the time of a sweep. Dialects of one class count as equal here, since they compile alike.
    """
    real, compiled = Engine.__init__, util.LRUCache(5_000)

    def init(self, pool, dialect, *arguments, **options):
        real(self, pool, dialect, *arguments, **options)
        if isinstance(dialect, SQLiteDialect):
            self._compiled_cache = compiled

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "__init__", init)
        patch.setattr(SQLiteDialect, "__eq__", lambda self, other: type(self) is type(other))
        patch.setattr(SQLiteDialect, "__hash__", lambda self: hash(type(self)))
        yield


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder for what is made once per session, whatever the number of test processes."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def made_once(shared_folder):
    """Returns a folder that is filled once per session, whatever the number of test processes.

    The function takes a name and what fills the folder. Tests that change it take a copy.
    """

    def make(name, fill):
        folder, made = shared_folder / name, shared_folder / f"{name}.made"
        with FileLock(shared_folder / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a failed attempt left
                folder.mkdir()
                fill(folder)
                made.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def prepared_database(made_once):
    """MLflow's tables, made once: the migrations take 2 s and more."""

    def make(folder):
        tracking.connect(f"sqlite:///{folder / 'mlflow.db'}")
        with sqlite3.connect(folder / "mlflow.db") as database:
            database.execute("delete from experiments")  # `connect` filled in where its files go
        database.close()

    return made_once("prepared", make) / "mlflow.db"


@pytest.fixture
def project(prepared_database, tmp_path, monkeypatch):
    """An empty folder of a user's own to work in."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(prepared_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture(scope="session")
def recorded_runs(prepared_database, shared_folder):
    """Runs that are made once, whatever the number of test processes."""
    folder = shared_folder / "recorded"
    folder.mkdir(exist_ok=True)
    return RecordedRuns(folder, prepared_database)


@pytest.fixture(scope="session")
def unpacked_0_1_0(made_once):
    """What version 0.1.0 recorded, unpacked once, to be copied."""
    return made_once("0.1.0", unpack_version_0_1_0)


@pytest.fixture
def version_0_1_0(unpacked_0_1_0, tmp_path, monkeypatch):
    """A folder with what version 0.1.0 recorded, a day after its last run."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(unpacked_0_1_0, tmp_path, dirs_exist_ok=True)
    clock = SimpleNamespace(time=lambda: 1_795_536_537 + 86_400)
    monkeypatch.setattr("samerun.amounts.time", clock)
    return tmp_path


@pytest.fixture(scope="session")
def prepared_study_database(made_once):
    """Optuna's tables, made once."""

    def make(folder):
        optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}").engine.dispose()

    return made_once("prepared_studies", make) / "optuna.db"


@pytest.fixture
def worker(project, prepared_study_database, monkeypatch):
    """An executor that answers at once, in a project with an empty database of studies."""
    shutil.copy(prepared_study_database, project / "optuna.db")
    return instant_executor(monkeypatch)


@pytest.fixture
def client(project):
    """MLflow's own client on the project's store."""
    return connected()


@pytest.fixture
def soon_again(monkeypatch):
    """Repeats failed requests after a short pause, where the pauses are not the question."""
    monkeypatch.setattr(courier, "_FIRST_PAUSE_SECONDS", 0.1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")


@pytest.fixture
def store(project):
    """Makes runs that hold the given artifacts and tags; returns their ID."""
    return run_maker()


@pytest.fixture(scope="session")
def samerun():
    """Runs the command line in a process of its own, warm or cold; returns it when it is done."""

    def run(*arguments, cwd, is_cold=False, **options):
        command = [sys.executable, "-m", "samerun", *arguments]
        if is_cold:
            options |= {"capture_output": True, "text": True, "timeout": 300}
            return subprocess.run(command, cwd=cwd, **options)
        return warm.run(command, cwd=cwd, **options)

    return run
