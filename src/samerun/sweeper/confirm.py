"""Trains the best trials of a search again, with fresh seeds: a small study below the same run.

Its trials have the values of the best ones, and `seeds` runs each. So what holds for a sweep holds
for it: `kill -9` may interrupt it anywhere, and the same command continues it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from samerun import search, tracking
from samerun import tags as tag
from samerun.config.pruners import Pruner
from samerun.config.samplers import Sampler
from samerun.config.sweep import Budget
from samerun.report.confirmation import Confirmation, read_confirmation
from samerun.report.study_trials import best_trials
from samerun.search import confirmation
from samerun.sweeper import console, stores
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.learning import Learned
from samerun.sweeper.ledger import Ledger
from samerun.sweeper.loop import Loop
from samerun.sweeper.plan import SweepPlan

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

_LEFT_OUT = "no longer one of the best trials of the search"


def plan_confirmation(plan: SweepPlan) -> SweepPlan | None:
    """Returns the plan of the study that confirms a search; `None` if none is to.

    It is made before the first trial, since files may change until the last.

    Args:
        plan: that of the search.

    Raises:
        UserError: this search cannot be confirmed.
    """
    settings, confirm, base = plan.settings, plan.settings.confirm, plan.base
    num_trials = plan.n_trials + plan.learned.num_lent
    search.check_confirmation(settings, base, plan.space, len(plan.objectives.names), num_trials)
    if not confirm.top:
        return None
    seeds = confirmation.fresh_seeds(base, confirm)
    configs = plan.configs.with_fixed({"seeds": len(seeds), "seed": seeds[0]})
    name = confirmation.study_name(plan.name, seeds)
    seconds = settings.trial_seconds
    if seconds is not None:  # of one run, whatever their number
        seconds *= len(seeds) / (base.seeds or 1)
    return replace(
        plan,
        settings=replace(
            settings,
            study=name,
            sampler=Sampler.random,  # it draws nothing: all values are given
            pruner=Pruner.none,
            promote=False,
            enqueue=[],
            trial_seconds=seconds,
            budget=Budget(seconds=None, epochs=None, target=None, patience_trials=None),
        ),
        configs=configs,
        base=configs.base(),
        name=name,
        folder=plan.folder / name.removeprefix(f"{plan.name}-"),
        enqueued=(),
        learned=Learned(),
        notes=(),
        confirms=plan.name,
    )


def confirm_best(
    plan: SweepPlan,
    study: "optuna.Study",
    run: tracking.Run,
    executor: Executor,
) -> Confirmation:
    """Trains the best trials of a search again, as many as are missing.

    Args:
        plan: what `plan_confirmation` returned.
        study: the study of the search, which has ended.
        run: the search's own run, open.
        executor: where trials run.

    Returns:
        The trials by their means over the fresh seeds.

    Raises:
        SweepFailed: failed trials ended it.
        samerun.errors.UserError: a store was unavailable for too long, or the study is another's.
        KeyboardInterrupt: Ctrl-C.
        samerun.errors.Terminated: SIGTERM.
    """
    chosen = confirmation.choose_candidates(
        best_trials(study), plan.space, plan.settings.confirm.top
    )
    objective = plan.objectives.names[0]
    if not chosen:
        return read_confirmation(objective, study, chosen, None)
    plan.folder.mkdir(parents=True, exist_ok=True)
    stores.check_folder(plan, search.find_study(plan.backend, plan.name))
    # What differs from its start, the search has accepted already: they share their settings.
    again = search.open_study(plan.backend, plan.name, plan.study_start(), extend=True)
    with search.acquire_lease(again) as lease:
        stores.mark_folder(plan, again)
        study.set_user_attr(tag.STUDY_CONFIRMED_BY, plan.name)
        again.set_user_attr(tag.STUDY_RUN, run.id)
        stores.store_settings(plan, again)
        ledger = Ledger(plan, again, run)
        _leave_out(again, ledger, chosen)
        _enqueue(again, chosen)
        plan = replace(plan, n_trials=len(again.get_trials(deepcopy=False)))
        executor.begin_study(plan.name)
        console.print_confirmation(plan, again, chosen)
        progress = console.progress(plan, again, executor.num_workers())
        try:
            Loop(plan, again, ledger, executor, progress, lease).run()
        finally:
            progress.close()
    return read_confirmation(objective, study, chosen, again)


def _leave_out(again: "optuna.Study", ledger: Ledger, chosen: "list[FrozenTrial]") -> None:
    """Ends what an interrupted confirmation has left over, where other trials are the best now."""
    wanted = {trial.number for trial in chosen}
    for trial in again.get_trials(deepcopy=False):
        if not trial.state.is_finished() and trial.user_attrs.get(tag.CONFIRMS) not in wanted:
            ledger.leave_out(trial, _LEFT_OUT)


def _enqueue(again: "optuna.Study", chosen: "list[FrozenTrial]") -> None:
    """Adds the trials that the study does not have yet; a part of them may be there."""
    known = {
        one.user_attrs.get(tag.CONFIRMS)
        for one in again.get_trials(deepcopy=False)
        if not (one.state.is_finished() and one.user_attrs.get(tag.REASON) == _LEFT_OUT)
    }
    for trial in chosen:
        if trial.number not in known:
            again.enqueue_trial(trial.params, user_attrs={tag.CONFIRMS: trial.number})
