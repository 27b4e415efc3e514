"""`samerun table`: a paper's table of means, intervals and tests; and the check of its numbers."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samerun.cli.id_argument import ID_HELP
from samerun.errors import FAILED, UserError
from samerun.escaping import for_screen

if TYPE_CHECKING:
    from samerun.tracking import StoredRun

_FORMATS = ("latex", "markdown", "csv", "json")


def table_command(arguments: list[str]) -> int:
    """Shows or writes a table of runs, or checks the numbers of a paper."""
    chosen = _parser().parse_args(arguments)
    _check_options(chosen)
    from samerun.console import make_console
    from samerun.report import table, table_check, table_pages

    out = make_console()
    if chosen.check:
        number, differences = table_check.check(chosen.check)
        for line in table_check.sentences(chosen.check, number, differences):
            out.print(for_screen(line), markup=False)
        return FAILED if differences else 0
    built = table.build(_find(chosen.runs), chosen.by, chosen.metric)
    style = next((name for name in _FORMATS if getattr(chosen, name)), "")
    if not chosen.output and not style:
        table_pages.show(built, out)
        return 0
    text = table_pages.FORMATS[style or table_pages.ENDINGS[chosen.output.suffix]](built)
    if not chosen.output:
        print(text, end="")
        return 0
    _write(chosen.output, text)
    for metric, verdict in zip(built.metrics, built.verdicts, strict=True):
        out.print(for_screen(f"{metric}: {verdict.sentence}"), markup=False)
    out.print(f"written to {chosen.output}", markup=False)
    return 0


def _check_options(chosen: argparse.Namespace) -> None:
    styles = [f"--{name}" for name in _FORMATS if getattr(chosen, name)]
    if chosen.check:
        given = [*chosen.runs, *(chosen.by or ()), *(chosen.metric or ()), *styles]
        if given or chosen.output:
            raise UserError(
                f"--check: received '{given[0] if given else chosen.output}' too, expected only a "
                f"file, which names its runs itself: `samerun table --check {chosen.check}`."
            )
        return
    if not chosen.metric:
        raise UserError("--metric: received none, expected a logged name: --metric test/accuracy.")
    for name in ("by", "metric"):
        given = getattr(chosen, name) or []
        twice = next((one for one in given if given.count(one) > 1), None)
        if twice:
            raise UserError(f"--{name}: received {twice} twice, expected it once.")
    if chosen.output and not styles:
        from samerun.report.table_pages import ENDINGS

        if chosen.output.suffix not in ENDINGS:
            raise UserError(
                f"-o: received {chosen.output}, expected a name that ends in .tex, .md, .csv or "
                ".json, or one of --latex, --markdown, --csv, --json."
            )


def _find(given: Sequence[str]) -> "list[StoredRun]":
    """The runs that IDs or a filter name; of a sweep or a multirun, its runs."""
    from samerun.report.table import trained
    from samerun.tracking import Catalog, existing, find_runs, is_filter

    catalog = Catalog(existing())
    if not given:
        return catalog.search("")
    if len(given) == 1 and is_filter(given[0]):
        return catalog.search(given[0])
    found: dict[str, StoredRun] = {}
    for run in find_runs(given):
        found |= {one.id: one for one in trained(catalog, run)}
    return list(found.values())


def _write(file: Path, text: str) -> None:
    from samerun.files import write_atomic

    try:
        write_atomic(file, text)
    except OSError as error:
        raise UserError(f"-o: {file} cannot be written ({error.strerror}).") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun table",
        description="Shows the mean of each config over its seeds with its 95 % interval, and "
        "which difference is more than chance. Each number of a file names its runs.",
        epilog="Only finished runs count; repeats of a seed count once. --check ends with "
        "exit code 0 if all numbers follow from their runs, else with 1.",
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="ID | FILTER",
        help=f"{ID_HELP}; or one filter such as \"params.dataset = 'digits'\"; default: all runs",
    )
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="KEY",
        help="config key that names the rows, such as model or optimizer.learning_rate; repeatable",
    )
    parser.add_argument(
        "--metric", action="append", metavar="NAME", help="such as test/accuracy; repeatable"
    )
    styles = parser.add_mutually_exclusive_group()
    styles.add_argument("--latex", action="store_true", help="print a tabular for booktabs")
    styles.add_argument("--markdown", action="store_true", help="print Markdown")
    styles.add_argument("--csv", action="store_true", help="print CSV")
    styles.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to this file")
    parser.add_argument(
        "--check", type=Path, metavar="FILE", help="check the numbers of a LaTeX or Markdown file"
    )
    return parser
