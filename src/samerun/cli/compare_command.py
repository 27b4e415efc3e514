"""`samerun compare`: several runs side by side, and whether the best is really better."""

import argparse
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samerun import tags as tag
from samerun.cli.id_argument import ID_HELP
from samerun.cli.trust_argument import add_trust
from samerun.errors import UserError

if TYPE_CHECKING:
    from samerun.tracking import Catalog, StoredRun

_MOST_SEARCHED = 60  # sweeps among them are left out
_ON_SCREEN, _ON_PAGE = 20, 40
"""Examples whose texts or pictures are shown."""


def compare_command(arguments: list[str]) -> int:
    """Compares several runs."""
    chosen = _parser().parse_args(arguments)
    _check(chosen)
    from samerun.console import make_console, show_lines
    from samerun.report import compare
    from samerun.report.compare import page, plain, screen

    runs = find(chosen.runs)
    on_page = bool(chosen.html or chosen.artifact)
    num_examples = (_ON_PAGE if on_page else _ON_SCREEN) if chosen.examples else 0
    made = compare.read(runs, num_examples=num_examples, trusted=chosen.trust)
    if on_page:
        content = page.as_html(made)
        if chosen.html:
            page.write(content, chosen.html)
    if chosen.json:
        print(json.dumps(plain.as_dict(made), indent=2))
    elif not chosen.html:
        screen.show(made, make_console())
    rows = [("page", str(chosen.html))] if chosen.html else []
    if chosen.artifact:
        rows.append(("artifact", f"{page.log(content, made)} of run {made.runs[0].id[:8]}"))
    if not chosen.json:
        show_lines(rows, make_console())
    return 0


def find(names: Sequence[str]) -> "list[StoredRun]":
    """Returns the runs to compare, in the order given; of a filter, the newest first.

    Args:
        names: IDs as all commands take them, or one filter. A run with `seeds=` or `folds=` stands
            for the runs below it.

    Raises:
        UserError: there are too few or too many, or one is given twice.
    """
    from samerun.report.compare import reading
    from samerun.tracking import Catalog, existing, find_runs, is_filter

    if is_filter(names[0]):
        if len(names) > 1:
            raise UserError(
                f"received a filter and {len(names) - 1} more arguments, expected one filter or "
                "IDs: put the filter in quotes, with `and` between its conditions."
            )
        found = Catalog(existing()).search(names[0], _MOST_SEARCHED)
        # The runs of seeds=5 that the filter fits are found themselves.
        runs = [run for run in found if not (run.is_group or tag.INSTANCES in run.tags)]
        reading.check_number(len(runs))
        return runs
    reading.check_number(max(2, len(names)))  # one may stand for several
    runs = find_runs(names)
    for place, run in enumerate(runs):
        if run.id in {other.id for other in runs[:place]}:
            raise UserError(
                f"{names[place]}: received run {run.id[:8]} twice, expected different runs."
            )
    catalog = Catalog(existing())
    runs = list({one.id: one for run in runs for one in _instances(catalog, run)}.values())
    reading.check_number(len(runs), len(names))
    return runs


def _instances(catalog: "Catalog", run: "StoredRun") -> "list[StoredRun]":
    """Returns the runs that `seeds=` or `folds=` trained below a run; another run itself."""
    if tag.INSTANCES not in run.tags:
        return [run]
    children = [child for child in catalog.children(run) if tag.INSTANCE in child.tags]
    return sorted(children, key=lambda child: (child.start_time or 0, child.id))


def _check(chosen: argparse.Namespace) -> None:
    """Checks the options before any run is read.

    Raises:
        UserError: the page cannot be written, or options do not go together.
    """
    if chosen.trust and not chosen.examples:
        raise UserError("--trust: received without --examples, expected it with --examples.")
    if not chosen.html:
        return
    file: Path = chosen.html
    if file.is_dir():
        raise UserError(
            f"--html: {file} is a folder, expected a file: "
            f"{shlex.join(['--html', str(file / 'compare.html')])}"
        )
    if not file.parent.is_dir():
        raise UserError(
            f"--html: the folder {file.parent} does not exist: create it with "
            f"`{shlex.join(['mkdir', '-p', str(file.parent)])}`."
        )
    if re.fullmatch(r"[0-9a-f]{32}", file.name):
        raise UserError(
            f"--html: received the run {file}, expected a file: --html compare.html {file}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun compare",
        description="Shows several runs side by side: whether the best is really better, what "
        "differs (config, code, environment, data), metrics, learning curves, and the test "
        "examples that one gets right and another wrong.",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="ID|FILTER",
        help=f"two to twenty runs, each by {ID_HELP}; or one filter in MLflow's filter "
        "language, as in \"params.model = 'cnn'\"",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a self-contained page")
    parser.add_argument(
        "--artifact", action="store_true", help="store the page among the first run's artifacts"
    )
    parser.add_argument(
        "--examples",
        action="store_true",
        help="read the data again to show pictures and texts of the examples",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_trust(parser)
    return parser
