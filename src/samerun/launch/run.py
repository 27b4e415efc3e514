"""One run: from a checked config to the result on the console."""

import contextlib
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from samerun import config, stopwatch
from samerun import tags as tag
from samerun.command_line import line
from samerun.config.training import IfExists
from samerun.errors import Terminated, UserError, first_line
from samerun.process import graceful_stop, quiet

if TYPE_CHECKING:
    from rich.console import Console

    from samerun.replay.resume import ResumePlan
    from samerun.result import InstancesResult, Result
    from samerun.tracking import Run, StoredRun


def run_one(
    composition: config.Composition,
    folder: Path,
    *,
    parent: "Run | None" = None,
    varied: Collection[str] = (),
) -> "Result | StoredRun":
    """Trains one run in the folder and shows it on the console.

    `tracking.if_exists` decides what happens if the same run is in the store already.

    Args:
        composition: a checked config.
        folder: the run's own folder; made if missing.
        parent: the run above it, which has shown the config.
        varied: the keys by which it differs from the other runs below that one.

    Returns:
        The result; or the run in the store, if nothing was trained.
    """
    with stopwatch.part("imports"):
        from samerun import provenance, retention, tracking
        from samerun.origin import describe_origin

    cfg = composition.config
    with graceful_stop():
        done, unfinished = find_existing(cfg)
        if unfinished is not None:
            return resume_run(unfinished)
        if done is not None:
            return done
        with stopwatch.part("tracking"):
            found = provenance.collect(command_of(composition))
            opened = tracking.open_run(
                cfg,
                folder,
                name=tracking.run_name(cfg, composition.overrides, varied),
                tags={} if parent is None else {"mlflow.parentRunId": parent.id},
                describe=lambda run: describe_origin(run, composition, found),
            )
        with print_resume_hint(folder, cfg), contextlib.ExitStack() as stack:
            with stopwatch.part("tracking"):
                run = stack.enter_context(opened)
            with stopwatch.part("imports"), quiet():
                from samerun import console, training
            out = console.make_console()
            result = training.start(composition, run, out, shows_config=parent is None)
        retention.after_success(cfg, folder)
        show_end(run, result, out)
        return result


def find_existing(cfg: config.Config) -> "tuple[StoredRun | None, ResumePlan | None]":
    """Looks for the same run in the store, as `tracking.if_exists` says.

    Args:
        cfg: the config of the requested run.

    Returns:
        The run, if it has finished; how it is resumed, if it has not and is to be resumed.
    """
    if cfg.tracking.if_exists is IfExists.rerun:
        return None, None
    from samerun import tracking
    from samerun.launch import existing
    from samerun.replay import resume
    from samerun.replay.recorded import clean
    from samerun.user_code import trust_names

    try:
        runs = existing.same_runs(cfg)
    except Exception as error:
        if not tracking.is_unavailable(error):
            raise
        raise UserError(
            f"tracking.if_exists: received '{cfg.tracking.if_exists}', but whether the same run "
            f"exists cannot be known while the tracking store is unavailable "
            f"({first_line(error)}): start the store, or train without the check with "
            "tracking.if_exists=rerun."
        ) from error
    done = existing.finished(runs)
    if done is not None:
        result = done.tags.get(tag.RESULT, "no result")
        print(clean(f"The same run has already finished: {done.name} ({done.id}): {result}", 400))
        return done, None
    existing.check_delivered(runs)
    unfinished = existing.unfinished(runs)
    if cfg.tracking.if_exists is IfExists.skip or unfinished is None:
        return None, None
    own, uri = trust_names(cfg), cfg.tracking.uri
    return None, resume.plan_resume(unfinished, trusted=own, uri=uri, requested=cfg)


def resume_run(plan: "ResumePlan") -> "Result":
    """Resumes a run, or forks it, and shows it on the console.

    Args:
        plan: how.
    """
    from samerun.replay import resume
    from samerun.replay.recorded import clean

    action = "Forking" if plan.is_fork else "Resuming"
    print(f"{action} {clean(plan.run.name)} {plan.source}", flush=True)
    with graceful_stop(), print_resume_hint(plan.folder, plan.composition.config):
        with quiet():
            resume.check_data(plan)
            from samerun import console, training  # noqa: F401  (loads TensorFlow)
        out = console.make_console()
        result = resume.resume(plan, out)
    url = _address(result.run_id, plan.uri)
    console.show_lines([*_outcome(result), *_next(result, url)], out)
    return result


def _address(run_id: str, uri: str) -> str | None:
    """Returns the URL of a run; `None` if the store is unavailable by now."""
    from samerun import tracking

    with contextlib.suppress(Exception):
        return tracking.url_of(run_id, uri=uri)
    return None


def command_of(composition: config.Composition) -> str:
    """Returns the command line that trains a run with this config."""
    return shlex.join(["samerun", "train", *composition.overrides])


def show_end(run: "Run", result: "Result | InstancesResult", out: "Console") -> None:
    """Prints the score of a run and what to type next."""
    from samerun import console

    console.show_lines([*_outcome(result), *_next(result, run.url, run.undelivered)], out)


def _outcome(result: "Result | InstancesResult") -> list[tuple[str, str]]:
    return [("score", result.sentence), ("run", f"{result.run_name}  {result.run_id}")]


def _next(
    result: "Result | InstancesResult", url: str | None, undelivered: str = ""
) -> list[tuple[str, str]]:
    """Returns what to type after a run: a label and a command each.

    Args:
        result: of the run.
        url: its address in MLflow's pages; `None` if the store is no server.
        undelivered: what the store does not have.
    """
    rows, run_id = [], result.run_id
    if undelivered:
        rows.append(("missing", f"the store does not have {undelivered}; deliver it first:"))
        rows.append(("sync", line("sync", run_id)))
    rows.append(("reproduce", line("reproduce", run_id[:8], trust=result.trust)))
    rows.append(("show", line("show", run_id[:8])))
    rows.append(("open", url or line("ui", run_id[:8])))
    return rows


@contextlib.contextmanager
def print_resume_hint(folder: Path, cfg: config.Config, *, always: bool = False) -> Iterator[None]:
    """Adds to an interruption how to resume the run, if a checkpoint was written.

    Args:
        folder: the run's own folder.
        cfg: its config.
        always: also without a checkpoint, as for a parent run, whose children have them.
    """
    from samerun.tracking import is_created, run_in
    from samerun.user_code import trust_names

    try:
        yield
    except (KeyboardInterrupt, Terminated) as error:
        run_id = run_in(folder)
        has_checkpoint = always or (folder / "checkpoints" / "last.npz").exists()
        if run_id is not None and has_checkpoint:
            if not is_created(folder):
                error.add_note(f"Deliver first with: {line('sync', run_id)}")
            error.add_note(f"Resume with: {line('resume', run_id, trust=trust_names(cfg))}")
        raise
