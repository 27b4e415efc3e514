"""`--trust`, which `samerun resume` and `samerun reproduce` share."""

import argparse


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Adds `--trust`, what a recorded run may import and read here."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="NAME",
        help="module of your own that the recorded config may import; or data, if a run that this "
        "machine did not record names files outside the working folder or was trained with other "
        "data, whose texts and class names then go to the tracking store; may be repeated",
    )
