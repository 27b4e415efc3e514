"""Promotion: a trial pauses at its rung, and the best of a rung continue from their checkpoints.

The asynchronous successive halving of Li et al. (2018), https://arxiv.org/abs/1810.05934, algorithm
2, with other shares: a free worker continues the best trial that waits at the highest rung and
belongs to the best 1 / (2 `reduction_factor`) of all trials that have reached the first rung, or to
the best 1 / `reduction_factor`, at least the best one, of those that have reached a later rung; if
there is none, it starts a new trial. Optuna's pruners cannot do that, since a pruned trial never
continues: they have to let the first trials of each rung pass. The shares were measured:
docs/decisions/0051-a-promoted-trial-continues.md.

What was decided is read from the study alone: from the values that trials reported, and from their
user attributes `samerun.state` and `samerun.paused`.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, final

from samerun.config.pruners import Pruner
from samerun.config.sweep import ObjectiveFrom, Sweep
from samerun.search.constraints import is_feasible
from samerun.search.paused import is_paused, paused_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import optuna
    from optuna.trial import FrozenTrial


@final
@dataclass(frozen=True, kw_only=True)
class Promotion:
    """At which epochs trials pause, and which of them continue.

    Args:
        min_epochs: the first rung of the first bracket.
        max_epochs: epochs of the longest trial, where there is nothing left to promote to.
        factor: one in n trials continues at each rung after the first, at which it is one in 2 n,
            and each rung is n times as long.
        bootstrap: a rung with at most this number of trials promotes none of them.
        minimizes: whether lower values are better.
        from_best: trials are compared by the best value until a rung, as their results are; or by
            the value at the rung.
        bracket_of: the bracket of a trial; the first rung of bracket n is `factor` ** n times that
            of bracket 0.
    """

    min_epochs: int
    max_epochs: int
    factor: int
    bootstrap: int
    minimizes: bool
    from_best: bool
    bracket_of: "Callable[[FrozenTrial], int]"

    def rungs(self, bracket: int) -> list[int]:
        """Returns the epochs at which the trials of a bracket pause, in ascending order."""
        found = [self.min_epochs * self.factor**bracket]
        while found[-1] * self.factor < self.max_epochs:
            found.append(found[-1] * self.factor)
        return [epochs for epochs in found if epochs < self.max_epochs]

    def rung_of(self, trial: "FrozenTrial") -> int | None:
        """Returns the last rung that a trial has reached; `None` before the first one."""
        passed = [rung for rung in self.rungs(self.bracket_of(trial)) if rung <= _reached(trial)]
        return passed[-1] if passed else None

    def should_pause(
        self, trial: "FrozenTrial", epoch: int, trials: "Sequence[FrozenTrial]"
    ) -> bool:
        """Whether a running trial is to pause after an epoch.

        Args:
            trial: the trial.
            epoch: the epoch that it has just reported, from 1.
            trials: all trials of the study.
        """
        bracket = self.bracket_of(trial)
        if epoch not in self.rungs(bracket) or epoch in paused_at(trial):
            return False
        members = self._members(trials, bracket, epoch)
        quota = self._quota(members, is_first=epoch == self.rungs(bracket)[0])
        return all(one.number != trial.number for one in members[:quota])

    def choose(
        self, trials: "Sequence[FrozenTrial]", *, is_last: bool = False
    ) -> "FrozenTrial | None":
        """Returns the paused trial that a free worker has to continue; `None`: there is none.

        Args:
            trials: all trials of the study.
            is_last: no trial is running and no new one will start. Then the best trial of the
                highest rung continues even where there are too few of them, so that a trial
                completes in each bracket.
        """
        waiting: dict[tuple[int, int], set[int]] = {}
        for trial in filter(is_paused, trials):
            rung = self.rung_of(trial)
            if rung is None:  # of a study that was started with other rungs
                return trial
            waiting.setdefault((rung, self.bracket_of(trial)), set()).add(trial.number)
        for (rung, bracket), numbers in sorted(waiting.items(), reverse=True):
            members = self._members(trials, bracket, rung)
            num = self._quota(members, is_first=rung == self.rungs(bracket)[0])
            if is_last and not any(_has_left(one, rung) for one in members):
                num = len(members)
            found = next((one for one in members[:num] if one.number in numbers), None)
            if found is not None:
                return found
        return None

    def _quota(self, members: "Sequence[FrozenTrial]", *, is_first: bool) -> int:
        """Returns how many of the trials that have reached a rung may leave it.

        The first rung is strict, since a new trial costs little and its values say least. After it
        the best one never waits: the trials there were chosen already, and a result is soon there.
        """
        if len(members) <= self.bootstrap:
            return 0
        num = len(members)
        return num // (2 * self.factor) if is_first else max(1, num // self.factor)

    def _members(
        self, trials: "Iterable[FrozenTrial]", bracket: int, rung: int
    ) -> "list[FrozenTrial]":
        """Returns the trials of a bracket that have reached a rung, best first by their values.

        One that failed, or violates a constraint, takes no place from another.
        """
        found = [
            trial
            for trial in trials
            if _reached(trial) >= rung
            and trial.state.name != "FAIL"
            and is_feasible(trial)
            and self.bracket_of(trial) == bracket
        ]
        return sorted(found, key=lambda trial: (self._loss_at(trial, rung), trial.number))

    def _loss_at(self, trial: "FrozenTrial", rung: int) -> float:
        """Returns the value that a trial is compared by at a rung; lower is better.

        A value that was not reported is that of the last epoch before.
        """
        sign = 1.0 if self.minimizes else -1.0
        reported = sorted(trial.intermediate_values.items())
        losses = [sign * value for epoch, value in reported if epoch <= rung]
        if not losses:
            return math.inf
        return min(losses) if self.from_best else losses[-1]


def build_promotion(cfg: Sweep, study: "optuna.Study", max_epochs: int) -> Promotion | None:
    """Returns what promotes the trials of a study; `None` unless `sweep.promote` asks for it.

    Args:
        cfg: the sweep; `objectives.check_sweep` has checked it.
        study: the study, with the pruner of `pruners.build_pruner`.
        max_epochs: epochs of its longest trial.
    """
    if not cfg.promote:
        return None
    from samerun.search.optuna_internals import bracket_of

    halving, hyperband = cfg.successive_halving, cfg.hyperband
    is_hyperband = cfg.pruner is Pruner.hyperband
    # What Optuna estimates from the first trials is a hundredth of their epochs.
    first = max(1, max_epochs // 100) if halving.min_epochs is None else halving.min_epochs
    first *= halving.reduction_factor**halving.min_early_stopping_rate
    return Promotion(
        min_epochs=hyperband.min_epochs if is_hyperband else first,
        max_epochs=max_epochs,
        factor=hyperband.reduction_factor if is_hyperband else halving.reduction_factor,
        bootstrap=hyperband.bootstrap_trials if is_hyperband else halving.bootstrap_trials,
        minimizes=study.direction.name == "MINIMIZE",
        from_best=cfg.objective_from is ObjectiveFrom.best,
        bracket_of=partial(bracket_of, study),
    )


def _reached(trial: "FrozenTrial") -> int:
    """Returns the last epoch of a trial; the value of the last one may not have been reported."""
    return max(trial.last_step or 0, *paused_at(trial), 0)


def _has_left(trial: "FrozenTrial", rung: int) -> bool:
    return trial.state.name == "COMPLETE" or _reached(trial) > rung
