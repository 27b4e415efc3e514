"""Where the seconds of a run went."""

import pytest

from samerun import stopwatch


@pytest.fixture
def clock(monkeypatch):
    """Sets the time; the stopwatch starts without a part."""
    stopwatch.take()
    times = {"now": 0.0}
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: times["now"])

    def passes(seconds):
        times["now"] += seconds

    return passes


def test_a_part_counts_without_the_parts_within_it(clock):
    with stopwatch.part("tracking"):
        clock(1)
        with stopwatch.part("figures"):
            clock(5)
        clock(2)
    assert stopwatch.take() == {"tracking": 3, "figures": 5}


def test_parts_of_the_same_name_add_up_and_time_between_parts_is_nobodys(clock):
    for seconds in (1, 2):
        with stopwatch.part("steps"):
            clock(seconds)
        clock(100)
    assert stopwatch.take() == {"steps": 3}


def test_what_an_exception_kept_from_ending_is_over(clock):
    @stopwatch.part("steps")
    def interrupted():
        stopwatch.enter("trace")
        clock(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        interrupted()
    clock(10)
    assert stopwatch.take() == {"steps": 0, "trace": 1}


def test_the_next_run_starts_anew(clock):
    with stopwatch.part("steps"):
        clock(1)
    stopwatch.take()
    assert stopwatch.take() == {}
