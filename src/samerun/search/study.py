"""The study of a sweep: where it is stored, who may use it, and what a worker needs to know of it."""

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samerun.config import Trial, UserError, redact

if TYPE_CHECKING:
    import optuna

STORAGE_VARIABLE = "SAMERUN_STORAGE"
"""Environment variable with a storage's whole address, password included, for the workers."""
TRIAL_ATTRIBUTE = "samerun.trial"
"""Study attribute with what every trial needs to know, written before the first one."""


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """What a worker needs to know of a study.

    Args:
        metric: the logged name that trials report; `None` if none.
        seconds: time limit of a trial.
        pruner: the pruner's settings, as plain values; `None` for none.
    """

    metric: str | None
    seconds: float | None
    pruner: dict[str, Any] | None


def trial_settings(study: "optuna.Study") -> TrialSettings:
    """Returns what the sweeper wrote down for the trials of a study."""
    return TrialSettings(**study.user_attrs[TRIAL_ATTRIBUTE])


def load_for_worker(cfg: Trial) -> "optuna.Study":
    """Returns the study of a trial, for reporting and pruning only.

    Its sampler is a neutral one, since a second `optuna.Trial` object calls `before_trial` again;
    its pruner is the sweep's, which no storage knows.

    Raises:
        UserError: the storage or the study cannot be reached.
    """
    import optuna

    try:
        study = optuna.load_study(
            study_name=cfg.study,
            storage=_storage(full_url(cfg.storage)),
            sampler=optuna.samplers.RandomSampler(),
            pruner=optuna.pruners.NopPruner(),
        )
    except KeyError as error:
        raise UserError(
            f"trial.study: there is no study '{cfg.study}' in {redact(cfg.storage)}."
        ) from error
    return study


def full_url(url: str) -> str:
    """Puts the password back that is never written down."""
    given = os.environ.get(STORAGE_VARIABLE, "")
    return given if redact(given) == redact(url) else url


@functools.lru_cache(maxsize=1)
def _storage(url: str) -> "optuna.storages.BaseStorage":
    """Opens a storage once a process, not once a trial."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.storages.RDBStorage(url, skip_table_creation=True)
