"""`samerun diff`: what differs between two recorded runs."""

import argparse
import json

from samerun.cli.id_argument import ID_HELP
from samerun.command_line import line
from samerun.errors import UserError


def diff_command(arguments: list[str]) -> int:
    """Shows what differs between two runs."""
    chosen = _parser().parse_args(arguments)
    if len(chosen.runs) != 2:
        given = chosen.runs if len(chosen.runs) > 2 else ["ID", "ID"]
        several = line("compare", *given)
        raise UserError(f"received {len(chosen.runs)} runs, expected 2; for several: `{several}`.")
    from samerun import tracking
    from samerun.console import make_console
    from samerun.report import differences

    found = differences.read(tracking.find_runs(chosen.runs))
    if chosen.json:
        print(json.dumps(differences.as_dict(found), indent=2))
    else:
        differences.show_pair(found, make_console())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun diff",
        description="Shows how two runs differ: config, code, environment, data, metrics.",
    )
    parser.add_argument("runs", nargs="+", metavar="ID", help=f"two runs, each by: {ID_HELP}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser
