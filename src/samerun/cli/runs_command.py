"""`samerun runs`: the recorded runs, the newest first."""

import argparse
import json
import sys

from samerun.errors import UserError

_DEFAULT_ROWS = 20


def runs_command(arguments: list[str]) -> int:
    """Lists the recorded runs."""
    chosen = _parser().parse_args(arguments)
    if chosen.n is not None and chosen.n < 0:
        raise UserError(f"-n: received {chosen.n}, expected a number of rows, or 0 for all.")
    from samerun.console import print_lines
    from samerun.report import runs_text
    from samerun.report.run_list import list_runs
    from samerun.tracking import Catalog, existing

    is_table = not (chosen.csv or chosen.json)
    most = (_DEFAULT_ROWS if is_table else 0) if chosen.n is None else chosen.n
    found = list_runs(
        Catalog(existing()),
        filter=chosen.filter,
        sort=chosen.sort,
        columns=None if chosen.columns is None else chosen.columns.split(","),
        opened=chosen.all,
        most=most or None,
    )
    if chosen.json:
        print(json.dumps(runs_text.as_dicts(found), indent=2))
    elif chosen.csv:
        print(runs_text.as_csv(found), end="")
    else:
        print_lines(lambda width: runs_text.lines(found, width=width))
        for note in _notes(
            found.num_runs, most, chosen.filter, found.columns[runs_text.MOST_COLUMNS :]
        ):
            print(note, file=sys.stderr)
    return 0


def _notes(num_runs: int, most: int, filter: str, left_out: tuple[str, ...]) -> list[str]:
    """Returns what the table does not show."""
    notes = []
    if not num_runs:
        notes.append("No run fits." if filter else "There are no runs here.")
    if most and num_runs > most:
        shown = f"the first {most} that fit" if filter else f"{most} of {num_runs} rows"
        notes.append(f"These are {shown}; -n 0 shows all.")
    if left_out:
        from samerun.escaping import one_line

        some = ", ".join(one_line(key, 60) for key in left_out[:5])
        more = ", …" if len(left_out) > 5 else ""
        notes.append(
            f"{len(left_out)} more parameters differ ({some}{more}): --columns chooses, --csv has "
            "all."
        )
    return notes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun runs",
        description="Lists the recorded runs, the newest first: score with its 95 % interval, and "
        "the parameters that differ. A sweep or a multirun is one row, with the score of its best.",
    )
    parser.add_argument(
        "filter",
        nargs="?",
        default="",
        metavar="FILTER",
        help="in MLflow's filter language: 'metrics.\"test/accuracy\" > 0.9 and params.model = "
        '"cnn"\'; every run that matches is a row, trials too',
    )
    add = parser.add_argument
    add(
        "--sort",
        default="age",
        metavar="KEY",
        help="age (the default), name, status, a metric (the best first) or a parameter",
    )
    add(
        "--columns",
        metavar="A,B",
        help="parameters, metrics or tags to show instead of the parameters that differ",
    )
    add("--all", action="store_true", help="also list the runs of each sweep and multirun")
    number = "maximum number of rows (20; all with --csv and --json; 0: all)"
    add("-n", type=int, metavar="N", help=number)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV")
    form.add_argument("--json", action="store_true", help="print JSON, with all values")
    return parser
