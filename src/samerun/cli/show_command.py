"""`samerun show`: a recorded run, sweep or multirun on one screen."""

import argparse
import json

from samerun.cli.id_argument import ID_HELP


def show_command(arguments: list[str]) -> int:
    """Shows a recorded run."""
    parser = argparse.ArgumentParser(
        prog="samerun show",
        description="Shows a run, a sweep or a multirun: what differs from the default config, "
        "data, code and machine, metrics with their histories, artifacts, its runs, what to type "
        "next.",
    )
    parser.add_argument("id", metavar="ID", help=ID_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON, with all values")
    chosen = parser.parse_args(arguments)
    from samerun.tracking import Catalog, existing

    catalog = Catalog(existing())
    run = catalog.choose(chosen.id)  # a wrong ID is answered before Hydra is imported
    from samerun.report import run_screen
    from samerun.report.run_summary import summarize

    found = summarize(catalog, run)
    if chosen.json:
        print(json.dumps(run_screen.as_dict(found), indent=2))
        return 0
    from samerun.console import print_lines

    print_lines(lambda width: run_screen.lines(found, width=width))
    return 0
