"""A sweep learns from an earlier study: equal runs are lent, other good values are tried first.

The workers answer at once, and record what a run that was trained would; the last tests train.
"""

import contextlib
import dataclasses
import functools
import re

import optuna
import pytest

import samerun
from samerun import config, data, identity, provenance
from samerun import tags as tag
from samerun.cli import main
from samerun.config.schema import available_cores
from samerun.search import lending
from samerun.search.outcome import EndState, TrialOutcome
from support.recorded import connected
from support.sweeps import (
    Killed,
    children,
    copy_store,
    instant_executor,
    runs,
    states,
    study,
    sweep_in,
)

GRID = ("model.dropout=0.1,0.2,0.3,0.4",)
EXHAUSTIVE = ("sweep.sampler=grid", "sweep.pruner=none")
CORES = available_cores()

digests = functools.cache(lambda limit: data.digests(composed(f"dataset.limit={limit}").dataset))

code = functools.cache(lambda: provenance.collect("").code.digest)


def composed(*overrides):
    return config.compose(["model=mlp", *overrides]).config


def record(task, outcome):
    """Records on the trial's run what a training records of its identity, and that it ended."""
    client, cfg = connected(), config.compose(list(task.overrides)).config
    tags = {
        tag.FINGERPRINT: identity.of_run(cfg, digests(cfg.dataset.limit)),
        tag.FINGERPRINT_CONFIG: config.fingerprint(cfg),
        tag.FINGERPRINT_CODE: code(),
    }
    for key, value in tags.items():
        client.set_tag(task.trial.run, key, value)
    client.set_terminated(task.trial.run, "FINISHED")
    return outcome


def worse(task, outcome):
    """Ends a trial with a loss above all dropouts."""
    values = dict.fromkeys(outcome.values, 1.0 + task.number / 100)
    return record(task, dataclasses.replace(outcome, values=values))


@pytest.fixture(scope="module")
def swept(prepared_database, prepared_study_database, tmp_path_factory):
    """A folder with a sweep of three trials in the study `night`, and a copy of all files in it."""
    folder, kept = tmp_path_factory.mktemp("swept"), tmp_path_factory.mktemp("kept")
    databases = prepared_database, prepared_study_database
    sweep_in(folder, databases, "sweep.study=night", answer=record)
    copy_store(folder, kept)
    return folder, kept


@pytest.fixture
def night(swept, monkeypatch):
    """A worker in the folder of that sweep, as it was left."""
    folder, kept = swept
    copy_store(kept, folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)
    worker = instant_executor(monkeypatch)
    worker.answer = record
    return worker


def lent(name):
    return [trial for trial in study(name).trials if lending.is_lent(trial)]


def learn(worker, *overrides, name="day", n=2, earlier="night", **options):
    names = (f"sweep.study={name}", f"sweep.learn_from={earlier}")
    return worker.sweep(*names, *overrides, n=n, **options)


def runs_of(name):
    return {run["samerun.trial"]: run["id"] for run in children() if run[tag.STUDY] == name}


def test_trials_that_are_the_same_runs_are_results_and_not_trained_again(night, capsys):
    assert learn(night) == 0
    assert [task.number for task in night.tasks] == [3, 4]
    assert states("day") == ["COMPLETE"] * 5
    for trial, earlier in zip(lent("day"), study("night").trials, strict=True):
        assert trial.params == earlier.params
        assert trial.value == earlier.value
        assert trial.user_attrs[tag.TRIAL_RUN] == runs_of("night")[str(earlier.number)]
        assert trial.user_attrs[tag.TRIAL_OVERRIDES] == earlier.user_attrs[tag.TRIAL_OVERRIDES]
    assert len(runs_of("day")) == 2
    out = capsys.readouterr().out
    assert "sweep.learn_from=night: 3 of its 3 completed trials are lent as results.\n" in out
    assert " · 2 trials and 3 lent · " in out
    assert "2 complete, 3 lent" in out


def test_the_best_trial_may_be_lent_and_is_the_run_that_was_trained(night, capsys):
    night.answer = worse
    assert learn(night) == 0
    best = min(study("night").trials, key=lambda trial: trial.value)
    run = runs_of("night")[str(best.number)]
    out = capsys.readouterr().out
    assert f"trial {best.number} (lent: trial {best.number} of study night)  validation/loss" in out
    assert f"samerun reproduce {run[:8]}" in out
    (parent,) = [one for one in runs() if one["name"] == "day"]
    assert parent[tag.BEST] == run
    assert parent[tag.LEARNED_FROM] == "night (3 lent)"
    assert main(["runs"]) == 0
    listed = capsys.readouterr().out
    assert f"2 trials · learned from night (3 lent) · best {run[:8]} (lent)" in listed
    assert main(["show", parent["id"]]) == 0
    out = capsys.readouterr().out
    assert "learned from night (3 lent)" in out
    assert f"samerun show {run[:8]}" in out


def test_from_python_a_lent_trial_says_so(night):
    night.answer = worse
    given = ["sweep=optuna", "model=mlp", "dataset.limit=100", "sweep.workers=1"]
    names = ["sweep.study=day", "sweep.learn_from=night", "sweep.n_trials=2"]
    result = samerun.sweep([*given, *names, "model.dropout=interval(0,0.6)"], executor=night)
    best = min(study("night").trials, key=lambda trial: trial.value)
    assert result.best[0].lent == f"trial {best.number} of study night"
    assert result.best[0].run_id == runs_of("night")[str(best.number)]
    assert {str(number): run for number, run in result.run_ids.items()} == runs_of("day")
    assert "study day, 2 trials" in repr(result)
    assert f"(lent: trial {best.number} of study night)" in repr(result)


def test_what_was_lent_is_no_history_of_this_sweep_but_may_be_its_best(night):
    night.answer = worse
    learn(night)
    (parent,) = [one for one in runs() if one["name"] == "day"]
    history = {
        key: [point.value for point in connected().get_metric_history(parent["id"], key)]
        for key in ("sweep/complete", "sweep/best")
    }
    best = min(trial.value for trial in study("night").trials)
    assert history == {"sweep/complete": [1, 2], "sweep/best": [best, best]}


def test_the_same_command_again_lends_nothing_twice(night):
    learn(night)
    before = [trial.params for trial in study("day").trials]
    optuna.delete_study(study_name="night", storage="sqlite:///optuna.db")  # it is not read again
    assert learn(night, n=4) == 0
    after = [trial.params for trial in study("day").trials]
    assert after[:5] == before
    assert [task.number for task in night.tasks] == [3, 4, 5, 6]
    assert len(lent("day")) == 3


@pytest.mark.parametrize(
    "when",
    [
        "while trials are lent",
        pytest.param("before the study says so", marks=pytest.mark.slow),
        pytest.param("later", marks=pytest.mark.slow),
    ],
)
def test_a_killed_sweep_continues_as_if_it_had_not_been(night, monkeypatch, when):
    learn(night, name="whole", n=3)
    killed = iter([False, False, True])
    add, original = optuna.Study.add_trial, optuna.Study.set_user_attr

    def add_trial(self, trial):
        if next(killed, False):
            raise Killed
        add(self, trial)

    def set_user_attr(self, key, value):
        if key == tag.STUDY_LEARNED_FROM:
            raise Killed
        original(self, key, value)

    def dies(task, outcome):
        if task.number == 4:
            raise Killed
        return record(task, outcome)

    with monkeypatch.context() as patch:
        if when == "while trials are lent":
            patch.setattr(optuna.Study, "add_trial", add_trial)
        elif when == "before the study says so":
            patch.setattr(optuna.Study, "set_user_attr", set_user_attr)
        else:
            patch.setattr(night, "answer", dies)
        with pytest.raises(Killed):
            learn(night, n=3)
    assert learn(night, n=3) == 0
    assert [(t.params, t.value) for t in study("day").trials] == [
        (t.params, t.value) for t in study("whole").trials
    ]
    assert len(lent("day")) == 3


def test_a_grid_trains_only_the_combinations_that_are_not_lent(worker, capsys):
    worker.answer = record
    worker.sweep("sweep.study=night", *EXHAUSTIVE, space=("model.dropout=0.1,0.3",), n=9)
    worker.tasks.clear()
    assert learn(worker, *EXHAUSTIVE, space=GRID, n=9) == 0
    assert sorted(task.node.model.dropout for task in worker.tasks) == [0.2, 0.4]
    capsys.readouterr()
    worker.tasks.clear()
    assert learn(worker, *EXHAUSTIVE, name="late", earlier="day", space=GRID, n=9) == 0
    assert worker.tasks == []
    out = capsys.readouterr().out
    assert "All 4 combinations are finished already." in out
    best = next(trial for trial in lent("late") if trial.params["model.dropout"] == 0.1)
    line = rf"^best +trial {best.number} \(lent: trial \d of study night\)  validation/loss 0\.1$"
    assert re.search(line, out, re.MULTILINE)  # `night`, which lent it to `day`


def test_lent_trials_count_also_if_the_sweep_was_killed_and_learn_from_is_left_out(
    worker, monkeypatch, capsys
):
    original = optuna.Study.set_user_attr

    def set_user_attr(self, key, value):
        if key == tag.STUDY_LEARNED_FROM:
            raise Killed
        original(self, key, value)

    worker.answer = record
    worker.sweep("sweep.study=night", *EXHAUSTIVE, space=("model.dropout=0.1,0.3",), n=9)
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "set_user_attr", set_user_attr)
        with pytest.raises(Killed):
            learn(worker, *EXHAUSTIVE, space=GRID, n=9)
    worker.tasks.clear()
    capsys.readouterr()
    assert worker.sweep("sweep.study=day", *EXHAUSTIVE, space=GRID, n=9) == 0
    assert sorted(task.node.model.dropout for task in worker.tasks) == [0.2, 0.4]
    assert " · 2 trials and 2 lent · " in capsys.readouterr().out


@pytest.mark.parametrize("end", ["pruned", "interrupted"])
def test_what_a_study_has_begun_itself_is_not_lent_to_it_later(worker, capsys, end):
    def answer(task, outcome):
        if task.node.model.dropout == 0.1:
            if end == "interrupted":
                raise Killed
            return TrialOutcome(state=EndState.pruned, epochs=1)
        return record(task, outcome)

    worker.answer = record
    worker.sweep("sweep.study=night", *EXHAUSTIVE, space=("model.dropout=0.1,0.3",), n=9)
    worker.answer = answer
    begun = ("sweep.study=day", *EXHAUSTIVE, "sweep.enqueue=[{model.dropout:0.1}]")
    with pytest.raises(Killed) if end == "interrupted" else contextlib.nullcontext():
        worker.sweep(*begun, space=GRID, n=1)
    worker.answer = record
    capsys.readouterr()
    assert learn(worker, *EXHAUSTIVE, space=GRID, n=9) == 0
    assert [trial.params["model.dropout"] for trial in lent("day")] == [0.3]
    assert sorted(t.params["model.dropout"] for t in study("day").trials) == [0.1, 0.2, 0.3, 0.4]
    assert states("day")[0] == ("PRUNED" if end == "pruned" else "COMPLETE")
    note = "1 of its 2 completed trials is lent as results; 1 is already known."
    assert note in capsys.readouterr().out


@pytest.mark.slow
def test_several_studies_are_read_and_equal_trials_are_lent_once(night, capsys):
    night.answer = record
    night.sweep("sweep.study=noon", "seed=1")
    learn(night, name="between")
    night.tasks.clear()
    assert learn(night, name="day", earlier="[between,night,noon]", n=1) == 0
    assert len(lent("day")) == 5  # three of `night`, which `between` lends too, and its own two
    assert study("day").user_attrs[tag.STUDY_LEARNED_FROM] == {"between": 5, "night": 0, "noon": 0}
    out = capsys.readouterr().out
    assert "sweep.learn_from=between: 5 of its 5 completed trials are lent as results.\n" in out
    assert "sweep.learn_from=night: 3 of its 3 completed trials are already known.\n" in out
    assert learn(night, "training.epochs=7", name="late", earlier="[night,between]", n=1) == 0
    out = capsys.readouterr().out
    assert "the values of 3 of its best trials are tried first" in out
    assert "the values of 2 of its best trials are tried first" in out  # the others are known


OTHERS = {
    "another objective": (
        "sweep.objectives=[validation/accuracy]",
        "(objective validation/loss → validation/accuracy; direction minimize → maximize)",
    ),
    "another direction": ("sweep.direction=maximize", "(direction minimize → maximize)"),
    "another epoch": ("sweep.objective_from=last", "(sweep.objective_from best → last)"),
    "a constraint": (
        'sweep.constraints=["num_parameters<=90000"]',
        "(constraints none → num_parameters<=90000)",
    ),
    "another config": ("training.epochs=7", "(training.epochs 20 → 7)"),
    "other data": ("dataset.limit=90", "(dataset.limit 100 → 90)"),
    "other threads": (
        "training.intra_op_threads=97",
        f"(threads {CORES} → 97 (sweep.workers; or give training.intra_op_threads={CORES}))",
    ),
}


QUICK_ONES = ("another objective", "another config")


@pytest.mark.parametrize(
    "case",
    [one if one in QUICK_ONES else pytest.param(one, marks=pytest.mark.slow) for one in OTHERS],
)
def test_where_something_differs_the_best_values_are_tried_first(night, capsys, case):
    override, reason = OTHERS[case]
    assert learn(night, override, n=4) == 0
    assert lent("day") == []
    by_loss = sorted(study("night").trials, key=lambda trial: trial.value)
    tried = [task.node.model.dropout for task in night.tasks]
    assert tried[:3] == [trial.params["model.dropout"] for trial in by_loss]
    assert len(tried) == 4
    out = capsys.readouterr().out
    start = "sweep.learn_from=night: none of its 3 completed trials is the same run here "
    assert f"{start}{reason}; the values of 3 of its best trials are tried first." in out


def test_with_other_workers_the_threads_differ_and_the_note_says_what_to_give(
    night, capsys, monkeypatch
):
    monkeypatch.setattr("samerun.sweeper.plan.available_cores", lambda: 2 * CORES + 2)
    assert learn(night, "sweep.workers=2", n=1) == 0
    assert lent("day") == []
    given = (f"training.intra_op_threads={CORES}", f"training.inter_op_threads={CORES}")
    reason = f"(threads {CORES} → {CORES + 1} (sweep.workers; or give {' '.join(given)}))"
    assert reason in capsys.readouterr().out
    assert learn(night, "sweep.workers=2", *given, name="late", n=1) == 0
    assert len(lent("late")) == 3


@pytest.mark.parametrize(
    "change",
    [
        (tag.FINGERPRINT, tag.FINGERPRINT_CODE),
        pytest.param((tag.FORKED_FROM, tag.RESUME_DIFFERS), marks=pytest.mark.slow),
        pytest.param((tag.UNDELIVERED, tag.TRIAL), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_a_run_that_is_not_the_same_is_not_lent(night, change):
    for number, key in enumerate(change):
        connected().set_tag(runs_of("night")[str(number)], key, "7")
    assert learn(night, n=2) == 0
    trials = study("night").trials
    assert [trial.params for trial in lent("day")] == [trials[2].params]
    tried = [task.node.model.dropout for task in night.tasks]
    assert tried == sorted(trial.params["model.dropout"] for trial in trials[:2])  # best first


@pytest.mark.slow
def test_a_trial_whose_run_was_deleted_is_not_lent(night):
    connected().delete_run(runs_of("night")["1"])
    assert learn(night, n=1) == 0
    assert len(lent("day")) == 2


def test_pruned_and_failed_trials_are_no_results(worker, capsys):
    ends = [
        TrialOutcome(state=EndState.pruned, epochs=1),
        TrialOutcome(state=EndState.error, reason="it was injected"),
    ]
    worker.answer = lambda task, outcome: (
        ends[task.number] if task.number < 2 else record(task, outcome)
    )
    worker.sweep("sweep.study=night")
    worker.answer = record
    assert learn(worker, n=1) == 0
    assert [trial.params for trial in lent("day")] == [study("night").trials[2].params]
    assert "1 of its 1 completed trial is lent as results" in capsys.readouterr().out


def test_lent_trials_are_confirmed_like_any_other(night, capsys):
    def answer(task, outcome):
        if task.node.seeds is None:
            return worse(task, outcome)
        each = {"seed 1000": task.node.model.dropout, "seed 1001": task.node.model.dropout + 0.01}
        value = task.node.model.dropout + 0.005
        values = dict.fromkeys(outcome.values, value)
        return dataclasses.replace(outcome, values=values, by_instance=each)

    night.answer = answer
    confirm = ("sweep.confirm.top=2", "sweep.confirm.seeds=2")
    assert learn(night, *confirm, n=1) == 0
    best = min(study("night").trials, key=lambda trial: trial.value)
    again = [task for task in night.tasks if task.node.seeds]
    assert len(again) == 2
    assert again[0].node.model.dropout == best.params["model.dropout"]
    confirmed = rf"^confirmed +trial {best.number}, validation/loss"
    assert re.search(confirmed, capsys.readouterr().out, re.MULTILINE)


MISTAKES = {
    "sweep.learn_from=nigth": "no study 'nigth' in the storage, expected one of 'night'. Did you",
    "sweep.learn_from=s": "received 's', which is the study of this sweep",
    "sweep.learn_from=[night,dusk]": "there is no study 'dusk' in the storage",
    "sweep.learn_from=true": "received True, expected the name of an earlier study, or a list",
}


@pytest.mark.parametrize("given", MISTAKES)
def test_a_mistake_is_one_sentence_before_there_is_a_study(night, capsys, given):
    capsys.readouterr()
    assert night.sweep(given) == 2
    error = capsys.readouterr().err
    assert error.startswith("samerun: sweep.learn_from: ")
    assert MISTAKES[given] in error
    assert len(error.splitlines()) == 1
    assert night.tasks == []
    assert optuna.get_all_study_names("sqlite:///optuna.db") == ["night"]


def test_nothing_to_learn_from_is_one_sentence(night, capsys):
    assert learn(night, space=("model.dropout=interval(0.95,0.99)",)) == 2
    error = capsys.readouterr().err
    assert "none of the 3 completed trials of study 'night' has values in this search sp" in error
    assert " is not in 0.95 to 0.99 in trial " in error
    assert len(error.splitlines()) == 1


QUICK = (
    "sweep=grid",
    "sweep.executor=inline",
    "training.epochs=2",
    "tracking=lean",
    "model=mlp",
    "model.units=[4]",
    "dataset.limit=60",
)


@pytest.mark.slow
def test_a_lent_result_is_what_training_it_again_gives(project):
    rates = "optimizer.learning_rate=0.001,0.03"
    samerun.sweep([*QUICK, rates, "sweep.study=night"])
    learned = samerun.sweep([*QUICK, f"{rates},0.1", "sweep.study=day", "sweep.learn_from=night"])
    alone = samerun.sweep([*QUICK, f"{rates},0.1", "sweep.study=alone"])
    assert len(learned.run_ids) == 1
    assert len(alone.run_ids) == 3

    def results(name):
        return {trial.params["optimizer.learning_rate"]: trial for trial in study(name).trials}

    known, trained = results("day"), results("alone")
    assert {rate: trial.value for rate, trial in known.items()} == {
        rate: trial.value for rate, trial in trained.items()
    }
    assert {rate: trial.intermediate_values for rate, trial in known.items()} == {
        rate: trial.intermediate_values for rate, trial in trained.items()
    }
    assert learned.best[0].params == alone.best[0].params
    assert learned.best[0].values == alone.best[0].values
