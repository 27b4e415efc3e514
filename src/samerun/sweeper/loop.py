"""The loop of a sweep: ask, train, tell; a new trial starts the moment one ends.

Every step can be cut off by `kill -9`, and the same command goes on as if it had not been:

- after `ask`, before all values are suggested: the trial is RUNNING in the study; suggesting again
  gives the values it has, and draws the others from the seed of its number;
- after that, before its MLflow run is made or its ID written down: the run is found again by the
  tags `samerun.study` and `samerun.trial`, or made;
- while it trains: it goes on from its checkpoint in the same run;
- after it ended, before the study was told: `outcome.json` in its folder says how;
- after the study was told: it is not touched again.
"""

import contextlib
import logging
import signal
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import optuna
from optuna.trial import TrialState

from samerun import search, tracking
from samerun import tags as tag
from samerun.config.sweep import Policy
from samerun.errors import SweepFailed, Terminated, UserError
from samerun.redaction import redact
from samerun.replay import restart
from samerun.search.outcome import Outcome, State, policy_of
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.executors.hydra_launcher import read_outcome
from samerun.sweeper.history import log_history
from samerun.sweeper.limits import reached
from samerun.sweeper.plan import Plan
from samerun.sweeper.worker import OUTCOME_FILE, run_trial

LOOK_SECONDS = 0.5
"""How often limits and signals are looked at while trials run."""
GRACE_SECONDS = 10.0
"""What a trial may take longer than its limit, to end its epoch, before its worker is killed."""
AWAY_SECONDS = 600.0
"""How long a store may be away, as long as a server may take to be restarted."""
PAUSE_SECONDS = 2.0
"""Between two tries to reach it."""
STOP_SECONDS = 60.0
"""How long trials may take to write a checkpoint after Ctrl-C."""

_log = logging.getLogger(__name__)


@dataclass
class _Active:
    """A trial under way or waiting to go on."""

    trial: optuna.Trial
    values: dict[str, Any]
    run_id: str
    name: str
    folder: Path
    too_long: bool = False
    met_outage: bool = False


@final
class Loop:
    """Runs the trials that are missing.

    Args:
        plan: what to do.
        study: the study.
        run: the sweep's own run.
        executor: where trials run.
        progress: where people see what happens.
        client: MLflow's client for the runs of the trials.
        hold: whether the study is still this sweep's own.
    """

    def __init__(
        self,
        plan: Plan,
        study: optuna.Study,
        run: tracking.Run,
        executor: Executor,
        progress: Any,
        client: Any,
        hold: search.Hold,
    ) -> None:
        self._plan, self._study, self._run = plan, study, run
        self._executor, self._progress, self._client = executor, progress, client
        self._hold = hold
        self._pending: dict[Future[Outcome], _Active] = {}
        self._again: deque[_Active] = deque()
        self._left: deque[optuna.trial.FrozenTrial] = deque()
        self._is_known = False
        self._away_since: float | None = None
        self._signal: int | None = None
        self._stopped_at: float | None = None
        self._end: Exception | None = None
        self._why = ""
        self._file = search.file_identity(plan.storage)
        self._began = time.monotonic()
        self._seconds = float(study.user_attrs.get(tag.STUDY_SECONDS, 0.0))

    def run(self) -> str:
        """Runs trials until all are there, the budget is used up or the sweep is stopped.

        Returns:
            Why it ended before all trials were there; empty if they are.

        Raises:
            SweepFailed: failed trials ended it.
            samerun.config.UserError: the store was away for too long, or the study is another's.
            KeyboardInterrupt: Ctrl-C.
            samerun.tracking.Terminated: SIGTERM.
        """
        self._study.set_user_attr(tag.STUDY_STOPPED, False)
        try:
            with self._signals():
                while self._patient_step():
                    pass
        except (KeyboardInterrupt, Terminated):
            self._drop()
            raise
        if self._signal is not None:
            raise _raised_by(self._signal)
        if self._end is not None:
            raise self._end
        return self._why

    def _patient_step(self) -> bool:
        """Does a step; if a store is away, it waits and does the same again later."""
        try:
            goes_on = self._step()
        except Exception as error:
            if not search.is_away(error):
                raise
            self._wait_for_store(error)
            return True
        if self._away_since is not None:
            _log.warning("The store is back: the sweep goes on.")
            self._away_since = None
        return goes_on

    def _step(self) -> bool:
        """Begins what can begin, and tells what has ended; returns whether there is more."""
        self._check_file()
        self._why = self._submit_all() or self._why
        self._executor.begin()
        if not self._pending:
            return False
        done, _ = wait(self._pending, LOOK_SECONDS, FIRST_COMPLETED)
        for future in done:
            self._ended(self._pending[future], future)
            del self._pending[future]  # it was told
        self._look_at_limits()
        return True

    def _check_file(self) -> None:
        """Ends the sweep in good order if its study's file was deleted, or is another one now."""
        if self._end is None and search.file_identity(self._plan.storage) != self._file:
            self._end = UserError(
                f"sweep.storage: {redact(self._plan.storage)} was deleted or replaced while "
                f"the sweep ran. Its runs are whole in {self._plan.folder} and in the tracking "
                "store, its study is lost: put the file back, or start a new study with "
                "sweep.study=NAME."
            )

    def _wait_for_store(self, error: Exception) -> None:
        """Waits for a moment; after too many, or while stopping, what has ended is told later."""
        now, said = time.monotonic(), search.first_words(error)
        if self._away_since is None:
            self._away_since = now
            text = "A store is away: what is being trained goes on, and it is tried again (%s)."
            _log.warning(text, said)
        if self._end is None and now > self._away_since + AWAY_SECONDS:
            self._end = UserError(
                f"A store was away for {AWAY_SECONDS / 60:.0f} minutes ({said}): start it again, "
                f"then the same command with sweep.study={self._plan.name} goes on."
            )
        self._is_known = False  # which trials are RUNNING
        if self._is_stopping():
            for future in [future for future in self._pending if future.done()]:
                del self._pending[future]
        else:
            time.sleep(PAUSE_SECONDS)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM stops the sweep in good order, the second at once."""

        def note(number: int, frame: Any) -> None:
            if self._signal is not None:
                raise _raised_by(number)
            self._signal = number
            if not self._pending:  # nothing waits for workers: a trial may be running right here
                self._executor.stop()

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _drop(self) -> None:
        """Ends the trials under way at once: their last checkpoints have to do."""
        for future in self._pending:
            self._executor.kill(future)
        for active in self._pending.values():
            with contextlib.suppress(ConnectionError):
                self._tag(
                    active, Outcome(state=State.stopped, reason="the sweep was stopped at once")
                )

    def _submit_all(self) -> str:
        """Gives every free worker a trial; returns why there is no further one.

        What has ended is told first, so that the next trial is chosen knowing it.
        """
        if not self._is_known and not self._is_stopping():
            self._find_running()
        while self._executor.free() > 0 and not self._is_stopping():
            if any(future.done() for future in self._pending):
                return ""
            if self._again:
                self._submit(self._again.popleft())
            elif self._left:
                self._pick_up(self._left.popleft())
            else:
                why = self._why_no_more()
                if why is not None:
                    return why
                self._begin(self._study.ask())
        return ""

    def _find_running(self) -> None:
        """Finds the trials that an earlier process, or an outage, left in the middle."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        known = {active.trial.number for active in [*self._pending.values(), *self._again]}
        left = [trial for trial in running if trial.number not in known]
        self._left = deque(sorted(left, key=lambda trial: trial.number))
        self._is_known = True

    def _is_stopping(self) -> bool:
        return self._signal is not None or self._end is not None

    def _why_no_more(self) -> str | None:
        trials = self._study.get_trials(deepcopy=False)
        begun = [trial for trial in trials if trial.state != TrialState.WAITING]
        if len(begun) >= self._plan.n_trials:
            return ""
        seconds = self._seconds + time.monotonic() - self._began
        reason = reached(self._plan.sweep.budget, self._study, seconds)
        if reason is None:
            waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
            self._study.sampler = self._sampler(min(waiting, default=len(trials)))
        return reason

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Makes a sampler for one trial, seeded by its number."""
        plan = self._plan
        return search.build_sampler(
            plan.sweep, plan.space, plan.base.seed, len(plan.objectives), number
        )

    def _pick_up(self, frozen: optuna.trial.FrozenTrial) -> None:
        """Goes on with a trial that was under way when the sweep's process ended."""
        self._study.sampler = self._sampler(frozen.number)
        outcome = read_outcome(self._plan.folder / str(frozen.number))
        self._begin(optuna.Trial(self._study, frozen._trial_id), outcome)

    def _begin(self, trial: optuna.Trial, outcome: Outcome | None = None) -> None:
        """Makes a run for a trial and trains it, whether it is new or was begun before."""
        values = self._plan.space.suggest(trial)
        name = self._plan.space.short(values) or f"trial {trial.number}"
        run_id = tracking.create_child(
            self._plan.base,
            self._run.id,
            name=name,
            tags={tag.STUDY: self._plan.name, tag.TRIAL: str(trial.number)},
            client=self._client,
        )
        trial.set_user_attr(tag.TRIAL_RUN, run_id)
        trial.set_user_attr(tag.TRIAL_NAME, name)
        trial.set_user_attr(tag.TRIAL_OVERRIDES, self._plan.frozen.words(values))
        folder = self._plan.folder / str(trial.number)
        active = _Active(trial, values, run_id, name, folder)
        if outcome is None:
            self._submit(active)
        else:
            self._progress.started(trial.number, name)
            self._settle(active, outcome)

    def _submit(self, active: _Active) -> None:
        active.too_long = active.met_outage = False
        order = self._plan.order(active.trial.number, active.values, active.run_id)
        self._progress.started(active.trial.number, active.name)
        self._pending[self._executor.submit(run_trial, order)] = active

    def _ended(self, active: _Active, future: "Future[Outcome]") -> None:
        error = future.exception()
        if error is None:
            self._settle(active, future.result())
        elif not self._executor.is_lost(error):
            said = redact(f"{type(error).__name__}: {error}")
            self._settle(active, Outcome(state=State.error, reason=said))
        elif (written := read_outcome(active.folder)) is not None:  # killed after its last word
            self._settle(active, written)
        elif active.too_long:
            seconds = self._plan.sweep.trial_seconds
            reason = f"time limit of {seconds:g} s, inside an epoch: its worker was killed"
            self._settle(active, Outcome(state=State.time_limit, reason=reason))
        elif self._is_stopping():
            self._settle(active, Outcome(state=State.stopped, reason="the sweep was stopped"))
        else:
            self._settle(active, Outcome(state=State.worker_death, reason="its process was killed"))

    def _settle(self, active: _Active, outcome: Outcome) -> None:
        """Decides by the settings what follows: told, tried again, or the end of the sweep."""
        if outcome.state is State.stopped and self._is_stopping():
            self._tag(active, outcome)
            self._progress.left(active.trial.number)
            return
        if outcome.state in (State.complete, State.pruned):
            self._tell(active, outcome)
            return
        faults = self._plan.sweep.faults
        if outcome.state in (State.error, State.store_away) and self._met_outage(active):
            self._retry(active, outcome)
            return
        policy = policy_of(faults, outcome.state)
        tried = int(active.trial.user_attrs.get(tag.TRIAL_RETRIES, 0))
        if policy is Policy.retry and tried < faults.max_retries:
            active.trial.set_user_attr(tag.TRIAL_LAST_REASON, outcome.reason)
            active.trial.set_user_attr(tag.TRIAL_RETRIES, tried + 1)
            self._retry(active, outcome)
            return
        self._tell(active, outcome)
        failures = search.count_by_state(self._study).get("FAIL", 0)
        most = self._plan.sweep.max_failures
        if policy is Policy.stop:
            said = f"trial {active.trial.number} failed ({outcome.reason}): the sweep ends"
            self._end = SweepFailed(said)
        elif most is not None and failures > most:
            self._end = SweepFailed(f"{failures} trials failed, and sweep.max_failures is {most}")

    def _met_outage(self, active: _Active) -> bool:
        """Whether a trial failed while the store was away, which is not its fault.

        Raises:
            ConnectionError: it is away still.
        """
        if not tracking.answers(self._client):
            active.met_outage = True
            raise ConnectionError("the tracking store does not answer")
        return active.met_outage

    def _retry(self, active: _Active, outcome: Outcome) -> None:
        """Tries again with the same values, in the same run, from the checkpoint if it is sound."""
        _log.warning("Trial %d is tried again: %s.", active.trial.number, outcome.reason)
        (active.folder / OUTCOME_FILE).unlink(missing_ok=True)
        if outcome.state is State.nan:
            restart.request_restart(self._client, active.run_id)
        self._progress.left(active.trial.number)
        self._again.append(active)

    def _tell(self, active: _Active, outcome: Outcome) -> None:
        """Writes down how a trial ended; telling the study comes last, as it is what counts."""
        self._tag(active, outcome)
        trial, number = active.trial, active.trial.number
        for key, value in (
            (tag.STATE, outcome.state.value),
            (tag.REASON, outcome.reason),
            (tag.TRIAL_SECONDS, round(outcome.seconds, 3)),
            (tag.TRIAL_EPOCHS, outcome.epochs),
            (tag.TRIAL_MEMORY, outcome.memory_bytes),
            (tag.PID, outcome.pid),
        ):
            if value not in (None, ""):
                trial.set_user_attr(key, value)
        state = {State.complete: TrialState.COMPLETE, State.pruned: TrialState.PRUNED}.get(
            outcome.state, TrialState.FAIL
        )
        values = [outcome.values[name] for name in self._plan.objectives if name in outcome.values]
        told = values if state is TrialState.COMPLETE else None
        self._study.tell(number, told, state, skip_if_finished=True)
        used = self._seconds + time.monotonic() - self._began
        self._study.set_user_attr(tag.STUDY_SECONDS, used)
        self._progress.ended(number, state.name, values or None, outcome.seconds, outcome.reason)
        log_history(self._study, self._run, only_last=True)

    def _tag(self, active: _Active, outcome: Outcome) -> None:
        """Tags the trial's run; the run of a killed worker is ended first, as far as it got."""
        try:
            if outcome.state in (State.worker_death, State.time_limit):
                tracking.close_dead_runs(self._client, [self._run.experiment_id])
            tags = {tag.STATE: outcome.state.value}
            if outcome.reason:
                tags[tag.REASON] = outcome.reason
            for key, value in tags.items():
                self._client.set_tag(active.run_id, key, value[:5000])
            ended = outcome.state in (State.complete, State.pruned)  # by itself, or later by spool
            if not ended and self._client.get_run(active.run_id).info.status == "RUNNING":
                self._client.set_terminated(active.run_id, "KILLED")  # it never began
        except Exception as error:
            if not tracking.answers(self._client):
                raise ConnectionError(f"tracking: {redact(str(error))}") from error
            _log.warning("Run %s could not be tagged: %s", active.run_id, redact(str(error)))

    def _look_at_limits(self) -> None:
        if self._hold.taken_by:
            for future in self._pending:  # another sweep trains these trials now
                self._executor.kill(future)
            raise UserError(
                f"sweep.study: '{self._plan.name}' was taken over by a sweep on "
                f"{self._hold.taken_by} while this one was silent: look for its trials there."
            )
        if self._is_stopping() and self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self._executor.stop()
            self._study.set_user_attr(tag.STUDY_STOPPED, True)  # for workers no signal reaches
        late = self._stopped_at is not None and time.monotonic() > self._stopped_at + STOP_SECONDS
        limit = self._plan.sweep.trial_seconds
        for future, active in self._pending.items():
            if limit is not None and self._executor.seconds(future) > limit * 1.1 + GRACE_SECONDS:
                active.too_long = True
            if late or active.too_long:
                self._executor.kill(future)
        if self._progress.out.is_terminal:
            self._show_epochs()

    def _show_epochs(self) -> None:
        epochs = self._plan.base.training.epochs
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.last_step is not None:
                value = trial.intermediate_values[trial.last_step]
                self._progress.epoch(trial.number, trial.last_step, epochs, value)


def _raised_by(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated()
