"""The metrics of the sweep's own run."""

from typing import TYPE_CHECKING, final

from samerun import tracking
from samerun.search.constraints import is_feasible
from samerun.search.lending import is_lent

if TYPE_CHECKING:
    import optuna

_NAMES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


@final
class History:
    """The number of trials by state and the best value so far, one step per trial.

    Each trial is counted once, so that a trial of a large study costs no more than one of a small.
    Those that an earlier study has lent are not counted, but the best value may be theirs.

    Args:
        study: the study.
        run: the sweep's own run; points that it already has are not logged twice.
    """

    def __init__(self, study: "optuna.Study", run: tracking.Run) -> None:
        self._study, self._run = study, run
        self._counted: set[int] = set()
        self._counts = dict.fromkeys(_NAMES.values(), 0)
        self._best: float | None = None

    def log(self) -> None:
        """Logs the trials that have ended since the last call, in the order of their ends."""
        ended = [
            trial
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state.is_finished() and trial.number not in self._counted
        ]
        ended.sort(key=lambda trial: (trial.datetime_complete, trial.number))
        if any(not is_feasible(trial) for trial in ended):
            self._counts.setdefault("infeasible", 0)
        for trial in ended:
            self._count(trial)
            if is_lent(trial):
                continue
            points = {f"sweep/{name}": float(count) for name, count in self._counts.items()}
            if self._best is not None:
                points["sweep/best"] = self._best
            self._run.log_metrics(points, step=sum(self._counts.values()))

    def _count(self, trial: "optuna.trial.FrozenTrial") -> None:
        self._counted.add(trial.number)
        is_within = is_feasible(trial)
        if not is_lent(trial):
            self._counts[_NAMES[trial.state.name] if is_within else "infeasible"] += 1
        if len(self._study.directions) > 1 or trial.state.name != "COMPLETE" or not is_within:
            return
        assert trial.value is not None
        better = min if self._study.direction.name == "MINIMIZE" else max
        self._best = trial.value if self._best is None else better(self._best, trial.value)
