"""`samerun reproduce`: trains a recorded run again and compares it bit by bit."""

import argparse
import os
from typing import TYPE_CHECKING

from samerun.errors import FAILED, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from samerun.replay.reproduce import Plan


def reproduce_command(words: list[str]) -> int:
    """Trains a stored run again and says whether it came out the same."""
    chosen = _reproduce_parser().parse_intermixed_args(words)
    changes = _without_store(chosen.changes)
    from samerun import tracking
    from samerun.replay import reproduce

    (run,) = tracking.find_runs([chosen.id])
    plan = reproduce.prepare(
        run,
        changes,
        recorded_code=chosen.code,
        recorded_packages=chosen.env,
        trusted=chosen.trust,
        download=not chosen.check,
    )
    from samerun.console import make_console

    out = make_console()
    _show_plan(plan, out)
    if chosen.check:
        return _answer(plan, out)
    reproduce.check(plan)
    if chosen.dry_run:
        return 0
    reproduce.check_data(plan)
    return _train(plan, chosen, out)


def _train(plan: "Plan", chosen: argparse.Namespace, out: "Console") -> int:
    from samerun.process import graceful_stop, quiet
    from samerun.replay import reproduce
    from samerun.replay.verdict import Word
    from samerun.report import reproduction

    with graceful_stop():
        if not (plan.recorded_code or plan.recorded_packages):
            with quiet():
                from samerun import logbook, training  # noqa: F401  (loads TensorFlow)
        found = reproduce.reproduce(plan, out, rtol=chosen.rtol)
    reproduction.write(found)
    reproduction.show(found, out)
    word = found.verdict.word
    return 0 if word is Word.exact or (word is Word.close and not chosen.exact) else FAILED


def _show_plan(plan: "Plan", out: "Console") -> None:
    from rich.markup import escape

    from samerun.replay import comparison, recorded

    run = plan.recorded.run
    out.print(f"[bold]{escape(recorded.clean(run.name))}[/]  {run.id}")
    comparison.show(plan.rows, out)


def _answer(plan: "Plan", out: "Console") -> int:
    """Says whether this place could reproduce the run."""
    from rich.markup import escape

    from samerun.replay import reproduce
    from samerun.replay.comparison import State

    reproduce.check(plan)
    unknown = [row.what for row in plan.rows if row.state is State.unknown]
    if plan.causes:
        names = ", ".join(dict.fromkeys(f"{row.part}: {row.what}" for row in plan.causes))
        out.print(f"\nIt can be trained here, but may come out differently: {escape(names)}.")
        return FAILED
    if unknown:
        out.print(f"\nNothing that is known differs; not known: {escape(', '.join(unknown))}.")
        return 0
    out.print("\nThis place can reproduce it: nothing that matters differs.")
    return 0


def _without_store(changes: list[str]) -> list[str]:
    """Takes `tracking.uri=…` out of the changes: it says where the run is, and the new one goes."""
    for word in changes:
        if "=" not in word:
            raise UserError(f"'{word}': expected a change such as training.intra_op_threads=1.")
    from samerun.config.overrides import parse_overrides

    given = parse_overrides(changes)
    for override in given:
        if override.key == "tracking.uri":
            os.environ["MLFLOW_TRACKING_URI"] = str(override.value)
    return [one.text for one in given if one.key != "tracking.uri"]


def _reproduce_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun reproduce",
        description="Trains a stored run again, as a new run, and ends with a verdict: EXACT (bit "
        "for bit), CLOSE (within --rtol) or DIFFERENT, with the first difference and its most "
        "likely cause. Exit code 0 for EXACT and CLOSE, 1 for DIFFERENT.",
    )
    parser.add_argument("id", metavar="ID", help="run ID, or its beginning, or the run's name")
    parser.add_argument(
        "changes", nargs="*", metavar="KEY=VALUE", help="changes, each named as a difference"
    )
    add = parser.add_argument
    add("--check", action="store_true", help="only say whether this place could; exit code 0 or 1")
    add("--dry-run", action="store_true", help="compare code, environment and data, then stop")
    add(
        "--code",
        action="store_true",
        help="with the recorded commit and its uncommitted changes, in a temporary git worktree; "
        "changes that this machine did not record itself need --trust recorded-code",
    )
    add(
        "--env",
        action="store_true",
        help="with the recorded packages, in a fresh virtual environment; uv installs them where "
        "it is found, else pip, which takes minutes; a list that this machine did not record "
        "itself needs --trust recorded-packages",
    )
    add("--exact", action="store_true", help="exit code 1 for CLOSE too")
    add(
        "--rtol",
        type=float,
        default=1e-3,
        metavar="SHARE",
        help="largest difference that is CLOSE, as a share of the larger value (%(default)s)",
    )
    add(
        "--trust",
        action="append",
        default=[],
        metavar="NAME",
        help="module of your own that the stored config may import; or data, where a run that this "
        "machine did not record names files outside of the working folder or was trained with "
        "other data: texts and class names of it go to the tracking store; may be given several "
        "times",
    )
    return parser
