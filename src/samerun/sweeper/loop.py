"""The loop of a sweep: ask, submit, wait, settle; a new trial starts as soon as one ends.

`kill -9` may interrupt it anywhere; the same command then resumes where it was:

- after `ask`, before all values are suggested: the trial is RUNNING in the study; suggesting again
  returns the values it has, and draws the others from the seed of its number;
- after that, before its MLflow run is created or its ID stored: the run is found by the tags
  `samerun.study` and `samerun.trial`, or created;
- while it trains: it resumes from its checkpoint, in the same run;
- after it ended, before `tell`: `outcome.json` in its folder says how it ended;
- while it waits at a rung, with `sweep.promote`: it is RUNNING in the study, whose user attributes
  say that it waits; a trial that reached its rung and could not be recorded waits there too;
- after `tell`: it is not touched again.
"""

import contextlib
import logging
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, final

from optuna.trial import FrozenTrial

from samerun import search
from samerun.config.sweep import Policy
from samerun.errors import SweepFailed, Terminated, UserError
from samerun.redaction import redact
from samerun.report.progress import Progress
from samerun.search.constraints import is_feasible
from samerun.search.outcome import EndState, TrialOutcome, policy_of, read_outcome
from samerun.sweeper import ledger, limits, outages
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.ledger import ActiveTrial, Ledger
from samerun.sweeper.outages import Outage
from samerun.sweeper.plan import SweepPlan
from samerun.sweeper.signals import StopSignals
from samerun.sweeper.worker import run_trial

if TYPE_CHECKING:
    import optuna

LOOK_SECONDS = 0.5
"""How often limits and signals are checked while trials run."""

_log = logging.getLogger(__name__)


@final
class Loop:
    """Runs the trials that are missing.

    Args:
        plan: what to do.
        study: the study, to be read only.
        ledger: where trials are recorded.
        executor: where trials run.
        progress: the live table on the screen.
        lease: whether the study still belongs to this sweep.
    """

    def __init__(
        self,
        plan: SweepPlan,
        study: "optuna.Study",
        ledger: Ledger,
        executor: Executor,
        progress: Progress,
        lease: search.Lease,
    ) -> None:
        self._plan, self._study, self._ledger = plan, study, ledger
        self._executor, self._progress, self._lease = executor, progress, lease
        self._pending: dict[Future[TrialOutcome], ActiveTrial] = {}
        self._retries: deque[ActiveTrial] = deque()
        # Trials that an earlier process, or an outage, interrupted; `None`: still to be looked up.
        self._interrupted: deque[FrozenTrial] | None = None
        self._outage, self._signals = Outage(), StopSignals()
        self._stopped_at: float | None = None
        self._failure: Exception | None = None
        self._reason = ""
        self._file = search.file_identity(plan.storage)

    def run(self) -> str:
        """Runs trials until all have ended, the budget is used up or the sweep is stopped.

        Returns:
            Why it ended before all trials had; empty if they have.

        Raises:
            SweepFailed: failed trials ended it.
            samerun.errors.UserError: a store was unavailable for too long, or the study is now
                another sweep's.
            KeyboardInterrupt: Ctrl-C.
            samerun.errors.Terminated: SIGTERM.
        """
        self._ledger.mark_stopped(False)
        try:
            with self._signals.handled(self._stop_inline):
                while self._patient_step():
                    pass
        except (KeyboardInterrupt, Terminated):
            self._abandon()
            raise
        self._ledger.log_last()
        self._signals.raise_if_received()
        if self._failure is not None:
            raise self._failure
        return self._reason

    def _stop_inline(self) -> None:
        """Stops a trial that runs in this very process, while the loop does not wait for any."""
        if not self._pending:
            self._executor.stop()

    def _patient_step(self) -> bool:
        """Does a step; if a store is unavailable, waits and does the same step again later."""
        try:
            is_unfinished = self._step()
        except Exception as error:
            if not search.is_unavailable(error):
                raise
            self._wait_for_store(search.root_reason(error))
            return True
        self._outage.end()
        return is_unfinished

    def _wait_for_store(self, message: str) -> None:
        """Pauses; while the sweep stops, trials that ended are recorded when it resumes."""
        if self._outage.note(message) and self._failure is None:
            minutes = outages.PATIENCE_SECONDS / 60
            self._failure = UserError(
                f"A store was unavailable for {minutes:.0f} minutes ({message}): start it, then "
                f"run the same command with sweep.study={self._plan.confirms or self._plan.name} "
                "to resume the sweep."
            )
        self._interrupted = None
        if self._is_stopping():
            for future in [future for future in self._pending if future.done()]:
                del self._pending[future]
        else:
            self._outage.pause()

    def _step(self) -> bool:
        """Starts trials and settles those that ended; returns whether there is more to do."""
        self._check_file()
        self._reason = self._submit_all() or self._reason
        self._executor.begin()
        if not self._pending:
            if not self._is_stopping():
                self._end_paused()
                self._ledger.log_history()
            return False
        done, _ = wait(self._pending, LOOK_SECONDS, FIRST_COMPLETED)
        for future in done:
            active = self._pending[future]
            self._settle(active, self._outcome(active, future))
            del self._pending[future]  # only now: an outage repeats the step
        self._ledger.log_recent()
        self._check_limits()
        return True

    def _check_file(self) -> None:
        """Ends the sweep in good order if the study's file was deleted or replaced."""
        if self._failure is None and search.file_identity(self._plan.storage) != self._file:
            self._failure = UserError(
                f"sweep.storage: {redact(self._plan.storage)} was deleted or replaced while "
                f"the sweep ran. Its runs are complete in {self._plan.folder} and in the tracking "
                "store, but its study is lost: restore the file, or start a new study with "
                "sweep.study=NAME."
            )

    def _is_stopping(self) -> bool:
        return self._signals.is_received or self._failure is not None

    # Ask and submit

    def _submit_all(self) -> str:
        """Gives every free worker a trial; returns why there are no more.

        Trials that ended are settled first: the sampler takes them into account.
        """
        if self._interrupted is None and not self._is_stopping():
            known = {active.number for active in [*self._pending.values(), *self._retries]}
            self._interrupted = deque(self._ledger.interrupted(known))
        while self._executor.free() > 0 and not self._is_stopping():
            if any(future.done() for future in self._pending):
                return ""
            if self._retries:
                self._submit(self._retries.popleft())
            elif self._interrupted:
                self._resume(self._interrupted.popleft())
            else:
                active, reason = self._promoted_or_new()
                if active is None:
                    return reason
                self._submit(active)
        return ""

    def _promoted_or_new(self) -> tuple[ActiveTrial | None, str]:
        """Returns a trial for a free worker; if there is none, why no other follows.

        A sweep that ends with paused trials continues the best of them, so that it has a result:
        in each bracket, or, when the budget is used up, only if no trial has completed.
        """
        is_full = self._ledger.num_started() >= self._plan.n_trials
        is_left = not is_full or (self._plan.settings.promote and self._ledger.paused())
        reason = (self._used_up() or "") if is_left else ""
        active = None if reason else self._ledger.promote(is_last=False)
        if active is None and not reason and not is_full:
            active = self._ledger.ask()
        if active is None and not self._pending and not (reason and self._has_result()):
            active = self._ledger.promote(is_last=True)
        return active, reason

    def _has_result(self) -> bool:
        trials = self._study.get_trials(deepcopy=False)
        return any(one.state.name == "COMPLETE" and is_feasible(one) for one in trials)

    def _used_up(self) -> str | None:
        return limits.reached(self._plan.settings.budget, self._study, self._ledger.seconds())

    def _resume(self, frozen: FrozenTrial) -> None:
        """Resumes a trial, or only settles it if it ended before `tell`."""
        outcome = read_outcome(self._plan.folder / str(frozen.number))
        active = self._ledger.reopen(frozen)
        is_paused = outcome is not None and outcome.state is EndState.paused
        if outcome is None:
            outcome = self._ledger.end_at_rung(active)
            is_paused = search.is_paused(frozen)
        if is_paused and not self._plan.settings.promote:  # it was given when the trial paused
            self._ledger.forget_pause(active)
            outcome = None
        if outcome is None:
            self._submit(active)
        else:
            self._progress.started(active.number, active.name)
            self._settle(active, outcome)

    def _submit(self, active: ActiveTrial) -> None:
        active.is_too_long = active.met_outage = False
        task = self._plan.task(active.number, active.values, active.run_id)
        self._progress.started(active.number, active.name)
        self._pending[self._executor.submit(run_trial, task)] = active

    # Settle

    def _outcome(self, active: ActiveTrial, future: "Future[TrialOutcome]") -> TrialOutcome:
        """Returns how a trial ended, by its future, its folder, or the death of its worker."""
        error = future.exception()
        if error is None:
            return future.result()
        if not self._executor.is_lost(error):
            reason = redact(f"{type(error).__name__}: {error}")
            return TrialOutcome(state=EndState.error, reason=reason)
        written = read_outcome(active.folder)
        if written is not None:  # its worker died just afterwards
            return written
        if active.is_too_long:
            seconds = self._plan.settings.trial_seconds
            reason = f"time limit of {seconds:g} s, inside an epoch: its worker was killed"
            return TrialOutcome(state=EndState.time_limit, reason=reason)
        if self._is_stopping():
            return TrialOutcome(state=EndState.stopped, reason="the sweep was stopped")
        return TrialOutcome(state=EndState.worker_death, reason="its process was killed")

    def _settle(self, active: ActiveTrial, outcome: TrialOutcome) -> None:
        """Records a trial, retries it or ends the sweep, as the settings say."""
        if outcome.state is EndState.stopped and self._is_stopping():
            self._ledger.tag(active, outcome)
            self._progress.left(active.number)
            return
        if outcome.state is EndState.paused:
            self._pause(active, outcome)
            return
        if outcome.state in ledger.ENDED:
            self._record(active, outcome)
            return
        faults = self._plan.settings.faults
        is_suspect = outcome.state in (EndState.error, EndState.store_unavailable)
        if is_suspect and self._met_outage(active):
            self._retry(active, outcome)
            return
        policy = policy_of(faults, outcome.state)
        if policy is Policy.retry and self._ledger.num_retries(active) < faults.max_retries:
            if self._paused_instead(active, outcome):
                return
            self._ledger.count_retry(active, outcome)
            self._retry(active, outcome)
            return
        self._record(active, outcome)
        self._failure = self._too_many_failures(active, outcome, policy) or self._failure

    def _paused_instead(self, active: ActiveTrial, outcome: TrialOutcome) -> bool:
        """Pauses a trial whose worker died at a rung: trained on, it would pass the rung."""
        is_dead = outcome.state is EndState.worker_death
        at_rung = self._ledger.end_at_rung(active) if is_dead else None
        if at_rung is None:
            return False
        _log.warning("Trial %d is %s: %s.", active.number, at_rung.reason, outcome.reason)
        self._pause(active, at_rung)
        return True

    def _too_many_failures(
        self, active: ActiveTrial, outcome: TrialOutcome, policy: Policy
    ) -> Exception | None:
        if policy is Policy.stop:
            text = (
                f"trial {active.number} failed ({outcome.reason}), and sweep.faults stops the sweep"
            )
            return SweepFailed(text)
        num, most = self._ledger.num_failed(), self._plan.settings.max_failures
        if most is not None and num > most:
            return SweepFailed(f"{num} trials failed, and sweep.max_failures is {most}")
        return None

    def _met_outage(self, active: ActiveTrial) -> bool:
        """Whether a trial failed while the store was unavailable, which is not its fault.

        Raises:
            ConnectionError: it still is.
        """
        if not self._ledger.store_answers():
            active.met_outage = True
            raise ConnectionError("the tracking store does not answer")
        return active.met_outage

    def _retry(self, active: ActiveTrial, outcome: TrialOutcome) -> None:
        _log.warning("Retrying trial %d: %s.", active.number, outcome.reason)
        self._ledger.reset(active, outcome)
        self._progress.left(active.number)
        self._retries.append(active)

    def _pause(self, active: ActiveTrial, outcome: TrialOutcome) -> None:
        value = self._ledger.pause(active, outcome)
        seconds = active.seconds_before()
        self._progress.paused(active.number, value, seconds, outcome.reason)

    def _record(self, active: ActiveTrial, outcome: TrialOutcome) -> None:
        state, values = self._ledger.record(active, outcome)
        seconds = active.seconds_before() + outcome.seconds
        self._progress.ended(active.number, state, values or None, seconds, outcome.reason)

    def _end_paused(self) -> None:
        """Ends the trials that still wait when no other follows; they are printed already."""
        paused = self._ledger.paused() if self._plan.settings.promote else []
        if paused:  # in a study that was taken over, they wait for the other sweep
            self._lease.look()
            self._check_lease()
        for frozen in paused:
            self._ledger.end_paused(frozen)
            self._progress.pruned(frozen.number)

    # Limits

    def _check_lease(self) -> None:
        """Ends this sweep if another one runs the study now.

        Raises:
            UserError: it does.
        """
        if self._lease.taken_by:
            for future in self._pending:  # another sweep trains these trials now
                self._executor.kill(future)
            raise UserError(
                f"sweep.study: '{self._plan.name}' was taken over by a sweep on "
                f"{self._lease.taken_by} while this one did not respond: its trials continue "
                "there."
            )

    def _check_limits(self) -> None:
        self._check_lease()
        if self._is_stopping() and self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self._executor.stop()
            self._ledger.mark_stopped(True)
        for future, active in self._pending.items():
            seconds = self._executor.seconds(future)
            if limits.is_overdue(self._plan.settings.trial_seconds, seconds):
                active.is_too_long = True
            if active.is_too_long or limits.is_stop_overdue(self._stopped_at):
                self._executor.kill(future)
        if self._progress.out.is_terminal:
            self._show_epochs()

    def _abandon(self) -> None:
        """Kills the workers of all trials; they resume from their last checkpoints."""
        for future in self._pending:
            self._executor.kill(future)
        for active in self._pending.values():
            outcome = TrialOutcome(state=EndState.stopped, reason="the sweep was stopped at once")
            with contextlib.suppress(ConnectionError):
                self._ledger.tag(active, outcome)
        self._ledger.log_last()

    def _show_epochs(self) -> None:
        epochs = self._plan.base.training.epochs
        for trial in self._ledger.running():
            if trial.last_step is not None:
                value = trial.intermediate_values[trial.last_step]
                self._progress.epoch(trial.number, trial.last_step, epochs, value)
