"""What a sweep learns from earlier studies: which of their trials are the same runs as its own.

Two runs are the same if their fingerprints are equal: config, code and data
(`samerun.identity`). That of a trial of this sweep is computed from the config that it would be
trained with, and the earlier one's is what its run recorded.
"""

import itertools
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, final

from samerun import config, identity, search, tracking
from samerun import tags as tag
from samerun.config.pruners import Pruner
from samerun.config.sweep import Sweep
from samerun.errors import UserError, listed
from samerun.escaping import one_line
from samerun.launch import existing
from samerun.process import quiet
from samerun.search import lending
from samerun.search.lending import EarlierTrial
from samerun.search.space import Space, Values
from samerun.sweeper.trial_configs import THREADS, TrialConfigs
from samerun.tracking.ids import is_complete

if TYPE_CHECKING:
    import optuna

    from samerun.sweeper.plan import SweepPlan

_SHOWN = 2  # differences in one note
_THREADS = re.compile(rf"({'|'.join(map(re.escape, THREADS))})=([0-9]{{1,4}})")


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a sweep takes from earlier studies.

    Args:
        studies: those that are read now, each with the number of its trials that are lent.
        lent: these trials, with different values.
        points: values to try before any that the sampler chooses.
        notes: a sentence for each study.
        num_lent: number of trials that are lent to the study, those of earlier starts included.
    """

    studies: Mapping[str, int] = field(default_factory=dict)
    lent: tuple[EarlierTrial, ...] = ()
    points: tuple[Values, ...] = ()
    notes: tuple[str, ...] = ()
    num_lent: int = 0


def learn(
    settings: Sweep,
    now: search.StudyStart,
    configs: TrialConfigs,
    space: Space,
    *,
    name: str,
    backend: "optuna.storages.BaseStorage",
    study: "optuna.Study | None",
) -> Learned:
    """Reads the studies of `sweep.learn_from` that this study has not read yet.

    Args:
        settings: the settings of the sweep.
        now: what its study is started with.
        configs: the configs of its trials.
        space: its search space.
        name: its name.
        backend: the storage of all of these studies.
        study: its study; `None` before it has one.

    Raises:
        UserError: there is no such study, or nothing to learn from it.
    """
    names = lending.names_of(settings.learn_from)
    known = {} if study is None else lending.learned_from(study)
    before = [] if study is None else lending.lent_keys(study)
    if not (names or before):
        return Learned()
    # The last of them may be those of a start that was killed before it recorded their study.
    taken: set[Hashable] = {*before[: sum(known.values())]}
    taken |= set() if study is None else lending.own_keys(study)
    new = [lending.earlier_study(backend, one, name) for one in names if one not in known]
    read = [_read(settings, now, configs, space, one) for one in new]
    lent: dict[str, list[EarlierTrial]] = {}
    for one in read:
        lent[one.name] = [trial for trial in one.same if trial.key not in taken]
        taken |= {trial.key for trial in one.same}
    taken |= {*before}
    points: list[Values] = []
    notes: list[str] = []
    for one in read:
        tried = lending.points_to_try(one.trials, taken)
        taken |= {lending.key_of(point) for point in tried}
        points += tried
        notes.append(_note(one, len(lent[one.name]), len(tried)))
    trials = tuple(itertools.chain.from_iterable(lent.values()))
    if trials:
        notes += [*lending.sampler_notes(settings.sampler), *lending.pruner_notes(settings)]
    return Learned(
        studies={earlier: len(found) for earlier, found in lent.items()},
        lent=trials,
        points=tuple(points),
        notes=tuple(notes),
        num_lent=len({*before, *(trial.key for trial in trials)}),
    )


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What was read of an earlier study.

    Args:
        name: its name.
        trials: the trials to learn from, the best first.
        num_complete: how many trials have completed.
        same: those that are the same runs as trials of this sweep.
        reason: what differs, as far as it is known.
    """

    name: str
    trials: Sequence[EarlierTrial]
    num_complete: int
    same: Sequence[EarlierTrial]
    reason: str


def _read(
    settings: Sweep,
    now: search.StudyStart,
    configs: TrialConfigs,
    space: Space,
    earlier: "optuna.Study",
) -> _Read:
    """Reads an earlier study.

    Raises:
        UserError: there is nothing to learn from it.
    """
    trials, num_complete = lending.earlier_trials(earlier, space)
    obstacle = _obstacle(settings, now, earlier)
    return _Read(
        name=earlier.study_name,
        trials=trials,
        num_complete=num_complete,
        same=[] if obstacle else _same_runs(trials, configs, now),
        reason=obstacle or _difference(now, earlier, space, _threads(trials[0], configs)),
    )


def _obstacle(settings: Sweep, now: search.StudyStart, earlier: "optuna.Study") -> str:
    """Returns why no result of an earlier study counts here; empty if they may."""
    before, theirs = lending.earlier_start(earlier), lending.earlier_settings(earlier)
    if before is None or not theirs:
        return "another program created it"
    same = replace(before, base=now.base, code=now.code, branches=now.branches, space=now.space)
    found = search.differences(same, now)
    counted = theirs.get("objective_from")
    if counted != settings.objective_from.value:
        found.append(f"sweep.objective_from {counted} → {settings.objective_from}")
    return _shown(found)


def _difference(now: search.StudyStart, earlier: "optuna.Study", space: Space, threads: str) -> str:
    """Returns what differs between two studies besides values that are searched.

    Args:
        now: what this one is started with.
        earlier: the other one.
        space: the search space of this one.
        threads: how the threads of their trials differ; empty if they do not.
    """
    before = lending.earlier_start(earlier)
    if before is None:
        return ""
    searched = {entry.key for entry in space.entries} | before.space.keys()
    shared = {key: value for key, value in now.base.items() if key in searched}
    found = search.differences(replace(before, base={**before.base, **shared}), now)
    found += [threads] if threads else []
    return _shown(found) or "the data, or their runs are not in this tracking store"


def _threads(earlier: EarlierTrial, configs: TrialConfigs) -> str:
    """Returns how the threads of a trial differ from those that it would have here.

    They are read from its recorded overrides: the workers of a sweep decide them, or its user does.
    """
    before = _threads_in(earlier.trial.user_attrs.get(tag.TRIAL_OVERRIDES))
    now = _threads_in(configs.overrides(earlier.point))
    changed = [key for key in THREADS if before.get(key, "") != now.get(key, "")]
    if not changed or not all(key in before and key in now for key in changed):
        return ""
    old, new = (listed(dict.fromkeys(each[key] for key in changed)) for each in (before, now))
    same = " ".join(f"{key}={before[key]}" for key in changed)
    return f"threads {old} → {new} (sweep.workers; or give {same})"


def _threads_in(overrides: Any) -> dict[str, str]:
    """Returns the numbers of threads in the overrides of a trial, which may be anything."""
    texts = overrides if isinstance(overrides, list) else []
    found = [_THREADS.fullmatch(text) for text in texts if isinstance(text, str)]
    return {one[1]: one[2] for one in found if one}


def _shown(found: Sequence[str]) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{'; '.join(one_line(one, 120) for one in found[:_SHOWN])}{more}"


def _note(read: _Read, num_lent: int, num_points: int) -> str:
    """Returns what is taken from a study, and what else would be if nothing differed."""
    trials = "trial" if read.num_complete == 1 else "trials"
    of_its, num_known = f"of its {read.num_complete} completed {trials}", len(read.same) - num_lent
    parts = []
    if not read.same:
        parts.append(f"none {of_its} is the same run here ({read.reason})")
    if num_lent:
        parts.append(f"{num_lent} {of_its} {_are(num_lent)} lent as results")
    if num_known:
        which = str(num_known) if num_lent else f"{num_known} {of_its}"
        parts.append(f"{which} {_are(num_known)} already known")
    if num_points:
        best = "of its best trial" if num_points == 1 else f"of {num_points} of its best trials"
        parts.append(f"the values {best} are tried first")
    return f"sweep.learn_from={one_line(read.name)}: {'; '.join(parts)}."


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _same_runs(
    trials: Sequence[EarlierTrial], configs: TrialConfigs, now: search.StudyStart
) -> list[EarlierTrial]:
    """Returns the trials whose runs have the fingerprint that a trial with their values would have.

    They are in the order of their numbers, and have different values. The data is read only if a
    run has the same config and code.
    """
    runs, fingerprints = _runs_of(trials, configs.base()), _Fingerprints(configs)
    found: dict[Hashable, EarlierTrial] = {}
    for one in sorted(trials, key=lambda one: one.trial.number):
        run, limits = runs.get(one.run_id), one.trial.constraints
        has_all = len(one.trial.values) == len(now.objectives) and set(now.constraints) <= {*limits}
        if run is not None and has_all and fingerprints.is_same(one.point, run):
            found.setdefault(one.key, one)
    return list(found.values())


def _runs_of(trials: Sequence[EarlierTrial], base: config.Config) -> dict[str, tracking.StoredRun]:
    """Returns the finished runs of trials that this very code has trained, by their IDs."""
    from samerun import provenance

    code = provenance.collect("").code.digest
    origins = {one.run_id: one.origin for one in trials if is_complete(one.run_id)}
    catalog = tracking.Catalog(tracking.existing(base.tracking.uri))
    found = {}
    for run in catalog.complete([*origins]):
        origin, tags = origins[run.id], run.tags
        named = (tags.get(tag.STUDY), tags.get(tag.TRIAL))
        is_its_own = named == (origin.study, str(origin.number))
        is_trained = existing.is_as_configured(run) and existing.finished([run]) is not None
        if is_its_own and is_trained and tags.get(tag.FINGERPRINT_CODE) == code:
            found[run.id] = run
    return found


@final
class _Fingerprints:
    """The fingerprints of the trials that a sweep would train; files are read once.

    Args:
        configs: the configs of its trials.
    """

    def __init__(self, configs: TrialConfigs) -> None:
        self._configs = configs
        self._data: dict[str, Mapping[str, str]] = {}
        self._code: dict[tuple[str, ...], Mapping[str, str]] = {}

    def is_same(self, point: Values, run: tracking.StoredRun) -> bool:
        """Whether a run is the one that these values would lead to."""
        try:
            cfg = self._configs.composition(point).config
        except UserError:  # these values do not go together
            return False
        if run.tags.get(tag.FINGERPRINT_CONFIG) != config.fingerprint(cfg):
            return False
        whole = identity.of_run(cfg, self._data_of(cfg), self._code_of(cfg))
        return run.tags.get(tag.FINGERPRINT) == whole

    def _data_of(self, cfg: config.Config) -> Mapping[str, str]:
        from samerun import data

        key = repr(cfg.dataset)
        if key not in self._data:
            with quiet():
                self._data[key] = data.digests(cfg.dataset)
        return self._data[key]

    def _code_of(self, cfg: config.Config) -> Mapping[str, str]:
        key = tuple(sorted(identity.own_files(cfg)))
        if key not in self._code:
            self._code[key] = identity.code_files(cfg)
        return self._code[key]


def add_lent(plan: "SweepPlan", study: "optuna.Study") -> None:
    """Adds the lent trials to a study that has not got them yet.

    Args:
        plan: what the sweep does.
        study: its study.
    """
    has_other_steps = plan.settings.pruner is Pruner.wilcoxon  # seeds or folds
    lending.add_lent(
        study,
        plan.space,
        plan.learned.lent,
        overrides=plan.configs.overrides,
        constraints=plan.study_start().constraints,
        max_epochs=0 if has_other_steps else plan.configs.max_epochs(),
    )


def mark_as_learned(plan: "SweepPlan", study: "optuna.Study") -> None:
    """Records that earlier studies have been read: a resumed sweep does not read them again."""
    if plan.learned.studies:
        before = lending.learned_from(study)
        study.set_user_attr(tag.STUDY_LEARNED_FROM, {**before, **plan.learned.studies})


def learned_tags(study: "optuna.Study") -> dict[str, str]:
    """Returns the tag of a sweep's own run that names the studies it learned from."""
    found = lending.learned_from(study)
    text = ", ".join(f"{one_line(name, 60)} ({number} lent)" for name, number in found.items())
    return {tag.LEARNED_FROM: text} if text else {}
