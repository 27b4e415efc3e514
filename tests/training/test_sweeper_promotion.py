"""A sweep that promotes, with workers that only report what an epoch would have brought."""

import dataclasses
import math
import time
from itertools import pairwise
from pathlib import Path

import pytest
from optuna.trial import TrialState

from samerun import checkpoints, identity, search
from samerun import tags as tag
from samerun.checkpoints import TrainingState
from samerun.errors import TrialPaused
from samerun.search import lease
from samerun.search.outcome import EndState, TrialOutcome, outcome_of
from samerun.sweeper import ledger, outages
from support.sweeps import SPACE, Killed, children, states, study
from support.tables import mostly_slow

EPOCHS = 9
PROMOTED = (
    f"training.epochs={EPOCHS}",
    "sweep.pruner=successive_halving",
    "sweep.promote=true",
    "sweep.successive_halving.min_epochs=1",
    "sweep.successive_halving.reduction_factor=3",
)


class Reports:
    """Trains by reporting `dropout + 1 / epoch`, from where the trial was left."""

    def __init__(self, worker):
        self.reached = {}
        self.parts = []
        self.before_epoch = lambda task, epoch: None
        worker.answer = self.train

    def train(self, task, outcome):
        trial = search.current_trial(task.trial)
        first = self.reached.get(task.number, 0) + 1
        for epoch in range(first, EPOCHS + 1):
            self.before_epoch(task, epoch)
            trial.report(float(task.node.model.dropout) + 1 / epoch, epoch)
            self.reached[task.number] = epoch
            if trial.should_stop(ends=epoch == EPOCHS):
                break
        self.parts.append((task.number, first, self.reached[task.number]))
        try:
            trial.raise_if_stopped()
        except TrialPaused as error:
            outcome = outcome_of(error)
        else:
            values = {"validation/loss": float(task.node.model.dropout) + 1 / EPOCHS}
            outcome = TrialOutcome(state=EndState.complete, values=values, epochs=EPOCHS)
        return dataclasses.replace(outcome, seconds=2.0, pid=1)


@pytest.fixture
def reports(worker):
    return Reports(worker)


def epochs_of_trials():
    return [trial.last_step for trial in study().trials]


def test_the_best_of_each_rung_continue_and_the_others_end_as_pruned(worker, reports, project):
    assert worker.sweep(*PROMOTED, n=12) == 0  # four lead, and continue to the end
    trials = study().trials
    by_dropout = sorted(trials, key=lambda trial: trial.params["model.dropout"])
    assert by_dropout[0].state == TrialState.COMPLETE
    assert sorted(epochs_of_trials()) == 8 * [1] + 4 * [EPOCHS]
    assert states().count("COMPLETE") == 4
    assert states().count("PRUNED") == 8
    assert any(part[1] > 1 for part in reports.parts)
    for trial in trials:
        parts = [part for part in reports.parts if part[0] == trial.number]
        assert parts[0][1] == 1
        assert all(after[1] == before[2] + 1 for before, after in pairwise(parts))
        if trial.state == TrialState.PRUNED:
            assert trial.value == trial.intermediate_values[trial.last_step]
            assert trial.user_attrs[tag.REASON] == f"pruned at epoch {trial.last_step}"
        assert trial.user_attrs[tag.TRIAL_SECONDS] == 2.0 * len(parts)
    assert {run["samerun.state"] for run in children()} == {"complete", "pruned"}
    assert len(children()) == 12


def test_the_screen_has_a_line_for_each_pause_and_the_counts_in_the_end(
    worker, reports, project, capsys
):
    worker.sweep(*PROMOTED, n=2)
    out = capsys.readouterr().out
    pauses = sum(len(search.paused_at(trial)) for trial in study().trials)
    assert out.count("  paused  ") == pauses >= 2
    assert "1 complete, 1 pruned" in out
    assert "paused" not in out.splitlines()[-1]


def killed_at(reports, number, epoch):
    """Dies once, before that epoch of that trial."""

    def die(task, at):
        if (task.number, at) == (number, epoch):
            reports.before_epoch = lambda task, at: None
            raise Killed

    reports.before_epoch = die


def test_paused_trials_stay_paused_when_the_sweep_is_killed_and_started_again(
    worker, reports, project
):
    killed_at(reports, number=3, epoch=1)
    with pytest.raises(Killed):
        worker.sweep(*PROMOTED, n=5)
    assert any(map(search.is_paused, study().trials))
    assert worker.sweep(*PROMOTED, n=5) == 0
    parts, again = reports.parts, Reports(worker)
    assert worker.sweep(*PROMOTED, "sweep.study=t", n=5) == 0
    assert sorted(parts) == sorted(again.parts)
    assert [trial.params for trial in study().trials] == [
        trial.params for trial in study("t").trials
    ]


def until_killed(worker, *overrides, n):
    with pytest.raises(Killed):
        worker.sweep(*PROMOTED, *overrides, n=n)


@pytest.mark.parametrize(
    "ended_by", mostly_slow(["early stopping", "its own number of epochs"], "early stopping")
)
def test_a_trial_that_was_trained_to_its_end_at_a_rung_does_not_pause_there(
    worker, project, ended_by
):
    is_early = ended_by == "early stopping"

    def die_in_evaluation(task, outcome):
        worker.answer = lambda task, outcome: outcome
        search.current_trial(task.trial).report(0.5, 1)
        if is_early:
            state = TrainingState(epoch=1, step=0, arrays={}, meta={"stopped": True})
            checkpoints.write(Path(task.folder, "checkpoints"), state, is_best=False)
        raise Killed

    worker.answer = die_in_evaluation
    _, *promoted = PROMOTED
    given = [*PROMOTED] if is_early else [*promoted, "sweep.enqueue=[{training.epochs: 1}]"]
    space = SPACE if is_early else (f"training.epochs=choice(1,{EPOCHS})",)
    with pytest.raises(Killed):
        worker.sweep(*given, space=space, n=1)
    assert worker.sweep(*given, space=space, n=1) == 0
    assert states() == ["COMPLETE"]
    assert search.paused_at(study().trials[0]) == {}
    assert len(worker.tasks) == 2


@pytest.mark.parametrize(
    ("policy", "state"), mostly_slow([("retry", "COMPLETE"), ("fail", "FAIL")], "retry")
)
def test_a_worker_that_dies_at_a_rung_pauses_its_trial_only_where_it_would_be_retried(
    worker, project, caplog, policy, state
):
    def die(task, outcome):
        worker.answer = lambda task, outcome: outcome
        search.current_trial(task.trial).report(0.5, 1)
        raise ConnectionError

    worker.answer = die
    worker.sweep(*PROMOTED, f"sweep.faults.on_worker_death={policy}", n=1)
    assert states() == [state]
    is_paused = "Trial 0 is paused at epoch 1: its process was killed." in caplog.messages
    assert is_paused == (policy == "retry")


def test_paused_trials_are_trained_on_when_promote_is_turned_off(worker, reports, project):
    killed_at(reports, number=2, epoch=1)
    until_killed(worker, n=3)
    assert sum(map(search.is_paused, study().trials)) == 2
    seen = []
    reports.before_epoch = lambda task, epoch: seen.append(
        search.is_paused(study().trials[task.number])
    )
    assert worker.sweep(*PROMOTED, "sweep.promote=false", "sweep.pruner=none", n=3) == 0
    assert states() == ["COMPLETE"] * 3
    assert not any(seen)


def test_a_trial_pauses_at_its_rung_also_if_its_value_there_was_not_reported(
    worker, reports, project
):
    report = search.trial.StudyTrial.report
    second = "sweep.successive_halving.min_epochs=2"
    killed_at(reports, number=1, epoch=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            search.trial.StudyTrial,
            "report",
            lambda self, value, epoch: report(self, math.nan if epoch == 2 else value, epoch),
        )
        until_killed(worker, second, n=2)
    (trial, _) = study().trials
    assert trial.last_step == 1
    assert list(search.paused_at(trial)) == [2]


def test_the_sampler_of_a_resumed_trial_sees_paused_trials_as_pruned(
    worker, reports, project, monkeypatch
):
    suggest, seen = search.Space.suggest, []

    def die(space, trial):
        if trial.number == 2:
            raise Killed
        return suggest(space, trial)

    def look(space, trial):
        if trial.number == 2 and not seen:
            seen.extend(one.state.name for one in trial.study.get_trials(deepcopy=False))
        return suggest(space, trial)

    monkeypatch.setattr(search.Space, "suggest", die)
    until_killed(worker, n=3)
    monkeypatch.setattr(search.Space, "suggest", look)
    assert worker.sweep(*PROMOTED, n=3) == 0
    assert seen == ["PRUNED", "PRUNED", "RUNNING"]


def test_recording_a_trial_that_has_ended_again_changes_nothing(worker, project, monkeypatch):
    monkeypatch.setattr(outages, "PAUSE_SECONDS", 0.01)
    tell, failures = ledger.tell, [1]

    def fail_once(*arguments):
        tell(*arguments)
        if failures:
            failures.pop()
            raise ConnectionError("a server that restarts before its answer is there")

    monkeypatch.setattr(ledger, "tell", fail_once)
    assert worker.sweep(n=1) == 0
    assert failures == []
    assert states() == ["COMPLETE"]
    assert len(worker.tasks) == 1


def test_a_limit_that_is_reached_when_all_trials_have_ended_is_no_reason(
    worker, reports, project, capsys
):
    assert worker.sweep(*PROMOTED, f"sweep.budget.epochs={EPOCHS}", n=1) == 0
    assert states() == ["COMPLETE"]
    assert f"({EPOCHS}) reached" not in capsys.readouterr().out


def test_an_infeasible_trial_is_no_result_for_which_the_others_need_not_be_trained(
    worker, reports, project
):
    def too_large(task, outcome):
        if task.number == 0:
            text = "num_parameters<=5"
            return dataclasses.replace(
                outcome, state=EndState.infeasible, epochs=1, constraints={text: 1.0}
            )
        return reports.train(task, outcome)

    worker.answer = too_large
    limits = ['sweep.constraints=["num_parameters<=5"]', "sweep.budget.epochs=2"]
    assert worker.sweep(*PROMOTED, *limits, n=3) == 0
    assert states() == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("promote", mostly_slow(["true", "false"], "true"))
def test_trials_that_paused_with_other_code_end_as_pruned(
    worker, reports, project, monkeypatch, capsys, promote
):
    killed_at(reports, number=2, epoch=1)
    until_killed(worker, n=3)
    monkeypatch.setattr(identity, "code_files", lambda cfg: {"mine.py": "changed"})
    again = ["sweep.extend=true", f"sweep.promote={promote}"]
    assert worker.sweep(*PROMOTED, *again, n=3) == 0
    assert states() == ["PRUNED", "PRUNED", "COMPLETE"]
    assert [number for number, _, _ in reports.parts[2:] if number < 2] == []
    reasons = {trial.user_attrs[tag.REASON] for trial in study().trials[:2]}
    assert reasons == {"the code changed while it was paused"}
    assert "2 paused trials cannot continue with it" in capsys.readouterr().out


def test_trials_stay_paused_where_only_code_was_added(worker, reports, project, monkeypatch):
    known = identity.code_files
    killed_at(reports, number=2, epoch=1)
    until_killed(worker, n=3)
    monkeypatch.setattr(identity, "code_files", lambda cfg: {**known(cfg), "new.py": "1"})
    assert worker.sweep(*PROMOTED, "sweep.extend=true", n=3) == 0
    reasons = {trial.user_attrs.get(tag.REASON, "") for trial in study().trials}
    assert not any("code" in reason for reason in reasons)


def test_paused_trials_are_left_to_the_sweep_that_has_taken_the_study_over(
    worker, reports, project, monkeypatch, capsys
):
    monkeypatch.setattr(lease, "RENEWED_SECONDS", 600)
    other = {"host": "elsewhere", "pid": 7, "token": "theirs", "at": time.time()}

    def overtake(task, epoch):
        if epoch == EPOCHS:
            study().set_user_attr(tag.STUDY_HOLDER, other)

    reports.before_epoch = overtake
    assert worker.sweep(*PROMOTED, n=2) == 2
    assert "was taken over by a sweep on elsewhere" in capsys.readouterr().err
    assert sorted(states()) == ["COMPLETE", "RUNNING"]


@pytest.mark.parametrize(("policy", "sizes"), mostly_slow([("best", [0]), ("keep", [1])], "best"))
def test_uploads_of_a_trial_that_paused_on_another_machine_and_is_not_promoted_are_emptied(
    worker, reports, project, client, policy, sizes
):
    (project / "a.npz").write_bytes(b"1")

    def upload(task, epoch):
        if epoch == 1:
            client.log_artifact(task.trial.run, str(project / "a.npz"), "checkpoints")

    reports.before_epoch = upload
    assert worker.sweep(*PROMOTED, f"checkpoint.after_success={policy}", n=2) == 0
    ended = [run["id"] for run in children() if run["samerun.state"] == "pruned"]
    found = [file.file_size for run in ended for file in client.list_artifacts(run, "checkpoints")]
    assert found == sizes
