"""One run: from a checked config to the result on the screen."""

import contextlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from samerun import config

if TYPE_CHECKING:
    from samerun.training import Result


def checked(composition: config.Composition) -> config.Composition:
    """Checks a config against its data set, which is described without loading TensorFlow."""
    from samerun import data

    config.check(composition.config, data.describe(composition.config.dataset))
    data.check_download(composition.config.dataset)
    return composition


def program() -> str:
    """Returns what to type for `samerun`: its path where the environment is not activated."""
    if shutil.which("samerun"):
        return "samerun"
    here = Path(sys.orig_argv[1] if len(sys.orig_argv) > 1 else "")
    return os.path.relpath(here) if here.name == "samerun" else "python -m samerun"


def run_one(composition: config.Composition, folder: Path) -> "Result":
    """Trains one run in the folder and shows it on the screen.

    Args:
        composition: a checked config.
        folder: the run's own folder; made if missing.
    """
    from samerun import provenance, tracking

    cfg = composition.config
    command = shlex.join(["samerun", "train", *composition.overrides])
    name = tracking.run_name(cfg, composition.overrides)
    with tracking.open_run(cfg, folder, name=name) as run:
        with quiet():
            from samerun import logbook, screen, training
        out = screen.console()
        screen.show_config(cfg, out)
        logbook.describe_origin(run, composition, provenance.collect(command))
        result = training.train(cfg, run, out)
    screen.show_lines(
        [
            ("score", result.sentence),
            ("run", f"{run.name}  {run.id}"),
            ("look", run.url or f"{program()} ui"),
            ("again", command.replace("samerun", program(), 1)),
        ],
        out,
    )
    return result


def train(overrides: Sequence[str] = ()) -> "Result":
    """Trains one run from Python, as `samerun train` does from the command line.

    Args:
        overrides: such as `["model=mlp", "training.epochs=5"]`.

    Raises:
        UserError: an override that is not understood, or data that does not fit.
    """
    composition = checked(config.compose(overrides))
    now = datetime.now()
    folder = Path("outputs") / now.strftime("%Y-%m-%d") / now.strftime("%H-%M-%S-%f")
    return run_one(composition, folder.absolute())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps TensorFlow's start-up chatter, which C++ writes to file descriptor 2, off the screen.

    What was written is shown after all when the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            buffer.seek(0)
            sys.stderr.write(buffer.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
