"""A stored config trained as a new run: in this process, or by this file as a program of its own.

As a program it runs with the code of another commit or in another environment. So it uses of
samerun only what a run cannot do without, and imports it late.
"""

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Request:
    """A run that is to be made.

    Args:
        resolved: YAML of its whole config.
        written: the same as it may be written down, without secrets.
        overrides: what was changed in it, without secrets.
        name: what it is called.
        tags: its tags, besides those that every run has.
        folder: its own folder.
        command: the words that asked for it.
        digests: what each split must be before anything of it is uploaded; `None`: any data may.
    """

    resolved: str
    written: str
    overrides: Sequence[str]
    name: str
    tags: dict[str, str]
    folder: str
    command: Sequence[str]
    digests: Mapping[str, str] | None = None

    def as_json(self) -> str:
        """Returns the request as the program reads it."""
        return json.dumps(asdict(self))


def train(request: Request) -> str:
    """Trains a run and returns its ID.

    Args:
        request: what to train.

    Raises:
        UserError: the store or the data is not what the config needs.
        Diverged: the loss or a metric became NaN or infinite.
    """
    from samerun import checkpoints, config, data, tracking, training

    composition = config.Composition(
        config=config.from_yaml(request.resolved),
        composed=request.written,
        resolved=request.written,
        overrides=tuple(request.overrides),
    )
    cfg, folder = composition.config, Path(request.folder)
    if request.digests is not None:
        from samerun.replay import foreign

        first = request.tags["samerun.reproduces"]
        foreign.check_digests(first, request.digests, data.digests(cfg.dataset))
    with tracking.open_run(cfg, folder, name=request.name, tags=request.tags) as run:
        start = folder / "checkpoints" / checkpoints.START  # of a run that was forked
        state = checkpoints.read(start) if start.exists() else None
        if state is not None:
            run.log_file(start, "checkpoints")
        command = shlex.join(request.command)
        if hasattr(training, "start"):
            from samerun import console

            out = console.make_console()
            training.start(composition, run, out, command=command, state=state)
        else:
            _start_before(training, composition, run, command, state)
    return run.id


def _start_before(training: Any, composition: Any, run: Any, command: str, state: Any) -> None:
    """Does what `training.start` does, with the code of version 0.1.0, which lacks it."""
    from samerun import logbook, provenance, screen

    out = screen.console()
    screen.show_config(composition.config, out)
    logbook.describe_origin(run, composition, provenance.collect(command))
    training.train(composition.config, run, out, state=state)


def main(file: str) -> int:
    """Trains what a file asks for and writes the run's ID beside it."""
    request = Request(**json.loads(Path(file).read_text(encoding="utf-8")))
    _load_quietly()
    try:
        run_id = train(request)
    except Exception as error:
        # By name: older code has these classes in other modules.
        if type(error).__name__ not in ("UserError", "Diverged"):
            raise
        print(f"samerun: {error}", file=sys.stderr)
        return 2
    Path(file).with_suffix(".id").write_text(run_id, encoding="utf-8")
    return 0


def _load_quietly() -> None:
    """Imports TensorFlow while what C++ writes to file descriptor 2 goes nowhere."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        from samerun import training  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
