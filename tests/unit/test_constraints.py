"""Constraints of a sweep: their text, what violates them, and which trials keep them."""

import optuna
import pytest

from samerun import config, data, search
from samerun.config.sweep import Budget
from samerun.errors import Cause, Infeasible, UserError, classify
from samerun.report import study_trials
from samerun.report.study import to_markdown
from samerun.search import constraints
from samerun.search.outcome import EndState, outcome_of, read_outcome, write_outcome
from samerun.sweeper import limits
from support.sweeps import sweep_settings


def parsed(*texts):
    return constraints.parse_constraints(sweep_settings(constraints=list(texts)))


def test_a_constraint_is_a_name_a_sign_and_a_number():
    upper, lower = parsed("num_parameters<=5e4", " validation/accuracy >= 0.9 ")
    assert (upper.name, upper.is_upper, upper.bound) == ("num_parameters", True, 50000)
    assert (lower.name, lower.is_upper, lower.bound) == ("validation/accuracy", False, 0.9)
    assert [one.violation(one.bound) for one in (upper, lower)] == [0, 0]
    assert upper.violation(75000) == pytest.approx(0.5)
    assert lower.violation(0.45) == pytest.approx(0.5)
    assert lower.violation(0.99) < 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["num_parameters<5"], "expected NAME<=NUMBER or NAME>=NUMBER"),
        (["num_parameters<=many"], "such as 'num_parameters<=50000'"),
        (["num_parameters<=nan"], "received 'num_parameters<=nan'"),
        (["<=3"], "received '<=3'"),
        (["num_parameters<=5", "num_parameters<=6"], "two limits num_parameters<="),
        (
            ["system/epoch_seconds<=5", "speed/epoch_seconds<=6"],
            "two limits speed/epoch_seconds<=",
        ),
        (["num_parameter<=5"], "Did you mean 'num_parameters'?"),
        (["system/epoch_second<=5"], "Did you mean 'system/epoch_seconds'?"),
    ],
)
def test_a_wrong_constraint_is_refused_in_one_sentence(given, sentence):
    cfg = config.compose(["model=mlp"]).config
    with pytest.raises(UserError) as caught:
        constraints.check_constraints(
            sweep_settings(constraints=given), cfg, data.describe(cfg.dataset)
        )
    assert str(caught.value).startswith("sweep.constraints: received ")
    assert sentence in str(caught.value)


def test_a_model_with_too_many_parameters_is_refused_before_it_is_trained(tmp_path):
    limits_ = parsed("num_parameters<=1000", "system/epoch_seconds<=2")
    constraints.check_model(limits_, 1000)
    with pytest.raises(Infeasible, match=r"num_parameters is 4,810, not <=1000") as caught:
        constraints.check_model(limits_, 4810)
    assert classify(caught.value).cause is Cause.infeasible
    outcome = outcome_of(caught.value)
    assert (outcome.state, outcome.epochs) == (EndState.infeasible, 0)
    assert outcome.constraints == {"num_parameters<=1000": pytest.approx(3.81)}
    write_outcome(tmp_path, outcome)
    assert read_outcome(tmp_path) == outcome


def test_a_value_that_was_not_measured_violates_nothing():
    assert constraints.violations(parsed("speed/epoch_seconds<=2"), {}.get) == {
        "speed/epoch_seconds<=2": 0
    }


def test_the_best_trial_the_target_and_the_counts_are_of_feasible_trials():
    study = optuna.create_study(direction="minimize")
    for value, violation in ((0.1, 0.5), (0.4, 0.0), (0.3, -0.2), (None, 2.0)):
        trial = study.ask()
        trial.set_constraint("num_parameters<=1000", violation)
        state = optuna.trial.TrialState[("COMPLETE" if value else "PRUNED")]
        study.tell(trial, value, state)
    assert [trial.number for trial in study_trials.best_trials(study)] == [2, 1]
    assert study_trials.counts(study) == {"complete": 2, "infeasible": 2}
    budget = Budget(seconds=None, epochs=None, target=0.2, patience_trials=None)
    assert limits.reached(budget, study, 0.0) is None
    page = to_markdown(study, definitions={}, objectives=["validation/loss"], children={})
    assert "### Infeasible" in page
    assert "validation/loss 0.3 in trial 2; 2 complete, 2 infeasible" in page
    rows = study_trials.to_csv(study, ["validation/loss"], {}, []).splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == [
        "infeasible",
        "complete",
        "complete",
        "infeasible",
    ]


@pytest.mark.parametrize("sampler", ["random", "qmc", "grid", "brute_force", "cmaes"])
def test_a_sampler_that_ignores_constraints_says_so(sampler):
    (note,) = search.constraint_notes(
        sweep_settings(sampler=sampler, constraints=["num_parameters<=1"])
    )
    assert note.startswith(f"{sampler} does not take sweep.constraints into account")
    assert search.constraint_notes(sweep_settings(sampler=sampler)) == []


def sampled(sampler, *, limit):
    """Returns the dropouts of 48 trials; the objective is the dropout, to be maximized."""
    overrides = [f"{key}=interval(0,0.9)" for key in ("model.dropout", "model.l1", "model.l2")]
    space = search.parse_space(overrides, {}, compose=lambda some: config.compose(some).config)
    cfg = sweep_settings(sampler=sampler, pruner="none", nsga={"population_size": 8})
    study = optuna.create_study(direction="maximize")
    values = []
    for number in range(48):
        study.sampler = search.build_sampler(cfg, space, 3, 1, number)
        trial = study.ask()
        values.append(space.suggest(trial)["model.dropout"])
        if limit is not None:
            trial.set_constraint("limit", values[-1] - limit)
        study.tell(trial, values[-1])
    return study, values


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "nsga3"])
def test_a_sampler_that_knows_constraints_avoids_what_violates_them(sampler):
    study, values = sampled(sampler, limit=0.4)
    _, free = sampled(sampler, limit=None)
    num_feasible, num_by_chance = (sum(v <= 0.4 for v in some[24:]) for some in (values, free))
    assert num_feasible >= num_by_chance + 6
    assert study.best_value == max(value for value in values if value <= 0.4)
