"""`samerun evaluate`: the report of a stored model on new labeled data."""

import argparse

from samerun.cli.id_argument import ID_HELP
from samerun.cli.trust_argument import add_trust
from samerun.errors import UserError


def evaluate_command(arguments: list[str]) -> int:
    """Evaluates a model on new data and prints the report."""
    parser = argparse.ArgumentParser(
        prog="samerun evaluate",
        description="Evaluates the model of a run on new labeled data, in the form of the data "
        "that it was trained on, and prints the same report as a run.",
    )
    parser.add_argument("id", metavar="ID", help=ID_HELP)
    parser.add_argument(
        "changes", nargs="+", metavar="KEY=VALUE", help="the new data, such as dataset.path=new.csv"
    )
    add_trust(parser, reads_data=False)
    chosen = parser.parse_intermixed_args(arguments)
    for change in chosen.changes:
        if not change.startswith(("dataset.", "evaluation.")) or "=" not in change:
            raise UserError(
                f"samerun evaluate: received '{change}', expected an override of the data such as "
                "dataset.path=new.csv."
            )
    if not any(change.startswith("dataset.path=") for change in chosen.changes):
        raise UserError("samerun evaluate: expected dataset.path=… with the new data.")
    from samerun import tracking
    from samerun.replay import recorded

    (run,) = tracking.find_runs([chosen.id])
    found = recorded.read(run)
    from samerun.config.stored import apply_overrides
    from samerun.escaping import for_screen
    from samerun.serving.stored_model import open_model

    cfg = apply_overrides(found.resolved, chosen.changes).config
    model = open_model(run, trusted=chosen.trust)
    from samerun.evaluation import as_markdown
    from samerun.serving.evaluate import evaluate

    report = evaluate(model, cfg)
    print(for_screen(f"{report.sentence('new data')}\n\n{as_markdown(report)}"))
    return 0
