"""The Wilcoxon pruner decides as Optuna's, and never evaluates thousands of permutations."""

import itertools
import math

import numpy as np
import optuna
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from scipy import stats

from samerun.search.wilcoxon import Wilcoxon

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
SPACE = {"x": FloatDistribution(0, 1)}


def study_with(best, direction="minimize"):
    study = optuna.create_study(direction=direction)
    if best:
        study.add_trial(
            optuna.trial.create_trial(
                params={"x": 0.5},
                distributions=SPACE,
                value=math.fsum(best) / len(best),
                intermediate_values=dict(enumerate(best, start=1)),
            )
        )
    return study


def is_pruned(study, own, pruner=None):
    trial = study.ask()
    for step, value in enumerate(own, start=1):
        trial.report(value, step)
    frozen = study.trials[-1]
    return (pruner or Wilcoxon(0.1, 2)).prune(study, frozen)


@pytest.fixture
def evaluations(monkeypatch):
    """How many changes of signs SciPy evaluates, one entry for each test."""
    found, real = [], stats.permutation_test

    def permutation_test(data, *arguments, **options):
        found.append(2 ** len(data[0]))
        return real(data, *arguments, **options)

    monkeypatch.setattr(stats, "permutation_test", permutation_test)
    return found


@pytest.mark.parametrize("number", range(2, 14))
@pytest.mark.parametrize("difference", [0.0, 0.25], ids=["equal", "worse"])
def test_equal_differences_are_decided_with_few_evaluations(evaluations, number, difference):
    best = [0.125 * seed for seed in range(number)]
    own = [value + difference for value in best]
    pruned = is_pruned(study_with(best), own)
    assert pruned == (difference > 0 and 0.5**number < 0.1)
    assert max(evaluations, default=0) <= 256


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_direction_of_the_study_decides_what_is_worse(direction):
    best, higher = [0.5] * 12, [0.75] * 12
    study = study_with(best, direction)
    assert is_pruned(study, higher) == (direction == "minimize")


def test_a_trial_that_is_better_on_average_is_kept_whatever_the_ranks():
    best = [*[0.5] * 11, 100.0]
    assert not is_pruned(study_with(best), [*[0.625] * 11, 0.5])


def test_nothing_is_pruned_before_the_first_complete_trial_or_before_its_least_number_of_seeds():
    assert not is_pruned(study_with([]), [0.5] * 12)
    worse = study_with([0.5] * 12), [0.75] * 12
    assert is_pruned(*worse)
    assert not is_pruned(*worse, pruner=Wilcoxon(0.1, 13))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-2, 3), min_size=14, max_size=20))
def test_it_is_optuna_where_scipy_permutes_nothing(steps):
    study, own = study_with([1.0] * len(steps)), [1.0 + step / 8 for step in steps]
    theirs = optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=2)
    assert is_pruned(study, own) == is_pruned(study, own, theirs)


SIGNS = np.array([*itertools.product([0, 1], repeat=9)])
"""Which of nine differences are positive, in all ways."""


def exact_p_value(differences):
    """SciPy's `wilcoxon(…, alternative="greater", zero_method="zsplit")`, 30 times as fast."""
    ranks = stats.rankdata(np.abs(differences))
    ranks[np.equal(differences, 0)] = 0  # half of theirs are in every sum
    return np.mean(SIGNS @ ranks >= ranks[np.greater(differences, 0)].sum())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=9, max_size=9))
def test_it_decides_as_optuna_does_except_near_the_threshold(steps):
    best, own = [1.0] * 9, [1.0 + step / 8 for step in steps]
    differences = [one - 1.0 for one in own]
    assume(not 0.07 < exact_p_value(differences) < 0.13)  # the approximation is close, not equal
    study = study_with(best)
    theirs = optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=2)
    assert is_pruned(study, own) == is_pruned(study, own, theirs)
