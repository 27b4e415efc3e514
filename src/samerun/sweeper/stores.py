"""What a sweep writes before its first trial: its settings in the study, and its own run."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from samerun import config, data, search, tracking
from samerun import tags as tag
from samerun.config.checks import epoch_metrics
from samerun.config.pruners import Pruner
from samerun.config.secrets import safe_yaml
from samerun.errors import UserError
from samerun.files import write_atomic
from samerun.redaction import redact
from samerun.sweeper import learning
from samerun.sweeper.plan import SweepPlan
from samerun.tracking.recovery.folders import RUN_FILE

if TYPE_CHECKING:
    import optuna

_STUDY_FILE = "study.token"


def check_folder(plan: SweepPlan, study: "optuna.Study | None") -> None:
    """Refuses a folder with the trials of another study, as after its database was deleted.

    Raises:
        UserError: there are some.
    """
    file = plan.folder / _STUDY_FILE
    if not file.exists():
        return
    if study is None or file.read_text(encoding="utf-8") != search.token(study):
        raise UserError(
            f"sweep.study: {plan.folder} holds the trials of another study than '{plan.name}' "
            f"in {redact(plan.storage)}: choose another name, or move that folder."
        )


def mark_folder(plan: SweepPlan, study: "optuna.Study") -> None:
    """Writes into the folder of a sweep which study its trials belong to."""
    write_atomic(plan.folder / _STUDY_FILE, search.token(study))


def store_settings(plan: SweepPlan, study: "optuna.Study") -> None:
    """Stores the settings that workers and readers of the study need."""
    settings, epochs = plan.settings, plan.configs.max_epochs()
    names, directions = plan.objectives.names, plan.objectives.directions
    each_epoch = epoch_metrics(plan.base, data.describe(plan.base.dataset))
    is_by_instance = settings.pruner is Pruner.wilcoxon
    is_reported = len(names) == 1 and (names[0] in each_epoch or is_by_instance)
    for_workers = search.TrialSettings(
        metric=names[0] if is_reported else None,
        max_epochs=epochs,
        sweep=search.settings_json(settings),
    )
    search.store_for_workers(study, for_workers)
    study.pruner = search.build_pruner(settings, directions[0], epochs)
    learning.add_lent(plan, study)
    for values in plan.enqueued:
        study.enqueue_trial(values, skip_if_exists=True)
    learning.mark_as_learned(plan, study)
    study.set_user_attr(tag.STUDY_FOLDER, str(plan.folder))
    study.set_user_attr(tag.SAMPLER, settings.sampler.value)
    study.set_user_attr(tag.PRUNER, settings.pruner.value)
    text = safe_yaml(plan.master)
    (plan.folder / "multirun.yaml").write_text(text, encoding="utf-8")


@contextlib.contextmanager
def parent_run(plan: SweepPlan, study: "optuna.Study") -> Iterator[tracking.Run]:
    """Opens the sweep's own run, or reopens it: its ID is in its folder and in the study."""
    settings = plan.settings
    tags = {
        tag.STUDY: plan.name,
        tag.SAMPLER: settings.sampler.value,
        tag.PRUNER: settings.pruner.value,
        tag.N_TRIALS: str(plan.n_trials),
        tag.OBJECTIVES: ", ".join(plan.objectives.names),
        **learning.learned_tags(study),
    }
    uri = plan.base.tracking.uri
    known = study.user_attrs.get(tag.STUDY_RUN)
    if (plan.folder / RUN_FILE).exists():
        opened = tracking.reopen_run(plan.folder, uri=uri, tags=tags, take_over=True)
    elif known:  # the lease is ours: the sweep that ran it elsewhere is dead
        opened = tracking.reopen_run(plan.folder, run_id=known, uri=uri, tags=tags, take_over=True)
    else:
        opened = tracking.open_run(
            plan.base,
            plan.folder,
            name=plan.name,
            tags=tags,
            needs_store=True,  # trials are created under it
        )
    with opened as run:
        if not known:  # settings that may change later are tags
            run.log_params(_params(plan))
        yield run


def _params(plan: SweepPlan) -> dict[str, str]:
    """Returns what all trials share, and the range or the choices of what differs."""
    first, *others = [config.parameters(cfg) for cfg in plan.configs.configs()]
    shared = {
        key: value
        for key, value in first.items()
        if all(other.get(key) == value for other in others)
    }
    return shared | {entry.key: str(entry) for entry in plan.space.entries}
