"""The ledger of a sweep: everything recorded about its trials, in the study and in MLflow.

Only this module writes trials, and each of its steps can be interrupted and repeated:

- a trial's values are suggested as before, or drawn from the seed of its number;
- a trial's run is found by the tags `samerun.study` and `samerun.trial`, or created;
- how a trial ended is tagged on its run first and reported to the study last, which decides;
  reporting it twice changes nothing.
"""

import contextlib
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from samerun import checkpoints, retention, search, tracking
from samerun import tags as tag
from samerun.redaction import redact
from samerun.replay import restart
from samerun.search.lending import is_lent
from samerun.search.optuna_internals import (
    ask,
    end_without_run,
    reopen_trial,
    set_attributes,
    tell,
    with_paused_as_pruned,
)
from samerun.search.outcome import OUTCOME_FILE, EndState, TrialOutcome, read_outcome
from samerun.sweeper.history import History
from samerun.sweeper.plan import SweepPlan

ENDED = (EndState.complete, EndState.pruned, EndState.infeasible)
"""How a trial ends if nothing failed; its run has its status, or gets it when it is delivered."""

_log = logging.getLogger(__name__)


@dataclass
class ActiveTrial:
    """A trial that is running, or waits to run again.

    Args:
        trial: Optuna's trial.
        values: the suggested values.
        run_id: its MLflow run.
        name: the run's name.
        folder: the trial's folder.
        is_too_long: whether its worker was killed because of the time limit.
        met_outage: whether a store was unavailable while it ran.
    """

    trial: optuna.Trial
    values: dict[str, Any]
    run_id: str
    name: str
    folder: Path
    is_too_long: bool = False
    met_outage: bool = False

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.trial.number

    def seconds_before(self) -> float:
        """Returns the seconds that it took until it paused the last time; 0 if it never did."""
        return max(search.paused_at(self.trial).values(), default=0.0)


@final
class Ledger:
    """Writes the trials of a study into the study and into MLflow.

    Args:
        plan: what the sweep does.
        study: the study.
        run: the sweep's own run.
    """

    def __init__(self, plan: SweepPlan, study: optuna.Study, run: tracking.Run) -> None:
        self._plan, self._study, self._run, self._client = plan, study, run, plan.client
        promotes = plan.settings.promote
        self._asked = with_paused_as_pruned(study) if promotes else study
        self._promotion = search.build_promotion(plan.settings, study, plan.configs.max_epochs())
        start = search.study_start(study)
        self._code = start.code if start is not None else {}
        self._started = time.monotonic()
        self._seconds_before = float(study.user_attrs.get(tag.STUDY_SECONDS, 0.0))
        self._seconds_stored = self._seconds_before
        self._seen: list[FrozenTrial] = []
        # The trials of a confirmation are no part of the search's history.
        self._history = None if plan.confirms else History(study, run)
        self.log_history()

    def seconds(self) -> float:
        """Returns how long the sweep has run, earlier starts included."""
        return self._seconds_before + time.monotonic() - self._started

    def _store_seconds(self) -> None:
        """Stores how long the sweep has run, at most once a second: it is what a budget counts."""
        seconds = self.seconds()
        if seconds >= self._seconds_stored + 1:
            self._study.set_user_attr(tag.STUDY_SECONDS, seconds)
            self._seconds_stored = seconds

    def log_history(self) -> None:
        """Logs the trials that have ended on the sweep's own run."""
        if self._history is not None:
            self._history.log()
        self._logged, self._has_news = time.monotonic(), False

    def log_recent(self) -> None:
        """Does the same if a trial has ended since, at most once a second.

        An executor that trains in this process is waited for, so its next trial may come before.
        Trials that are not logged when this process is killed are logged when the sweep resumes.
        """
        if self._has_news and time.monotonic() >= self._logged + 1:
            self.log_history()

    def log_last(self) -> None:
        """Does the same when the sweep ends, if the storage is available."""
        if self._has_news:
            try:
                self.log_history()
            except Exception as error:
                _log.warning("The last trials are not counted yet: %s", redact(str(error)))

    def num_started(self) -> int:
        """Returns the number of trials that have started: not lent ones, nor those that wait."""
        self._seen = self._study.get_trials(deepcopy=False)
        started = (trial for trial in self._seen if trial.state != TrialState.WAITING)
        return sum(not is_lent(trial) for trial in started)

    def num_failed(self) -> int:
        """Returns the number of failed trials."""
        return search.count_by_state(self._study).get("FAIL", 0)

    def running(self, known: Collection[int] = ()) -> list[FrozenTrial]:
        """Returns the trials that are RUNNING in the study, by number, without known ones."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        found = [trial for trial in trials if trial.number not in known]
        return sorted(found, key=lambda trial: trial.number)

    def mark_stopped(self, is_stopped: bool) -> None:
        """Records whether the sweep is stopping, for workers that no signal reaches."""
        self._study.set_user_attr(tag.STUDY_STOPPED, is_stopped)

    def ask(self) -> ActiveTrial:
        """Starts a new trial, or the first enqueued one, after a call of `num_started`."""
        waiting = [trial.number for trial in self._seen if trial.state == TrialState.WAITING]
        self._seed_sampler(min(waiting, default=len(self._seen)))
        return self._begin(ask(self._asked, any_waits=bool(waiting)), is_new=True)

    def reopen(self, frozen: FrozenTrial) -> ActiveTrial:
        """Resumes a trial that was running when the sweep's process ended."""
        self._seed_sampler(frozen.number)
        return self._begin(reopen_trial(self._asked, frozen))

    def interrupted(self, known: Collection[int] = ()) -> list[FrozenTrial]:
        """Returns the trials that are to resume: those RUNNING, unless they wait at a rung."""
        waits = search.is_paused if self._promotion is not None else lambda trial: False
        return [trial for trial in self.running(known) if not waits(trial)]

    def paused(self) -> list[FrozenTrial]:
        """Returns the trials that wait at a rung, by number."""
        return [trial for trial in self.running() if search.is_paused(trial)]

    def end_at_rung(self, active: ActiveTrial) -> TrialOutcome | None:
        """Returns the outcome of a trial that died at a rung from which it was not promoted yet.

        `None` for any other, also one that has been trained to its end there: it resumes.
        """
        frozen = self._now(active)
        epoch = frozen.last_step
        if self._promotion is None or epoch is None or epoch in search.paused_at(frozen):
            return None
        if self._promotion.rung_of(frozen) != epoch or self._is_trained(active, epoch):
            return None
        return TrialOutcome(state=EndState.paused, reason=f"paused at epoch {epoch}", epochs=epoch)

    def _is_trained(self, active: ActiveTrial, epoch: int) -> bool:
        """Whether a trial has no epoch left after this one, or was stopped early there."""
        cfg = self._plan.configs.composition(active.values).config
        if epoch >= cfg.training.epochs:
            return True
        state = checkpoints.latest(active.folder / retention.CHECKPOINTS)
        return state is not None and state.has_stopped()

    def _now(self, active: ActiveTrial) -> FrozenTrial:
        """Returns a trial as it is in the study now."""
        trials = self._study.get_trials(deepcopy=False)
        return next(trial for trial in trials if trial.number == active.number)

    def pause(self, active: ActiveTrial, outcome: TrialOutcome) -> float | None:
        """Records that a trial waits at a rung; for Optuna it is still running.

        Returns:
            Its value there; `None` if it was not reported.
        """
        self.tag(active, outcome)
        frozen = self._now(active)
        epoch = (
            outcome.epochs or frozen.last_step or 0
        )  # that of its last value may be an earlier one
        took = search.paused_at(frozen)
        took.pop(epoch, None)  # this step may be repeated
        took[epoch] = round(max(took.values(), default=0.0) + outcome.seconds, 3)
        about = {
            tag.TRIAL_PAUSED: took,
            tag.TRIAL_PAUSED_CODE: self._code,
            tag.REASON: outcome.reason,
            tag.STATE: outcome.state.value,
        }
        self._store_seconds()  # before the step that decides: an outage repeats all of it
        set_attributes(active.trial, about)
        return frozen.intermediate_values.get(epoch)

    def promote(self, *, is_last: bool) -> ActiveTrial | None:
        """Returns the paused trial that is to continue now; `None` if there is none.

        Args:
            is_last: whether nothing else is left to do, see `search.Promotion`.
        """
        if self._promotion is None:
            return None
        chosen = self._promotion.choose(self._study.get_trials(deepcopy=False), is_last=is_last)
        if chosen is None:
            return None
        active = self.reopen(chosen)
        self.forget_pause(active)
        return active

    def forget_pause(self, active: ActiveTrial) -> None:
        """Records that a trial that waited at a rung is to be trained on."""
        (active.folder / OUTCOME_FILE).unlink(missing_ok=True)  # that of its pause
        active.trial.set_user_attr(tag.STATE, "")

    def end_outdated(self) -> int:
        """Ends the trials that have waited since before the code changed; returns their number.

        With `sweep.extend` the sweep may continue with other code, but no run may.
        """
        outdated = [frozen for frozen in self.paused() if self._has_other_code(frozen)]
        for frozen in outdated:
            self.end_paused(frozen, "the code changed while it was paused")
        return len(outdated)

    def _has_other_code(self, frozen: FrozenTrial) -> bool:
        """Whether a trial paused with other code, as far as files are concerned that still count.

        Options of a group that were added or removed since bring their own files, or take them.
        """
        then = frozen.user_attrs.get(tag.TRIAL_PAUSED_CODE)
        if then is None:
            return True
        return any(self._code.get(path, digest) != digest for path, digest in then.items())

    def end_paused(self, frozen: FrozenTrial, reason: str = "") -> None:
        """Ends a trial that waits and will not be promoted: it was pruned where it paused.

        Args:
            frozen: the trial.
            reason: why, in words; by default only where.
        """
        epoch = max(search.paused_at(frozen), default=frozen.last_step)
        active, reason = self._known(frozen), reason or f"pruned at epoch {epoch}"
        self.record(active, TrialOutcome(state=EndState.pruned, reason=reason))
        base, folder = self._plan.base, active.folder
        if folder.is_dir():
            retention.after_success(base, folder, ended=tracking.Status.killed)
        else:  # a machine of the cluster has it
            uri = self._plan.tracking_uri()
            retention.after_success_elsewhere(base, active.run_id, uri=uri)

    def _seed_sampler(self, number: int) -> None:
        """Gives the study a sampler for one trial, seeded by its number."""
        plan = self._plan
        self._study.sampler = self._asked.sampler = search.build_sampler(
            plan.settings, plan.space, plan.base.seed, len(plan.objectives.names), number
        )

    def _begin(self, trial: optuna.Trial, *, is_new: bool = False) -> ActiveTrial:
        """Suggests the values of a trial and creates its run, if there is none yet.

        A trial that was just asked for has none. If its run cannot be created, the trial is later
        reopened, and a run whose creation was not confirmed is then found.
        """
        values = self._plan.space.suggest(trial)
        name = self._plan.space.short(values) or f"trial {trial.number}"
        tags = {tag.STUDY: self._plan.name, tag.TRIAL: str(trial.number)}
        if self._plan.confirms:
            tags[tag.CONFIRMS] = str(trial.user_attrs[tag.CONFIRMS])
            name = f"{name} · confirms trial {tags[tag.CONFIRMS]}"
        run_id = tracking.create_child(
            self._plan.base,
            self._run.id,
            name=name,
            tags=tags,
            is_new=is_new,
            client=self._client,
            experiment_id=self._run.experiment_id,
        )
        overrides = self._plan.configs.overrides(values)
        about = {tag.TRIAL_RUN: run_id, tag.TRIAL_NAME: name, tag.TRIAL_OVERRIDES: overrides}
        set_attributes(trial, about)
        return ActiveTrial(trial, values, run_id, name, self._plan.folder / str(trial.number))

    def leave_out(self, frozen: FrozenTrial, reason: str) -> None:
        """Ends a trial that is not to be trained any more, unless its worker had ended it.

        No values are suggested: the space may have lost those that it has.

        Args:
            frozen: the trial, which waits or was running when the sweep's process ended.
            reason: why, in words.
        """
        if tag.TRIAL_RUN not in frozen.user_attrs:
            end_without_run(self._study, frozen, reason)
            self.log_history()
            return
        active = self._known(frozen)
        outcome = read_outcome(active.folder)
        if outcome is None or outcome.state not in ENDED:
            self.tag(active, TrialOutcome(state=EndState.stopped, reason=reason))  # ends its run
            outcome = TrialOutcome(state=EndState.pruned, reason=reason)
        self.record(active, outcome)

    def _known(self, frozen: FrozenTrial) -> ActiveTrial:
        """Returns a trial that has a run, to end it without suggesting its values again."""
        self._seed_sampler(frozen.number)
        attrs, folder = frozen.user_attrs, self._plan.folder / str(frozen.number)
        name = str(attrs.get(tag.TRIAL_NAME, ""))
        trial = reopen_trial(self._study, frozen)
        return ActiveTrial(trial, dict(frozen.params), str(attrs[tag.TRIAL_RUN]), name, folder)

    def num_retries(self, active: ActiveTrial) -> int:
        """Returns how often a trial was retried after a fault of its own."""
        return int(active.trial.user_attrs.get(tag.TRIAL_RETRIES, 0))

    def count_retry(self, active: ActiveTrial, outcome: TrialOutcome) -> None:
        """Counts a retry and records its reason."""
        active.trial.set_user_attr(tag.TRIAL_LAST_REASON, outcome.reason)
        active.trial.set_user_attr(tag.TRIAL_RETRIES, self.num_retries(active) + 1)

    def reset(self, active: ActiveTrial, outcome: TrialOutcome) -> None:
        """Prepares a retry: same values, same run, from the checkpoint unless training diverged."""
        (active.folder / OUTCOME_FILE).unlink(missing_ok=True)
        if outcome.state is EndState.nan:
            restart.request_restart(self._client, active.run_id)

    def record(self, active: ActiveTrial, outcome: TrialOutcome) -> tuple[str, list[float]]:
        """Records how a trial ended; `tell` comes last, since it decides.

        Returns:
            Optuna's name of the state, and the values of the objectives.
        """
        self.tag(active, outcome)
        self._store_seconds()
        state = _trial_state(outcome)
        reached = [
            outcome.values[name] for name in self._plan.objectives.names if name in outcome.values
        ]
        with contextlib.suppress(UpdateFinishedTrialError):  # this step may be repeated
            self._describe(active, outcome)
            reported = reached if state is TrialState.COMPLETE else None
            tell(self._study, active.number, reported, state)
        self._has_news = True
        is_infeasible = outcome.state is EndState.infeasible
        return "INFEASIBLE" if is_infeasible else state.name, reached

    def _describe(self, active: ActiveTrial, outcome: TrialOutcome) -> None:
        """Writes into the study how a trial ended, which a finished trial no longer allows."""
        before = active.trial.user_attrs
        values = {
            tag.STATE: outcome.state.value,
            tag.REASON: outcome.reason,
            tag.TRIAL_SECONDS: round(active.seconds_before() + outcome.seconds, 3),
            tag.TRIAL_EPOCHS: outcome.epochs,
            tag.TRIAL_MEMORY: outcome.memory_bytes,
            tag.PID: outcome.pid,
            tag.TRIAL_TEST: dict(outcome.test),
            tag.TRIAL_INSTANCES: dict(outcome.by_instance),
        }
        known = {
            key: value
            for key, value in values.items()
            if value not in (None, "", {}) or key in before
        }
        set_attributes(active.trial, known)
        self._set_constraints(active, outcome)

    def _set_constraints(self, active: ActiveTrial, outcome: TrialOutcome) -> None:
        """Writes into the study which constraints a trial violates, once."""
        known = active.trial.constraints if outcome.constraints else {}
        for text, value in outcome.constraints.items():
            if text not in known:
                active.trial.set_constraint(text, value)

    def tag(self, active: ActiveTrial, outcome: TrialOutcome) -> None:
        """Tags the trial's run; that of a killed worker is closed first, with what it delivered.

        Raises:
            ConnectionError: the tracking store is unavailable.
        """
        try:
            died_at_rung = outcome.state is EndState.paused and not outcome.pid
            if died_at_rung or outcome.state in (EndState.worker_death, EndState.time_limit):
                tracking.close_dead_runs(self._client, [self._run.experiment_id])
            tags = {tag.STATE: outcome.state.value}
            if outcome.reason:
                tags[tag.REASON] = outcome.reason
            for key, value in tags.items():
                self._client.set_tag(active.run_id, key, value[:5000])
            if (
                outcome.state not in ENDED
                and self._client.get_run(active.run_id).info.status == "RUNNING"
            ):
                self._client.set_terminated(active.run_id, "KILLED")  # it never started
        except Exception as error:
            if not self.store_answers():
                raise ConnectionError(f"tracking: {redact(str(error))}") from error
            _log.warning("Run %s could not be tagged: %s", active.run_id, redact(str(error)))

    def store_answers(self) -> bool:
        """Whether the tracking store responds."""
        return tracking.answers(self._client)


def _trial_state(outcome: TrialOutcome) -> TrialState:
    """Returns Optuna's state; an infeasible trial that was not trained counts as pruned."""
    if outcome.state is EndState.infeasible:
        return TrialState.COMPLETE if outcome.values else TrialState.PRUNED
    states = {EndState.complete: TrialState.COMPLETE, EndState.pruned: TrialState.PRUNED}
    return states.get(outcome.state, TrialState.FAIL)
