"""Lending: a study begins with what earlier studies in its storage have found.

A trial of an earlier study that is the same run as one of this sweep would be is *lent*: added to
the study as a finished trial, with its results and its curve. Some samplers and pruners need more
of a trial and do not see it: `sampler_notes` and `pruner_notes` name them. Of other trials, only
the values are taken, as points to try first.

An earlier study may have been written by anybody. What is taken from it are finite numbers, values
in the search space, and the IDs of runs, which the caller looks up.
"""

import json
import re
import sys
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from samerun import tags as tag
from samerun.config.pruners import Pruner
from samerun.config.samplers import Sampler
from samerun.config.sweep import Sweep
from samerun.errors import UserError, listed, nearest
from samerun.escaping import one_line
from samerun.search.constraints import is_feasible
from samerun.search.domains import Numeric
from samerun.search.space import Space, Values, distribution
from samerun.search.study import StudyStart, find_study, is_study_name, study_start, trial_settings

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

NUM_POINTS = 5
"""How many of the best trials of an earlier study are tried first where they cannot be lent."""
MOST_TRIALS = 500
"""How many completed trials of an earlier study are considered at most, the best ones."""

_LEARNS = (Sampler.tpe, Sampler.gp)
_EXHAUSTS = (Sampler.grid, Sampler.brute_force)
_COMPARES = (Pruner.median, Pruner.percentile)
_HALVES = (Pruner.successive_halving, Pruner.hyperband)
_MOST_NAMES = 10  # in one message
_MOST_NUMBERS = 10**9  # of trials
_LONGEST = 200  # letters of the name of a study
_TEST_METRIC = re.compile(r"test/[\w/.-]{1,80}")


@final
@dataclass(frozen=True, kw_only=True)
class Origin:
    """The trial that trained the result of a lent one.

    Args:
        study: name of its study.
        number: its number there.
    """

    study: str
    number: int

    def __str__(self) -> str:
        return f"trial {self.number} of study {self.study}"


@final
@dataclass(frozen=True, kw_only=True)
class EarlierTrial:
    """A completed trial of an earlier study, with values in the search space of this one.

    Args:
        origin: the trial that trained it: itself, or the one that was lent to its study.
        run_id: its MLflow run, as its study says; empty if it says none.
        point: its values, as values of this search space.
        curve: the values that it reported, by epoch from 1; empty if its steps were no epochs.
        trial: the trial; nothing else of it is checked.
    """

    origin: Origin
    run_id: str
    point: Values
    curve: Mapping[int, float]
    trial: "FrozenTrial"

    @property
    def key(self) -> Hashable:
        """What is equal for trials with equal values."""
        return key_of(self.point)


def origin_of(trial: "FrozenTrial") -> Origin | None:
    """Returns the trial that trained the result of a lent one; `None` if a trial is not lent."""
    kept = trial.user_attrs.get(tag.TRIAL_LENT)
    if not isinstance(kept, dict) or trial.state.name != "COMPLETE":
        return None
    study, number = kept.get("study"), kept.get("trial")
    if not isinstance(study, str) or len(study) > _LONGEST or not is_study_name(study):
        return None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < _MOST_NUMBERS:
        return None
    return Origin(study=study, number=number)


def is_lent(trial: "FrozenTrial") -> bool:
    """Whether a trial is the result of an earlier study, which this one did not train."""
    return origin_of(trial) is not None


def key_of(point: Mapping[str, Any]) -> Hashable:
    """Returns what is equal for equal values of a trial."""
    return tuple(sorted((name, str(value)) for name, value in point.items()))


def names_of(given: Any) -> list[str]:
    """Returns the names of the studies in `sweep.learn_from`, each once.

    Args:
        given: a name, a list of names, or `None`.

    Raises:
        UserError: it is something else.
    """
    each = list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
    if not all(isinstance(one, str | int) and not isinstance(one, bool) for one in each):
        raise UserError(
            f"sweep.learn_from: received {given}, expected the name of an earlier study, or a list "
            "of names such as [night,day]."
        )
    return list(dict.fromkeys(str(one) for one in each))


def earlier_study(kept: "optuna.storages.BaseStorage", name: str, own: str) -> "optuna.Study":
    """Returns a study to learn from.

    Args:
        kept: the storage.
        name: its name.
        own: name of the study that is to learn.

    Raises:
        UserError: there is none of that name, it is the same study, or a newer version wrote it.
    """
    import optuna

    if name == own:
        raise UserError(
            f"sweep.learn_from: received '{name}', which is the study of this sweep, expected an "
            "earlier one."
        )
    study = find_study(kept, name)
    if study is None:
        known = [one_line(one, 60) for one in optuna.get_all_study_names(kept) if one != own][::-1]
        more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
        there = listed(f"'{one}'" for one in known[:_MOST_NAMES])
        raise UserError(
            f"sweep.learn_from: there is no study '{one_line(name)}' in the storage, "
            f"{f'expected one of {there}{more}.' if known else 'which has no other: leave it out.'}"
            f"{nearest(name, known)}"
        )
    newer = tag.newer_schema(study.user_attrs)
    if newer:
        raise UserError(f"sweep.learn_from: '{one_line(name)}' was {newer}")
    return study


def earlier_start(study: "optuna.Study") -> StudyStart | None:
    """Returns what an earlier study was started with; `None` if that cannot be read."""
    try:
        start = study_start(study)
    except TypeError:
        return None
    if start is None:
        return None
    lists = (start.objectives, start.directions, start.constraints)
    tables = (start.base, start.code)
    are_lists = all(isinstance(one, list) and _are_texts(one) for one in lists)
    are_tables = all(isinstance(one, dict) and _are_texts(one.values()) for one in tables)
    return start if are_lists and are_tables and isinstance(start.space, dict) else None


def _are_texts(found: Iterable[Any]) -> bool:
    return all(isinstance(one, str) for one in found)


def earlier_settings(study: "optuna.Study") -> dict[str, Any]:
    """Returns the settings of an earlier study's sweep as plain values; empty if there are none."""
    try:
        plain = json.loads(str(trial_settings(study).sweep))
    except (LookupError, TypeError, ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def earlier_trials(study: "optuna.Study", space: Space) -> tuple[list[EarlierTrial], int]:
    """Returns the trials to learn from, the best first, and how many trials have completed.

    Pruned and failed trials are no results, nor is a value that is not finite, or that violates a
    constraint.

    Args:
        study: an earlier study.
        space: the search space of this one. A key of it that the earlier study did not search has
            the value that the earlier study's trials shared.

    Raises:
        UserError: there is none, with the reason.
    """
    complete, start = _complete_trials(study), earlier_start(study)
    base = {} if start is None else start.base
    found: list[EarlierTrial] = []
    pruner, reason = earlier_settings(study).get("pruner"), ""
    has_epochs = pruner not in (None, Pruner.wilcoxon.value)  # the steps of that are seeds or folds
    for trial in complete:
        try:
            point = _point(space, _given(space, trial.params, base))
        except ValueError as error:
            reason = reason or f"{error} in trial {trial.number}"
            continue
        one = EarlierTrial(
            origin=origin_of(trial) or Origin(study=study.study_name, number=trial.number),
            run_id=str(trial.user_attrs.get(tag.TRIAL_RUN, "")),
            point=point,
            curve=_curve(trial) if has_epochs else {},
            trial=trial,
        )
        found.append(one)
        if len(found) == MOST_TRIALS:
            break
    if not found:
        name = one_line(study.study_name)
        raise UserError(
            f"sweep.learn_from: none of the {len(complete)} completed trials of study '{name}' has "
            f"values in this search space ({reason}): name another study, or leave it out."
        )
    return found, len(complete)


def _complete_trials(study: "optuna.Study") -> "list[FrozenTrial]":
    """Returns the trials with results, the best first by the first objective.

    Raises:
        UserError: there is none.
    """
    trials = _all_trials(study)
    complete = [one for one in trials if one.state.name == "COMPLETE" and _is_usable(one)]
    if not complete:
        raise UserError(
            f"sweep.learn_from: none of the {len(trials)} trials of study "
            f"'{one_line(study.study_name)}' has completed with a finite value that keeps its "
            "constraints: name another study, or leave it out."
        )
    sign = 1.0 if study.directions[0].name == "MINIMIZE" else -1.0
    return sorted(complete, key=lambda one: (sign * one.values[0], one.number))


def _all_trials(study: "optuna.Study") -> "list[FrozenTrial]":
    """Returns the trials of a study, which are read once.

    Raises:
        UserError: they are not as Optuna writes them.
    """
    try:
        return study.get_trials(deepcopy=False)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"sweep.learn_from: the trials of study '{one_line(study.study_name)}' cannot be read "
            f"({type(error).__name__}): name another study, or leave it out."
        ) from error


def _is_usable(trial: "FrozenTrial") -> bool:
    """Whether a trial has finite objectives, and keeps the constraints of its study."""
    values = trial.values or []
    try:
        limits = [*trial.constraints.values()]
    except (AttributeError, TypeError):
        return False
    is_finite = bool(values) and all(map(_is_number, [*values, *limits]))
    return is_finite and is_feasible(trial)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max  # JSON holds longer integers


def _curve(trial: "FrozenTrial") -> dict[int, float]:
    reported = trial.intermediate_values.items()
    return {epoch: value for epoch, value in reported if epoch >= 1 and _is_number(value)}


def _given(space: Space, params: Mapping[str, Any], base: Mapping[str, str]) -> dict[str, Any]:
    """Returns the values of a trial, with those of other keys that all trials of its study shared.

    The shared config is that of one branch: keys below a group with another option are left out,
    and all are where an option, such as that of `experiment`, may change any key.
    """
    if any(key not in base for key in params):
        return dict(params)
    others = tuple(f"{key}." for key, value in params.items() if base[key] != str(value))
    shared = [entry.key for entry in space.entries if not entry.key.startswith(others)]
    return {**{key: base[key] for key in shared if key in base}, **params}


def _point(space: Space, given: Mapping[str, Any]) -> Values:
    """Returns the point of a search space that has given values; other keys are left out.

    Raises:
        ValueError: a key has no value, or one that is not in the space.
    """
    point: Values = {}
    for entry in space.entries:
        if not entry.holds(point):
            continue
        if entry.key not in given:
            raise ValueError(f"there is no {entry.key}")
        domain, value = entry.space, given[entry.key]
        try:
            is_int = isinstance(domain, Numeric) and domain.is_int
            point[entry.key] = int(domain.read(value) or 0) if is_int else domain.read(value)
        except ValueError as error:
            shown = one_line(str(value), 40)
            raise ValueError(f"{entry.key}={shown} is not in {domain}") from error
    return point


def points_to_try(
    trials: Sequence[EarlierTrial], known: Collection[Hashable]
) -> tuple[Values, ...]:
    """Returns the values of the best trials, without known ones.

    Args:
        trials: those of an earlier study, the best first.
        known: the keys of what is lent, or in this study already.
    """
    best: dict[Hashable, Values] = {}
    for one in trials:
        if len(best) < NUM_POINTS:
            best.setdefault(one.key, one.point)
    return tuple(point for key, point in best.items() if key not in known)


def own_keys(study: "optuna.Study") -> set[Hashable]:
    """Returns the keys of the trials of a study that are not lent: ended, running or enqueued."""
    from samerun.search.optuna_internals import given_values

    trials = study.get_trials(deepcopy=False)
    return {key_of(given_values(trial)) for trial in trials if not is_lent(trial)}


def lent_keys(study: "optuna.Study") -> list[Hashable]:
    """Returns the keys of the trials that were lent to a study, in the order of their numbers."""
    return [key_of(trial.params) for trial in study.get_trials(deepcopy=False) if is_lent(trial)]


def learned_from(study: "optuna.Study") -> dict[str, int]:
    """Returns the earlier studies that a study has read, each with the number of lent trials."""
    return dict(study.user_attrs.get(tag.STUDY_LEARNED_FROM) or {})


def add_lent(
    study: "optuna.Study",
    space: Space,
    trials: Iterable[EarlierTrial],
    *,
    overrides: Callable[[Values], list[str]],
    constraints: Collection[str],
    max_epochs: int,
) -> None:
    """Adds trials to a study as finished ones, without those that were lent to it before.

    Args:
        study: the study; its objectives are those of the trials.
        space: its search space.
        trials: those that are the same runs.
        overrides: returns the overrides that train values outside the sweep.
        constraints: the constraints of both studies.
        max_epochs: epochs of the longest trial; 0 if the steps of the curves are no epochs here.
    """
    from optuna.trial import create_trial

    known = {*lent_keys(study)}
    for one in trials:
        if one.key in known:
            continue
        lent = create_trial(
            values=[float(value) for value in one.trial.values],
            params=one.point,
            distributions={
                entry.key: distribution(entry.space)
                for entry in space.entries
                if entry.key in one.point
            },
            intermediate_values={
                epoch: float(value) for epoch, value in one.curve.items() if epoch <= max_epochs
            },
            constraints={name: float(one.trial.constraints[name]) for name in constraints},
            user_attrs=_attributes(one, space, overrides(one.point)),
        )
        study.add_trial(lent)


def _attributes(one: EarlierTrial, space: Space, overrides: list[str]) -> dict[str, Any]:
    """Returns what is known about a lent trial: its origin, its run, and how long it took."""
    attributes: dict[str, Any] = {
        tag.TRIAL_LENT: {"study": one.origin.study, "trial": one.origin.number},
        tag.TRIAL_RUN: one.run_id,
        tag.TRIAL_NAME: space.short(one.point),
        tag.TRIAL_OVERRIDES: overrides,
    }
    kept = one.trial.user_attrs
    for name in (tag.TRIAL_SECONDS, tag.TRIAL_EPOCHS):
        value = kept.get(name)
        if value is not None and _is_number(value) and value >= 0:
            attributes[name] = value
    tested = kept.get(tag.TRIAL_TEST)
    if isinstance(tested, dict):
        attributes[tag.TRIAL_TEST] = {
            name: value
            for name, value in tested.items()
            if _TEST_METRIC.fullmatch(name) and _is_number(value)
        }
    return attributes


def sampler_notes(sampler: Sampler) -> list[str]:
    """Returns what a sampler does with lent trials that a user may not expect."""
    if sampler in (*_LEARNS, *_EXHAUSTS):
        return []
    return [
        f"{sampler} does not learn from lent trials: they only count as results; "
        f"{listed(_LEARNS)} learn from them."
    ]


def pruner_notes(settings: Sweep) -> list[str]:
    """Returns what a pruner does with lent trials that a user may not expect.

    Optuna's pruners of successive halving compare the values that they kept at the rungs of a
    trial, in its system attributes, which a lent one lacks. A lent trial has no values by
    seed or fold, with which `wilcoxon` would compare.
    """
    is_patient = settings.pruner is Pruner.patient
    pruner = settings.patient.pruner if is_patient else settings.pruner
    if pruner in _HALVES and not settings.promote:
        others = [*_COMPARES, *([] if is_patient else ["sweep.promote=true"])]
        return [f"{pruner} compares no trial with a lent one at its rungs; {listed(others)} do."]
    if pruner is Pruner.wilcoxon:
        return [f"{pruner} prunes no trial while the best one is lent."]
    return []
