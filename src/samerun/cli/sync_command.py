"""`samerun sync`: delivers what tracking stores lack."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samerun.errors import FAILED, USER_ERROR, UserError

if TYPE_CHECKING:
    from samerun.tracking.delivery.lines import Line
    from samerun.tracking.recovery.completeness import Completeness
    from samerun.tracking.recovery.sync import Synced

_MOST_NAMED = 10


def sync_command(arguments: list[str]) -> int:
    """Delivers, or compares; 0: the stores have everything, 1: not, 2: one is unavailable."""
    chosen = _parser().parse_args(arguments)
    folders = _folders(chosen.runs, chosen.all)
    return _check(folders) if chosen.check else _sync(folders, is_named=bool(chosen.runs))


def _folders(runs: Sequence[str], all_below: str | None) -> list[Path]:
    from samerun.tracking.recovery import folders, sync

    if runs and all_below is not None:
        raise UserError("--all: received with runs, expected one of the two.")
    if runs:
        return sync.find_folders(runs)
    if not all_below:
        return list(sync.project_folders())
    if not Path(all_below).is_dir():
        raise UserError(f"--all: received '{all_below}', expected a folder with runs in it.")
    return list(folders.run_folders(Path(all_below).absolute()))


def _sync(folders: Sequence[Path], *, is_named: bool) -> int:
    from samerun.tracking.recovery import sync

    total: Counter[str] = Counter()
    results = []
    for one in sync.sync(folders):
        results.append(one)
        total += one.delivered
        for line in _lines(one):
            print(line, flush=True)
    alive = sum(one.is_alive for one in results)
    incomplete = [one for one in results if one.problem or one.refused]
    parts = [f"{len(folders)} {'run' if len(folders) == 1 else 'runs'}"]
    parts.append(f"delivered {_counted(total)}" if total else "nothing to deliver")
    if alive:
        parts.append(f"{alive} running")
    if incomplete:
        parts.append(f"{len(incomplete)} incomplete")
    print(f"{parts[0]}: {', '.join(parts[1:])}.")
    lost = {one.facts.uri: one.problem for one in results if one.is_unavailable}
    for uri, problem in lost.items():
        print(
            f"samerun: the tracking store {uri} is unavailable ({problem}): start it and run "
            "`samerun sync` again; nothing is lost.",
            file=sys.stderr,
        )
    return USER_ERROR if lost else FAILED if incomplete else 0


def _lines(one: "Synced") -> list[str]:
    who = f"{one.facts.name} ({one.facts.shown_id[:8]})"
    if one.is_alive:
        return [f"{who}: is running in {one.folder}, skipped."]
    lines = [f"{who}: delivered {_counted(one.delivered)}."] if one.delivered else []
    lines += [f"{who}: {_refusal(line)}" for line in one.refused]
    if one.problem and not one.is_unavailable:
        lines.append(f"{who}: incomplete: {one.problem}")
    return lines


def _refusal(line: "Line") -> str:
    return f"refused: {line['kind']} '{line['key']}': {line['reason']}"


def _counted(counts: "Counter[str]") -> str:
    return ", ".join(
        f"{number} {kind}{'s' if number > 1 else ''}" for kind, number in sorted(counts.items())
    )


def _check(folders: Sequence[Path]) -> int:
    from samerun.tracking.recovery import sync

    code = 0
    for one in sync.check(folders):
        who = f"{one.facts.name} ({one.facts.shown_id[:8]})"
        if one.is_alive:
            print(f"{who}: is running in {one.folder}, skipped.")
        elif one.problem:
            print(f"samerun: {who}: {one.problem}", file=sys.stderr)
            code = max(code, 2 if one.is_unavailable else 1)
        else:
            is_equal = not any(row.differences for row in one.rows)
            print(f"{who}: {'equal' if is_equal else 'not equal'}")
            print("\n".join(_table(one.rows)), flush=True)
            for line in one.refused:
                print(f"  {_refusal(line)}")
            code = code if is_equal else max(code, 1)
    print(f"{len(folders)} {'run' if len(folders) == 1 else 'runs'} compared.")
    return code


def _table(rows: "Sequence[Completeness]") -> list[str]:
    lines = [f"  {'':<10}{'in folder':>10}{'not in store':>14}"]
    for row in rows:
        lines.append(f"  {row.kind:<10}{row.num_in_folder:>10}{len(row.differences):>14}")
    for row in rows:
        lines += [f"  {row.kind}: {text}" for text in row.differences[:_MOST_NAMED]]
        if len(row.differences) > _MOST_NAMED:
            lines.append(f"  {row.kind}: and {len(row.differences) - _MOST_NAMED} more")
    return lines


def print_undelivered() -> None:
    """Prints to standard error if runs of this working folder are not completely delivered."""
    if not any(os.path.isdir(name) for name in ("outputs", "multirun")):
        return
    from samerun.tracking.recovery import sync

    number = len(sync.undelivered(sync.project_folders()))
    if number:
        runs = "1 run is" if number == 1 else f"{number} runs are"
        print(
            f"{runs} not completely in the tracking store: run `samerun sync --all`.",
            file=sys.stderr,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun sync",
        description="Delivers from the run folders what the tracking store is missing, for ended "
        "runs; by default for all runs of this working folder (outputs/ and multirun/).",
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="ID|FOLDER",
        help="run IDs, their first characters, names, or run folders",
    )
    parser.add_argument(
        "--check", action="store_true", help="compare run folders and store without delivering"
    )
    parser.add_argument(
        "--all",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="all runs of this working folder, or of FOLDER",
    )
    return parser
