"""The metrics of the sweep's own run."""

from typing import TYPE_CHECKING

from samerun import tracking
from samerun.search.constraints import is_feasible

if TYPE_CHECKING:
    import optuna


def log_history(study: "optuna.Study", run: tracking.Run, *, only_last: bool = False) -> None:
    """Logs the number of trials by state and the best value so far, one step per trial.

    Args:
        study: the study.
        run: the sweep's own run; points that it already has are not logged twice.
        only_last: only the trial that ended last.
    """
    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    ended.sort(key=lambda trial: (trial.datetime_complete, trial.number))
    names = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    counts = dict.fromkeys(names.values(), 0)
    if any(not is_feasible(trial) for trial in ended):
        counts["infeasible"] = 0
    best: float | None = None
    is_single = len(study.directions) == 1
    better = min if is_single and study.direction.name == "MINIMIZE" else max
    for step, trial in enumerate(ended, start=1):
        counts[names[trial.state.name] if is_feasible(trial) else "infeasible"] += 1
        if is_single and trial.state.name == "COMPLETE" and is_feasible(trial):
            assert trial.value is not None
            best = trial.value if best is None else better(best, trial.value)
        if not only_last or step == len(ended):
            points = {f"sweep/{name}": float(count) for name, count in counts.items()}
            if best is not None:
                points["sweep/best"] = best
            run.log_metrics(points, step=step)
