"""`samerun diff`: what differs between two recorded runs."""

import argparse
import json


def diff_command(words: list[str]) -> int:
    """Says what two runs differ in."""
    chosen = _parser().parse_args(words)
    from samerun import tracking
    from samerun.console import make_console
    from samerun.report import differences

    first, second = tracking.find_runs([chosen.first, chosen.second])
    found = differences.read(first, second)
    if chosen.json:
        print(json.dumps(differences.as_dict(found), indent=2))
    else:
        differences.show(found, make_console())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun diff",
        description="Says what two runs differ in: config, code, environment, data, metrics.",
    )
    for name in ("first", "second"):
        parser.add_argument(name, metavar="ID", help="run ID, or its beginning, or the run's name")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser
