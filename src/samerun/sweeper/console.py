"""What people see of a sweep: its live table, its report, and how to go on."""

import logging
import shlex
from typing import TYPE_CHECKING

from samerun import search, tracking
from samerun import tags as tag
from samerun.redaction import redact, redact_override
from samerun.report import study as study_report
from samerun.report.progress import Progress, console
from samerun.sweeper.plan import SweepPlan

if TYPE_CHECKING:
    import optuna

_log = logging.getLogger(__name__)
_ENDED = ("COMPLETE", "PRUNED", "FAIL")


def say(text: str) -> None:
    """Prints a line."""
    console().print(text, soft_wrap=True, markup=False)


def say_beginning(plan: SweepPlan, study: "optuna.Study | None", workers: int) -> None:
    """Says what begins, or goes on, and under which name it does so again."""
    goods = [
        f"{name}, {'small' if way == 'minimize' else 'large'} is good"
        for name, way in zip(plan.objectives.names, plan.objectives.directions, strict=True)
    ]
    states = search.count_by_state(study) if study is not None else {}
    num_ended = sum(states.get(state, 0) for state in _ENDED)
    trials = "1 trial" if plan.n_trials == 1 else f"{plan.n_trials} trials"
    if 0 < num_ended < plan.n_trials:
        trials += f" ({num_ended} ended already)"
    side_by_side = "one" if workers == 1 else str(workers)
    say(
        f"sweep {plan.name}: {' and '.join(goods)}; {trials}, {side_by_side} at a time; "
        f"study in {redact(plan.storage)}"
    )
    if num_ended < plan.n_trials or states.get("RUNNING"):
        return
    if plan.settings.n_trials > plan.n_trials:
        say(f"All {num_ended} combinations had been tried already.")
    else:
        whole = f"All {num_ended} trials" if num_ended > 1 else "The one trial"
        more = max(10, 2 * num_ended)
        say(f"{whole} had ended already: sweep.n_trials={more} goes on to {more}.")


def progress(plan: SweepPlan, study: "optuna.Study", workers: int) -> Progress:
    """Returns the live table, with what earlier starts of the sweep have done."""
    table = Progress(
        console(),
        plan.n_trials,
        plan.objectives.names,
        plan.objectives.directions,
        study=plan.name,
        workers=workers,
    )
    states = search.count_by_state(study)
    ended = {state: number for state, number in states.items() if state in _ENDED}
    num_best = None if len(plan.objectives.names) > 1 else 1
    best = [
        (trial.number, trial.values, str(trial.user_attrs.get(tag.TRIAL_NAME, "")))
        for trial in study_report.best_trials(study)[:num_best]
    ]
    table.counts(ended, best)
    return table


def command(trial: "optuna.trial.FrozenTrial") -> str:
    """Returns what to type to train a trial outside the sweep."""
    from samerun.process import program

    words = [redact_override(word) for word in trial.user_attrs.get(tag.TRIAL_OVERRIDES, [])]
    return f"{program()} {shlex.join(['train', *words])}"


def children(study: "optuna.Study") -> dict[int, tuple[str, str]]:
    """Returns the ID and the name of each trial's run."""
    return {
        trial.number: (
            str(trial.user_attrs[tag.TRIAL_RUN]),
            str(trial.user_attrs.get(tag.TRIAL_NAME, "")),
        )
        for trial in study.get_trials(deepcopy=False)
        if tag.TRIAL_RUN in trial.user_attrs
    }


def write_report(plan: SweepPlan, study: "optuna.Study", run: tracking.Run) -> None:
    """Writes the report; one that cannot be written costs no trial."""
    try:
        study_report.write(
            study,
            run,
            plan.folder / "report",
            space_words={entry.key: str(entry) for entry in plan.space.entries},
            objectives=plan.objectives.names,
            children=children(study),
            command=command,
        )
    except Exception as error:
        _log.warning("The report was not written: %s", redact(repr(error)))


def tag_best(study: "optuna.Study", run: tracking.Run) -> None:
    """Names the best trial's run in the sweep's own, for commands that are given that one."""
    try:
        best = [trial.user_attrs.get(tag.TRIAL_RUN) for trial in study_report.best_trials(study)]
    except Exception as error:  # the storage is away: what ended the sweep is what counts
        _log.warning("The best trial was not tagged: %s", redact(repr(error)))
        return
    if best and best[0]:
        run.set_tags({tag.BEST: str(best[0])})


def say_best(
    table: Progress, plan: SweepPlan, study: "optuna.Study", run: tracking.Run, why: str
) -> None:
    """Prints the best trial, its command and how to reproduce it, and where to look."""
    from samerun.process import program

    rows = study_report.last_lines(
        study,
        objectives=plan.objectives.names,
        children=children(study),
        command=command,
        program=program(),
    )
    if why:
        rows = [("ended", why), *rows]
    look = run.url or f"{program()} ui"
    table.close([*rows, ("sweep", f"{run.name}  {run.id}"), ("look", look)])


def say_how_to_go_on(plan: SweepPlan) -> None:
    """Says how a sweep that was stopped goes on."""
    say(f"The sweep was stopped: the same command with sweep.study={plan.name} goes on with it.")
