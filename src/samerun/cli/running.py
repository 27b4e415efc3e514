"""One run: from a checked config to the result on the screen."""

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samerun import config
from samerun import tags as tag
from samerun.cli.quietness import quiet

if TYPE_CHECKING:
    from rich.console import Console

    from samerun.replay.resume import Plan
    from samerun.tracking import Run, StoredRun
    from samerun.training import Result


def checked(composition: config.Composition) -> config.Composition:
    """Checks a config against its data set, which is described without loading TensorFlow."""
    from samerun import data

    config.check(composition.config, data.describe(composition.config.dataset))
    data.check_download(composition.config.dataset)
    return composition


def program() -> str:
    """Returns what to type for `samerun`: its path where the environment is not activated."""
    if shutil.which("samerun"):
        return "samerun"
    here = Path(sys.orig_argv[1] if len(sys.orig_argv) > 1 else "")
    return os.path.relpath(here) if here.name == "samerun" else "python -m samerun"


def run_one(composition: config.Composition, folder: Path) -> "Result | StoredRun":
    """Trains one run in the folder and shows it on the screen.

    A trial of a sweep goes on with the run that was made for it. Outside a sweep,
    `tracking.if_exists` decides what happens if the same run is in the store already.

    Args:
        composition: a checked config.
        folder: the run's own folder; made if missing.

    Returns:
        What it came to; or the run in the store, where nothing was trained.
    """
    from samerun import provenance, retention, tracking
    from samerun.beginning import describe_origin
    from samerun.cli.stopping import stopping_gently

    cfg = composition.config
    if cfg.trial is not None:
        return _run_trial(composition, folder)  # what signals do is the sweep's to say
    with stopping_gently():
        if cfg.tracking.if_exists is not config.IfExists.rerun:
            earlier = _earlier(cfg)
            if earlier is not None:
                return earlier
        name = tracking.run_name(cfg, composition.overrides)
        found = provenance.collect(_command(composition))
        opened = tracking.open_run(
            cfg,
            folder,
            name=name,
            describe=lambda run: describe_origin(run, composition, found),
        )
        with _told_how_to_go_on(folder), opened as run:
            out, result = _trained(composition, run)
        retention.after_success(cfg, folder)
        _show_end(composition, run, result, out)
        return result


def _trained(composition: config.Composition, run: "Run") -> "tuple[Console, Result]":
    """Trains from the beginning."""
    with quiet():
        from samerun import screen, training
    out = screen.console()
    screen.show_config(composition.config, out)
    return out, training.train(composition.config, run, out)


def _run_trial(composition: config.Composition, folder: Path) -> "Result":
    """Goes on with the run that the sweep made for a trial, from its last checkpoint if any."""
    from samerun import provenance, retention, search, tracking
    from samerun.replay import afresh
    from samerun.replay.resume import find_state

    cfg = composition.config
    assert cfg.trial is not None
    with contextlib.ExitStack() as stack:
        with _stores_may_be_away():
            trial = search.current_trial(cfg.trial)
            (stored,) = tracking.find_runs([cfg.trial.run], uri=cfg.tracking.uri)
            afresh.give_up_if_asked(stored, uri=cfg.tracking.uri)
            state = find_state(stored, cfg, uri=cfg.tracking.uri) if stored.has_begun else None
            again = tracking.reopen_run(
                folder,
                run_id=stored.id,
                uri=cfg.tracking.uri,
                tags={tag.RESUMED: str(stored.num_resumed + 1)} if state else {},
                take_over=True,  # the sweep knows that nobody else works on it
                patience=cfg.tracking.patience_seconds,
            )
            run = stack.enter_context(again)
        with quiet():
            from samerun import logbook, screen, training
        out = screen.console()
        screen.show_config(cfg, out)
        logbook.describe_origin(run, composition, provenance.collect(_command(composition)))
        result = training.train(cfg, run, out, state=state, trial=trial)
    retention.after_success(cfg, folder)
    _show_end(composition, run, result, out)
    return result


@contextlib.contextmanager
def _stores_may_be_away() -> Iterator[None]:
    """Tells a store that does not answer from the faults of a trial."""
    from samerun import search

    try:
        yield
    except Exception as error:
        if not search.was_away(error):
            raise
        raise search.StoreAway(str(error)) from error


def _earlier(cfg: config.Config) -> "Result | StoredRun | None":
    """Does what `tracking.if_exists` says with the same run, if there is one."""
    from samerun import tracking
    from samerun.cli import existing
    from samerun.replay import resume
    from samerun.replay.origin import clean
    from samerun.user_code import targets

    try:
        runs = existing.same_runs(cfg)
    except Exception as error:
        if not tracking.is_unavailable(error):
            raise
        raise config.UserError(
            f"tracking.if_exists: received '{cfg.tracking.if_exists}', but whether the same run "
            f"exists cannot be answered while the tracking store is unavailable "
            f"({tracking.first_line(error)}): start the store, or train without looking with "
            "tracking.if_exists=rerun."
        ) from error
    done = existing.finished(runs)
    if done is not None:
        result = done.tags.get(tag.RESULT, "no result")
        print(clean(f"The same run has finished: {done.name} ({done.id}): {result}", 400))
        return done
    existing.check_delivered(runs)
    going_on = existing.unfinished(runs)
    if cfg.tracking.if_exists is config.IfExists.skip or going_on is None:
        return None
    own = [target.partition(":")[0] for target in targets(cfg).values()]
    plan = resume.plan_resume(going_on, trusted=own, uri=cfg.tracking.uri, asked=cfg)
    return go_on(plan)


def go_on(plan: "Plan") -> "Result":
    """Goes on with a run, or forks it, and shows it on the screen.

    Args:
        plan: how.
    """
    from samerun.cli.stopping import stopping_gently
    from samerun.replay import resume
    from samerun.replay.origin import clean

    begun = f"{'From' if plan.is_fork else 'Going on with'} {clean(plan.run.name)}"
    print(f"{begun} {plan.told}", flush=True)
    with stopping_gently(), _told_how_to_go_on(plan.folder):
        with quiet():
            resume.check_data(plan)
            from samerun import logbook, screen, training  # noqa: F401 - where it is quiet
        out = screen.console()
        screen.show_config(plan.composition.config, out)
        result = resume.go_on(plan, out)
    lines = [
        ("score", result.sentence),
        ("run", f"{result.run_name}  {result.run_id}"),
        ("look", _address(result.run_id, plan.uri) or f"{program()} ui"),
    ]
    if not plan.is_fork:
        lines.append(("again", f"{program()} reproduce {result.run_id[:8]}"))
    screen.show_lines(lines, out)
    return result


def _address(run_id: str, uri: str) -> str | None:
    """Returns where to look at a run; a store that is unavailable by now keeps its end as it is."""
    from samerun import tracking

    with contextlib.suppress(Exception):
        return tracking.url_of(run_id, uri=uri)
    return None


def _command(composition: config.Composition) -> str:
    return shlex.join(["samerun", "train", *composition.overrides])


def _show_end(
    composition: config.Composition, run: "Run", result: "Result", out: "Console"
) -> None:
    from samerun import screen

    screen.show_lines(
        [
            ("score", result.sentence),
            ("run", f"{run.name}  {run.id}"),
            _look(run),
            ("again", _command(composition).replace("samerun", program(), 1)),
        ],
        out,
    )


def _look(run: "Run") -> tuple[str, str]:
    """Returns where to look at a run, or what has to be done before."""
    if run.undelivered:
        return "sync", f"{program()} sync {run.id}  (the store does not have {run.undelivered})"
    return "look", run.url or f"{program()} ui"


@contextlib.contextmanager
def _told_how_to_go_on(folder: Path) -> Iterator[None]:
    """Notes on an interruption how the run is resumed, if a checkpoint was written."""
    from samerun.tracking import Terminated, is_created, run_in

    try:
        yield
    except (KeyboardInterrupt, Terminated) as error:
        run_id = run_in(folder)
        if run_id is not None and (folder / "checkpoints" / "last.npz").exists():
            if not is_created(folder):
                error.add_note(f"First deliver it with: {program()} sync {run_id}")
            error.add_note(f"It goes on with: {program()} resume {run_id}")
        raise


def train(overrides: Sequence[str] = ()) -> "Result | StoredRun":
    """Trains one run from Python, as `samerun train` does from the command line.

    Args:
        overrides: such as `["model=mlp", "training.epochs=5"]`.

    Returns:
        What it came to; or the run in the store, where `tracking.if_exists` found the same one.

    Raises:
        UserError: an override that is not understood, or data that does not fit.
    """
    from samerun import tracking

    return run_one(checked(config.compose(overrides)), tracking.fresh_folder())
