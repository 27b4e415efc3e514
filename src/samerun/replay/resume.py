"""Resumes a run from its last checkpoint, as the same run in the store or as a fork."""

import dataclasses
import json
import logging
import shlex
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from samerun import (
    checkpoints,
    config,
    data,
    identity,
    provenance,
    retention,
    search,
    tracking,
)
from samerun import tags as tag
from samerun.command_line import line
from samerun.config import Config
from samerun.config.checkpoint import AfterSuccess
from samerun.config.root import has_meaning
from samerun.config.schedules import Cosine, OneCycle, Polynomial
from samerun.config.secrets import check_secrets_given
from samerun.config.stored import apply_overrides, differing_keys
from samerun.errors import UserError, listed, see
from samerun.replay import foreign, recorded
from samerun.replay.recorded import clean
from samerun.replay.trust import check_trusted, trusts_components
from samerun.retention import CHECKPOINTS
from samerun.user_code import check_functions, is_function

if TYPE_CHECKING:
    from rich.console import Console

    from samerun.result import Result


_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ResumePlan:
    """How a run will be resumed.

    Args:
        run: the run in the store.
        composition: its config with the changes.
        keys: the keys that differ from the stored config.
        folder: where it will be resumed.
        state: the state to resume from; `None` to train from scratch.
        source: where that was found, in one line.
        is_fork: as a new run.
        uri: the store.
        take_over: it is marked RUNNING on another machine that no longer exists.
        nothing_left: why there is nothing left to train; else `None`.
    """

    run: tracking.StoredRun
    composition: config.Composition
    keys: tuple[str, ...]
    folder: Path
    state: checkpoints.TrainingState | None
    source: str
    is_fork: bool
    uri: str
    take_over: bool
    nothing_left: str | None


def plan_resume(
    run: tracking.StoredRun,
    overrides: Sequence[str] = (),
    *,
    fork: bool = False,
    trusted: Sequence[str] = (),
    take_over: bool = False,
    uri: str | None = None,
    requested: Config | None = None,
) -> ResumePlan:
    """Plans how to resume a run; changes nothing in the store and does not load TensorFlow.

    Args:
        run: the run.
        overrides: changes of its config, such as `training.epochs=20`.
        fork: train as a new run; anything may change.
        trusted: modules that the stored config may import, and `data`.
        take_over: the run is marked RUNNING on another machine that no longer exists.
        uri: the store, by default that of this folder.
        requested: the user's own config, which the stored one must equal in meaning; then its data
            is the user's own too.

    Raises:
        UserError: it is alive, a sweep's or one of its trials, its config or code changed,
            something of it is missing, or what it would read is not to be trusted.
    """
    _check_run(run, fork=fork, uri=uri, take_over=take_over)
    found = recorded.read(run, trusted=trusted, uri=uri)
    check_trusted(found.cfg, trusted)
    if fork:
        overrides = [*_effective_batch(run), *overrides]
    own_code = trusts_components(trusted)
    composition = apply_overrides(found.resolved, overrides, own_code=own_code)
    stored, cfg = found.cfg, composition.config
    check_trusted(cfg, trusted)
    if requested is None:
        foreign.check_paths(run, cfg, overrides, trusted, uri=uri)
    else:
        _check_equal(run, cfg, requested)
    keys = tuple(differing_keys(stored, cfg))
    finished = None
    if not fork:
        _check_changes(run, stored, cfg, keys)
        finished = _nothing_left(run, stored, cfg)
    folder, state, source = tracking.fresh_folder(), None, ""
    if finished is None:
        _check_config(cfg)
        if requested is None and foreign.must_match(run, cfg, overrides, trusted, uri=uri):
            foreign.check_data(run, stored)
        if not fork:
            _check_code(run, cfg, found.provenance)
        own = tracking.folder_of(run, uri=uri)
        folder = folder if fork or own is None else own
        state, source = _find_state(run, own, uri)
        if state is None:
            _check_not_dropped(run, stored, overrides, trusted)
    return ResumePlan(
        run=run,
        composition=composition,
        keys=keys,
        folder=folder,
        state=state,
        source=source,
        is_fork=fork,
        uri=tracking.resolve_uri(uri),
        take_over=take_over,
        nothing_left=finished,
    )


def _check_run(run: tracking.StoredRun, *, fork: bool, uri: str | None, take_over: bool) -> None:
    """Refuses a run that cannot be resumed, or from which no fork can start."""
    recorded.check_trained(run)
    if fork:
        _check_one_training(run)
    else:
        _check_no_trial(run)
        tracking.check_at_rest(run, uri=uri, take_over=take_over)


def _check_config(cfg: Config) -> None:
    check_secrets_given(cfg)
    check_functions(cfg)
    config.check(cfg, data.describe(cfg.dataset))


def _check_equal(run: tracking.StoredRun, stored: Config, requested: Config) -> None:
    """Refuses a run whose tags match the requested one but whose config does not."""
    if config.fingerprint(stored) != config.fingerprint(requested):
        raise UserError(
            f"Run {run.id} has the fingerprint of this run but another config, so samerun did not "
            "write it: give tracking.if_exists=rerun to train in a run of your own."
        )


def _effective_batch(run: tracking.StoredRun) -> list[str]:
    """Returns the batch size that a run ended up with after it ran out of memory, as an override.

    A run that is resumed finds it in its checkpoint; a fork is a run with another config.
    """
    size = run.tags.get(tag.BATCH_SIZE, "")
    return [f"dataset.batch_size={size}"] if size.isdecimal() else []


def _check_no_trial(run: tracking.StoredRun) -> None:
    """Refuses a trial: only its sweep may resume it, or the study would not know."""
    number = run.tags.get(tag.TRIAL)
    if number is not None:
        study = run.tags.get(tag.STUDY, "")
        raise UserError(
            f"Run {run.id} is trial {clean(number)} of the sweep '{clean(study)}': the sweep "
            "resumes it; give --fork to continue in a new run."
        )


def _check_one_training(run: tracking.StoredRun) -> None:
    """Refuses to fork a run with seeds or folds, which has no checkpoint of its own."""
    if tag.INSTANCES in run.tags:
        raise UserError(
            f"Run {run.id} consists of several runs (seeds or folds), and --fork starts from the "
            f"checkpoint of one: give the ID of one of them, which `samerun show {run.id[:8]}` "
            "lists."
        )


def _check_changes(
    run: tracking.StoredRun, stored: Config, cfg: Config, keys: Sequence[str]
) -> None:
    """Refuses changes that would make the rest of the run differ from one without interruption."""
    wrong = [key for key in keys if has_meaning(key)]
    if "training.epochs" in wrong and _may_grow(stored, cfg):
        wrong.remove("training.epochs")
    if not wrong:
        return
    why = ""
    if wrong == ["training.epochs"]:
        why = (
            f" (the schedule {cfg.schedule.kind} takes its length from it)"
            if cfg.training.epochs > stored.training.epochs
            else " (it can only grow)"
        )
    raise UserError(
        f"Run {run.id} was trained with other values of {listed(wrong)}{why}: leave "
        f"{'it' if len(wrong) == 1 else 'them'} as stored, or give --fork to start a new run from "
        "its checkpoint."
    )


def _may_grow(stored: Config, cfg: Config) -> bool:
    """Whether more epochs leave the learning rate of earlier epochs unchanged."""
    schedule = stored.schedule
    is_open = (
        isinstance(schedule, OneCycle)
        or is_function(schedule)
        or (isinstance(schedule, Cosine | Polynomial) and schedule.decay_epochs is None)
    )
    return cfg.training.epochs > stored.training.epochs and not is_open


def _nothing_left(run: tracking.StoredRun, stored: Config, cfg: Config) -> str | None:
    if run.status != "FINISHED" or cfg.training.epochs > stored.training.epochs:
        return None
    result = run.tags.get(tag.RESULT, "")
    return clean(f"Run {run.name} ({run.id}) has finished{': ' if result else ''}{result}", 400)


def _check_not_dropped(
    run: tracking.StoredRun, stored: Config, overrides: Sequence[str], trusted: Sequence[str]
) -> None:
    """Refuses a finished run whose checkpoints were deleted: it would be trained from scratch."""
    proof = run.tags.get(tag.CHECKPOINTS_DROPPED)
    why = f"samerun gc deleted them; {clean(proof)}" if proof else ""
    if stored.checkpoint.after_success is not AfterSuccess.keep and not why:
        why = f"checkpoint.after_success={stored.checkpoint.after_success}"
    if run.status == "FINISHED" and why:
        command = line("reproduce", run.id, *overrides, trust=trusted)
        raise UserError(
            f"Run {run.id} no longer has checkpoints ({why}): `{command}` trains it from "
            "scratch, as a new run."
        )


def _check_code(run: tracking.StoredRun, cfg: Config, provenance: recorded.Provenance) -> None:
    then, now = provenance.files, identity.code_files(cfg)
    if then is None:
        raise UserError(
            f"Run {run.id} does not say which code it was trained with: give --fork to start a new "
            "run from its checkpoint."
        )
    differing = sorted(path for path in {*then, *now} if then.get(path) != now.get(path))
    if differing:
        names = clean(listed(differing[:3]))
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise UserError(
            f"The code changed since run {run.id} ({names}{more}): go back to it, or "
            "give --fork to start a new run from the checkpoint."
            + see("how-to/troubleshooting.md#interrupted-runs")
        )


def check_data(plan: ResumePlan) -> None:
    """Checks that every split is, byte for byte, what the run was trained with.

    Raises:
        UserError: a split differs; it is named.
    """
    then = foreign.recorded_digests(plan.run)
    if plan.is_fork or not then:
        return
    now = data.digests(plan.composition.config.dataset)
    differing = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if differing:
        raise UserError(
            f"The data changed since run {plan.run.id} ({listed(differing)}): put it back, or give "
            "--fork to start a new run from the checkpoint."
            + see("how-to/troubleshooting.md#interrupted-runs")
        )


def find_state(
    run: tracking.StoredRun, cfg: Config, *, uri: str | None
) -> checkpoints.TrainingState | None:
    """Returns the state to resume a run from; `None` to train it from scratch.

    Args:
        run: a run that was interrupted.
        cfg: its config.
        uri: the store.

    Raises:
        UserError: the code changed since.
    """
    state, _ = _find_state(run, tracking.folder_of(run, uri=uri), uri)
    if state is not None:
        _check_code(run, cfg, recorded.recorded_provenance(run, uri=uri))
    return state


def _find_state(
    run: tracking.StoredRun, own: Path | None, uri: str | None
) -> tuple[checkpoints.TrainingState | None, str]:
    """Returns the state to resume from, and where it was found."""
    # 1. The checkpoint in the run's own folder: the newest there is, if the run was last here.
    place = None if own is None else own / CHECKPOINTS
    here = None if place is None else checkpoints.latest(place)
    # 2. The one in the artifact store, if the machine or its disk is gone, or if the run, like a
    #    trial on a cluster, continued elsewhere since. Its SHA-256 shows damage, not who wrote it.
    uploaded = None
    if here is None:
        uploaded = _fetch(run, uri)
    elif not _was_last_in(own, run):
        uploaded = _fetch_if_possible(run, uri)
    if here is not None and (uploaded is None or _progress(uploaded) <= _progress(here)):
        return here, f"{_position(here)}, from {place}"
    if uploaded is not None:
        return uploaded, f"{_position(uploaded)}, from the artifact store"
    # 3. None was written, or none is intact: from scratch.
    return None, "from scratch: there is no checkpoint"


def _fetch_if_possible(
    run: tracking.StoredRun, uri: str | None
) -> checkpoints.TrainingState | None:
    """Fetches the uploaded checkpoints for a run that has one on this machine, too."""
    try:
        return _fetch(run, uri)
    except UserError as error:
        _log.warning(
            "The uploaded checkpoint cannot be read (%s): the one on this machine is used, "
            "although the run may have continued elsewhere since.",
            error,
        )
        return None


def _was_last_in(folder: Path | None, run: tracking.StoredRun) -> bool:
    """Whether no other machine, and no other folder of this one, has continued a run since."""
    return run.tags.get(tag.HOST) == socket.gethostname() and folder == run.folder


def _progress(state: checkpoints.TrainingState) -> tuple[int, int]:
    return state.epoch, state.step


def _position(state: checkpoints.TrainingState) -> str:
    inside = f", step {state.step}" if state.step else ""
    return f"after epoch {state.epoch}{inside}"


def _fetch(run: tracking.StoredRun, uri: str | None) -> checkpoints.TrainingState | None:
    """Fetches the checkpoints that were uploaded; the names are ours, not the store's."""
    there = tracking.list_artifacts(run, CHECKPOINTS, uri=uri)
    with tempfile.TemporaryDirectory(prefix="samerun-") as folder:
        for name in checkpoints.UPLOADED:
            path = f"{CHECKPOINTS}/{name}"
            if path in there:
                file = Path(folder, name)
                limit = checkpoints.MOST_BYTES
                tracking.download_artifact(run, path, file, uri=uri, most_bytes=limit)
                if not file.stat().st_size:  # it was discarded, see `restart`
                    file.unlink()
        return checkpoints.latest(Path(folder))


def resume(
    plan: ResumePlan, out: "Console", *, trial: search.CurrentTrial = search.NO_TRIAL
) -> "Result":
    """Trains the rest of a run, or a fork of it.

    Args:
        plan: what `plan_resume` returned.
        out: where to show progress.
        trial: the trial of a sweep that the run reports to.

    Raises:
        UserError: the checkpoint does not fit the model, or the store cannot be used.
    """
    from samerun import logbook, training
    from samerun.replay import fork

    cfg = dataclasses.replace(plan.composition.config, trial=None)  # no trial of its study now
    training.check_own_functions(cfg, data.describe(cfg.dataset))
    composition = plan.composition.with_config(cfg)
    place = provenance.collect(_command(plan))
    if plan.is_fork:
        tracked = dataclasses.replace(cfg, tracking=dataclasses.replace(cfg.tracking, uri=plan.uri))
        forked = tracking.open_run(
            tracked,
            plan.folder,
            name=tracking.run_name(cfg, plan.composition.overrides),
            tags=_fork_tags(plan),
            describe=lambda run: logbook.describe_origin(run, plan.composition, place),
        )
        with forked as run:
            state = plan.state
            if state is not None:
                state = training.forked(fork.with_rate_of(state, cfg), cfg)
                # With it the fork can be reproduced.
                start = checkpoints.write_start(run.folder / CHECKPOINTS, state)
                run.log_file(start, CHECKPOINTS)
            result = training.start(composition, run, out, state=state)
        retention.after_success(tracked, plan.folder)
        return result
    number = plan.run.num_resumed + 1
    reopened = tracking.reopen_run(
        plan.folder,
        run_id=plan.run.id,
        uri=plan.uri,
        tags={tag.RESUMED: str(number), **_changed_tags(plan)},
        take_over=plan.take_over,
        patience=cfg.tracking.patience_seconds,
    )
    with reopened as run:
        # MLflow's parameters cannot change; what is reproduced later is this config.
        run.log_text(plan.composition.resolved, "config/resolved.yaml")
        plain = dataclasses.asdict(place)
        del plain["code"]["diff"]  # the code is that of the first attempt
        run.log_text(json.dumps(plain, indent=2), f"provenance/resumed_{number}.json")
        result = training.start(composition, run, out, state=plan.state, trial=trial)
    at_store = dataclasses.replace(cfg, tracking=dataclasses.replace(cfg.tracking, uri=plan.uri))
    retention.after_success(at_store, plan.folder)
    return result


def _fork_tags(plan: ResumePlan) -> dict[str, str]:
    tags = {tag.FORKED_FROM: plan.run.id}
    return tags if plan.state is None else {**tags, tag.FORKED_AT: _position(plan.state)}


def _changed_tags(plan: ResumePlan) -> dict[str, str]:
    """Tags for the values that MLflow's parameters no longer show."""
    cfg, params = plan.composition.config, plan.run.params
    leaves = config.flatten(cfg).items()
    other = [f"{key}={value}" for key, value in leaves if params.get(key, value) != value]
    if not other:
        return {}
    fingerprint = config.fingerprint(cfg)
    return {tag.OVERRIDES: " ".join(other), tag.FINGERPRINT_CONFIG: fingerprint}


def _command(plan: ResumePlan) -> str:
    fork = ["--fork"] if plan.is_fork else []
    return shlex.join(["samerun", "resume", plan.run.id, *plan.composition.overrides, *fork])
