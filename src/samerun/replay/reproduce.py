"""Reruns a recorded run as a new run and compares both bit by bit."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from samerun import checkpoints, config, data, retention, tracking, user_code
from samerun import tags as tag
from samerun.config import Config
from samerun.config.older import drop_new_keys
from samerun.config.overrides import parse_overrides
from samerun.config.secrets import check_secrets_given, safe_yaml
from samerun.config.stored import apply_overrides
from samerun.errors import UserError
from samerun.process import quiet
from samerun.redaction import redact_override
from samerun.replay import comparison, foreign, recorded, rerun, verdict
from samerun.replay.comparison import Row
from samerun.replay.isolated import train_isolated
from samerun.replay.recorded import RecordedRun
from samerun.replay.trust import check_trusted, trusts_components
from samerun.replay.verdict import RTOL, Verdict
from samerun.tracking import StoredRun


@dataclass(frozen=True, kw_only=True)
class ReproductionPlan:
    """What is to be rerun, and how this machine and checkout differ from the recorded ones.

    Args:
        recorded: the recorded run.
        cfg: what will be trained: its config with the overrides.
        overrides: the overrides, as text.
        rows: the comparison.
        recorded_code: train with the recorded code.
        recorded_packages: train in an environment with the recorded packages.
        trusted: what the user trusts.
        missing: packages that the run needs and this environment lacks.
        digests: what each split must be before anything of it is uploaded; `None`: any data may.
        here: what each split of the recorded dataset is here, where that is known.
    """

    recorded: RecordedRun
    cfg: Config
    overrides: tuple[str, ...]
    rows: list[Row]
    recorded_code: bool
    recorded_packages: bool
    trusted: tuple[str, ...]
    missing: tuple[str, ...]
    digests: Mapping[str, str] | None
    here: Mapping[str, str] | None

    @property
    def causes(self) -> list[Row]:
        """What differs and may change the result."""
        return [row for row in self.rows if row.is_cause]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A run that was rerun.

    Args:
        first: the recorded run.
        second: the new one.
        rows: what differs around them, as both recorded it.
        verdict: whether they are the same.
    """

    first: StoredRun
    second: StoredRun
    rows: list[Row]
    verdict: Verdict


def prepare(
    run: StoredRun,
    overrides: Sequence[str] = (),
    *,
    recorded_code: bool = False,
    recorded_packages: bool = False,
    trusted: Sequence[str] = (),
    download: bool = True,
) -> ReproductionPlan:
    """Compares the circumstances of a recorded run with those here, without training.

    Args:
        run: the recorded run.
        overrides: changes of its config, such as `training.intra_op_threads=1`; they are rows.
        recorded_code: as if the recorded code were checked out.
        recorded_packages: as if the recorded packages were installed.
        trusted: modules that its config may import, `data`, `recorded-code`, `recorded-packages`.
        download: also read data that Keras may have to download.

    Raises:
        UserError: the run cannot be trained here, or what it holds is not to be trusted.
    """
    found = recorded.read(run, trusted=trusted)
    check_trusted(found.cfg, trusted)
    cfg = _config_to_rerun(found, overrides, trusted)
    check_trusted(cfg, trusted)
    check_secrets_given(cfg)
    foreign.check_paths(run, cfg, overrides, trusted)
    must_match = foreign.must_match(run, cfg, overrides, trusted)
    is_own = user_code.is_function(cfg.dataset)
    if not recorded_code:
        user_code.check_functions(cfg)
    present = recorded.present_provenance(cfg, None)
    if not (recorded_code and is_own):  # else the function is only there when it is checked out
        config.check(cfg, data.describe(cfg.dataset))
        if download or not data.may_download(cfg.dataset):
            present = dataclasses.replace(present, data=data.digests(cfg.dataset))
    missing = () if recorded_packages else comparison.missing_packages(found.provenance, present)
    present = _as_if(found, present, recorded_code, recorded_packages)
    rows = comparison.compare(found.provenance, present)
    before, after = effective(found.cfg, run.tags), effective(cfg, {})
    rows = [*comparison.settings(before, after, ignored=comparison.NOT_MEANT), *rows]
    return ReproductionPlan(
        recorded=found,
        cfg=cfg,
        overrides=tuple(overrides),
        rows=comparison.in_order(rows),
        recorded_code=recorded_code,
        recorded_packages=recorded_packages,
        trusted=tuple(trusted),
        missing=tuple(missing),
        digests=foreign.recorded_digests(run) if must_match else None,
        here=present.data if cfg.dataset == found.cfg.dataset else None,
    )


def check(plan: ReproductionPlan) -> None:
    """Checks that the run can be trained here.

    Raises:
        UserError: a package that it needs is missing.
    """
    comparison.check_packages(plan.missing)


def check_data(plan: ReproductionPlan) -> None:
    """Checks that the data here may go to the tracking store.

    With the recorded code the data is read, and so checked, by the process that trains.

    Raises:
        UserError: another machine recorded the run, and this is not its data.
    """
    if plan.digests is not None and not plan.recorded_code:
        foreign.check_data(plan.recorded.run, plan.recorded.cfg, plan.here)


def load_training(plan: ReproductionPlan) -> None:
    """Imports TensorFlow, unless the recorded code or packages train in a process of their own."""
    if not (plan.recorded_code or plan.recorded_packages):
        with quiet():
            from samerun import logbook, training  # noqa: F401


def reproduce(
    plan: ReproductionPlan,
    out: Console,
    *,
    rtol: float = RTOL,
    tags: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Reproduction:
    """Reruns a run, compares both and tags the new run with the verdict.

    Args:
        plan: the result of `prepare`.
        out: where to show progress.
        rtol: largest difference that counts as close, relative to the larger value.
        tags: set on the new run from the start, besides its own.
        folder: the new run's own folder; `None`: a new one in `outputs/`.

    Raises:
        UserError: a package is missing, the data or the store cannot be used, or the new run
            could not be delivered to the store.
        Diverged: the loss or a metric became NaN or infinite.
    """
    check(plan)
    check_data(plan)
    first = plan.recorded.run
    request = _request(plan, tags or {}, folder or tracking.fresh_folder())
    if first.tags.get(tag.FORKED_AT):
        _fetch_start(first, Path(request.folder))
    if plan.recorded_code or plan.recorded_packages:
        new_id = train_isolated(
            plan.recorded,
            request,
            recorded_code=plan.recorded_code,
            recorded_packages=plan.recorded_packages,
            trusted=plan.trusted,
            out=out,
        )
    else:
        new_id = rerun.train(request)
    retention.after_success(plan.cfg, Path(request.folder))
    second = tracking.find_runs([new_id])[0]
    if second.status != "FINISHED":
        raise UserError(
            f"Run {second.id} was trained, but the store does not have all of it yet: it waits "
            f"for delivery in {request.folder}."
        )
    rows = rows_between(first, second)
    found = verdict.judge(verdict.read(first), verdict.read(second), rows, rtol=rtol)
    tracking.tag_run(second, {tag.VERDICT: found.agreement.value})
    return Reproduction(first=first, second=second, rows=rows, verdict=found)


def rows_between(first: StoredRun, second: StoredRun) -> list[Row]:
    """Returns what differs around two stored runs: config, code, data, environment, machine."""
    one, other = recorded.read(first), recorded.read(second)
    leaves = effective(one.cfg, first.tags), effective(other.cfg, second.tags)
    rows = comparison.settings(*leaves, ignored=comparison.NOT_MEANT)
    return comparison.in_order([*rows, *comparison.compare(one.provenance, other.provenance)])


_EFFECTIVE = {
    "training.steps_per_execution": tag.STEPS_PER_EXECUTION,
    "dataset.batch_size": tag.BATCH_SIZE,
}
"""Keys for which a run may use another value than the configured one, and the tag with it."""


def effective(cfg: Config, tags: Mapping[str, str]) -> dict[str, str]:
    """Returns the flattened config with the values in use: for `auto`, or after a retry."""
    leaves = config.flatten(cfg)
    used = {key: tags.get(tag, "") for key, tag in _EFFECTIVE.items()}
    return leaves | {key: value for key, value in used.items() if value.isdecimal()}


def _fetch_start(run: StoredRun, folder: Path) -> None:
    """Downloads the initial state of a forked run to where the new run looks for it.

    Raises:
        UserError: the store does not have it.
    """
    path = f"checkpoints/{checkpoints.START}"
    if path not in tracking.list_artifacts(run, "checkpoints"):
        raise UserError(
            f"Run {run.id} was forked from another one, and the store does not have its initial "
            f"state ({path}): reproduce {run.tags.get(tag.FORKED_FROM)} instead."
        )
    (folder / "checkpoints").mkdir(parents=True)
    tracking.download_artifact(run, path, folder / path, most_bytes=checkpoints.MOST_BYTES)


def _as_if(
    found: RecordedRun, present: recorded.Provenance, recorded_code: bool, recorded_packages: bool
) -> recorded.Provenance:
    """Returns the provenance that the rerun will have, with recorded code or packages in place."""
    then = found.provenance
    if recorded_code:
        present = dataclasses.replace(
            present, commit=then.commit, patch=then.patch, left_out=then.left_out, files=then.files
        )
    if recorded_packages:
        present = dataclasses.replace(
            present, packages=then.packages, tensorflow_build=then.tensorflow_build
        )
    return present


def _config_to_rerun(
    found: RecordedRun, overrides: Sequence[str], trusted: Sequence[str]
) -> Config:
    """Returns the recorded config, for the store it came from, and as no trial of a sweep."""
    own_code = trusts_components(trusted)
    cfg = apply_overrides(found.resolved, overrides, own_code=own_code).config
    here = tracking.resolve_uri(None)
    uri = cfg.tracking.uri
    is_here = uri is not None and "***" not in uri and tracking.resolve_uri(uri) == here
    # Start with the values that the run ended with, unless an override gives another one.
    given = {one.path for one in parse_overrides(overrides)}
    kept = {key: value for key, value in _EFFECTIVE.items() if key not in given}
    used = {key: effective(cfg, found.run.tags)[key] for key in kept}
    steps = used.get("training.steps_per_execution", cfg.training.steps_per_execution)
    batch = int(used.get("dataset.batch_size", cfg.dataset.batch_size))
    return dataclasses.replace(
        cfg,
        trial=None,
        tracking=dataclasses.replace(cfg.tracking, uri=uri if is_here else None),
        training=dataclasses.replace(cfg.training, steps_per_execution=steps),
        dataset=dataclasses.replace(cfg.dataset, batch_size=batch),
    )


def name_of_reproduction(first: tracking.StoredRun, cfg: Config) -> str:
    """Returns `again-NAME`, from the second reproduction on `again-2-NAME`.

    Args:
        first: the recorded run.
        cfg: the config of its reproduction, which names the store.
    """
    num = len(tracking.find_by_tags(cfg, {tag.REPRODUCES: first.id}))
    return "again-" + (f"{num + 1}-" if num else "") + recorded.clean(first.name)


def _request(plan: ReproductionPlan, tags: Mapping[str, str], folder: Path) -> rerun.Request:
    first = plan.recorded.run
    safe = [redact_override(override) for override in plan.overrides]
    flags = ["--code"] * plan.recorded_code + ["--env"] * plan.recorded_packages
    return rerun.Request(
        resolved=drop_new_keys(config.to_yaml(plan.cfg), plan.recorded.resolved),
        written=drop_new_keys(safe_yaml(config.to_yaml(plan.cfg)), plan.recorded.resolved),
        overrides=safe,
        name=name_of_reproduction(first, plan.cfg),
        tags={**tags, tag.REPRODUCES: first.id},
        folder=str(folder),
        command=["samerun", "reproduce", first.id, *safe, *flags],
        digests=plan.digests if plan.recorded_code else None,
    )
