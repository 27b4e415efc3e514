"""`--trust`, which all commands share that load what a stored run names."""

import argparse


def add_trust(parser: argparse.ArgumentParser, *, reads_data: bool = True) -> None:
    """Adds `--trust`, what a recorded run may import and read here.

    Args:
        parser: of the command.
        reads_data: whether the command reads the data that the run was trained with.
    """
    text = "allow the recorded config to import your module NAME"
    if reads_data:
        text += (
            "; or, with NAME data, allow a run recorded on another machine to read files outside "
            "the working folder or different data, whose texts and class names are then uploaded "
            "to the tracking store"
        )
    else:
        text += ", for a model with classes of your own"
    parser.add_argument(
        "--trust", action="append", default=[], metavar="NAME", help=f"{text}; repeatable"
    )
