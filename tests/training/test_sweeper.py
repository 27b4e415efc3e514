"""How a sweep runs, with workers that answer at once: every trial is a line of arithmetic.

The real workers, processes that train, are in test_sweeper_faults.py.
"""

import dataclasses
import importlib
import json
import os
import re
import shutil
import sqlite3
import time
import tomllib
from concurrent.futures import Future
from pathlib import Path

import optuna
import pytest
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf
from optuna.exceptions import StorageInternalError

from hydra_plugins.samerun_sweeper.samerun_sweeper import SamerunSweeperConf
from samerun import config, tracking
from samerun.cli import main
from samerun.config.schema import available_cores
from samerun.search import holding
from samerun.search.outcome import Outcome, State
from samerun.sweeper import loop
from samerun.sweeper import run as sweep_run
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.worker import OUTCOME_FILE, build_models, run_trial
from support.project import until

SPACE = ("model.dropout=interval(0,0.6)",)
GROUPS = (*SPACE, "schedule=constant,cosine")
BASE = ("-m", "sweep=optuna", "model=mlp", "sweep.study=s", "dataset.limit=100", "sweep.workers=1")


class Killed(BaseException):
    """Stands for `kill -9`: nothing of ours catches it."""


class Answers(Executor):
    """A worker that answers at once: the loss is the dropout, and whatever `say` makes of it."""

    def __init__(self):
        self.orders, self.max_trials = [], None
        self.say = lambda order, outcome: outcome

    def free(self):
        return 1

    def submit(self, function, *arguments):
        future = Future()
        if function is build_models:
            future.set_result([(10, 1000) for _ in arguments[0]])
            return future
        (order,) = arguments
        self.orders.append(order)
        values = dict.fromkeys(order.aims.objectives, float(order.node.model.dropout))
        outcome = Outcome(state=State.complete, values=values, epochs=2, seconds=0.1)
        try:
            future.set_result(self.say(order, outcome))
        except Exception as error:
            future.set_exception(error)
        return future

    def seconds(self, future):
        return 0.0

    def stop(self):
        pass

    def kill(self, future):
        pass

    def is_lost(self, error):
        return isinstance(error, ConnectionError)

    def close(self):
        pass


def answering(monkeypatch):
    """Puts one worker that answers at once in the place of all processes; returns it."""
    answers = Answers()

    def slots(num, max_trials, gpus):
        answers.max_trials = max_trials
        return answers

    monkeypatch.setattr(sweep_run, "Slots", slots)
    monkeypatch.setattr(sweep_run.console, "write_report", lambda plan, study, run: None)
    return answers


@pytest.fixture
def worker(project, monkeypatch):
    return answering(monkeypatch)


def sweep(*words, space=SPACE, n=3, flags=()):
    return main(["train", *flags, *BASE, *space, f"sweep.n_trials={n}", *words])


def study(name="s"):
    return optuna.load_study(study_name=name, storage="sqlite:///optuna.db")


def states(name="s"):
    return [trial.state.name for trial in study(name).trials]


def runs():
    with sqlite3.connect("mlflow.db") as database:
        rows = database.execute("select run_uuid, name, status from runs").fetchall()
        tags = database.execute("select run_uuid, key, value from tags").fetchall()
    database.close()
    return [
        {"id": run, "name": name, "status": status}
        | {key: value for owner, key, value in tags if owner == run}
        for run, name, status in rows
    ]


def children():
    return [run for run in runs() if "mlflow.parentRunId" in run]


def test_a_sweep_makes_a_parent_and_a_child_run_for_each_trial(worker, project, capsys):
    assert sweep() == 0
    assert states() == ["COMPLETE"] * 3
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run]
    assert parent["name"] == "s"
    assert parent["status"] == "FINISHED"
    assert [run["samerun.trial"] for run in children()] == ["0", "1", "2"]
    assert {run["mlflow.parentRunId"] for run in children()} == {parent["id"]}
    assert {run["samerun.state"] for run in children()} == {"complete"}
    assert all("dropout=" in run["name"] for run in children())
    out = capsys.readouterr().out
    assert "samerun reproduce" in out
    assert "model.dropout=" in out
    first = out.splitlines()[0]
    assert first.startswith("sweep s: validation/loss, small is good; 3 trials, one at a time; ")
    assert first.endswith("/optuna.db")
    assert re.search(rf"^sweep +s  {parent['id']}$", out, re.MULTILINE)
    assert re.search(r"^look .* ui$", out, re.MULTILINE)


def test_a_sweeps_own_run_is_not_taken_for_one_that_trained(worker, project, capsys):
    sweep("sweep.study=night")
    best = study("night").best_trial.user_attrs["samerun.run"]
    cfg = config.compose(["model=mlp"])
    with tracking.open_run(cfg.config, project / "alone", name="alone") as run:
        run.log_text(cfg.resolved, "config/resolved.yaml")
    said = (
        f"'night' is a sweep: give one of its trials, such as {best[:8]}, the best; the sweep "
        "itself goes on with its command and sweep.study=night."
    )
    parent = next(run for run in runs() if run["name"] == "night")
    for command in ("reproduce", "reproduce --check", "resume", "resume --fork", "diff alone"):
        for word in ("night", parent["id"][:12]):
            assert main([*command.split(), word]) == 2
            assert said in capsys.readouterr().err


def test_a_sweep_without_a_best_trial_refers_to_the_list_of_its_trials(worker, project, capsys):
    worker.say = lambda order, outcome: Outcome(state=State.pruned, epochs=1)
    sweep()
    assert main(["reproduce", "s"]) == 2
    assert "give one of its trials, which `samerun ui` lists; " in capsys.readouterr().err


def test_counts_and_the_best_so_far_are_metrics_of_the_parent(worker, project):
    sweep()
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run]
    with sqlite3.connect("mlflow.db") as database:
        points = database.execute(
            "select key, step, value from metrics where run_uuid = ?", (parent["id"],)
        ).fetchall()
    database.close()
    best = [value for key, _, value in sorted(points) if key == "sweep/best"]
    assert best == sorted(best, reverse=True)
    assert [value for key, _, value in sorted(points) if key == "sweep/complete"] == [1, 2, 3]


def test_the_same_command_again_adds_nothing_and_more_trials_go_on(worker, project, capsys):
    sweep()
    assert "already" not in capsys.readouterr().out
    sweep()
    assert "All 3 trials had ended already: sweep.n_trials=10 " in capsys.readouterr().out
    assert len(worker.orders) == 3
    sweep(n=5)
    assert "; 5 trials (3 ended already), one at a time; " in capsys.readouterr().out
    assert [order.number for order in worker.orders] == [0, 1, 2, 3, 4]
    assert states() == ["COMPLETE"] * 5
    assert len(children()) == 5


def test_notes_and_the_size_of_each_different_model_are_said_first(worker, project, capsys):
    groups = ("schedule=constant,cosine",)
    assert sweep("sweep.sampler=grid", space=groups, n=1) == 0
    note, first, size, *_ = capsys.readouterr().out.splitlines()
    assert note.startswith("grid has 2 combinations and sweep.n_trials is 1: ")
    assert first.startswith("sweep s: ")
    assert size == "mlp digits: 10 parameters, under 1 MB in training"
    assert sweep("sweep.sampler=grid", space=groups, n=9) == 0
    assert "; 2 trials (1 ended already), one at a time; " in capsys.readouterr().out
    assert sweep("sweep.sampler=grid", space=groups, n=9) == 0
    assert "All 2 combinations had been tried already.\n" in capsys.readouterr().out


def test_one_worker_and_a_seed_give_the_same_trials_again_whether_interrupted_or_not(
    worker, project
):
    sweep("sweep.sampler=tpe", "sweep.tpe.startup_trials=3", n=8)
    sweep("sweep.study=t", "sweep.tpe.startup_trials=3", n=4)
    sweep("sweep.study=t", "sweep.tpe.startup_trials=3", n=8)
    first, second = study().trials, study("t").trials
    assert [trial.params for trial in first] == [trial.params for trial in second]
    sweep("sweep.study=u", "seed=1", "sweep.tpe.startup_trials=3", n=4)
    assert study("u").trials[0].params != first[0].params


GAPS = {
    "after the study was asked": (loop.tracking, "create_child"),
    "before the trial is handed over": (loop.Loop, "_submit"),
    "before the study is told": (optuna.Study, "tell"),
    "after the study was told": (loop, "log_history"),
}


@pytest.mark.parametrize(
    "gap",
    [pytest.param(gap, marks=[] if "asked" in gap else pytest.mark.slow) for gap in GAPS],
)
def test_a_kill_in_any_gap_loses_and_doubles_nothing(worker, project, monkeypatch, gap):
    owner, name = GAPS[gap]
    real, calls = getattr(owner, name), []

    def killed_at_the_third(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, killed_at_the_third)
    with pytest.raises(Killed):
        sweep(n=4)
    monkeypatch.setattr(owner, name, real)
    interrupted = {trial.number: trial.params for trial in study().trials}
    assert sweep(n=4) == 0
    assert states() == ["COMPLETE"] * 4
    after = {trial.number: trial.params for trial in study().trials}
    assert all(interrupted[n].items() <= after[n].items() for n in interrupted)
    assert sorted(run["samerun.trial"] for run in children()) == ["0", "1", "2", "3"]
    assert len([run for run in runs() if run["name"] == "s"]) == 1


def write_outcome(project, order, outcome):
    folder = project / "multirun" / "s" / str(order.number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OUTCOME_FILE).write_text(json.dumps(dataclasses.asdict(outcome)))


def test_a_trial_that_ended_before_the_study_was_told_is_not_trained_again(worker, project, client):
    def written(order, outcome):
        client.set_terminated(order.trial.run, "FINISHED")
        write_outcome(project, order, outcome)
        raise Killed

    worker.say = written
    with pytest.raises(Killed):
        sweep()
    assert states() == ["RUNNING"]
    worker.say = lambda order, outcome: outcome
    sweep()
    assert [order.number for order in worker.orders] == [0, 1, 2]
    assert states() == ["COMPLETE"] * 3
    assert children()[0]["status"] == "FINISHED"


FAULTS = {
    0: (State.nan, "on_nan"),
    1: (State.out_of_memory, "on_memory"),
    2: (State.error, "on_error"),
    3: (State.time_limit, "on_time_limit"),
    4: (State.worker_death, "on_worker_death"),
}


def faulty(order, outcome):
    if order.number in FAULTS:
        return Outcome(state=FAULTS[order.number][0], reason="it was injected")
    return outcome


def policy(word):
    return [f"sweep.faults.{key}={word}" for _, key in FAULTS.values()]


def test_faults_fail_where_the_settings_say_so_and_the_sweep_goes_on(worker, project):
    worker.say = faulty
    assert sweep(*policy("fail"), n=7) == 0
    assert states() == ["FAIL"] * 5 + ["COMPLETE"] * 2
    for run in children()[:5]:
        assert run["samerun.state"] == FAULTS[int(run["samerun.trial"])][0].value
        assert run["samerun.reason"] == "it was injected"
    assert [t.user_attrs["samerun.reason"] for t in study().trials[:5]] == ["it was injected"] * 5


def test_faults_are_tried_again_with_the_same_values_in_the_same_run(worker, project):
    worker.say = faulty
    assert sweep(*policy("retry"), "sweep.faults.max_retries=2", n=6) == 0
    for number in FAULTS:
        tries = [order for order in worker.orders if order.number == number]
        assert len(tries) == 3
        assert len({order.trial.run for order in tries}) == 1
        assert len({order.node.model.dropout for order in tries}) == 1
    assert states() == ["FAIL"] * 5 + ["COMPLETE"]
    assert len(children()) == 6


def test_a_fault_stops_the_sweep_where_the_settings_say_so(worker, project, capsys):
    worker.say = faulty
    assert sweep("sweep.faults.on_error=stop", "sweep.faults.on_nan=fail", n=7) == 1
    assert states() == ["FAIL"] * 3
    assert "trial 2 failed (it was injected)" in capsys.readouterr().err


def test_a_trial_that_diverged_begins_again_and_others_go_on(worker, project):
    worker.say = faulty
    sweep(*policy("retry"), "sweep.faults.max_retries=1", n=3)
    asked = [run["samerun.trial"] for run in children() if "samerun.begins_afresh" in run]
    assert asked == ["0"]  # see test_restart.py for what its worker does then


def test_a_lost_worker_costs_no_trial(worker, project):
    lost = []

    def dies_once(order, outcome):
        if order.number == 1 and not lost:
            lost.append(order.number)
            raise ConnectionError
        return outcome

    worker.say = dies_once
    assert sweep() == 0
    assert states() == ["COMPLETE"] * 3
    assert [order.number for order in worker.orders] == [0, 1, 1, 2]


def test_a_worker_lost_after_its_trial_ended_keeps_the_trial(worker, project):
    def ends_and_dies(order, outcome):
        write_outcome(project, order, outcome)
        raise ConnectionError

    worker.say = ends_and_dies
    assert sweep("sweep.faults.on_worker_death=fail", n=2) == 0
    assert states() == ["COMPLETE"] * 2
    assert [order.number for order in worker.orders] == [0, 1]


def test_a_worker_is_replaced_after_as_many_trials_as_the_settings_say(worker):
    sweep("sweep.max_trials_per_worker=2", n=1)
    assert worker.max_trials == 2


def test_too_many_failures_end_the_sweep_with_exit_code_1(worker, project, capsys):
    worker.say = lambda order, outcome: Outcome(state=State.error, reason="always")
    assert sweep("sweep.max_failures=1", n=10) == 1
    assert states() == ["FAIL", "FAIL"]
    assert "sweep.max_failures is 1" in capsys.readouterr().err


LOSSES = [0.9, 0.7, 0.8, 0.5, 0.6, 0.5, 0.4, 0.3]


@pytest.mark.parametrize(
    ("word", "num_trials"),
    [
        ("sweep.budget.epochs=4", 2),  # a trial has two
        pytest.param("sweep.budget.epochs=5", 3, marks=pytest.mark.slow),
        pytest.param("sweep.budget.target=0.5", 4, marks=pytest.mark.slow),
        ("sweep.budget.patience_trials=2", 6),  # 0.5 again is no better
        ("sweep.budget.seconds=1e-9", 0),
    ],
)
def test_a_budget_ends_the_sweep_in_good_order(worker, project, capsys, word, num_trials):
    def says(order, outcome):
        values = dict.fromkeys(outcome.values, LOSSES[order.number])
        return dataclasses.replace(outcome, values=values)

    worker.say = says
    assert sweep(word, n=len(LOSSES)) == 0
    assert states() == ["COMPLETE"] * num_trials
    assert word.partition("=")[0] in capsys.readouterr().out


def test_points_to_try_first_are_tried_first(worker, project):
    sweep(space=GROUPS, n=1)
    (child,) = children()
    client = tracking.connect("sqlite:///mlflow.db")
    client.log_param(child["id"], "model.dropout", "0.125")
    client.log_param(child["id"], "schedule", "cosine")
    words = f"sweep.enqueue=[{{model.dropout:0.25,schedule:constant}},'{child['id']}']"
    assert sweep("sweep.study=e", words, space=GROUPS, n=3) == 0
    found = [trial.params for trial in study("e").trials]
    assert found[0] == {"model.dropout": 0.25, "schedule": "constant"}
    assert found[1] == {"model.dropout": 0.125, "schedule": "cosine"}
    assert len(found) == 3


CHANGES = {
    "space": ({"space": ("model.dropout=interval(0,0.5)",)}, "model.dropout"),
    "objective": ({"words": ["sweep.objectives=[train/loss]"]}, "train/loss"),
    "base": ({"words": ["training.epochs=7"]}, "training.epochs 20 → 7"),
}


@pytest.mark.parametrize(
    "change",
    [pytest.param(one, marks=[] if one == "base" else pytest.mark.slow) for one in CHANGES],
)
def test_a_study_goes_on_only_with_what_it_was_begun_with(worker, project, capsys, change):
    sweep(n=2)
    options, said = CHANGES[change]
    words = options.get("words", [])
    space = options.get("space", SPACE)
    assert sweep(*words, space=space, n=4) == 2
    assert said in capsys.readouterr().err
    assert len(states()) == 2


def test_a_change_that_is_meant_is_accepted_and_then_stays(worker, project):
    sweep(n=1)
    assert sweep("training.epochs=7", "sweep.extend=true", n=2) == 0
    assert sweep("training.epochs=7", n=3) == 0
    assert [order.node.training.epochs for order in worker.orders] == [20, 7, 7]


def test_a_config_edited_during_the_sweep_changes_no_trial(worker, project):
    (project / "extra" / "schedule").mkdir(parents=True)
    file = project / "extra" / "schedule" / "mine.yaml"
    file.write_text("defaults: [constant]\nwarmup_epochs: 1.0\n")

    def edits(order, outcome):
        file.write_text("defaults: [constant]\nwarmup_epochs: 2.0\n")
        return outcome

    worker.say = edits
    space = ("model.dropout=interval(0,0.6)", "schedule=mine,cosine")
    flags = ("--config-dir", str(project / "extra"))
    assert sweep("sweep.sampler=random", space=space, n=6, flags=flags) == 0
    mine = [o.node.schedule.warmup_epochs for o in worker.orders if "schedule=mine" in o.words]
    assert len(mine) > 1
    assert set(mine) == {1.0}


def test_a_trial_is_recorded_with_words_that_train_it_alone(worker, project):
    sweep(n=1)
    (order,) = worker.orders
    words = list(order.node.hydra.overrides.task)
    assert "model=mlp" in words
    assert not any(word.startswith(("sweep", "trial", "hydra")) for word in words)
    assert any(word.startswith("training.intra_op_threads=") for word in words)
    alone = config.compose(words).config
    assert alone.model.dropout == order.node.model.dropout
    assert alone.training.intra_op_threads == available_cores()


def test_threads_of_a_trial_are_its_share_of_the_cores_unless_they_are_chosen(
    worker, project, monkeypatch
):
    monkeypatch.setattr("samerun.sweeper.run.available_cores", lambda: 8)
    sweep("sweep.workers=4", n=1)
    sweep("sweep.workers=4", "training.intra_op_threads=3", "sweep.study=t", n=1)
    sweep("sweep.workers=2", n=2)  # a study keeps what it was begun with
    threads = [order.node.training.intra_op_threads for order in worker.orders]
    assert threads == [2, 3, 2]


BAD = {
    "no space": ([], (), "sweep: received nothing to vary"),
    "unknown key": ([], ("model.dropuot=interval(0,1)",), "dropuot"),
    "turned around": ([], ("model.dropout=interval(0.6,0)",), "smaller end first"),
    "log from 0": ([], ("model.l2=tag(log,interval(0,1))",), "above 0"),
    "a range end that the model refuses": ([], ("model.dropout=interval(0,1.5)",), "dropout"),
    "grid without steps": (["sweep.sampler=grid"], SPACE, "grid"),
    "objective": (["sweep.objectives=[validation/acuracy]"], SPACE, "validation/accuracy"),
    "direction": (["sweep.direction=maximize"], SPACE, "minimize"),
    "no workers": (["sweep.workers=0"], SPACE, "sweep.workers"),
    "pruner with two": (
        ["sweep.objectives=[validation/loss,num_parameters]"],
        SPACE,
        "sweep.pruner=none",
    ),
    "storage away": (["sweep.storage=postgresql://u:secret@127.0.0.1:9/x"], SPACE, "sweep.storage"),
    "storage of no kind": (["sweep.storage=redis://127.0.0.1"], SPACE, "sweep.storage"),
    "storage of another program": (["sweep.storage=sqlite:///shop.db"], SPACE, "another program"),
    "study name": (["sweep.study=../up"], SPACE, "sweep.study"),
    "enqueued elsewhere": (["sweep.enqueue=[{model.dropout:0.9}]"], SPACE, "sweep.enqueue"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_sentence_before_anything_is_written(worker, project, capsys, case):
    words, space, said = BAD[case]
    with sqlite3.connect("shop.db") as database:
        database.execute("create table orders (id integer)")
    database.close()
    assert sweep(*words, space=space) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "secret" not in err
    assert "Traceback" not in err
    assert runs() == []
    assert worker.orders == []


def test_a_sweep_without_m_and_an_interval_without_sweep_are_explained(project, capsys):
    assert main(["train", "sweep=optuna", "model.dropout=interval(0,1)"]) == 2
    assert "-m" in capsys.readouterr().err
    assert main(["train", "-m", "model.dropout=interval(0,1)"]) == 2
    assert "sweep=optuna" in capsys.readouterr().err


def test_a_second_sweep_on_the_same_study_is_refused_while_the_first_runs(worker, project, samerun):
    others = []

    def begins_another(order, outcome):
        others.append(samerun("train", *BASE, *SPACE, cwd=project))
        return outcome

    worker.say = begins_another
    assert sweep(n=1) == 0
    (other,) = others
    assert other.returncode == 2
    assert "is running in another process" in other.stderr
    assert states() == ["COMPLETE"]


def test_a_study_that_a_sweep_on_another_machine_holds_is_refused(
    worker, project, monkeypatch, capsys
):
    def holds(order, outcome):
        said = study().user_attrs["samerun.holder"]
        assert said["pid"] == os.getpid()
        return outcome

    worker.say = holds
    assert sweep(n=1) == 0
    assert study().user_attrs["samerun.holder"] is None  # ended, so anybody may go on
    study().set_user_attr("samerun.holder", {"host": "elsewhere", "pid": 7, "at": time.time()})
    assert sweep(n=2) == 2
    assert "is running on elsewhere (process 7, heard of " in capsys.readouterr().err
    assert states() == ["COMPLETE"]
    long_ago = {"host": "elsewhere", "pid": 7, "at": time.time() - 61}
    study().set_user_attr("samerun.holder", long_ago)
    monkeypatch.setattr(holding, "RENEWED_SECONDS", 0.05)
    assert sweep(n=2) == 0
    assert states() == ["COMPLETE", "COMPLETE"]


def test_a_sweep_says_again_and_again_that_it_holds_its_study(project, monkeypatch):
    monkeypatch.setattr(holding, "RENEWED_SECONDS", 0.05)
    kept = optuna.create_study(study_name="s", storage="sqlite:///optuna.db")
    with holding.held(kept):
        kept.set_user_attr("samerun.holder", None)
        until(lambda: study().user_attrs["samerun.holder"] is not None)
        assert study().user_attrs["samerun.holder"]["pid"] == os.getpid()
    assert study().user_attrs["samerun.holder"] is None


def test_a_study_whose_code_changed_is_refused_with_the_file(worker, project, monkeypatch, capsys):
    files = {"mine.py": "1", "samerun/training.py": "1"}
    monkeypatch.setattr(sweep_run.identity, "code_files", lambda cfg: files)
    assert sweep(n=1) == 0
    files["mine.py"] = "2"
    assert sweep(n=2) == 2
    assert "(the code of mine.py)" in capsys.readouterr().err
    files["samerun/training.py"] = "2"
    assert sweep(n=2) == 2
    assert "(the code of mine.py, samerun)" in capsys.readouterr().err
    assert sweep("sweep.extend=true", n=2) == 0
    assert sweep(n=3) == 0
    assert states() == ["COMPLETE"] * 3


def test_a_study_goes_on_from_another_machine(worker, project, client):
    assert sweep(n=1) == 0
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run]
    client.set_tag(parent["id"], "samerun.host", "elsewhere")  # which lost its power
    client.update_run(parent["id"], status="RUNNING")
    shutil.rmtree("multirun")
    assert sweep(n=2) == 0
    assert states() == ["COMPLETE"] * 2
    assert [run["samerun.trial"] for run in children()] == ["0", "1"]
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run]
    assert parent["status"] == "FINISHED"


def test_a_sweep_that_was_taken_over_ends_and_leaves_the_study_to_the_other(
    worker, project, monkeypatch, capsys
):
    monkeypatch.setattr(holding, "RENEWED_SECONDS", 0.05)
    hold = holding.Hold()
    monkeypatch.setattr(holding, "Hold", lambda: hold)
    other = {"host": "elsewhere", "pid": 7, "token": "theirs", "at": time.time()}

    def taken():
        study().set_user_attr("samerun.holder", other)  # again, as the other sweep does
        return hold.taken_by

    def overtake(order, outcome):
        until(taken)
        return outcome

    worker.say = overtake
    assert sweep(n=3) == 2
    assert "was taken over by a sweep on elsewhere" in capsys.readouterr().err
    assert study().user_attrs["samerun.holder"] == other
    assert len(worker.orders) == 1


def test_the_folder_of_another_study_is_left_alone(worker, project, capsys):
    assert sweep(n=1) == 0
    before = runs()
    for file in project.glob("optuna.db*"):
        file.unlink()
    assert sweep(n=2) == 2
    assert "holds the trials of another study than the 's' of sqlite" in capsys.readouterr().err
    assert sweep("hydra.sweep.dir=here", "sweep.study=a", n=1) == 0
    assert sweep("hydra.sweep.dir=here", "sweep.study=b", n=1) == 2
    assert "holds the trials of another study than the 'b'" in capsys.readouterr().err
    assert [run for run in runs() if run["samerun.study"] == "s"] == before


def test_workers_get_the_storages_password_before_they_start(worker, project, monkeypatch):
    monkeypatch.delenv("SAMERUN_STORAGE", raising=False)
    address = "postgresql://me:geheim@127.0.0.1:1/optuna"
    kept = optuna.storages.RDBStorage("sqlite:///optuna.db")
    monkeypatch.setattr(sweep_run.search, "open_storage", lambda url: kept)
    found = []
    worker.warm_up = lambda num: found.append(os.environ.get("SAMERUN_STORAGE"))
    assert sweep(f"sweep.storage={address}", n=1) == 0
    assert found == [address]
    assert worker.orders[0].trial.storage == "postgresql://me:***@127.0.0.1:1/optuna"
    monkeypatch.delenv("SAMERUN_STORAGE")


def times_out(times, error, function):
    """Returns a function that raises so many times before it does what it should."""
    left = [error] * times

    def call(*args, **kwargs):
        if left:
            raise left.pop()
        return function(*args, **kwargs)

    return call


OUTAGES = {
    "the run of a trial cannot be made": (loop.tracking, "create_child", ConnectionError("gone")),
    "the study cannot be asked": (optuna.Study, "ask", StorageInternalError("gone")),
    "the study cannot be told": (optuna.Study, "tell", StorageInternalError("gone")),
    "a run cannot be tagged": (loop.Loop, "_tag", ConnectionError("gone")),
    "a value cannot be chosen": (optuna.Trial, "suggest_float", StorageInternalError("gone")),
}


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(one, marks=[] if "cannot be told" in one else pytest.mark.slow)
        for one in OUTAGES
    ],
)
def test_a_store_that_is_away_for_a_moment_costs_no_trial(
    outage, worker, project, monkeypatch, capsys
):
    owner, name, error = OUTAGES[outage]
    monkeypatch.setattr(loop, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(owner, name, times_out(3, error, getattr(owner, name)))
    assert sweep() == 0
    assert states() == ["COMPLETE"] * 3
    assert [run["samerun.trial"] for run in children()] == ["0", "1", "2"]
    assert {run["samerun.state"] for run in children()} == {"complete"}
    assert len(worker.orders) == 3
    out = capsys.readouterr().out
    assert out.count("A store is away: what is being trained goes on, and it is tried") == 1
    assert out.count("The store is back: the sweep goes on.") == 1


def test_a_store_that_stays_away_ends_the_sweep_which_can_go_on(
    worker, project, monkeypatch, capsys
):
    monkeypatch.setattr(loop, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(loop, "AWAY_SECONDS", 0.1)
    with monkeypatch.context() as patch:
        away = times_out(10**6, StorageInternalError("gone"), None)
        patch.setattr(optuna.Study, "tell", away)
        assert sweep() == 2
    assert "then the same command with sweep.study=s goes on" in capsys.readouterr().err
    assert states() == ["RUNNING"]
    assert sweep() == 0
    assert states() == ["COMPLETE"] * 3
    assert len(children()) == 3


def test_a_trial_that_failed_while_the_store_was_away_is_tried_again(worker, project, monkeypatch):
    monkeypatch.setattr(loop, "PAUSE_SECONDS", 0.01)
    answers = iter([False, False])
    monkeypatch.setattr(loop.tracking, "answers", lambda client: next(answers, True))

    def fail_first(order, outcome):
        if len(worker.orders) == 1:
            raise RuntimeError("no server")
        return outcome

    worker.say = fail_first
    assert sweep() == 0
    assert states() == ["COMPLETE"] * 3
    assert len(worker.orders) == 4


@pytest.mark.parametrize(
    ("key", "address"),
    [("tracking.uri", "http://127.0.0.1:1"), ("trial.storage", "grpc://127.0.0.1:1")],
)
def test_a_trial_that_began_where_no_store_answers_is_tried_again(worker, project, key, address):
    """A machine that is cut off for a moment, while the sweep's own reaches the stores."""
    outcomes = []

    def cut_off(order, outcome):
        if order.number == 1 and len(worker.orders) < 4:
            OmegaConf.update(order.node, key, address)
            outcomes.append(run_trial(order))
            return outcomes[-1]
        return outcome

    worker.say = cut_off
    assert sweep("sweep.faults.on_error=fail") == 0
    assert [order.number for order in worker.orders] == [0, 1, 1, 1, 2]
    assert {outcome.state for outcome in outcomes} == {State.store_away}
    assert "efused" in outcomes[0].reason or "nothing listens there" in outcomes[0].reason
    assert states() == ["COMPLETE"] * 3


def test_a_study_of_another_program_is_left_alone(worker, project, capsys):
    other = optuna.create_study(study_name="s", storage="sqlite:///optuna.db")
    other.add_trial(optuna.trial.create_trial(value=1.0))
    assert sweep() == 2
    assert "another program" in capsys.readouterr().err
    assert len(study().trials) == 1


def test_a_storage_of_another_version_of_optuna_is_left_alone(worker, project, capsys):
    optuna.create_study(storage="sqlite:///optuna.db")
    with sqlite3.connect("optuna.db") as database:
        database.execute("update alembic_version set version_num = 'v0.9.0.a'")
    database.close()
    assert sweep() == 2
    assert "another version of Optuna" in capsys.readouterr().err


def test_a_storage_that_cannot_be_written_is_one_sentence(worker, project, capsys):
    (project / "optuna.db").write_bytes(b"a letter to somebody, not a database" * 100)
    assert sweep() == 2
    err = capsys.readouterr().err
    assert "not an SQLite database" in err
    assert "Traceback" not in err


def test_two_objectives_give_a_pareto_front(worker, project, capsys):
    words = ("sweep.objectives=[validation/accuracy,num_parameters]", "sweep.pruner=none")
    assert sweep(*words) == 0
    assert [way.name for way in study().directions] == ["MAXIMIZE", "MINIMIZE"]
    assert "front" in capsys.readouterr().out


def test_hydra_1_4_finds_the_sweeper_by_its_entry_point():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    points = tomllib.loads(text)["project"]["entry-points"]["hydra.plugins"]
    module, _, name = points["samerun_optuna"].partition(":")
    found = getattr(importlib.import_module(module), name)
    assert issubclass(found, Sweeper)
    assert SamerunSweeperConf()._target_ == f"{module}.{name}"
