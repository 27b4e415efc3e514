"""What a sweep returns to Python."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samerun import tags as tag
from samerun.command_line import line
from samerun.report import study as study_report
from samerun.report.confirmation import Confirmation
from samerun.result import html_table
from samerun.search.lending import is_lent, origin_of

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """A trial that completed.

    Args:
        number: its number in the study.
        run_id: its MLflow run.
        params: the values that the sampler chose.
        values: its objectives, by their logged names.
        overrides: what `samerun.train` takes to train it outside the sweep.
        lent: the trial of an earlier study that trained it; empty if this one did.
    """

    number: int
    run_id: str
    params: Mapping[str, Any]
    values: Mapping[str, float]
    overrides: tuple[str, ...]
    lent: str = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class SweepResult:
    """What a sweep came to.

    Args:
        study: the name of the study; `sweep.study=NAME` resumes it.
        run_id: the sweep's own MLflow run, the parent of those of the trials.
        best: the best trial; of several objectives all trials on the Pareto front.
        run_ids: the MLflow run of each trial, by the trial's number, without those that are lent.
        reason: why the sweep ended before all trials were there; empty if they are.
        confirmation: what `sweep.confirm` found; `None` without it. The first of `best` then is the
            trial with the best mean over fresh seeds; its `values` are those of the search.
    """

    study: str
    run_id: str
    best: tuple[TrialResult, ...]
    run_ids: Mapping[int, str]
    reason: str = ""
    confirmation: Confirmation | None = None

    def __repr__(self) -> str:
        """Returns the study and its best trials, without the runs of the others."""
        return f"<SweepResult of {self._headline}: {'; '.join(map(_described, self.best))}>"

    def _repr_html_(self) -> str:
        """Returns what a notebook shows: the best trials, their runs, what to type next."""
        rows = [
            ("sweep", self.run_id),
            *(("best", _described(trial)) for trial in self.best),
            *((f"run of trial {trial.number}", trial.run_id) for trial in self.best),
            ("show", line("show", self.run_id[:8])),
            *((("ended early", self.reason),) if self.reason else ()),
        ]
        return html_table(self._headline, rows)

    @property
    def _headline(self) -> str:
        return f"study {self.study}, {len(self.run_ids)} trials"


def _described(trial: TrialResult) -> str:
    """Returns the objectives of a trial and the values that led to them."""
    values = ", ".join(f"{name} {value:.6g}" for name, value in trial.values.items())
    params = " ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in trial.params.items()
    )
    lent = f" (lent: {trial.lent})" if trial.lent else ""
    return f"trial {trial.number}{lent}, {values} with {params}"


def result_of(
    study: "optuna.Study",
    run_id: str,
    objectives: tuple[str, ...],
    reason: str,
    confirmation: Confirmation | None = None,
) -> SweepResult:
    """Reads the result of a sweep from its study.

    Args:
        study: the study.
        run_id: the sweep's own run.
        objectives: logged names of the objectives.
        reason: why the sweep ended early, if it did.
        confirmation: of its best trials with fresh seeds; `None` without one.
    """
    trials = study.get_trials(deepcopy=False)
    best = study_report.best_trials(study)
    if confirmation is not None and confirmation.ranked:
        best = [trial for trial in best if trial.number == confirmation.ranked[0].number]
    best = best[: None if len(objectives) > 1 else 1]
    return SweepResult(
        study=study.study_name,
        run_id=run_id,
        best=tuple(
            TrialResult(
                number=trial.number,
                run_id=str(trial.user_attrs.get(tag.TRIAL_RUN, "")),
                params=dict(trial.params),
                values=dict(zip(objectives, trial.values, strict=True)),
                overrides=tuple(trial.user_attrs.get(tag.TRIAL_OVERRIDES, ())),
                lent=str(origin_of(trial) or ""),
            )
            for trial in best
        ),
        run_ids={
            trial.number: str(trial.user_attrs[tag.TRIAL_RUN])
            for trial in trials
            if tag.TRIAL_RUN in trial.user_attrs and not is_lent(trial)
        },
        reason=reason,
        confirmation=confirmation,
    )
