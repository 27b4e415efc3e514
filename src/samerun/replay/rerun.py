"""Trains a recorded config as a new run: in this process, or by this file run as a program.

As a program it runs with the code of another commit, as old as version 0.1.0 (commit d509152), or
in another environment. So it imports only what that commit has, inside functions, and guards what
is newer.
"""

import inspect
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
    """A run to train.

    Args:
        resolved: YAML of its complete config.
        written: the same as it is stored, without secrets.
        overrides: overrides of the recorded config, without secrets.
        name: its name.
        tags: its tags, besides those that every run has.
        folder: its own folder.
        command: the command line that requested it.
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

    parameters = inspect.signature(config.from_yaml).parameters
    known = {"own_code": True} if "own_code" in parameters else {}  # it was trusted before
    composition = config.Composition(
        config=config.from_yaml(request.resolved, **known),
        composed=request.written,
        resolved=request.written,
        overrides=tuple(request.overrides),
    )
    cfg, folder = composition.config, Path(request.folder)
    if request.digests is not None:
        from samerun.replay import foreign

        first = request.tags["samerun.reproduces"]
        foreign.check_digests(first, request.digests, data.digests(cfg.dataset))
    if hasattr(training, "check_own_functions"):
        training.check_own_functions(cfg, data.describe(cfg.dataset))
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
    """Does what `training.start` does, with code that lacks it, as that of version 0.1.0."""
    from samerun import logbook, provenance, screen

    out = screen.console()
    screen.show_config(composition.config, out)
    logbook.describe_origin(run, composition, provenance.collect(command))
    training.train(composition.config, run, out, state=state)


def main(file: str) -> int:
    """Trains the run that a file describes and writes its ID beside it."""
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
    """Imports TensorFlow with file descriptor 2 discarded; `process.quiet` is too new to use."""
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
