"""`samerun promote`: a run's model gets an alias in the model registry, unless it is worse."""

import argparse

from samerun.cli.id_argument import ID_HELP


def promote_command(arguments: list[str]) -> int:
    """Promotes a run and prints what it was compared with."""
    parser = argparse.ArgumentParser(
        prog="samerun promote",
        description="Registers the model of a recorded run in MLflow's model registry and gives it "
        "an alias. If a test over the same test examples says that it is worse than the model that "
        "has the alias, it is refused. The version's description is a model card.",
    )
    parser.add_argument("id", metavar="ID", help=ID_HELP)
    add = parser.add_argument
    add("--as", dest="alias", required=True, metavar="ALIAS", help="such as champion")
    add(
        "--model",
        metavar="NAME",
        help="the registered model, by default named after the data; created if there is none",
    )
    add(
        "--force",
        action="store_true",
        help="promote it although it is worse, or cannot be compared",
    )
    add("--card", action="store_true", help="print the model card too")
    chosen = parser.parse_args(arguments)
    from samerun import tracking
    from samerun.console import make_console, show_lines
    from samerun.serving import promote

    (run,) = tracking.find_runs([chosen.id])
    made = promote.promote(run, chosen.alias, name=chosen.model, is_forced=chosen.force)
    version = made.version
    rows = [
        ("promoted", f"{version.name} version {version.number} is {made.alias}: run {run.id[:8]}"),
        ("compared", made.sentence),
        ("load", f"models:/{version.name}@{made.alias}"),
    ]
    show_lines(rows, make_console())
    if chosen.card:
        print(f"\n{made.card}", end="")
    return 0
