"""`samerun generate`: text from a stored language model."""

import argparse

from samerun.cli.id_argument import ID_HELP
from samerun.cli.trust_argument import add_trust
from samerun.errors import UserError
from samerun.escaping import for_screen


def generate_command(arguments: list[str]) -> int:
    """Prints how a language model continues a text; the same arguments print the same text."""
    chosen = _parser().parse_args(arguments)
    if not chosen.prompt.strip():
        raise UserError("--prompt: received an empty text, expected one with words.")
    from samerun import tracking

    (run,) = tracking.find_runs([chosen.id])
    from samerun.replay.recorded import check_trained

    check_trained(run)
    from samerun.serving.generate import generate
    from samerun.serving.stored_model import open_model

    params = {name: getattr(chosen, name) for name in ("length", "temperature", "top_k", "seed")}
    print(for_screen(generate(open_model(run, trusted=chosen.trust), chosen.prompt, params)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun generate",
        description="Continues a text with the language model of a run. The same arguments give "
        "the same text.",
    )
    add = parser.add_argument
    add("id", metavar="ID", help=ID_HELP)
    add("--prompt", required=True, metavar="TEXT", help="the beginning of the text")
    add("--length", type=int, default=40, metavar="N", help="tokens to add (%(default)s)")
    add(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="below 1 more conservative, above 1 more random (%(default)s)",
    )
    add(
        "--top-k",
        type=int,
        default=0,
        metavar="K",
        help="choose from the K most likely tokens; 0: from all (%(default)s)",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of the draws (%(default)s)")
    add_trust(parser, reads_data=False)
    return parser
