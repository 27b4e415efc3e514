"""The command line: thin, and quick to answer. TensorFlow is imported when training begins."""

import argparse
import contextlib
import itertools
import math
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samerun import __version__, config
from samerun.config import UserError

if TYPE_CHECKING:
    from samerun.training import Result

USER_ERROR, FAILED, INTERRUPTED, TERMINATED = 2, 1, 130, 143


def main(words: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 1 failed, 2 not understood."""
    words = list(sys.argv[1:] if words is None else words)
    try:
        return _run(words)
    except UserError as error:
        print(f"samerun: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("samerun: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BaseException as error:
        ended = _how_it_ended(error)
        if ended is None:
            raise
        print(f"samerun: {ended[1]}", file=sys.stderr)
        return ended[0]


def _how_it_ended(error: BaseException) -> tuple[int, str] | None:
    """Returns exit code and sentence for the ends that are no bug of ours, `None` for others."""
    name = type(error).__name__
    if name == "Terminated":
        return TERMINATED, "terminated; the run is marked KILLED."
    if name == "Diverged":
        return FAILED, (
            f"{error}. The run is marked FAILED; a smaller optimizer.learning_rate or "
            "optimizer.clipnorm=1 often helps."
        )
    if isinstance(error, MemoryError) or name == "ResourceExhaustedError":
        return FAILED, (
            "out of memory. The run is marked FAILED; a smaller dataset.batch_size or model helps."
        )
    return None


def _run(words: list[str]) -> int:
    if words[:1] == ["-sc"] or any(word.startswith("--shell-completion") for word in words[:1]):
        return _complete(words)
    parser = _parser()
    if words[:1] == ["train"]:  # Hydra reads the rest
        return _train_command(words[1:])
    chosen = parser.parse_args(words)
    if not hasattr(chosen, "run"):
        parser.print_help()
        return 0
    return int(chosen.run(chosen))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun", description="The same run, every time: experiments with Keras."
    )
    parser.add_argument("--version", action="version", version=f"samerun {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="")
    commands.add_parser("train", help="train a model; -m for several", add_help=False)
    ui = commands.add_parser("ui", help="open the MLflow UI on the runs of this folder")
    ui.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    ui.add_argument("--port", default=5000, type=int, help="port to listen on (%(default)s)")
    ui.set_defaults(run=_ui_command)
    board = commands.add_parser("tensorboard", help="open TensorBoard on the runs named")
    board.add_argument(
        "run", nargs="*", metavar="ID", help="run IDs, or their beginnings; or none for the latest"
    )
    board.add_argument("--port", default=6006, type=int, help="port to listen on (%(default)s)")
    board.set_defaults(run=_tensorboard_command)
    gallery = commands.add_parser("experiments", help="list the experiments that come with samerun")
    gallery.add_argument("--markdown", action="store_true", help="as the page of the gallery")
    gallery.set_defaults(run=_experiments_command)
    completion = commands.add_parser(
        "completion", help='print what makes Tab work: eval "$(samerun completion)"'
    )
    completion.add_argument("shell", nargs="?", default="bash", choices=["bash", "zsh", "fish"])
    completion.set_defaults(run=lambda chosen: _hydra(["-sc", f"install={chosen.shell}"]))
    return parser


# ---- train


TRAIN_HELP = """\
usage: samerun train [GROUP=OPTION ...] [KEY=VALUE ...] [-m] [--schedule-plot FILE]

Trains one model and writes everything about the run to MLflow.

  samerun train                                            a CNN on handwritten digits
  samerun train model=mlp optimizer=sgd optimizer.momentum=0.9 schedule=cosine training.epochs=5
  samerun train -m model=mlp,cnn schedule=constant,cosine  every combination, one run each

groups and their options
{groups}

  -m, --multirun          run every combination of values separated by commas
  --cfg job               print the composed config and stop
  --schedule-plot FILE    draw the learning rate over the epochs to FILE and stop
  --hydra-help            what else Hydra understands

Every key stands with its explanation in {folder}/GROUP/OPTION.yaml.
"""


def train_help() -> str:
    """Returns the help of `samerun train`, with every group and its options."""
    groups = [*config.GROUPS, "dataset/augmentation", "debug", "experiment"]
    rows = [(group, config.options(group)) for group in groups]
    lines = [f"  {group:<22}{' '.join(names)}" for group, names in rows if names]
    return TRAIN_HELP.format(groups="\n".join(lines), folder=config.folder("conf"))


def _train_command(words: list[str]) -> int:
    if {"-h", "--help"} & set(words):
        print(train_help())
        return 0
    words, plot = _taken(config.expanded(words), "--schedule-plot")
    if plot is not None:
        return _plot_schedule(words, Path(plot))
    if not _has_own_flags(words):
        for combination in _combinations(words):
            _checked(config.compose(combination))
    return _hydra(words)


def _taken(words: list[str], flag: str) -> tuple[list[str], str | None]:
    """Takes a flag and its value out of the words."""
    for index, word in enumerate(words):
        if word.startswith(f"{flag}="):
            return words[:index] + words[index + 1 :], word.removeprefix(f"{flag}=")
        if word == flag:
            if index + 1 == len(words):
                raise UserError(f"{flag}: received nothing, expected a file name.")
            return words[:index] + words[index + 2 :], words[index + 1]
    return words, None


def _has_own_flags(words: Sequence[str]) -> bool:
    """Whether Hydra is asked for something that changes what composition means, or is no run."""
    flags = [word for word in words if word.startswith("-") and word not in ("-m", "--multirun")]
    return bool(flags) or any(word.startswith(("hydra/", "hydra.")) for word in words)


def _combinations(words: Sequence[str]) -> Iterator[list[str]]:
    """Yields the words of each run that a multirun will make, or the words themselves."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    plain = [word for word in words if not word.startswith("-")]
    if len(plain) == len(words):
        yield plain
        return
    try:
        overrides = OverridesParser.create().parse_overrides(plain)
    except HydraException as error:
        raise config.translated(error) from error
    choices = [
        [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
        if o.is_sweep_override()
        else [str(o.input_line)]
        for o in overrides
    ]
    for combination in itertools.product(*choices):
        yield list(combination)


def _checked(composition: config.Composition) -> config.Composition:
    """Checks a config against its data set, which is described without loading TensorFlow."""
    from samerun import data

    config.check(composition.config, data.describe(composition.config.dataset))
    return composition


def _hydra(words: Sequence[str]) -> int:
    """Hands the words to Hydra, which composes and calls `_task` for each run.

    A run that fails does not keep the others of a multirun from running; the first failure is
    raised at the end. It goes around Hydra, which would print a traceback for it.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    failures: list[Exception] = []
    results: list[Any] = []

    def task(node: Any) -> float:
        try:
            results.append(_task(node))
            return float(results[-1].objective)
        except Exception as error:
            if _how_it_ended(error) is None and not isinstance(error, UserError):
                raise
            failures.append(error)
            print(f"samerun: {error}", file=sys.stderr)
            return math.nan

    config.register()
    start = hydra.main(
        version_base="1.3", config_path=str(config.folder("conf")), config_name="config"
    )(task)
    argv, sys.argv = sys.argv, ["samerun", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed
    try:
        start()
    except (HydraException, OmegaConfBaseException) as error:
        raise config.translated(error) from error
    finally:
        sys.argv = argv
    if len(results) > 1:
        _show_together(results)
    if failures:
        raise failures[0]
    return 0


def _show_together(results: Sequence["Result"]) -> None:
    """Draws the curves of a multirun in one picture, for the first metric that all runs have."""
    from samerun import plots

    shared = set.intersection(*(set(result.history) for result in results))
    wanted = ("validation/accuracy", "validation/mean_absolute_error", "validation/loss")
    metric = next((name for name in (*wanted, "train/loss") if name in shared), None)
    if metric is None:
        return
    path = Path(os.path.commonpath([result.folder for result in results])) / "curves.png"
    plots.save(plots.compare_curves({r.run_name: r.history for r in results}, metric), path)
    print(f"{metric} of the {len(results)} runs together: {path}")


def _task(node: Any) -> "Result":
    from hydra.core.hydra_config import HydraConfig

    hydra_config = HydraConfig.get()
    composition = _checked(config.parse(node, hydra_config.overrides.task))
    folder = Path(hydra_config.runtime.output_dir)
    signal.signal(signal.SIGTERM, _terminate)
    return run_one(composition, folder)


def _terminate(number: int, frame: Any) -> None:
    from samerun.tracking import Terminated

    raise Terminated


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
        with _quiet():
            from samerun import logbook, screen, training
        out = screen.console()
        screen.show_config(cfg, out)
        logbook.describe_origin(run, composition, provenance.collect(command))
        result = training.train(cfg, run, out)
    screen.show_lines(
        [
            ("score", result.sentence),
            ("run", f"{run.name}  {run.id}"),
            ("look", run.url or "samerun ui"),
            ("again", command),
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
    composition = _checked(config.compose(overrides))
    now = datetime.now()
    folder = Path("outputs") / now.strftime("%Y-%m-%d") / now.strftime("%H-%M-%S-%f")
    return run_one(composition, folder.absolute())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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


def _plot_schedule(words: Sequence[str], path: Path) -> int:
    from samerun import data

    cfg = _checked(config.compose(words)).config
    num_train = data.describe(cfg.dataset).num_train
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise UserError(f"--schedule-plot: received '{path}', expected a .png, .svg or .pdf file.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--schedule-plot: there is no folder '{path.parent}'.")
    with _quiet():
        from samerun import optim, plots
        from samerun.data.pipeline import num_batches
    steps = num_batches(num_train, cfg.dataset.batch_size, cfg.dataset.drop_remainder)
    rates = optim.curve(cfg.optimizer, cfg.schedule, steps, cfg.training.epochs)
    plots.save(plots.schedule_curve(rates, steps), path)
    print(f"The learning rate over {cfg.training.epochs} epochs of {steps} steps is in {path}.")
    return 0


# ---- looking


def _experiments_command(chosen: argparse.Namespace) -> int:
    from samerun.config import gallery

    found = config.experiments()
    if chosen.markdown:
        print(gallery.as_markdown(found), end="")
        return 0
    for entry in found:
        state = entry.measured or entry.runs or f"download; see {entry.twin}"
        print(f"{entry.name:<28}{entry.what}  [{state}]")
    print(f"\nRun one with: samerun train experiment={found[0].name}")
    return 0


def _ui_command(chosen: argparse.Namespace) -> int:
    from samerun import tracking

    command = tracking.ui_command(host=chosen.host, port=chosen.port)
    print(
        f"The MLflow UI opens at http://{chosen.host}:{chosen.port} — Ctrl-C ends it.", flush=True
    )
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.execv(sys.executable, [sys.executable, *command])


def _tensorboard_command(chosen: argparse.Namespace) -> int:
    from samerun import tracking

    with tempfile.TemporaryDirectory(prefix="samerun-tensorboard-") as folder:
        for run in tracking.find_runs(chosen.run):
            (Path(folder) / run.name).symlink_to(run.folder / "tensorboard")
        print(f"TensorBoard opens at http://localhost:{chosen.port} — Ctrl-C ends it.", flush=True)
        return os.spawnv(
            os.P_WAIT,
            sys.executable,
            [
                sys.executable,
                "-m",
                "tensorboard.main",
                "--logdir",
                folder,
                "--port",
                str(chosen.port),
            ],
        )


# ---- tab completion


def _complete(words: list[str]) -> int:
    """Answers the completion script; the words after `samerun train` are Hydra's to complete."""
    line = os.environ.get("COMP_LINE", "")
    if not line.startswith("samerun train "):
        typed = line.removeprefix("samerun").strip()
        commands = ["train", "experiments", "ui", "tensorboard", "completion"]
        print(" ".join(name for name in commands if name.startswith(typed)))
        return 0
    point = int(os.environ.get("COMP_POINT", len(line)))
    os.environ["COMP_LINE"] = "samerun " + line.removeprefix("samerun train ")
    os.environ["COMP_POINT"] = str(max(point - len("train "), 0))
    return _hydra(words)
