"""Tests, intervals and rankings: against SciPy and numbers from textbooks."""

import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from samerun import statistics
from samerun.errors import UserError
from samerun.statistics import Comparison

SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [*(1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)],
)
"""Hours of sleep gained by ten patients under two drugs: Student, Biometrika (1908), table 1."""

hits = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
numbers = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 3))


def seeded(values, start=0):
    return list(enumerate(values, start=start))


def compared(p_value, difference=0.1, test="McNemar's test"):
    return Comparison(
        test=test, difference=difference, low=0.0, high=0.2, p_value=p_value, num_pairs=100
    )


def answers(both, first, second, neither):
    pairs = [(True, True)] * both + [(True, False)] * first + [(False, True)] * second
    return np.array(pairs + [(False, False)] * neither).T


def test_mcnemar_is_the_exact_sign_test_of_the_examples_that_only_one_gets_right():
    found = statistics.mcnemar(*answers(40, 2, 10, 8))
    # Two-sided binomial test of 2 of 12: 2 (1 + 12 + 66) / 4096.
    assert found.p_value == pytest.approx(2 * 79 / 4096)
    assert found.difference == pytest.approx((2 - 10) / 60)
    assert found.num_pairs == 60
    share = stats.binomtest(2, 12).proportion_ci(0.95, "exact")
    assert found.low == pytest.approx((2 * share.low - 1) * 12 / 60)
    assert found.high == pytest.approx((2 * share.high - 1) * 12 / 60)


@settings(deadline=None)
@given(hits)
def test_the_interval_of_mcnemars_test_excludes_zero_where_its_p_value_is_small(pairs):
    first, second = np.array(pairs).T
    found = statistics.mcnemar(first, second)
    assert found.low <= found.difference <= found.high
    assert (found.low > 0 or found.high < 0) == (found.p_value < 0.05)
    back = statistics.mcnemar(second, first)
    assert (back.difference, back.p_value) == (-found.difference, found.p_value)
    assert back.low == pytest.approx(-found.high)


def test_classifiers_that_are_right_on_the_same_examples_cannot_be_told_apart():
    found = statistics.mcnemar(*answers(30, 0, 0, 5))
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_the_bootstrap_agrees_with_students_paired_t_test_of_many_examples():
    random = np.random.default_rng(3)
    one, other = random.normal(1.0, 1, 400), random.normal(0.85, 1, 400)
    found, expected = statistics.paired_bootstrap(one, other), stats.ttest_rel(one, other)
    assert found.difference == pytest.approx((one - other).mean())
    low, high = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.01)
    assert statistics.paired_bootstrap(one, other) == found, "it has a fixed seed"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=30, max_size=60), st.integers(1, 3))
def test_the_bootstrap_is_antisymmetric_and_its_p_value_agrees_with_its_interval(pairs, length):
    first, second = np.array(pairs).T
    found = statistics.paired_bootstrap(first, second, block_length=length)
    back = statistics.paired_bootstrap(second, first, block_length=length)
    assert back.difference == pytest.approx(-found.difference)
    assert back.p_value == pytest.approx(found.p_value)
    assert 0 < found.p_value <= 1
    if found.low > 0 or found.high < 0:
        assert found.p_value < 0.06
    if found.low < 0 < found.high:
        assert found.p_value > 0.04


def test_tokens_weigh_equally_whatever_text_they_are_in():
    first, tokens = np.tile([10.0, 2.0, 4.0], 4), np.tile([10.0, 1.0, 4.0], 4)
    found = statistics.paired_bootstrap(first, np.tile([5.0, 1.0, 2.0], 4), per=tokens)
    assert found.difference == pytest.approx(16 / 15 - 8 / 15)


def test_blocks_widen_the_interval_where_neighboring_errors_are_alike():
    errors = np.repeat(np.random.default_rng(0).normal(0.2, 1, 40), 10)
    alone = statistics.paired_bootstrap(errors, np.zeros(400))
    blocks = statistics.paired_bootstrap(errors, np.zeros(400), block_length=20)
    assert blocks.high - blocks.low > 2 * (alone.high - alone.low)
    assert "blocks of 20" in blocks.test


def test_too_few_examples_for_a_bootstrap_are_one_sentence():
    with pytest.raises(UserError, match="30 test examples are too few .* at least 50"):
        statistics.paired_bootstrap(np.ones(30), np.zeros(30), block_length=5)


def test_over_the_same_seeds_it_is_students_paired_t_test():
    found = statistics.over_seeds(seeded(SLEEP[0]), seeded(SLEEP[1]))
    assert found.difference == pytest.approx(-1.58)
    assert found.p_value == pytest.approx(0.00283, abs=1e-5)
    assert (found.low, found.high) == pytest.approx((-2.4599, -0.7001), abs=1e-4)
    assert (found.test, found.num_pairs) == ("paired t test over seeds", 10)


def test_over_other_seeds_it_is_welchs_t_test():
    found = statistics.over_seeds(seeded(SLEEP[0]), seeded(SLEEP[1], start=10))
    assert found.p_value == pytest.approx(0.07939, abs=1e-5)
    assert (found.low, found.high) == pytest.approx((-3.3655, 0.2055), abs=1e-4)
    assert "20 values" in found.sentence()


def test_the_order_of_the_seeds_does_not_matter():
    shuffled = [(2, 3.0), (0, 1.0), (1, 2.5)]
    assert statistics.over_seeds(shuffled, seeded([1.5, 2.0, 3.5])) == statistics.over_seeds(
        sorted(shuffled), seeded([1.5, 2.0, 3.5])
    )


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([(1, 0.9), (1, 0.9)], [(1, 0.8), (2, 0.8)], "Seed 1 occurs 2 times"),
        ([(1, 0.9), (2, 0.9)], [(7, 0.8)] * 3, "Seed 7 occurs 3 times"),
        ([(1, 0.9)], [(1, 0.8)], "expected 2 or more"),
        ([], [], "expected 2 or more"),
    ],
)
def test_repeated_seeds_and_too_few_are_refused_in_one_sentence(first, second, message):
    with pytest.raises(UserError, match=message):
        statistics.over_seeds(first, second)


@pytest.mark.parametrize("start", [0, 3])
def test_three_seeds_without_any_spread_prove_nothing(start):
    found = statistics.over_seeds(seeded([0.9] * 3), seeded([0.8] * 3, start=start))
    assert found.difference == pytest.approx(0.1)
    assert found.p_value >= 0.1
    assert math.isnan(found.low)
    assert "95 %" not in found.sentence()


def test_the_same_values_for_the_same_seeds_are_no_difference():
    found = statistics.over_seeds(seeded([0.9, 0.8]), seeded([0.9, 0.8]))
    assert (found.difference, found.p_value) == (0, 1)


def test_wilson_stays_within_0_and_1_and_is_that_of_a_known_example():
    assert statistics.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    low, high = statistics.wilson_interval(100, 100)
    assert 0.95 < low < high <= 1
    assert statistics.wilson_interval(0, 100)[0] >= 0


def test_the_interval_of_a_mean_is_students():
    values = [0.91, 0.92, 0.94]
    half = 4.302653 * np.std(values, ddof=1) / math.sqrt(3)
    expected = np.mean(values) - half, np.mean(values) + half
    assert statistics.t_interval(values) == pytest.approx(expected)
    assert statistics.t_interval([0.5, 0.5]) == (0.5, 0.5)
    assert all(map(math.isnan, statistics.t_interval([0.5])))


def test_two_candidates_need_no_correction():
    found = statistics.ranking([compared(0.04)])
    assert found.p_values == (0.04,)
    assert found.has_winner
    assert found.sentence(["cnn", "mlp"]) == "cnn is better than mlp (McNemar's test, 5 %)"


def test_candidates_that_cannot_be_told_apart_are_named_by_their_place():
    found = statistics.ranking([compared(p) for p in (0.9, 0.5, 0.3, 0.001)])
    assert found.alike == (0, 1, 2, 3)
    assert not found.has_winner
    how = "(McNemar's test, Holm-corrected, 5 %)"
    assert found.sentence() == f"1-4 cannot be told apart {how}"
    assert found.sentence("abcde") == f"a, b, c and d cannot be told apart {how}"
    gapped = statistics.ranking([compared(p) for p in (0.9, 0.0001, 0.3)])
    assert gapped.sentence() == f"1-2 and 4 cannot be told apart {how}"


def test_each_pair_of_candidates_counts_as_a_test_because_the_best_was_chosen_by_the_data():
    found = statistics.ranking([compared(p) for p in (0.06, 0.02, 0.02)])
    assert found.p_values == pytest.approx([0.06] * 3)
    assert found.alike == (0, 1, 2, 3)
    stepwise = statistics.ranking([compared(p) for p in (0.9, 0.012, 0.005)])
    assert stepwise.p_values == pytest.approx([0.9, 4 * 0.012, 7 * 0.005])
    assert stepwise.alike == (0, 1)


def test_a_winner_over_all_others_needs_no_correction_because_it_has_to_differ_from_each():
    found = statistics.ranking([compared(p) for p in (0.04, 0.02, 0.03)])
    assert found.p_values == pytest.approx([0.04] * 3)
    assert found.sentence() == "1 is better than all others (McNemar's test, 5 %)"
    assert not statistics.ranking([compared(p) for p in (0.04, 0.02, 0.051)]).has_winner
    for unknown in ((math.nan, 0.01, 0.01), (0.01, math.nan, 0.01)):
        assert not statistics.ranking([compared(p) for p in unknown]).has_winner


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_a_corrected_p_value_is_never_smaller_and_keeps_the_order(p_values):
    found = statistics.ranking([compared(p) for p in p_values])
    assert all(a >= b for a, b in zip(found.p_values, p_values, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(found.p_values)[order]) >= 0)
    assert found.sentence()


def test_one_candidate_is_no_comparison():
    found = statistics.ranking([])
    assert not found.has_winner
    assert found.alike == (0,)


def test_a_comparison_is_one_sentence():
    assert statistics.mcnemar(*answers(40, 2, 10, 8)).sentence() == (
        "difference -0.133 (95 % -0.192 to -0.00634), p = 0.039, a real difference "
        "(McNemar's test, 60 pairs)"
    )
    assert "p < 0.001" in compared(1e-9).sentence()
    assert "may be chance" in compared(0.3).sentence()


def test_the_import_does_not_load_scipy():
    code = (
        "import sys, samerun.statistics; "
        "print(sorted({'scipy', 'pandas', 'mlflow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def simulation():
    """The benchmark of false winners as a module."""
    path = Path(__file__).parents[2] / "benchmarks" / "false_winners.py"
    spec = importlib.util.spec_from_file_location("false_winners", path)
    module = sys.modules["false_winners"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["false_winners"]


@pytest.mark.parametrize("number", [2, 4])
def test_equal_candidates_rarely_have_a_winner(simulation, number):
    for draw, compare in (
        (simulation.seeds(5), statistics.over_seeds),
        (simulation.answers(300), statistics.mcnemar),
    ):
        study = simulation.Study("", [0.0] * number, draw, compare)
        winners, false = simulation.measure(study, 150)
        assert winners <= false <= stats.binom.isf(0.001, 150, 0.05) / 150


def test_a_gap_of_two_standard_deviations_is_found_with_nine_seeds(simulation):
    study = simulation.Study("", [0.0, 2.0, 2.0], simulation.seeds(9), statistics.over_seeds)
    winners, false = simulation.measure(study, 100)
    assert winners >= 0.8
    assert false <= 0.1


def test_the_simulation_notices_a_test_that_sees_differences_everywhere(simulation):
    study = simulation.Study("", [0.0, 0.0], simulation.seeds(5), lambda *_: compared(0.001))
    assert simulation.measure(study, 10) == (1, 1)


@pytest.mark.parametrize("total", [1, 2, 3, 7, 20, 101, 1_000, 12_345])
def test_mcnemar_is_scipys_exact_binomial_test_with_its_interval(total):
    for only_first in sorted(
        {0, 1, 2, total // 3, total // 2, total - 1, total} & {*range(total + 1)}
    ):
        found = statistics.mcnemar(*answers(7, only_first, total - only_first, 3))
        exact = stats.binomtest(only_first, total)
        interval = exact.proportion_ci(1 - statistics.ALPHA, method="exact")
        share = total / (total + 10)
        assert found.p_value == pytest.approx(exact.pvalue, rel=1e-9)
        assert found.low == pytest.approx((2 * interval.low - 1) * share, rel=1e-9, abs=1e-12)
        assert found.high == pytest.approx((2 * interval.high - 1) * share, rel=1e-9, abs=1e-12)


def test_the_comparison_of_two_classifiers_leaves_scipys_distributions_unimported():
    program = (
        "import sys, numpy as np\nfrom samerun import statistics\n"
        "statistics.mcnemar(np.arange(9) % 2 == 0, np.arange(9) % 3 == 0)\n"
        "print('scipy.stats' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
