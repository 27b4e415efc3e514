"""Whether the same run, by config, code and data, is in the store already."""

from samerun import config, tracking
from samerun import tags as tag
from samerun.errors import UserError
from samerun.process import quiet


def same_runs(cfg: config.Config) -> list[tracking.StoredRun]:
    """Returns the runs in the store of equal config, code and data, the latest first.

    The data is read only if a run has the same config and code.

    Args:
        cfg: the config of the requested run.

    Raises:
        UserError: the store or the data cannot be read.
    """
    from samerun import data, identity, provenance

    code = provenance.collect("").code.digest
    first_look = {
        tag.FINGERPRINT_CONFIG: config.fingerprint(cfg),
        tag.FINGERPRINT_CODE: code,
    }
    found = [run for run in tracking.find_by_tags(cfg, first_look) if is_as_configured(run)]
    if not found:
        return []
    with quiet():
        fingerprint = identity.of_run(cfg, data.digests(cfg.dataset))
    return [run for run in found if run.tags.get(tag.FINGERPRINT) == fingerprint]


def is_as_configured(run: tracking.StoredRun) -> bool:
    """Whether a run is what its config says.

    One that was forked from another run, or that was not repeated exactly when it was resumed, is
    not.
    """
    return not {tag.FORKED_FROM, tag.RESUME_DIFFERS} & set(run.tags)


def finished(runs: list[tracking.StoredRun]) -> tracking.StoredRun | None:
    """Returns the latest run that has finished and is all in the store."""
    return next((r for r in runs if r.status == "FINISHED" and not _undelivered(r)), None)


def _undelivered(run: tracking.StoredRun) -> str:
    return run.tags.get(tag.UNDELIVERED, "")


def check_delivered(runs: list[tracking.StoredRun]) -> None:
    """Checks that no finished run has something left that the store lacks.

    Raises:
        UserError: there is one; neither can it be skipped nor is there anything to resume.
    """
    for run in runs:
        if run.status == "FINISHED" and _undelivered(run):
            raise UserError(
                f"The same run has finished ({run.id}), but the tracking store does not have all "
                f"of it: deliver it with `samerun sync {run.id}`, or rerun it with "
                "tracking.if_exists=rerun."
            )


def unfinished(runs: list[tracking.StoredRun]) -> tracking.StoredRun | None:
    """Returns the latest run that can be resumed; a trial is resumed by its sweep."""
    return next((run for run in runs if tag.TRIAL not in run.tags), None)
