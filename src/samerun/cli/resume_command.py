"""`samerun resume`: continues an interrupted run."""

import argparse
from collections.abc import Sequence

from samerun.cli.id_argument import ID_HELP
from samerun.cli.trust_argument import add_trust
from samerun.errors import UserError


def resume_command(arguments: list[str]) -> int:
    """Resumes a run, or starts a new one from its checkpoint."""
    from samerun import python_api

    chosen = _parser().parse_intermixed_args(arguments)
    name, changes = _split(chosen.arguments)

    python_api.resume(
        name, changes, fork=chosen.fork, trust=chosen.trust, take_over=chosen.take_over
    )
    return 0


def _split(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the text that names the run, and the overrides.

    A run's name that contains `=`, as in `seed=0 · mlp digits k7f2`, is the first argument.

    Raises:
        UserError: several arguments can be the name.
    """
    names = [one for one in arguments if "=" not in one] or [arguments[0]]
    if len(names) > 1:
        raise UserError(f"samerun resume: received {' '.join(names)}, expected the ID of one run.")
    changes = list(arguments)
    changes.remove(names[0])
    return names[0], changes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun resume",
        usage="samerun resume ID [KEY=VALUE ...] [--fork] [--trust NAME] [--take-over]",
        description="Resumes an interrupted run from its last checkpoint, or trains more epochs, "
        "in the same MLflow run. The result equals that of an uninterrupted run, bit for bit.",
        epilog="Overrides may change tracking.*, checkpoint.* and evaluation.*, and may increase "
        "training.epochs if the schedule does not depend on it. Any other change requires --fork.",
    )
    parser.add_argument(
        "arguments",
        nargs="+",
        metavar="ID [KEY=VALUE ...]",
        help=f"{ID_HELP}; and overrides such as training.epochs=20",
    )
    parser.add_argument(
        "--fork", action="store_true", help="start a new run from the checkpoint instead"
    )
    add_trust(parser)
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="resume a run marked RUNNING on another machine that no longer exists",
    )
    return parser
