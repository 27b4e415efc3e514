"""`--trust`, which `samerun resume` and `samerun reproduce` share."""

import argparse


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Adds `--trust`, what a recorded run may import and read here."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="NAME",
        help="allow the recorded config to import your module NAME; or, with NAME data, allow a "
        "run recorded on another machine to read files outside the working folder or different "
        "data, whose texts and class names are then uploaded to the tracking store; repeatable",
    )
