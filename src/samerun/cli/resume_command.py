"""`samerun resume`: a run goes on where it was interrupted."""

import argparse

from samerun.errors import UserError


def resume_command(words: list[str]) -> int:
    """Goes on with a run."""
    from samerun import tracking
    from samerun.launch import resume_run
    from samerun.replay import resume

    chosen = _parser().parse_intermixed_args(words)
    ids = [word for word in chosen.words if "=" not in word]
    changes = [word for word in chosen.words if "=" in word]
    if len(ids) != 1:
        received = " ".join(ids) or "none"
        raise UserError(f"samerun resume: received {received}, expected the ID of one run.")
    from samerun.config.overrides import parse_overrides

    given = parse_overrides(changes)
    uri = next((str(one.value) for one in given if one.key == "tracking.uri"), None)
    (run,) = tracking.find_runs(ids, uri=uri)
    own = tracking.folder_of(run, uri=uri)
    if run.status == "RUNNING" and own is not None:
        # Its process may have been killed before the store had what it is resumed from.
        tracking.deliver(own, uri=uri)
        (run,) = tracking.find_runs([run.id], uri=uri)
    plan = resume.plan_resume(
        run,
        changes,
        fork=chosen.fork,
        trusted=chosen.trust,
        take_over=chosen.take_over,
        uri=uri,
    )
    if plan.nothing_left is not None:
        print(f"{plan.nothing_left}. There is nothing left to train.")
        return 0
    resume_run(plan)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun resume",
        usage="samerun resume ID [KEY=VALUE ...] [--fork] [--trust NAME] [--take-over]",
        description="Goes on with a run that was interrupted, or that shall have more epochs: in "
        "the same MLflow run, from its last checkpoint, bit for bit as if nothing had happened.",
        epilog="tracking.*, checkpoint.* and evaluation.* may change, and training.epochs may grow "
        "if the schedule does not take its length from it; for anything else there is --fork.",
    )
    parser.add_argument(
        "words",
        nargs="+",
        metavar="ID [KEY=VALUE ...]",
        help="run ID, or its beginning, or the run's name; and changes, such as training.epochs=20",
    )
    parser.add_argument(
        "--fork", action="store_true", help="start a new run from the checkpoint instead"
    )
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="NAME",
        help="module of your own that the stored config may import; or data, where a run that this "
        "machine did not record names files outside of the working folder or was trained with "
        "other data: texts and class names of it go to the tracking store; may be given several "
        "times",
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="the run says it is RUNNING on another machine, and that machine is gone",
    )
    return parser
