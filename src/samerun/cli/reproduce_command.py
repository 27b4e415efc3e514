"""`samerun reproduce`: reruns a recorded run and compares both bit by bit."""

import argparse
import functools
import os
from typing import TYPE_CHECKING

from samerun import tags as tag
from samerun.cli.id_argument import ID_HELP
from samerun.cli.trust_argument import add_trust
from samerun.errors import FAILED, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from samerun.replay.reproduce import ReproductionPlan
    from samerun.replay.verdict import Agreement
    from samerun.tracking import StoredRun


def reproduce_command(arguments: list[str]) -> int:
    """Reruns a recorded run and prints whether the result is the same."""
    chosen = _parser().parse_intermixed_args(arguments)
    changes = _without_store(chosen.changes)
    from samerun import tracking
    from samerun.python_api import reproduce_children, reproduce_one, show_plan
    from samerun.replay import reproduce

    (run,) = tracking.find_runs([chosen.id])
    prepare = functools.partial(
        reproduce.prepare,
        recorded_code=chosen.code,
        recorded_packages=chosen.env,
        trusted=chosen.trust,
        download=not chosen.check,
    )
    from samerun.console import make_console

    out = make_console()
    if tag.INSTANCES in run.tags:
        if chosen.check or chosen.dry_run:
            return _check_children(run, changes, prepare, out, prints=chosen.check)
        agreement = reproduce_children(run, changes, prepare, out, rtol=chosen.rtol)
        return _exit_code(agreement, chosen)
    plan = prepare(run, changes)
    show_plan(plan, out)
    if chosen.check:
        return _print_check(plan, out)
    reproduce.check(plan)
    if chosen.dry_run:
        return 0
    reproduce.check_data(plan)
    return _exit_code(reproduce_one(plan, out, rtol=chosen.rtol), chosen)


def _check_children(
    run: "StoredRun",
    changes: list[str],
    prepare: "Callable[[StoredRun, Sequence[str]], ReproductionPlan]",
    out: "Console",
    *,
    prints: bool,
) -> int:
    """Compares the circumstances of a parent run with `seeds` or `folds`, and stops."""
    from samerun.launch.reproduction import prepare_instances
    from samerun.python_api import show_plan
    from samerun.replay import reproduce

    plan = prepare_instances(run, changes, prepare)
    show_plan(plan.parent, out)
    if prints:
        return max(_print_check(child, out) for child in plan.children)
    for child in plan.children:
        reproduce.check(child)
    return 0


def _exit_code(agreement: "Agreement", chosen: argparse.Namespace) -> int:
    from samerun.replay.verdict import Agreement

    is_same = agreement is Agreement.exact
    is_close = agreement is Agreement.close and not chosen.exact
    return 0 if is_same or is_close else FAILED


def _print_check(plan: "ReproductionPlan", out: "Console") -> int:
    """Prints whether the run can be reproduced here."""
    from rich.markup import escape

    from samerun.replay import reproduce
    from samerun.replay.comparison import RowState

    reproduce.check(plan)
    unknown = [row.what for row in plan.rows if row.state is RowState.unknown]
    if plan.causes:
        names = ", ".join(dict.fromkeys(f"{row.part}: {row.what}" for row in plan.causes))
        out.print(f"\nIt can be trained here, but the result may differ: {escape(names)}.")
        return FAILED
    if unknown:
        out.print(f"\nNo known difference; not recorded: {escape(', '.join(unknown))}.")
        return 0
    out.print("\nIt can be reproduced here: nothing that matters differs.")
    return 0


def _without_store(changes: list[str]) -> list[str]:
    """Returns the changes without `tracking.uri=…`, the store of the recorded and the new run."""
    for change in changes:
        if "=" not in change:
            raise UserError(
                f"samerun reproduce: received '{change}', expected an override such as "
                "training.intra_op_threads=1."
            )
    from samerun.config.overrides import parse_overrides

    given = parse_overrides(changes)
    for override in given:
        if override.key == "tracking.uri":
            os.environ["MLFLOW_TRACKING_URI"] = str(override.value)
    return [one.text for one in given if one.key != "tracking.uri"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun reproduce",
        description="Trains a recorded run again as a new run and prints a verdict: EXACT (bit "
        "for bit), CLOSE (within --rtol) or DIFFERENT, with the first difference and its most "
        "likely cause. The exit code is 0 for EXACT and CLOSE, 1 for DIFFERENT.",
    )
    parser.add_argument("id", metavar="ID", help=ID_HELP)
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="KEY=VALUE",
        help="overrides, each reported as a difference; workers=5 trains five of the runs with "
        "seeds or folds at a time, as in samerun reproduce latest workers=5",
    )
    add = parser.add_argument
    add(
        "--check",
        action="store_true",
        help="only report whether the run can be reproduced on this machine; exit code 0 or 1",
    )
    add("--dry-run", action="store_true", help="compare code, environment and data, then stop")
    add(
        "--code",
        action="store_true",
        help="train with the recorded commit and its uncommitted changes, in a temporary git "
        "worktree; changes recorded on another machine require --trust recorded-code",
    )
    add(
        "--env",
        action="store_true",
        help="train with the recorded packages, in a new virtual environment; uv installs them, or "
        "pip where uv is missing, which takes minutes; a list recorded on another machine requires "
        "--trust recorded-packages",
    )
    add("--exact", action="store_true", help="exit code 1 for CLOSE too")
    add(
        "--rtol",
        type=float,
        default=1e-3,
        metavar="RTOL",
        help="largest difference that counts as CLOSE, relative to the larger value (%(default)s)",
    )
    add_trust(parser)
    return parser
