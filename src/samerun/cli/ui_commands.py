"""`samerun experiments` and `completion`."""

import argparse

from samerun.escaping import for_screen


def experiments_command(arguments: list[str]) -> int:
    """Lists experiments and search spaces, in a line each or as the gallery's page."""
    parser = argparse.ArgumentParser(
        prog="samerun experiments",
        description="Lists your own experiments and those included with samerun.",
    )
    parser.add_argument("--markdown", action="store_true", help="print the list as Markdown")
    chosen = parser.parse_args(arguments)
    from samerun import experiments

    found, spaces = experiments.load_experiments(), experiments.load_search_spaces()
    if chosen.markdown:
        print(experiments.as_markdown(found, spaces), end="")
        return 0
    _print_own()
    for entry in found:
        state = entry.measured or entry.runs or f"download; see {entry.twin}"
        print(f"{entry.name:<28}{entry.what}  [{state}]")
    print(f"\nRun one with: {found[0].command}\n")
    for space in spaces:
        print(f"{space.name:<28}{space.what}  [{space.measured or 'not measured'}]")
    print(f"\nSearch one with: {spaces[0].command}")
    return 0


def _print_own() -> None:
    """Prints the experiments and search spaces in the user's own folders."""
    from samerun import experiments

    entries = [(one.name, one.what, one.command) for one in experiments.load_own_experiments()]
    spaces = experiments.load_own_search_spaces()
    entries += [(one.name, one.what, one.command) for one in spaces]
    for name, what, command in entries:
        print(for_screen(f"{name:<28}{what}  [your own: {command}]"))
    if entries:
        print()


def completion_command(arguments: list[str]) -> int:
    """Prints the completion script for a shell."""
    from samerun.cli.completion import SHELLS, script

    parser = argparse.ArgumentParser(
        prog="samerun completion",
        description='Prints the shell completion script: eval "$(samerun completion)".',
    )
    parser.add_argument("shell", nargs="?", default="bash", choices=SHELLS)
    print(script(parser.parse_args(arguments).shell), end="")
    return 0
