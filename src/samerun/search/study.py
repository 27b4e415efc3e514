"""The study of a sweep: started or resumed, and the settings that it was started with."""

import dataclasses
import json
import re
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samerun import __version__
from samerun import tags as tag
from samerun.config import as_dict
from samerun.config.checkpoint import Trial
from samerun.config.composition import stored_sweep
from samerun.config.sweep import Sweep
from samerun.errors import UserError, listed, see
from samerun.redaction import redact
from samerun.search import storage

if TYPE_CHECKING:
    import optuna

_SHOWN = 3  # differences in one message


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """The settings of a study that its workers need.

    Args:
        metric: the logged name that trials report; `None` if none is.
        max_epochs: epochs of the longest trial, for Hyperband.
        sweep: the sweep's settings as JSON: time limit and pruner, which no storage knows.
    """

    metric: str | None
    max_epochs: int
    sweep: str


@dataclass(frozen=True, kw_only=True)
class StudyStart:
    """What a study was started with, and what has to be the same when it is resumed.

    Args:
        space: the search space, as plain values.
        objectives: logged names of the objectives.
        directions: `minimize` or `maximize`, for each objective.
        constraints: the limits that the best trial has to satisfy.
        base: the config that all trials share, flattened.
        branches: SHA-256 of the configs of all branches.
        threads: threads of each trial, which are part of its identity.
        code: SHA-256 of each of the user's own files that trials need, by path, and one of all
            files of samerun.
    """

    space: dict[str, Any]
    objectives: list[str]
    directions: list[str]
    base: dict[str, str]
    branches: str
    threads: int | None
    code: dict[str, str]
    constraints: list[str] = field(default_factory=list)


def settings_json(sweep: Sweep) -> str:
    """Writes a sweep's settings for its workers, without the storage's password."""
    plain = as_dict(sweep)
    plain["storage"] = None
    return json.dumps(plain)


def study_start(study: "optuna.Study") -> StudyStart | None:
    """Returns what a study was started with; `None` if that was not stored."""
    found = study.user_attrs.get(tag.STUDY_START)
    return StudyStart(**found) if found else None


def find_study(kept: "optuna.storages.BaseStorage", name: str) -> "optuna.Study | None":
    """Returns the study of that name, if there is one."""
    import optuna

    try:
        return optuna.load_study(study_name=name, storage=kept)
    except KeyError:
        return None


def open_study(
    kept: "optuna.storages.BaseStorage", name: str, start: StudyStart, *, extend: bool
) -> "optuna.Study":
    """Starts a study, or resumes the one of that name.

    Args:
        kept: the storage.
        name: the study's name.
        start: what it is started with, or must have been started with.
        extend: whether different settings are intended.

    Raises:
        UserError: it was started with a different direction, or by another program.
    """
    import optuna

    study = optuna.create_study(
        study_name=name,
        storage=kept,
        directions=[optuna.study.StudyDirection[way.upper()] for way in start.directions],
        load_if_exists=True,
    )
    # A process killed between these two lines leaves a study without trials and without attributes:
    # the next process takes it for a new one, unless its directions differ.
    newer = tag.newer_schema(study.user_attrs)
    if newer:
        raise UserError(
            f"sweep.study: '{name}' was {newer}{see('how-to/upgrade.md#recorded-runs')}"
        )
    before = study_start(study)
    if before is None and study.get_trials(deepcopy=False):
        raise UserError(
            f"sweep.study: '{name}' was created by another program: choose another name."
        )
    directions = [direction.name.lower() for direction in study.directions]
    if directions != start.directions:
        raise UserError(
            f"sweep.study: '{name}' was started with {' and '.join(directions)}, received "
            f"{' and '.join(start.directions)}: choose another name."
        )
    if before is None:
        study.set_user_attr(tag.STUDY_TOKEN, uuid.uuid4().hex)
    if before is None or (before != start and extend):
        study.set_user_attr(tag.STUDY_START, dataclasses.asdict(start))
        study.set_user_attr(tag.VERSION, __version__)
        study.set_user_attr(tag.SCHEMA, tag.SCHEMA_VERSION)
        with warnings.catch_warnings():  # for optuna-dashboard, which otherwise shows "Objective 0"
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(start.objectives)
    return study


def is_study_name(text: str) -> bool:
    """Whether a sweep may call its study so: the name is that of its folder too."""
    return bool(re.fullmatch(r"[\w.+-]+", text)) and not text.startswith(".")


def token(study: "optuna.Study") -> str:
    """Returns what distinguishes a study from another one of the same name."""
    return str(study.user_attrs.get(tag.STUDY_TOKEN, ""))


def differences(before: StudyStart, now: StudyStart) -> list[str]:
    """Returns what has changed since the study was started, one phrase each."""
    found = []
    if before.objectives != now.objectives:
        found.append(f"objective {listed(before.objectives)} → {listed(now.objectives)}")
    if before.directions != now.directions:
        found.append(f"direction {listed(before.directions)} → {listed(now.directions)}")
    if before.constraints != now.constraints:
        old, new = (listed(start.constraints) or "none" for start in (before, now))
        found.append(f"constraints {old} → {new}")
    keys = [*before.base, *(key for key in now.base if key not in before.base)]
    for key in keys:
        old, new = before.base.get(key, "absent"), now.base.get(key, "absent")
        if old != new:
            found.append(f"{key} {old} → {new}")
    files = sorted(before.code.items() ^ now.code.items())
    if files:
        found.append(f"the code of {listed(dict.fromkeys(path for path, _ in files))}")
    if not found and before.branches != now.branches and before.space == now.space:
        found.append("an option of a group in the search space was edited")
    return found


def refuse_changes(name: str, found: Sequence[str]) -> None:
    """Refuses to resume a study that was started with different settings.

    Raises:
        UserError: something differs.
    """
    if not found:
        return
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    changes = f"{'; '.join(found[:_SHOWN])}{more}"
    raise UserError(
        f"sweep.study: '{name}' was started with different settings ({changes}): "
        "choose another name, or give sweep.extend=true if the change is intended."
    )


def store_for_workers(study: "optuna.Study", settings: TrialSettings) -> None:
    """Stores the settings that every trial needs, before the first trial."""
    study.set_user_attr(tag.STUDY_SETTINGS, dataclasses.asdict(settings))


def trial_settings(study: "optuna.Study") -> TrialSettings:
    """Returns what `store_for_workers` wrote."""
    return TrialSettings(**study.user_attrs[tag.STUDY_SETTINGS])


def load_for_worker(cfg: Trial) -> "optuna.Study":
    """Returns the study of a trial, for reporting and pruning only.

    Its sampler has no state, since a second `optuna.Trial` object calls `before_trial` again; its
    pruner is built from the sweep's settings, since a storage does not keep it.

    Raises:
        UserError: the storage or the study cannot be reached.
    """
    import optuna

    from samerun.search.pruners import build_pruner

    try:
        study = optuna.load_study(
            study_name=cfg.study,
            storage=storage.worker_storage(storage.full_url(cfg.storage)),
            sampler=optuna.samplers.RandomSampler(),
        )
    except KeyError as error:
        raise UserError(
            f"trial.study: there is no study '{cfg.study}' in {redact(cfg.storage)}."
        ) from error
    settings = trial_settings(study)
    if settings.metric is not None:
        sweep = stored_sweep(settings.sweep)
        direction = study.direction.name.lower()
        study.pruner = build_pruner(sweep, direction, settings.max_epochs)
    return study


def count_by_state(study: "optuna.Study") -> Mapping[str, int]:
    """Returns the number of trials in each of Optuna's states, by the state's name."""
    counts: dict[str, int] = {}
    for trial in study.get_trials(deepcopy=False):
        counts[trial.state.name] = counts.get(trial.state.name, 0) + 1
    return counts
