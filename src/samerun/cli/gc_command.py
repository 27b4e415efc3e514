"""`samerun gc`: frees the disk space of checkpoints that can be reproduced."""

import argparse
import re
from typing import TYPE_CHECKING

from samerun.amounts import duration, size
from samerun.errors import UserError

if TYPE_CHECKING:
    from samerun.replay.garbage import Entry

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def gc_command(arguments: list[str]) -> int:
    """Lists checkpoints and deletes those that can be reproduced."""
    chosen = _parser().parse_args(arguments)
    oldest = seconds(chosen.older_than)
    from samerun.replay import garbage

    entries = garbage.survey(older_than_seconds=oldest)
    if not entries:
        print("No run of this machine has checkpoints: nothing to delete.")
        return 0
    _show(entries, dry_run=chosen.dry_run)
    going = [entry for entry in entries if entry.kept_because is None]
    kept = sum(entry.checkpoint_bytes for entry in entries if entry.kept_because is not None)
    if chosen.dry_run:
        freed = sum(entry.checkpoint_bytes for entry in going)
        print(f"\nWould free {size(freed)} of {_runs(len(going))}; {size(kept)} are kept.")
        return 0
    freed = sum(garbage.collect(entry) for entry in going)
    print(f"\nFreed {size(freed)} of {_runs(len(going))}; {size(kept)} are kept.")
    return 0


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _show(entries: "list[Entry]", *, dry_run: bool) -> None:
    from samerun.replay.recorded import clean

    rows = [("run", "ID", "age", "status", "checkpoints", "other", "")]
    for entry in entries:
        drops = f"{'would delete' if dry_run else 'delete'}: EXACT reproduction {entry.proof}"
        rows.append(
            (
                clean(entry.run.name, 60),
                entry.run.id[:8],
                duration(entry.age_seconds),
                entry.run.status,
                size(entry.checkpoint_bytes),
                size(entry.other_bytes),
                clean(f"keep: {entry.kept_because}" if entry.kept_because else drops),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def seconds(text: str) -> float:
    """Returns an age such as `30d`, `12h` or `2w` in seconds.

    Raises:
        UserError: it is no such age.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhdw])", text)
    if found is None:
        raise UserError(
            f"--older-than: received '{text}', expected a number and its unit (s, m, h, d or w), "
            "such as 30d, 12h or 2w."
        )
    return float(found[1]) * _UNITS[found[2]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun gc",
        description="Lists the runs of this machine that have checkpoints, and deletes the "
        "checkpoints of FINISHED runs that `samerun reproduce` has reproduced with the verdict "
        "EXACT. All others are kept, and so are all metrics, predictions, models and configs.",
    )
    parser.add_argument(
        "--older-than",
        default="0s",
        metavar="AGE",
        help="only runs that ended at least this long ago, such as 12h, 30d or 2w",
    )
    parser.add_argument("--dry-run", action="store_true", help="only list what would be deleted")
    return parser
