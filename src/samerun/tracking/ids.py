"""Which run a text names: an ID or its start, a name, `latest~2`, `best:METRIC` or `STUDY/7`."""

import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence

from samerun import tags as tag
from samerun.amounts import age
from samerun.errors import UserError, listed, nearest
from samerun.escaping import one_line
from samerun.tracking.stored_run import FINISHED, PARENT, StoredRun, parents

READ_TAGS = (tag.UID, tag.BUNDLED_FROM, tag.STUDY, tag.TRIAL, tag.MULTIRUN, tag.INSTANCE, PARENT)
"""The tags that `choose` looks at."""
SHORT = 8
"""Characters of a run's ID that are shown, where they are unique."""

_log = logging.getLogger(__name__)

_COMPLETE = re.compile("[0-9a-f]{32}")
_LATEST = re.compile(r"latest(?:~(\d{1,9}))?")
_BEST = "best:"
_TRIAL = re.compile(r"(.+)/(\d+)", re.DOTALL)
_MOST_CANDIDATES = 10
_EXPECTED = (
    "expected an ID or its first characters, a run's name, latest, latest~1, best:METRIC or "
    "STUDY/TRIAL"
)


def choose(name: str, runs: Sequence[StoredRun], store: str) -> StoredRun:
    """Returns the run that a text names.

    A complete ID wins over everything else. `latest`, `best:` and `STUDY/7` win over a run whose
    name is the same text; a warning names that run's ID.

    Args:
        name: an ID or its start, or a run's name; the ID that a run had before the store created
            it (its tag `samerun.uid`) or in the store that it was bundled from is one too. Or
            `latest`, the newest run that belongs to no sweep or other group; `latest~2`, the second
            one before it; `best:METRIC`, the finished run whose last value is the best, by the
            direction of the metric's name (runs of several seeds or folds count with their mean);
            `STUDY/7`, trial 7 of a study.
        runs: all runs of the store, the newest first.
        store: its address, without a password.

    Raises:
        UserError: it names no run, or several; its notes list them.
    """
    if is_complete(name):
        complete = sorted(runs, key=lambda run: run.id != name)  # it wins over a `samerun.uid`
        for run in complete:
            if name in (run.id, run.tags.get(tag.UID)):
                return run
    matching = [run for run in runs if is_named(run, name)]
    special = _special(name, runs, store)
    if special is not None:
        for run in matching:
            if run.id != special.id:
                _log.warning(
                    "'%s' is also the name of run %s: its ID names it.",
                    one_line(name),
                    short_ids([run.id, special.id])[run.id],
                )
        return special
    if len(matching) == 1:
        return matching[0]
    raise _ambiguous(name, matching, store) if matching else no_run(name, store)


def is_named(run: StoredRun, name: str) -> bool:
    """Whether a run has this name, or an ID that begins so."""
    ids = (run.id, run.tags.get(tag.UID, ""), run.tags.get(tag.BUNDLED_FROM, ""))
    return bool(name) and (run.name == name or any(one.startswith(name) for one in ids))


def is_complete(name: str) -> bool:
    """Whether a text has the form of a complete ID."""
    return bool(_COMPLETE.fullmatch(name))


def best_metric(name: str) -> str | None:
    """Returns the metric of `best:METRIC`, or `None` for every other text."""
    return name.removeprefix(_BEST) if name.startswith(_BEST) else None


def no_run(name: str, store: str, reason: str = "") -> UserError:
    """Returns the error for a text that names no run."""
    why = f" ({reason})" if reason else ""
    return UserError(f"'{one_line(name)}' names no run in {store}{why}: {_EXPECTED}.")


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """Returns the first characters of each ID: eight, or as many as tell all of them apart."""
    length = SHORT
    while len({one[:length] for one in ids}) < len(set(ids)):
        length += 1
    return {one: one_line(one[:length]) for one in ids}


def _special(name: str, runs: Sequence[StoredRun], store: str) -> StoredRun | None:
    """Returns the run that `latest~2`, `best:METRIC` or `STUDY/7` names, else `None`."""
    latest = _LATEST.fullmatch(name)
    if latest:
        return _latest(name, int(latest[1] or 0), runs, store)
    metric = best_metric(name)
    if metric is not None:
        return _best(name, metric, runs, store)
    trial = _TRIAL.fullmatch(name)
    return _trial(name, trial[1], trial[2], runs, store) if trial else None


def _latest(name: str, number: int, runs: Sequence[StoredRun], store: str) -> StoredRun:
    below = parents({run.id: run for run in runs})
    top = [run for run in runs if run.id not in below]
    if number < len(top):
        return top[number]
    reason = f"the oldest is latest~{len(top) - 1}" if top else "there are none"
    raise no_run(name, store, reason)


def _best(name: str, metric: str, runs: Sequence[StoredRun], store: str) -> StoredRun:
    from samerun.config.training import should_rise  # with all config classes

    ranked = [run for run in runs if math.isfinite(run.metrics.get(metric, math.nan))]
    ranked = [run for run in ranked if run.status == FINISHED and not run.is_group]
    ranked = [run for run in ranked if tag.INSTANCE not in run.tags]  # one lucky seed of several
    if ranked:
        key: Callable[[StoredRun], float] = lambda run: run.metrics[metric]  # noqa: E731
        return (max if should_rise(metric) else min)(ranked, key=key)
    known = sorted({key for run in runs for key in run.metrics})
    if metric in known:
        raise no_run(name, store, f"no finished run has a finite {one_line(metric)}")
    close = nearest(metric, known).removeprefix(" ").rstrip("?").lower()
    shown = close or f"metrics: {listed(one_line(key, 60) for key in known[:12])}"
    raise no_run(
        name, store, f"no run has that metric; {shown}" if known else "there are no metrics"
    )


def _trial(
    name: str, study: str, number: str, runs: Sequence[StoredRun], store: str
) -> StoredRun | None:
    trials = [run for run in runs if run.tags.get(tag.STUDY) == study and tag.TRIAL in run.tags]
    found = [run for run in trials if run.tags[tag.TRIAL] == str(int(number))]
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(name, found, store)
    if not trials:
        return None  # no study: perhaps a run's name
    raise no_run(name, store, f"{one_line(study)} has {len(trials)} trials, counted from 0")


def _ambiguous(name: str, runs: Sequence[StoredRun], store: str) -> UserError:
    error = UserError(
        f"'{one_line(name)}' names {len(runs)} runs in {store}: type more of the ID of one."
    )
    for line in _candidates(runs):
        error.add_note(line)
    return error


def _candidates(runs: Sequence[StoredRun]) -> Iterator[str]:
    short = short_ids([run.id for run in runs])
    for run in runs[:_MOST_CANDIDATES]:
        yield f"  {short[run.id]}  {one_line(run.name, 80)}  {age(run.start_time)} ago"
    if len(runs) > _MOST_CANDIDATES:
        yield f"  … and {len(runs) - _MOST_CANDIDATES} more"
