"""A sweep that promotes, with workers that only report what an epoch would have brought."""

import dataclasses
from itertools import pairwise

import pytest
from optuna.trial import TrialState

from samerun import search
from samerun import tags as tag
from samerun.errors import TrialPaused
from samerun.search.outcome import EndState, TrialOutcome, outcome_of
from support.sweeps import Killed, children, states, study

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
    assert worker.sweep(*PROMOTED, n=9) == 0
    trials = study().trials
    by_dropout = sorted(trials, key=lambda trial: trial.params["model.dropout"])
    assert sorted(epochs_of_trials(), reverse=True)[:2] == [9, 3]
    assert by_dropout[0].state == TrialState.COMPLETE
    assert states().count("PRUNED") == 8
    for trial in trials:
        parts = [part for part in reports.parts if part[0] == trial.number]
        assert parts[0][1] == 1
        assert all(after[1] == before[2] + 1 for before, after in pairwise(parts))
        if trial.state == TrialState.PRUNED:
            assert trial.value == trial.intermediate_values[trial.last_step]
            assert trial.user_attrs[tag.REASON] == f"pruned at epoch {trial.last_step}"
        assert trial.user_attrs[tag.TRIAL_SECONDS] == 2.0 * len(parts)
    assert {run["samerun.state"] for run in children()} == {"complete", "pruned"}
    assert len(children()) == 9


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
