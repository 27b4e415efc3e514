"""What a sweep prints: what it does, its live table, its best trial, and how to resume it."""

import functools
import logging
import math
from typing import TYPE_CHECKING

from samerun import search, tracking
from samerun import tags as tag
from samerun.command_line import line
from samerun.errors import UserError, listed
from samerun.redaction import redact, redact_override
from samerun.report import study as study_report
from samerun.report.confirmation import Confirmation
from samerun.report.progress import Progress, console
from samerun.search import lending
from samerun.sweeper.plan import SweepPlan
from samerun.tracking.ids import is_complete
from samerun.user_code import trust_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import optuna

_log = logging.getLogger(__name__)
_ENDED = ("COMPLETE", "PRUNED", "FAIL")


def print_line(text: str) -> None:
    """Prints a line."""
    console().print(text, soft_wrap=True, markup=False)


def print_start(plan: SweepPlan, study: "optuna.Study | None", workers: int) -> None:
    """Prints what starts, or resumes, and the name that resumes it again."""
    pairs = zip(plan.objectives.directions, plan.objectives.names, strict=True)
    objectives = " and ".join(f"{direction} {name}" for direction, name in pairs)
    states = search.count_by_state(study) if study is not None else {}
    num_before = 0 if study is None else len(lending.lent_keys(study))
    num_ended = sum(states.get(state, 0) for state in _ENDED) - num_before
    trials = _count(plan.n_trials, "trial")
    if 0 < num_ended < plan.n_trials:
        trials += f" ({num_ended} finished)"
    if plan.learned.num_lent:
        trials += f" and {plan.learned.num_lent} lent"
    print_line(
        f"sweep {plan.name}: {objectives} · {trials} · {_count(workers, 'worker')} · "
        f"study in {redact(plan.storage)}"
    )
    if num_ended < plan.n_trials or states.get("RUNNING"):
        return
    if plan.settings.n_trials > plan.n_trials:
        known = num_ended + plan.learned.num_lent
        print_line(f"All {known} combinations are finished already.")
    else:
        finished = f"All {num_ended} trials are" if num_ended > 1 else "The only trial is"
        more = max(10, 2 * num_ended)
        print_line(f"{finished} finished already: for more, give sweep.n_trials={more}.")


def print_outdated(number: int) -> None:
    """Prints how many paused trials were ended because the code changed, if any were."""
    if number:
        trials = _count(number, "paused trial")
        print_line(f"The code changed: {trials} cannot continue with it and ended as pruned.")


def print_confirmation(
    plan: SweepPlan, again: "optuna.Study", chosen: "Sequence[optuna.trial.FrozenTrial]"
) -> None:
    """Prints which trials are trained again and with which seeds, unless all of them have ended.

    Args:
        plan: that of the confirmation.
        again: its study.
        chosen: the search's trials.
    """
    states = search.count_by_state(again)
    if sum(states.get(state, 0) for state in _ENDED) >= plan.n_trials:
        return
    numbers = listed(str(trial.number) for trial in chosen)
    which = f"{'trial' if len(chosen) == 1 else 'trials'} {numbers}"
    first, num = plan.base.seed, plan.base.seeds or 1
    print_line(f"confirming {which} with {num} fresh seeds, {first} to {first + num - 1}")


def progress(plan: SweepPlan, study: "optuna.Study", workers: int) -> Progress:
    """Returns the live table, with the trials that earlier starts of the sweep finished."""
    table = Progress(
        console(),
        plan.n_trials,
        plan.objectives.names,
        plan.objectives.directions,
        study=plan.name,
        workers=workers,
    )
    others = ("running", "paused", "waiting", "lent")
    states = study_report.counts(study)
    ended = {state: number for state, number in states.items() if state not in others}
    num_best = None if len(plan.objectives.names) > 1 else 1
    best = [
        (trial.number, trial.values, _name_of(trial))
        for trial in study_report.best_trials(study)[:num_best]
    ]
    trials = study.get_trials(deepcopy=False) if plan.settings.promote else []
    table.counts(ended, best, [trial.number for trial in trials if search.is_paused(trial)])
    return table


def _name_of(trial: "optuna.trial.FrozenTrial") -> str:
    """Returns the name of a trial's run; of a lent trial, also which one trained it."""
    name, origin = str(trial.user_attrs.get(tag.TRIAL_NAME, "")), lending.origin_of(trial)
    return name if origin is None else f"{name} (lent: {origin})"


def commands(plan: SweepPlan, trial: "optuna.trial.FrozenTrial") -> list[tuple[str, str]]:
    """Returns what trains a trial again outside the sweep: a label and a line to type each.

    Args:
        plan: of the sweep; its config says which code of the user's own a trial needs.
        trial: one that ended.
    """
    run_id, rows = str(trial.user_attrs.get(tag.TRIAL_RUN, "")), []
    if is_complete(run_id):
        rows.append(("reproduce", line("reproduce", run_id[:8], trust=_trust_of(plan, trial))))
    overrides = [
        redact_override(override) for override in trial.user_attrs.get(tag.TRIAL_OVERRIDES, [])
    ]
    return [*rows, ("command", line("train", *overrides))]


def _trust_of(plan: SweepPlan, trial: "optuna.trial.FrozenTrial") -> tuple[str, ...]:
    try:
        return trust_names(plan.configs.composition(trial.params).config)
    except (UserError, LookupError, ValueError):  # of a search space that was changed since
        return ()


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


def write_report(
    plan: SweepPlan,
    study: "optuna.Study",
    run: tracking.Run,
    confirmation: Confirmation | None = None,
) -> None:
    """Writes the report; if that fails, the trials are kept all the same."""
    try:
        study_report.write(
            study,
            run,
            plan.folder / "report",
            definitions={entry.key: str(entry) for entry in plan.space.entries},
            objectives=plan.objectives.names,
            children=children(study),
            commands=functools.partial(commands, plan),
            confirmation=confirmation,
        )
    except Exception as error:
        _log.warning("The report was not written: %s", redact(repr(error)))


def tag_best(
    study: "optuna.Study", run: tracking.Run, confirmation: Confirmation | None = None
) -> None:
    """Tags the sweep's run with that of its best trial, for commands that receive the former.

    If trials were confirmed, `samerun.best` names the first of them, `samerun.result` holds the
    sentence, and the mean is logged as `sweep/confirmed`.
    """
    try:
        best = [trial.user_attrs.get(tag.TRIAL_RUN) for trial in study_report.best_trials(study)]
        is_outdated = study.user_attrs.get(tag.STUDY_CONFIRMED_BY) is not None
    except Exception as error:  # the storage is unavailable: report what ended the sweep
        _log.warning("The best trial was not tagged: %s", redact(repr(error)))
        return
    tags = {tag.BEST: str(best[0])} if best and best[0] else {}
    if confirmation is not None and confirmation.ranked:
        first = confirmation.ranked[0]
        tags = {tag.BEST: first.run_id, tag.RESULT: f"confirmed: {confirmation.sentence()}"}
        means = {"": first.mean, "_low": first.low, "_high": first.high}
        _log_confirmed(run, {f"sweep/confirmed{end}": value for end, value in means.items()})
    elif is_outdated:  # more trials may have followed
        tags[tag.RESULT] = ""
        _log_confirmed(run, {f"sweep/confirmed{end}": math.nan for end in ("", "_low", "_high")})
    if tags:
        run.set_tags(tags)


def _log_confirmed(run: tracking.Run, metrics: "Mapping[str, float]") -> None:
    """Logs the values after the earlier ones, unless they are the last ones: a step is a count."""
    points = [point for point in tracking.read_points(run.folder) if point.key in metrics]
    last = max((point.step for point in points), default=0)
    if {point.key: str(point.value) for point in points if point.step == last} != {
        key: str(value) for key, value in metrics.items()
    }:
        run.log_metrics(metrics, step=last + 1)


def print_best(
    table: Progress,
    plan: SweepPlan,
    study: "optuna.Study",
    run: tracking.Run,
    why: str,
    *,
    confirmation: Confirmation | None = None,
) -> None:
    """Prints the best trial, its command, how to reproduce it, and where to open the sweep."""
    rows = study_report.last_lines(
        study,
        objectives=plan.objectives.names,
        commands=functools.partial(commands, plan),
        confirmation=confirmation,
    )
    if why:
        rows = [("ended", why), *rows]
    address = run.url or line("ui", run.id[:8])
    rows = [*rows, ("sweep", f"{run.name}  {run.id}"), ("show", line("show", run.id[:8]))]
    table.close([*rows, ("open", address)])


def print_resume_hint(plan: SweepPlan) -> None:
    """Prints how to resume a sweep that was stopped."""
    print_line(f"Sweep stopped. Run the same command with sweep.study={plan.name} to resume it.")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
