"""Every executor keeps the same promises: in this process, in slots of this machine, with Dask."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

import psutil
import pytest
from omegaconf import OmegaConf

import samerun
from samerun import tags as tag
from samerun import tracking
from samerun.config.sweep import Dask
from samerun.errors import UserError
from samerun.folders import package_folder
from samerun.process import graphics_cards
from samerun.replay.recorded import read
from samerun.replay.results import read_result
from samerun.sweeper import plan
from samerun.sweeper.executors import dask, dask_cluster, dask_remote, local
from samerun.sweeper.executors.dask import DaskExecutor
from samerun.sweeper.executors.inline import InlineExecutor
from samerun.sweeper.executors.local import LocalExecutor
from samerun.sweeper.worker import run_trial
from support.project import PROGRAMS, until
from support.warm import Warm, is_worker

sys.path.append(str(PROGRAMS))
import worker_tasks

SOON = 60  # seconds in which a process starts or ends on a busy machine


@pytest.fixture(autouse=True)
def cold(monkeypatch, environment):
    """Workers do without TensorFlow, which these tests do not need."""
    monkeypatch.setitem(os.environ, "PYTHONPATH", environment["PYTHONPATH"])
    for module in (local, dask):
        monkeypatch.setattr(module, "warm_up", worker_tasks.pid)


@pytest.fixture(scope="module")
def environment():
    """Workers find the tasks of this test by name, as they find the sweeper's."""
    path = os.pathsep.join([str(PROGRAMS), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory, environment):
    """A Dask scheduler with two workers, each watched by a nanny; returns its address."""
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    at_home = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", file]
    commands = [[*dask, "scheduler", "--port", "0", "--no-show", *at_home]]
    worker = ["worker", "--nthreads", "1", "--memory-limit", "0", "--local-directory", folder]
    commands += [[*dask, *worker, "--nworkers", "2", *at_home]]
    with (folder / "log").open("ab") as log:
        started = [
            Warm(command, env=environment, stdout=log, stderr=log, cwd=folder)
            for command in commands
        ]
    try:
        until(file.exists)
        yield config_of(file)["address"]
    finally:
        for process in reversed(started):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()


def config_of(file: Path):
    return OmegaConf.to_container(OmegaConf.create(file.read_text()))


def options(**changed):
    plain = OmegaConf.load(package_folder("conf") / "sweep" / "optuna.yaml").dask
    return Dask(**{**OmegaConf.to_container(plain), **changed})


def on_dask(scheduler, modules=None, max_trials=None):
    client, batch = dask_cluster.connect(scheduler, options(), 2, Path())
    needs = dask_remote.Needs()
    executor = DaskExecutor(
        client,
        batch,
        needs=needs,
        folder="study",
        modules=modules or {},
        max_trials=max_trials,
    )
    executor.start(SOON)
    until(lambda: executor.free() == 2)
    return executor


KINDS = pytest.mark.parametrize("kind", ["slots", pytest.param("dask", marks=pytest.mark.slow)])


@pytest.fixture
def make_executor(request, kind):
    """Makes an executor of two workers."""
    made = []

    def make(max_trials=None):
        if kind == "dask":
            scheduler = request.getfixturevalue("scheduler")
            made.append(on_dask(scheduler, max_trials=max_trials))
        else:
            made.append(LocalExecutor(2, max_trials))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


@pytest.fixture(scope="module")
def shared():
    """Two local workers that tests share."""
    made = LocalExecutor(2)
    yield made
    made.close()


@pytest.fixture
def executor(request, kind):
    """Two workers, which other tests had before and have afterwards.

    Those of Dask belong to the scheduler, where another executor may end them: each test connects.
    """
    is_dask = kind == "dask"
    own = on_dask(request.getfixturevalue("scheduler")) if is_dask else None
    executor = own or request.getfixturevalue("shared")
    yield executor
    until(lambda: executor.free() == 2)
    if own is not None:
        own.close()


@KINDS
def test_results_come_in_the_order_in_which_they_are_ready(executor, tmp_path):
    pids_of_both(executor)
    files = [tmp_path / "slow", tmp_path / "quick"]
    slow, quick = (executor.submit(worker_tasks.once_there, str(f), f.name) for f in files)
    assert executor.free() == 0
    files[1].touch()
    assert quick.result(SOON) == "quick"
    until(lambda: executor.free() == 1)
    assert executor.submit(worker_tasks.after, 0, "third").result(SOON) == "third"
    assert not slow.done()
    files[0].touch()
    assert slow.result(SOON) == "slow"


@KINDS
def test_an_exception_is_returned_and_the_worker_continues(executor):
    with pytest.raises(ValueError, match="on purpose") as raised:
        executor.submit(worker_tasks.fail).result(SOON)
    assert not executor.is_lost(raised.value)
    assert executor.submit(worker_tasks.after, 0, "next").result(SOON) == "next"


@KINDS
def test_a_killed_worker_breaks_its_own_call_only_and_is_replaced(executor):
    before = pids_of_both(executor)
    slow = executor.submit(worker_tasks.pid, 2.0)
    error = executor.submit(worker_tasks.die).exception(SOON)
    assert executor.is_lost(error)
    assert slow.result(SOON) in before
    until(lambda: executor.free() == 2)
    after = pids_of_both(executor)
    assert slow.result() in after
    assert len(after - before) == 1


@KINDS
def test_a_process_is_replaced_after_so_many_trials(make_executor, tmp_path):
    executor = make_executor(max_trials=1)
    before = pids_of_both(executor)
    assert pids_of_both(executor) == before  # those were no trials
    until(lambda: executor.free() == 2)
    end = tmp_path / "end"
    other = executor.submit(worker_tasks.once_there, str(end), "other")
    trial = executor.submit(run_trial, "not an order")
    assert isinstance(trial.exception(SOON), AttributeError)
    until(lambda: executor.free() == 1)
    assert executor.submit(worker_tasks.pid).result(SOON) not in before
    end.touch()
    assert other.result(SOON) == "other"


def test_warmed_up_workers_are_those_that_run():
    slots, others = LocalExecutor(2), children()
    try:
        slots.warm_up(100)
        until(lambda: len(children() - others) == 2)
        started = children() - others
        assert pids_of_both(slots) == started
    finally:
        slots.close()


PLANNED = (
    *("sweep=optuna", "model=mlp", "model.dropout=interval(0,0.6)", "dataset.limit=100"),
    *("sweep.workers=2", "sweep.n_trials=5"),
)


def test_a_sweep_that_is_refused_after_its_workers_started_leaves_nothing(project, monkeypatch):
    before, others, started = sorted(project.rglob("*")), children(), set()
    warm_up = LocalExecutor.warm_up

    def noted(slots, num):
        warm_up(slots, num)
        until(lambda: len(children() - others) == 2)
        started.update(children() - others)

    monkeypatch.setattr(LocalExecutor, "warm_up", noted)
    wrong = ("sweep.pruner=threshold", "sweep.threshold.lower=2", "sweep.threshold.upper=1")
    with pytest.raises(UserError, match="Optuna rejects these options"):
        samerun.sweep([*PLANNED, *wrong])
    assert len(started) == 2
    until(lambda: not any(map(psutil.pid_exists, started)))
    assert sorted(project.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_sweep_is_planned_leaves_no_process(project, number, code):
    """Its workers are starting, and its store accepts connections and never answers."""
    command = [sys.executable, "-m", "samerun", "train", "-m", *PLANNED]
    with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.ExitStack() as stack:
        silent.settimeout(120)
        address = f"tracking.uri=http://127.0.0.1:{silent.getsockname()[1]}"
        sweep = subprocess.Popen(  # cold: a warm worker is forked from another process
            [*command, address],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        stack.enter_context(silent.accept()[0])
        own = psutil.Process(sweep.pid)
        below = own.children(recursive=True)
        assert sum(map(is_worker, below)) == 2
        os.killpg(sweep.pid, number)  # as a terminal does: to every process
        out, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == code, out
    assert "Traceback" not in out
    assert psutil.wait_procs(below, timeout=60)[1] == []


class _Pool:
    """A pool that starts no process."""

    made: ClassVar[list["_Pool"]]

    def __init__(self, **options):
        self.is_closed, self._processes = False, {}
        self.made.append(self)

    def submit(self, function, *arguments):
        return Future()

    def shutdown(self, **options):
        self.is_closed = True


def test_ctrl_c_while_a_worker_is_replaced_leaves_neither_of_the_two(monkeypatch):
    @contextlib.contextmanager
    def interrupted():
        yield
        raise KeyboardInterrupt  # which was held back

    monkeypatch.setattr(local, "ProcessPoolExecutor", _Pool)
    monkeypatch.setattr(_Pool, "made", [], raising=False)
    slots = LocalExecutor(1, max_trials=0)
    slots.warm_up(1)
    monkeypatch.setattr(local, "hold_signals", interrupted)
    with pytest.raises(KeyboardInterrupt):
        slots.submit(worker_tasks.pid)
    slots.close()
    assert [pool.is_closed for pool in _Pool.made] == [True, True]


def test_each_slot_sees_its_own_graphics_card_also_after_its_process_died(monkeypatch):
    """Set before the process imports anything, and shared out where there are fewer cards."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-5f,-1")
    cards = graphics_cards()
    slots = LocalExecutor(3, gpus=cards)
    try:
        for _ in range(2):
            asked = [slots.submit(worker_tasks.variable, "CUDA_VISIBLE_DEVICES", 0.5)]
            asked += [
                slots.submit(worker_tasks.variable, "CUDA_VISIBLE_DEVICES", 0.5) for _ in "ab"
            ]
            assert [future.result(SOON) for future in asked] == ["0", "GPU-5f", "0"]
            dying = slots.submit(worker_tasks.die)
            assert slots.is_lost(dying.exception(SOON))
    finally:
        slots.close()


def children():
    """Returns the worker processes of this one."""
    own = psutil.Process().children()
    return {child.pid for child in own if "spawn_main" in " ".join(child.cmdline())}


def pids_of_both(executor):
    futures = [executor.submit(worker_tasks.pid, 0.5) for _ in range(2)]
    return {future.result(SOON) for future in futures}


@KINDS
def test_a_call_that_hangs_is_ended_with_its_process(executor, tmp_path):
    future = executor.submit(worker_tasks.write_until_stopped, str(tmp_path / "pid"))
    until((tmp_path / "pid").exists)
    time.sleep(0.2)
    assert executor.seconds(future) > 0
    executor.kill(future)
    assert executor.is_lost(future.exception(SOON))
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not psutil.pid_exists(pid))
    until(lambda: executor.free() == 2)


@KINDS
def test_closing_leaves_no_call_behind(make_executor, tmp_path):
    executor = make_executor()
    executor.submit(worker_tasks.write_until_stopped, str(tmp_path / "pid"))
    until((tmp_path / "pid").exists)
    executor.close()
    until(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))


def test_a_process_whose_end_another_thread_has_noted_is_no_error():
    executor = LocalExecutor(1)
    pid = executor.submit(worker_tasks.pid).result(SOON)
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # the pool's own thread was quicker
        os.waitpid(pid, 0)
    executor.close()
    assert not psutil.pid_exists(pid)


def test_in_this_process_a_call_is_done_at_once():
    executor = InlineExecutor()
    assert executor.submit(worker_tasks.pid).result(0) == os.getpid()
    error = executor.submit(worker_tasks.fail).exception(0)
    assert isinstance(error, ValueError)
    assert not executor.is_lost(error)
    assert executor.free() == 1


@pytest.mark.slow
def test_a_users_module_travels_and_another_sweeps_version_is_forgotten(scheduler, tmp_path):
    for text in ("first", "second"):
        (tmp_path / "layers.py").write_text(f"TEXT = '{text}'\n")
        (tmp_path / "my_code.py").write_text(
            "import layers\ndef build():\n    return layers.TEXT\n"
        )
        executor = on_dask(scheduler, dask_cluster.modules_of(["my_code:build"], tmp_path))
        answer, folder = executor.submit(worker_tasks.own, "my_code:build").result(SOON)
        executor.close()
        assert answer == text
        assert Path(folder).name == "study"
        assert Path(folder).parent.stat().st_mode & 0o77 == 0  # no other user's modules


CONFIRMED = (
    *("sweep=grid", "sweep.study=s", "sweep.confirm.top=2", "sweep.confirm.seeds=2"),
    *("model=mlp", "model.units=[4]", "optimizer.learning_rate=0.001,0.03"),
    *("dataset.limit=60", "training.epochs=1", "tracking=lean"),
)


@pytest.mark.slow(seconds=40)
def test_a_confirmation_trains_fresh_seeds_on_dask_in_folders_of_its_own(
    scheduler, project, monkeypatch
):
    monkeypatch.setattr(plan, "_check_addresses", lambda *_: None)  # all are on this machine
    result = samerun.sweep([*CONFIRMED, f"sweep.cluster={scheduler}"])
    ranked = result.confirmation.ranked
    assert sorted(one.number for one in ranked) == [0, 1]
    assert result.best[0].number == ranked[0].number
    folders = {}
    for number, run_id in result.run_ids.items():
        (searched,) = tracking.find_runs([run_id])
        folders[searched.tags[tag.FOLDER]] = ("s", str(number))
    for one in ranked:
        (above,) = tracking.find_runs([one.run_id])
        below = tracking.find_by_tags(read(above).cfg, {"mlflow.parentRunId": above.id})
        found = {read(run).cfg.seed: read_result(run).objective for run in below}
        assert found == dict(one.values)
        assert {*found} == {1000, 1001}
        number = str(one.trial.number)
        folders[above.tags[tag.FOLDER]] = ("s-confirm-1000-1001", number)
    assert len(folders) == 4
    for folder, ends in folders.items():
        assert Path(folder).parts[-2:] == ends


@pytest.mark.slow
def test_a_sweep_that_is_killed_leaves_no_call_behind(scheduler, environment, tmp_path):
    program = PROGRAMS / "sweep_on_dask_hangs.py"
    command = [sys.executable, program, scheduler, tmp_path / "pid"]
    sweep = Warm(command, env=environment, cwd=tmp_path)
    until((tmp_path / "pid").exists)
    sweep.kill()
    sweep.wait()
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not psutil.pid_exists(pid))


def test_a_worker_with_other_versions_is_reported_with_the_difference():
    mine = dask_remote.describe_worker(dask_remote.Needs())
    assert dask_cluster.difference(mine, mine) == ""
    assert {"keras", "numpy", "distributed", "samerun", "ml-dtypes"} <= set(mine.packages)
    assert "ruff" not in mine.packages  # a worker may lack what no run needs
    packages = {**mine.packages, "keras": "3.0.0"}
    del packages["mlflow"]
    theirs = dask_remote.WorkerEnvironment(
        token="", python="3.9.0", code="", packages=packages, unreachable=""
    )
    message = dask_cluster.difference(mine, theirs)
    assert message == (
        f"Python 3.9.0 instead of {mine.python}, keras 3.0.0 instead of {mine.packages['keras']}, "
        f"no mlflow {mine.packages['mlflow']}, other source files of samerun"
    )


@pytest.mark.parametrize(
    ("needs", "variable", "message"),
    [
        (("postgresql://me:***@h/optuna", None, True), "SAMERUN_STORAGE", "has no SAMERUN_STORAGE"),
        ((None, "http://me:***@h:1", False), "MLFLOW_TRACKING_URI", "has no MLFLOW_TRACKING_URI"),
        ((None, "http://127.0.0.1:9", False), "X", "cannot reach http://127.0.0.1:9"),
    ],
)
def test_a_worker_that_cannot_reach_a_store_reports_it(needs, variable, message, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    storage, tracking, secret = needs
    described = dask_remote.describe_worker(
        dask_remote.Needs(storage=storage, tracking=tracking, secret=secret)
    )
    assert described.unreachable.startswith(message)


@pytest.mark.parametrize(
    ("address", "changed", "message"),
    [
        pytest.param(
            "tcp://127.0.0.1:1",
            {},
            "no scheduler responds at tcp://127.0.0.1:1 within 5 s",
            marks=pytest.mark.slow,
        ),
        ("slrum", {}, "received 'slrum', expected the address of a scheduler such as tcp://"),
        ("slurm", {}, "slurm has no sbatch on this machine"),
        ("tls://127.0.0.1:1", {"tls_ca": "ca.pem"}, "sweep.dask.tls_ca: received ca.pem, exp"),
        ("tls://127.0.0.1:1", {}, "a tls address needs sweep.dask.tls_ca, tls_certificate and"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_sentence_within_seconds(
    address, changed, message, monkeypatch
):
    pytest.importorskip("dask_jobqueue")  # its import is not what is timed
    monkeypatch.setenv("PATH", "")
    began = time.monotonic()
    with pytest.raises(UserError, match=message):
        dask_cluster.connect(address, options(**changed), 2, Path())
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_silent_port_is_no_scheduler():
    pytest.importorskip("dask_jobqueue")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(UserError, match="no scheduler responds at"):
            dask_cluster.connect(f"tcp://127.0.0.1:{silent.getsockname()[1]}", options(), 2, Path())
        assert time.monotonic() - began < 30


def test_without_dask_the_message_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"pip install 'samerun\[cluster\]'"):
        dask_cluster.connect("tcp://127.0.0.1:1", options(), 2, Path())


def test_a_batch_system_runs_one_trial_in_each_job_with_all_its_cores():
    jobqueue = pytest.importorskip("dask_jobqueue")
    wanted = options(cores=4, memory="8GB", queue="long", gpus=1, extra=["--gres=gpu:1"])
    accepted = dask_cluster.batch_options("slurm", wanted)
    job = jobqueue.SLURMCluster.job_cls("tcp://head:8786", name="one", **without_cluster(accepted))
    script = job.job_script()
    for line in ("-p long", "--cpus-per-task=4", "--mem=8G", "-t 04:00:00", "--gres=gpu:1"):
        assert f"#SBATCH {line}\n" in script
    assert script.rstrip().endswith("--nthreads 1 --resources GPU=1")
    assert sys.executable in script


def without_cluster(options):
    return {key: value for key, value in options.items() if key != "scheduler_options"}


def test_modules_are_not_taken_from_a_folder_of_another_user(tmp_path):
    (tmp_path / f"samerun-sweeps-{os.getuid()}").symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="belongs to another user"):
        dask_remote._own_folder(tmp_path)
