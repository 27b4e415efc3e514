"""What a list of runs says about each: its score, what differs from the others, its relations."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from samerun import tags as tag
from samerun.config.root import has_meaning
from samerun.config.training import should_rise
from samerun.escaping import one_line
from samerun.tracking import PARENT, StoredRun

HEADLINES = ("accuracy", "mean_absolute_error", "perplexity")
"""The main metrics of `samerun.evaluation`, one of each kind of task."""
_FALLBACKS = ("validation/accuracy", "validation/loss", "train/loss")


@dataclass(frozen=True, kw_only=True)
class Score:
    """The main metric of a run.

    Args:
        metric: its logged name, such as `test/accuracy`.
        value: its last value.
        low: lower end of its 95 % interval; `None` without one.
        high: its upper end.
    """

    metric: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    """A run in a list.

    Args:
        run: as the store has it.
        short: the beginning of its ID, which no other run of the list shares.
        depth: 0, or how many groups it belongs to where they are opened.
        num_children: how many runs belong to it.
        score: its main metric; of a sweep or a multirun, that of its best run.
        notes: what else is to be known, such as `reproduced: EXACT`.
    """

    run: StoredRun
    short: str
    depth: int
    num_children: int
    score: Score | None
    notes: tuple[str, ...]


def score_of(run: StoredRun) -> Score | None:
    """Returns the main metric of a run: one with an interval, on the test split if there is one.

    Args:
        run: with its metrics.
    """
    for split in ("test", "validation"):
        for name in HEADLINES:
            metric = f"{split}/{name}"
            value, low, high = (_finite(run, metric + end) for end in ("", "_low", "_high"))
            if value is not None and low is not None and high is not None:
                return Score(metric=metric, value=value, low=low, high=high)
    for metric in (*(f"test/{name}" for name in HEADLINES), *_FALLBACKS):
        value = _finite(run, metric)
        if value is not None:
            return Score(metric=metric, value=value, low=None, high=None)
    return None


def best_child(run: StoredRun, children: Sequence[StoredRun]) -> StoredRun | None:
    """Returns the best run of a sweep or a multirun.

    It is the one that the group names. Before it has ended, it is the finished one with the best
    objective; a test metric never chooses.

    Args:
        run: the group's own run.
        children: its runs, with their metrics.
    """
    named = next((child for child in children if child.id == run.tags.get(tag.BEST)), None)
    objective = run.tags.get(tag.OBJECTIVES, "").partition(",")[0]
    ranked = [c for c in children if c.status == "FINISHED" and _finite(c, objective) is not None]
    if named is not None or not ranked:
        return named
    return (max if should_rise(objective) else min)(ranked, key=lambda c: c.metrics[objective])


def lent_best(group: StoredRun, runs: Sequence[StoredRun]) -> StoredRun | None:
    """Returns the best run of a sweep that an earlier study lent: it is not among its children.

    Args:
        group: the sweep's own run.
        runs: all runs of the store.
    """
    best = group.tags.get(tag.BEST, "")
    if tag.LEARNED_FROM not in group.tags:
        return None
    found = next((run for run in runs if run.id == best), None)
    return None if found is None or found.tags.get(PARENT) == group.id else found


def status_of(run: StoredRun) -> str:
    """Returns how a run ended, or `running`: of a trial, Optuna's state if it is not complete."""
    state = run.tags.get(tag.STATE, "")
    text = state if state and state != "complete" and run.status != "RUNNING" else run.status
    return one_line(text, 20).lower()


def notes_of(
    run: StoredRun, verdicts: Mapping[str, Sequence[str]], short: Mapping[str, str]
) -> Iterator[str]:
    """Yields what else is to be known about a run.

    Args:
        run: with its tags.
        verdicts: the verdicts of all reproductions, by the ID of the run that was reproduced.
        short: the beginnings of IDs.
    """

    def named(run_id: str) -> str:
        return short.get(run_id) or one_line(run_id[:8], 8)

    undelivered = run.tags.get(tag.UNDELIVERED)
    if undelivered:
        yield f"undelivered: {one_line(undelivered, 40)}"
    original = run.tags.get(tag.REPRODUCES)
    if original:
        verdict = one_line(run.tags.get(tag.VERDICT, "no verdict"), 20)
        yield f"reproduces {named(original)}: {verdict}"
    if run.id in verdicts:
        yield f"reproduced: {', '.join(dict.fromkeys(verdicts[run.id]))}"
    if run.num_resumed:
        yield "resumed" if run.num_resumed == 1 else f"resumed {run.num_resumed} times"
    forked = run.tags.get(tag.FORKED_FROM)
    if forked:
        yield f"forked from {named(forked)}"


def verdicts_in(runs: Sequence[StoredRun]) -> dict[str, list[str]]:
    """Returns the verdicts of all reproductions, by the ID of the run that was reproduced."""
    found: dict[str, list[str]] = {}
    for run in runs:
        if run.tags.get(tag.REPRODUCES) and run.tags.get(tag.VERDICT):
            verdict = one_line(run.tags[tag.VERDICT], 20)
            found.setdefault(run.tags[tag.REPRODUCES], []).append(verdict)
    return found


def differing(runs: Sequence[StoredRun]) -> list[str]:
    """Returns the parameters that differ among runs, those that concern most runs first.

    A parameter that only some of the runs have, such as one of Adam's, differs if these have more
    than one value of it; so `optimizer` differs, and not each of its keys. What cannot change a
    result is left out, and so are the parameters of sweeps and multiruns, which trained nothing.

    Args:
        runs: with their parameters.
    """
    values: dict[str, list[str]] = {}
    for run in runs:
        for key, value in () if run.is_group else run.params.items():
            values.setdefault(key, []).append(value)
    found = [key for key, given in values.items() if len(set(given)) > 1 and has_meaning(key)]
    return sorted(found, key=lambda key: ("." in key, -len(values[key]), key))


def _finite(run: StoredRun, metric: str) -> float | None:
    value = run.metrics.get(metric, math.nan)
    return value if math.isfinite(value) else None
