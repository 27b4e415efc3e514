"""Promotion: where trials pause, which one continues, and what samplers see of those that wait."""

import optuna
import pytest
from optuna.trial import TrialState

from samerun import tags as tag
from samerun.errors import TrialPaused, UserError
from samerun.search import build_promotion, build_pruner, is_paused
from samerun.search.objectives import check_sweep
from samerun.search.optuna_internals import with_paused_as_pruned
from samerun.search.trial import StudyTrial
from support.project import composed
from support.sweeps import sweep_settings

METRIC = "validation/loss"
HALVING = {"pruner": "successive_halving", "promote": True}
RUNGS = {"successive_halving.min_epochs": 2, "successive_halving.reduction_factor": 3}


def started(epochs=20, direction="minimize", **changes):
    """Returns a study and its promotion, with rungs at 2, 6 and 18 of 20 epochs."""
    settings = sweep_settings(**{**HALVING, **RUNGS, **changes})
    pruner = build_pruner(settings, direction, epochs)
    study = optuna.create_study(study_name="s", direction=direction, pruner=pruner)
    return study, build_promotion(settings, study, epochs)


def report(study, *values):
    """Starts a trial that reports these values, one an epoch."""
    trial = study.ask()
    for epoch, value in enumerate(values, start=1):
        trial.report(value, epoch)
    return trial


def pause(study, *values):
    trial = report(study, *values)
    trial.set_user_attr(tag.TRIAL_PAUSED, {str(len(values)): 1.0})
    trial.set_user_attr(tag.STATE, "paused")
    return trial


def chosen(study, promotion, **options):
    found = promotion.choose(study.get_trials(), **options)
    return None if found is None else found.number


def pauses(study, promotion, number, epoch):
    trials = study.get_trials()
    return promotion.should_pause(trials[number], epoch, trials)


def test_the_rungs_grow_by_the_factor_and_end_before_the_last_epoch():
    _, promotion = started()
    assert promotion.rungs(0) == [2, 6, 18]
    assert started(epochs=18)[1].rungs(0) == [2, 6]
    assert started(epochs=2)[1].rungs(0) == []


@pytest.mark.parametrize(("epochs", "first"), [(20, 1), (100, 1), (450, 4)])
def test_the_first_rung_is_a_hundredth_of_the_epochs_as_optuna_estimates_it(epochs, first):
    _, promotion = started(epochs, **{"successive_halving.min_epochs": None})
    assert promotion.rungs(0)[0] == first


def test_first_rungs_can_be_skipped():
    _, promotion = started(**{"successive_halving.min_early_stopping_rate": 1})
    assert promotion.rungs(0) == [6, 18]


def test_nothing_is_promoted_without_being_asked_for():
    assert started(promote=False)[1] is None


def test_a_trial_pauses_at_its_first_rung_unless_it_is_the_best_of_twice_the_factor():
    study, promotion = started()
    for _ in range(5):
        pause(study, 0.9, 0.5)
    report(study, 0.9, 0.4)
    assert not pauses(study, promotion, 5, 2)  # the best of six
    report(study, 0.9, 0.45)
    assert pauses(study, promotion, 6, 2)  # the second of seven
    assert not pauses(study, promotion, 6, 1)  # at no rung


def test_the_best_of_a_later_rung_does_not_wait_for_others():
    study, promotion = started()
    report(study, *[0.9] * 6)
    assert not pauses(study, promotion, 0, 6)
    report(study, *[0.95] * 6)
    assert pauses(study, promotion, 1, 6)  # the second of two


@pytest.mark.parametrize(("objective_from", "best"), [("best", 0), ("last", 1)])
def test_trials_are_compared_by_the_value_that_would_be_their_result(objective_from, best):
    study, promotion = started(objective_from=objective_from)
    pause(study, 0.1, 0.6)
    for _ in range(5):
        pause(study, 0.9, 0.5)
    assert chosen(study, promotion) == best


def test_the_first_trials_of_the_first_rung_wait_for_others():
    study, promotion = started()
    report(study, 0.9, 0.1)
    assert pauses(study, promotion, 0, 2)


def test_equal_values_do_not_promote_more_trials_than_the_factor_says():
    study, promotion = started()
    for _ in range(6):
        pause(study, 0.9, 0.5)
    report(study, 0.9, 0.5)
    assert pauses(study, promotion, 6, 2)
    assert chosen(study, promotion) == 0


@pytest.mark.parametrize(("direction", "best"), [("minimize", 1), ("maximize", 0)])
def test_the_best_of_a_rung_is_promoted_in_either_direction(direction, best):
    study, promotion = started(direction=direction)
    for value in (0.9, 0.1, 0.5, 0.5, 0.5, 0.5):
        pause(study, 0.5, value)
    assert chosen(study, promotion) == best


def test_the_highest_rung_promotes_first():
    study, promotion = started()
    for value in (0.3, 0.2, 0.4):
        pause(study, 1.0, 0.9, 0.8, 0.7, 0.6, value)
    for _ in range(3):
        pause(study, 0.9, 0.01)
    assert chosen(study, promotion) == 1


def test_a_promoted_trial_is_not_asked_again_at_the_rung_it_left():
    study, promotion = started()
    trial = pause(study, 0.9, 0.5)
    trial.set_user_attr(tag.STATE, "")
    assert not pauses(study, promotion, 0, 2)  # its checkpoint was that of epoch 1
    assert chosen(study, promotion, is_last=True) is None


def test_a_failed_or_infeasible_trial_takes_no_place_from_another():
    study, promotion = started()
    study.tell(report(study, 0.9, 0.1), state=TrialState.FAIL)
    infeasible = report(study, 0.9, 0.1)
    infeasible.set_constraint("num_parameters<=5", 3.0)
    study.tell(infeasible, 0.1)
    for value in (0.5, 0.4, 0.6, 0.6, 0.6):
        pause(study, 0.9, value)
    assert chosen(study, promotion) is None
    pause(study, 0.9, 0.6)
    assert chosen(study, promotion) == 3


def test_a_rung_with_few_trials_promotes_none_if_the_settings_say_so():
    study, promotion = started(**{"successive_halving.bootstrap_trials": 6})
    for value in (0.5, 0.4, 0.6, 0.6, 0.6, 0.6):
        pause(study, 0.9, value)
    assert chosen(study, promotion) is None
    pause(study, 0.9, 0.7)
    assert chosen(study, promotion) == 1


def test_in_the_end_one_trial_completes_even_of_fewer_than_the_factor():
    study, promotion = started()
    pause(study, 0.9, 0.5)
    pause(study, 0.9, 0.4)
    assert chosen(study, promotion) is None
    assert chosen(study, promotion, is_last=True) == 1
    study.tell(report(study, 0.9, 0.3), 0.3)
    assert chosen(study, promotion, is_last=True) is None


def test_a_trial_whose_rung_no_longer_exists_continues():
    study, promotion = started()
    pause(study, 0.9)
    assert chosen(study, promotion) == 0


def test_a_value_that_was_not_reported_is_that_of_the_last_epoch_before():
    study, promotion = started()
    for value in (0.5, 0.4, 0.6, 0.6, 0.6, 0.6):
        trial = report(study, value)
        trial.set_user_attr(tag.TRIAL_PAUSED, {"2": 1.0})
        trial.set_user_attr(tag.STATE, "paused")
    assert chosen(study, promotion) == 1


def test_hyperband_compares_trials_of_one_bracket():
    changes = {"hyperband.min_epochs": 1, "hyperband.reduction_factor": 3, "pruner": "hyperband"}
    study, promotion = started(epochs=20, **changes)
    assert [promotion.rungs(bracket) for bracket in range(3)] == [[1, 3, 9], [3, 9], [9]]
    for _ in range(40):
        study.ask()
    brackets = [promotion.bracket_of(trial) for trial in study.get_trials()]
    assert set(brackets) == {0, 1, 2}
    sampled = study.pruner._create_bracket_study(study, 1).get_trials(deepcopy=False)
    assert [trial.number for trial in sampled] == [n for n, b in enumerate(brackets) if b == 1]


def test_a_worker_pauses_its_trial_and_not_at_the_last_epoch():
    study, promotion = started()

    def trial():
        return StudyTrial(study, study.ask(), [], METRIC, None, promotion=promotion)

    first, second = trial(), trial()
    for one in (first, second):
        one.report(0.9, 1)
        assert not one.should_stop()
        one.report(0.8, 2)
    assert not first.should_stop(ends=True)  # by early stopping: it completes
    assert second.should_stop()
    with pytest.raises(TrialPaused, match="at epoch 2"):
        second.raise_if_stopped()


def test_a_sampler_sees_paused_trials_as_pruned():
    study, _ = started()
    pause(study, 0.9, 0.5)
    report(study, 0.9)
    seen = with_paused_as_pruned(study)
    assert [trial.state.name for trial in study.trials] == ["RUNNING", "RUNNING"]
    assert [trial.state.name for trial in seen.trials] == ["PRUNED", "RUNNING"]
    assert seen.trials[0].value == 0.5
    assert [trial.number for trial in seen.get_trials(states=(TrialState.PRUNED,))] == [0]
    new = seen.ask()
    assert new.number == 2
    assert len(study.trials) == 3
    assert is_paused(study.trials[0])


@pytest.mark.parametrize(
    ("changes", "overrides", "key", "line"),
    [
        ({"pruner": "median"}, [], "sweep.promote", "sweep.pruner=successive_halving"),
        ({"pruner": "none"}, [], "sweep.promote", "sweep.pruner=hyperband"),
        ({}, ["seeds=3"], "sweep.promote", "leave out seeds"),
        ({}, ["folds=3"], "sweep.promote", "leave out folds"),
        ({}, ["checkpoint.every_epochs=null"], "sweep.promote", "checkpoint.every_epochs=1"),
        (
            {"cluster": "tcp://there:8786"},
            ["checkpoint.upload=false"],
            "sweep.promote",
            "checkpoint.upload=true",
        ),
    ],
)
def test_what_cannot_pause_is_refused(changes, overrides, key, line):
    from samerun import data

    cfg = composed("model=mlp", "dataset=digits", *overrides)
    settings = sweep_settings(**{**HALVING, **changes})
    with pytest.raises(UserError) as refused:
        check_sweep(settings, cfg, data.describe(cfg.dataset))
    assert str(refused.value).startswith(key)
    assert line in str(refused.value)
