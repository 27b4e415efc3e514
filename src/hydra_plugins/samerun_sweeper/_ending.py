"""What people see of a sweep: its live table, its report, and how to go on."""

import logging
import shlex
from typing import TYPE_CHECKING

from hydra_plugins.samerun_sweeper._plan import Plan
from samerun import config, search, tracking
from samerun.report import study as study_report
from samerun.report.progress import Progress, console

if TYPE_CHECKING:
    import optuna

_log = logging.getLogger(__name__)


def progress(plan: Plan, study: "optuna.Study") -> Progress:
    """Returns the live table, with what earlier starts of the sweep have done."""
    table = Progress(
        console(),
        plan.n_trials,
        plan.objectives,
        plan.directions,
        study=plan.name,
        workers=plan.workers,
    )
    ended = {
        state: number
        for state, number in search.count_by_state(study).items()
        if state in ("COMPLETE", "PRUNED", "FAIL")
    }
    best = [
        (trial.number, trial.values, str(trial.user_attrs.get("samerun.name", "")))
        for trial in study_report.best_trials(study)[: None if len(plan.objectives) > 1 else 1]
    ]
    table.counts(ended, best)
    return table


def command(trial: "optuna.trial.FrozenTrial") -> str:
    """Returns what to type to train a trial outside the sweep."""
    from samerun.cli.running import program

    words = [config.redact(word) for word in trial.user_attrs.get("samerun.words", [])]
    return f"{program()} {shlex.join(['train', *words])}"


def children(study: "optuna.Study") -> dict[int, tuple[str, str]]:
    """Returns the ID and the name of each trial's run."""
    return {
        trial.number: (
            str(trial.user_attrs["samerun.run"]),
            str(trial.user_attrs.get("samerun.name", "")),
        )
        for trial in study.get_trials(deepcopy=False)
        if "samerun.run" in trial.user_attrs
    }


def write_report(plan: Plan, study: "optuna.Study", run: tracking.Run) -> None:
    """Writes the report; one that cannot be written costs no trial."""
    try:
        study_report.write(
            study,
            run,
            plan.folder / "report",
            space_words={entry.key: str(entry) for entry in plan.space.entries},
            objectives=plan.objectives,
            children=children(study),
            command=command,
        )
    except Exception as error:
        _log.warning("The report was not written: %s", config.redact(repr(error)))


def tag_best(study: "optuna.Study", run: tracking.Run) -> None:
    """Names the best trial's run in the sweep's own, for commands that are given that one."""
    try:
        best = [trial.user_attrs.get("samerun.run") for trial in study_report.best_trials(study)]
    except Exception as error:  # the storage is away: what ended the sweep is what counts
        _log.warning("The best trial was not tagged: %s", config.redact(repr(error)))
        return
    if best and best[0]:
        run.set_tags({"samerun.best": str(best[0])})


def say_best(table: Progress, plan: Plan, study: "optuna.Study", why: str) -> None:
    """Prints the best trial, its command and how to reproduce it."""
    rows = study_report.last_lines(
        study, objectives=plan.objectives, children=children(study), command=command
    )
    if why:
        rows = [("ended", why), *rows]
    table.close(rows)


def say_how_to_go_on(plan: Plan) -> None:
    """Says how a sweep that was stopped goes on."""
    console().print(
        f"The sweep was stopped: the same command with sweep.study={plan.name} goes on with it.",
        soft_wrap=True,
        markup=False,
    )
