"""Inside a run: the trial of a sweep that it belongs to, or one that does nothing."""

import abc
import logging
import math
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, final

from samerun import tags as tag
from samerun.config.checkpoint import Trial
from samerun.config.composition import stored_sweep
from samerun.config.pruners import Pruner
from samerun.config.sweep import ObjectiveFrom
from samerun.errors import SweepStopped, TimeLimit, TrialPaused, UserError
from samerun.redaction import redact
from samerun.search import constraints
from samerun.search.objectives import Objectives
from samerun.search.promotion import Promotion, build_promotion

if TYPE_CHECKING:
    import optuna

_log = logging.getLogger(__name__)


class CurrentTrial(abc.ABC):
    """What a run reports to its sweep, and asks it, at the end of every epoch.

    Attributes:
        metric: the logged name to report each epoch; `None` to report nothing.
        by_instance: what the results of its seeds or folds are compared by, where these are the
            steps of the pruner; `None` where its steps are epochs.
    """

    metric: str | None = None
    by_instance: Objectives | None = None

    @abc.abstractmethod
    def check_model(self, num_parameters: int) -> None:
        """Checks the built model against the constraints of the sweep, before `fit`.

        Raises:
            Infeasible: one is violated.
        """

    @abc.abstractmethod
    def report(self, value: float, epoch: int) -> None:
        """Reports the metric after epoch number `epoch`, from 1. Never raises."""

    @abc.abstractmethod
    def should_stop(self, *, prunes: bool = True, ends: bool = False) -> bool:
        """Whether to end training after this epoch. Never raises.

        Args:
            prunes: whether the pruner may say so.
            ends: whether training ends after this epoch anyway: there is nothing to pause.
        """

    @abc.abstractmethod
    def raise_if_stopped(self) -> None:
        """Raises the reason of `should_stop`; called after `fit`, when every callback has closed.

        Raises:
            optuna.TrialPruned: other trials were better at this epoch.
            TrialPaused: the same, and it may be promoted later.
            TimeLimit: it took too long.
            SweepStopped: the sweep is to end, and may be resumed later.
        """


@final
class NoTrial(CurrentTrial):
    """A run outside a sweep."""

    def check_model(self, num_parameters: int) -> None:
        """Does nothing."""

    def report(self, value: float, epoch: int) -> None:
        """Does nothing."""

    def should_stop(self, *, prunes: bool = True, ends: bool = False) -> bool:
        """Returns `False`."""
        return False

    def raise_if_stopped(self) -> None:
        """Does nothing."""


NO_TRIAL = NoTrial()


@final
class StudyTrial(CurrentTrial):
    """A trial of an Optuna study, seen from the process that trains it.

    A study that cannot be reached for a moment costs a chance to prune, not the run.
    """

    def __init__(
        self,
        study: "optuna.Study",
        trial: "optuna.Trial",
        reported_epochs: Collection[int],
        metric: str | None,
        seconds: float | None,
        limits: Sequence[constraints.Constraint] = (),
        by_instance: Objectives | None = None,
        promotion: Promotion | None = None,
    ) -> None:
        self.metric = metric
        self.by_instance = by_instance
        self._promotion = promotion
        self._limits = limits
        self._study = study
        self._trial = trial
        self._seconds = seconds
        self._began = time.monotonic()
        self._known = set(reported_epochs)
        self._epoch = max(self._known, default=0)
        self._reason: BaseException | None = None

    def check_model(self, num_parameters: int) -> None:
        """Checks the number of parameters, which is known before the first epoch."""
        constraints.check_model(self._limits, num_parameters)

    def report(self, value: float, epoch: int) -> None:
        """Reports a value once per epoch: after a resume, earlier epochs are known already."""
        self._epoch = epoch
        if epoch in self._known or not math.isfinite(value):
            return
        try:
            self._trial.report(value, epoch)
        except Exception as error:
            _log.warning("Epoch %d was not reported: %s", epoch, redact(str(error)))
        else:
            self._known.add(epoch)

    def should_stop(self, *, prunes: bool = True, ends: bool = False) -> bool:
        """Checks the time limit first, which needs no storage."""
        if self._reason is None:
            self._reason = self._why(prunes=prunes, ends=ends)
        return self._reason is not None

    def _why(self, *, prunes: bool, ends: bool) -> BaseException | None:
        import optuna

        if self._seconds is not None and time.monotonic() - self._began > self._seconds:
            return TimeLimit(f"time limit of {self._seconds:g} s reached at epoch {self._epoch}")
        try:
            if self._study.user_attrs.get(tag.STUDY_STOPPED):
                return SweepStopped()
            if not prunes or self.metric is None or not self._known:
                return None
            if self._promotion is not None:
                return None if ends else self._pause(self._promotion)
            if self._trial.should_prune():
                where = "at epoch" if self.by_instance is None else "after run"
                return optuna.TrialPruned(f"{where} {self._epoch}")
        except Exception as error:
            _log.warning("The study was not asked: %s", redact(str(error)))
        return None

    def _pause(self, promotion: Promotion) -> TrialPaused | None:
        trials = self._study.get_trials(deepcopy=False)
        own = next(trial for trial in trials if trial.number == self._trial.number)
        pauses = promotion.should_pause(own, self._epoch, trials)
        return TrialPaused(self._epoch) if pauses else None

    def raise_if_stopped(self) -> None:
        """Raises why it stopped, if it did."""
        if self._reason is not None:
            raise self._reason


@final
class InstanceTrial(CurrentTrial):
    """A trial, seen from one of its instances: one run of several with other seeds or folds.

    The epochs of the first instance are reported, so that the pruners of epochs compare the trials
    on the same seed or fold. Of the others, none is; they only stop with the sweep or at the limit.
    Where the instances are the steps of the pruner, no epoch is reported.

    Args:
        trial: the trial.
        is_first: whether it is the first instance.
    """

    def __init__(self, trial: CurrentTrial, *, is_first: bool) -> None:
        self.metric = trial.metric if is_first and trial.by_instance is None else None
        self._trial = trial

    def check_model(self, num_parameters: int) -> None:
        """Checks the model of each instance."""
        self._trial.check_model(num_parameters)

    def report(self, value: float, epoch: int) -> None:
        """Reports an epoch of the first instance."""
        if self.metric is not None:
            self._trial.report(value, epoch)

    def should_stop(self, *, prunes: bool = True, ends: bool = False) -> bool:
        """Asks the trial."""
        return self._trial.should_stop(prunes=prunes and self.metric is not None, ends=ends)

    def raise_if_stopped(self) -> None:
        """Raises why it stopped, if it did."""
        self._trial.raise_if_stopped()


def current_trial(cfg: Trial | None) -> CurrentTrial:
    """Returns the trial that a run belongs to, by its config.

    Args:
        cfg: `Config.trial`.

    Raises:
        UserError: the study cannot be reached, or its trial has ended already.
    """
    if cfg is None:
        return NO_TRIAL
    import optuna

    from samerun.search import study as studies
    from samerun.search.optuna_internals import reopen_trial

    study = studies.load_for_worker(cfg)
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    frozen = trials.get(cfg.number)
    if frozen is None or frozen.state != optuna.trial.TrialState.RUNNING:
        state = "does not exist" if frozen is None else f"is already {frozen.state.name}"
        raise UserError(f"trial: trial {cfg.number} of study '{cfg.study}' {state}.")
    settings = studies.trial_settings(study)
    sweep = stored_sweep(settings.sweep)
    epochs = {int(epoch) for epoch in frozen.intermediate_values}
    trial = reopen_trial(study, frozen)
    limits = constraints.parse_constraints(sweep)
    metric, by_instance = settings.metric, None
    if sweep.pruner is Pruner.wilcoxon and metric is not None:
        by_instance = Objectives(
            names=(metric,),
            directions=(study.direction.name.lower(),),
            from_best=sweep.objective_from is ObjectiveFrom.best,
        )
    promotion = build_promotion(sweep, study, settings.max_epochs)
    return StudyTrial(
        study, trial, epochs, metric, sweep.trial_seconds, limits, by_instance, promotion
    )
