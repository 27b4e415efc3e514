"""A trial with seeds or folds: what its pruner sees, and what its value is."""

import dataclasses
from pathlib import Path

import optuna
import pytest

from samerun import config
from samerun.config.instances import instances_of
from samerun.launch import child_of
from samerun.result import InstancesResult, Result
from samerun.search import InstanceTrial
from samerun.search.objectives import Objectives
from samerun.search.trial import StudyTrial
from samerun.sweeper.trial_run import report_instance
from samerun.sweeper.worker import outcome_of_result
from support.project import composed

METRIC = "validation/loss"


def trial_of(study):
    return StudyTrial(study, study.ask(), [], METRIC, None)


def test_the_pruner_sees_the_epochs_of_the_first_instance_only():
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.5))
    trial = trial_of(study)
    first, second = (InstanceTrial(trial, is_first=one) for one in (True, False))
    for epoch, value in enumerate([0.4, 0.3], start=1):
        first.report(value, epoch)
        assert not first.should_stop()
    for epoch in (1, 2, 3):
        second.report(0.9, epoch)
        assert not second.should_stop()
    assert study.trials[0].intermediate_values == {1: 0.4, 2: 0.3}
    assert second.metric is None


def test_a_trial_is_pruned_by_its_first_instance():
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.5))
    first = InstanceTrial(trial_of(study), is_first=True)
    first.report(0.9, 1)
    assert first.should_stop()
    with pytest.raises(optuna.TrialPruned):
        first.raise_if_stopped()


def test_every_instance_stops_with_the_sweep():
    study = optuna.create_study()
    second = InstanceTrial(trial_of(study), is_first=False)
    study.set_user_attr("samerun.stopped", True)
    assert second.should_stop()


def test_of_a_trial_compared_by_its_seeds_no_epoch_is_reported():
    study = optuna.create_study()
    by = Objectives(names=(METRIC,), directions=("minimize",), from_best=True)
    trial = StudyTrial(study, study.ask(), [], METRIC, None, by_instance=by)
    first = InstanceTrial(trial, is_first=True)
    first.report(0.4, 1)
    assert not first.should_stop()
    assert (first.metric, study.trials[0].intermediate_values) == (None, {})


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_that_is_worse_seed_by_seed_is_pruned_before_its_last_one():
    by = Objectives(names=("test/accuracy",), directions=("maximize",), from_best=True)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.WilcoxonPruner())
    instances = instances_of(composed("model=mlp", "seeds=5"))
    best = study.ask()
    for one, accuracy in zip(instances, (0.9, 0.8, 0.9, 0.85, 0.95), strict=True):
        trial = StudyTrial(study, best, [], "test/accuracy", None, by_instance=by)
        report_instance(trial, one, result([0.5], accuracy), 5)
    study.tell(best, 0.88)
    worse = StudyTrial(study, study.ask(), [], "test/accuracy", None, by_instance=by)
    for one, accuracy in zip(instances[:3], (0.7, 0.7, 0.6), strict=True):
        report_instance(worse, one, result([0.5], accuracy), 5)
    with pytest.raises(optuna.TrialPruned, match="after run 4"):
        report_instance(worse, instances[3], result([0.5], 0.5), 5)
    assert study.trials[1].intermediate_values == {1: 0.7, 2: 0.7, 3: 0.6, 4: 0.5}
    report_instance(worse, instances[4], result([0.5], 0.5), 5)  # nothing is left to save


def result(history, accuracy):
    return Result(
        run_id="0" * 32,
        run_name="one",
        folder=Path(),
        metrics={"test/accuracy": accuracy},
        history={METRIC: history},
        best_epoch=1,
        weights_digest="",
        sentence="",
        objective=min(history),
        epoch_seconds=1.0,
        model=None,
    )


def test_the_value_of_a_trial_is_the_mean_over_its_children():
    children = (result([0.5, 0.2], 0.9), result([0.3, 0.6], 0.7))
    whole = InstancesResult(
        run_id="0" * 32,
        run_name="all",
        folder=Path(),
        labels=("seed 0", "seed 1"),
        children=children,
        metrics={"test/accuracy": 0.8},
        std={},
        low={},
        high={},
        history={METRIC: [0.4, 0.4]},
        sentence="",
        objective=0.25,
    )
    for from_best, expected in ((True, 0.25), (False, 0.4)):
        objectives = Objectives(names=(METRIC,), directions=("minimize",), from_best=from_best)
        outcome = outcome_of_result(objectives, whole)
        assert outcome.values == {METRIC: pytest.approx(expected)}
        assert outcome.test == {"test/accuracy": 0.8}
        assert outcome.epochs == 4


TYPED = {"seeds=3": "seed=9", "folds=3": "dataset.fold=2/3"}


@pytest.mark.parametrize(("asked", "typed"), TYPED.items())
def test_a_child_has_the_config_of_a_run_that_is_typed(asked, typed):
    whole = config.compose(["model=mlp", "seed=8", asked])
    child = child_of(whole, instances_of(whole.config)[1])
    start = ["model=mlp"] if asked == "seeds=3" else ["model=mlp", "seed=8"]
    assert child.overrides == (*start, typed)
    assert child.config == config.compose([*child.overrides]).config
    assert config.from_yaml(child.resolved) == child.config
    assert dataclasses.replace(child.config, seed=0) == dataclasses.replace(
        composed(*start, typed), seed=0
    )
