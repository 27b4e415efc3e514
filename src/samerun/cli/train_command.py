"""`samerun train`: Hydra composes, and every run is checked before the first one starts."""

import itertools
import math
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samerun import config
from samerun.cli.ends import how_it_ended
from samerun.cli.quietness import quiet
from samerun.cli.running import checked, run_one
from samerun.cli.words import (
    check_flags,
    check_sweep_file,
    check_words,
    is_multirun,
    only_looks,
    parted,
)
from samerun.config import UserError
from samerun.escaping import for_screen
from samerun.experiments import expand
from samerun.redaction import redact
from samerun.search.grammar import understood

if TYPE_CHECKING:
    from samerun.tracking import StoredRun
    from samerun.training import Result

TRAIN_HELP = """\
usage: samerun train [GROUP=OPTION ...] [KEY=VALUE ...] [-m] [--schedule-plot FILE]

Trains one model and writes everything about the run to MLflow.

  samerun train                                            a CNN on handwritten digits
  samerun train model=mlp optimizer=sgd optimizer.momentum=0.9 schedule=cosine training.epochs=5
  samerun train -m model=mlp,cnn schedule=constant,cosine  every combination, one run each
  samerun train -m sweep=regularisation sweep.study=night  an Optuna sweep; again: what is missing

groups and their options
{groups}

  -m, --multirun          run every combination of values separated by commas
  --cfg job               print the composed config and stop
  --schedule-plot FILE    draw the learning rate over the epochs to FILE and stop
  --hydra-help            what else Hydra understands

Every key stands with its explanation in {folder}/GROUP/OPTION.yaml.
"""


_MOST_RUNS = 100_000


def train_help() -> str:
    """Returns the help of `samerun train`, with every group and its options."""
    groups = [*config.GROUPS, "dataset/augmentation", "debug", "experiment", "sweep"]
    rows = [(group, config.options(group)) for group in groups]
    lines = [f"  {group:<22}{' '.join(names)}" for group, names in rows if names]
    return TRAIN_HELP.format(groups="\n".join(lines), folder=config.folder("conf"))


def train_command(words: list[str]) -> int:
    """Checks every run that the words ask for, then trains them."""
    if {"-h", "--help"} & set(words):
        print(train_help())
        return 0
    if "--hydra-help" in words:
        return hand_to_hydra(["--hydra-help"])  # of other words it would say that they are unknown
    words, plot = taken(without_password(expand(words)), "--schedule-plot")
    flags, plain = parted(words)
    check_words(flags, plain)
    if plot is not None:
        return _plot_schedule(flags, plain, Path(plot))
    check_flags(flags)
    words = [*plain, *flags]  # argparse refuses words on both sides of a flag
    if any(word.lstrip("+").startswith("sweep=") for word in plain):
        return _sweep(flags, plain)
    if not _asks_hydra(flags, plain):
        from samerun import tracking

        for combination in combinations(words):
            composition = checked(config.compose(combination))
            tracking.resolve_uri(composition.config.tracking.uri)  # before a folder is made
    return hand_to_hydra(words)


def _sweep(flags: Sequence[str], plain: Sequence[str]) -> int:
    """Hands a sweep to Hydra, whose sweeper checks every branch of it before the first trial."""
    if only_looks(flags):
        return hand_to_hydra([*plain, *flags])
    if not is_multirun(flags):
        raise UserError("sweep: chooses the values of many runs, expected -m: samerun train -m … .")
    check_sweep_file(flags, plain)
    return hand_to_hydra([*plain, *flags])


def taken(words: list[str], flag: str) -> tuple[list[str], str | None]:
    """Takes a flag and its value out of the words."""
    for index, word in enumerate(words):
        if word.startswith(f"{flag}="):
            return words[:index] + words[index + 1 :], word.removeprefix(f"{flag}=")
        if word == flag:
            if index + 1 == len(words):
                raise UserError(f"{flag}: received nothing, expected a file name.")
            return words[:index] + words[index + 2 :], words[index + 1]
    return words, None


def without_password(words: Sequence[str]) -> list[str]:
    """Returns the words with `***` where the tracking store's password stands.

    Hydra writes the words and what it makes of them into every run's folder. The whole address goes
    into the environment, where `tracking.resolve_uri` finds it in this process and in workers.

    Raises:
        UserError: there are several addresses with passwords.
    """
    safe = []
    for word in words:
        hidden = redact(word)
        if hidden != word and word.lstrip("+").startswith("tracking.uri="):
            uri = understood(word, "tracking.uri").value()
            if not isinstance(uri, str):
                raise UserError(
                    f"tracking.uri: received {hidden.partition('=')[2]}, expected one address "
                    "where it holds a password."
                )
            os.environ["MLFLOW_TRACKING_URI"] = uri
            word = hidden
        safe.append(word)
    return safe


def _asks_hydra(flags: Sequence[str], plain: Sequence[str]) -> bool:
    """Whether Hydra is asked for something that changes what composition means, or is no run."""
    others = [flag for flag in flags if flag not in ("-m", "--multirun")]
    return bool(others) or any(word.startswith(("hydra/", "hydra.")) for word in plain)


def combinations(words: Sequence[str]) -> Iterator[list[str]]:
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
    for override in overrides:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise UserError(
                f"{override.get_key_element()}: only a search can choose from an interval, "
                "expected sweep=optuna with it."
            )
    choices = [
        _choices(override) if override.is_sweep_override() else [str(override.input_line)]
        for override in overrides
    ]
    num_runs = math.prod(map(len, choices))
    if num_runs > _MOST_RUNS:
        raise UserError(
            f"-m: received values for {num_runs} runs, expected at most {_MOST_RUNS}: give fewer "
            "values, or search with sweep=optuna."
        )
    for combination in itertools.product(*choices):
        yield list(combination)


def _choices(override: Any) -> list[str]:
    """Returns the words that one word of a multirun stands for.

    Raises:
        UserError: there are too many, or Hydra's grammar has them but Hydra cannot list them.
    """
    from hydra.core.override_parser.types import RangeSweep

    word, value = override.input_line, override.value()
    if isinstance(value, RangeSweep):
        start, stop, step = (number or 0 for number in (value.start, value.stop, value.step))
        if not step or (stop - start) / step > _MOST_RUNS:
            raise UserError(
                f"{word}: received more than {_MOST_RUNS} values, expected fewer, such as "
                f"{override.get_key_element()}=range(1,10)."
            )
    try:
        return [f"{override.get_key_element()}={one}" for one in override.sweep_string_iterator()]
    except Exception as error:  # what Hydra cannot write down raises several kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(f"{word}: cannot be listed ({reason}), expected plain values.") from error


def hand_to_hydra(words: Sequence[str]) -> int:
    """Hands the words to Hydra, which composes and calls `run_task` for each run.

    A run that fails does not keep the others of a multirun from running. Its sentence is printed
    here, around Hydra, which would print a traceback.

    Returns:
        The exit code of the first failure, or 0.
    """
    import hydra

    codes: list[int] = []
    results: list[Any] = []
    began: list[bool] = []

    def task(node: Any) -> float:
        began.append(True)
        try:
            result = run_task(node)
            if not hasattr(result, "objective"):
                return math.nan  # the same run is in the store, nothing was trained
            results.append(result)
            return float(result.objective)
        except Exception as error:
            end = how_it_ended(error)
            if end is None:
                raise
            codes.append(end[0])
            print(for_screen(f"samerun: {redact(end[1])}"), file=sys.stderr)
            return math.nan

    config.register()
    start = hydra.main(
        version_base="1.3", config_path=str(config.folder("conf")), config_name="config"
    )(task)
    argv, sys.argv = sys.argv, ["samerun", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed
    try:
        with _hydras_errors(began):
            start()
    finally:
        sys.argv = argv
    if len(results) > 1:
        _show_together(results)
    return codes[0] if codes else 0


@contextmanager
def _hydras_errors(began: Sequence[bool]) -> Iterator[None]:
    """Translates what Hydra raises; `began` is empty while no run has begun."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        yield
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise config.translated(error) from error
    except OSError as error:  # Hydra makes the folder of a run before anything of ours looks at it
        if began or error.filename is None:
            raise
        raise UserError(
            f"The folder of the run cannot be made ({Path(error.filename).absolute()}: "
            f"{error.strerror}): work in a folder that you may write to, or name one with "
            "hydra.run.dir=FOLDER, of a multirun hydra.sweep.dir=FOLDER."
        ) from error
    except ValueError as error:  # what Hydra raises for a file whose defaults are no list
        if not _is_hydras(error):
            raise
        raise config.translated(error) from error


def _is_hydras(error: BaseException) -> bool:
    """Whether it was raised while Hydra composed, and not by code of ours or the user's."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("hydra", "omegaconf")


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


def run_task(node: Any) -> "Result | StoredRun":
    """Trains what Hydra composed, in the folder Hydra chose; a sweep's worker begins here."""
    from hydra.core.hydra_config import HydraConfig

    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    _hide_secrets(
        [
            Path(hydra_config.sweep.dir, "multirun.yaml"),
            *folder.joinpath(hydra_config.output_subdir or ".hydra").glob("*.yaml"),
        ]
    )
    composition = checked(config.parse(node, hydra_config.overrides.task))
    return run_one(composition, folder)


def _hide_secrets(files: Iterable[Path]) -> None:
    """Takes secrets out of what Hydra wrote: its YAML files hold config and overrides as given."""
    for file in files:
        if file.is_file():
            config.hide_secrets(file)


def _plot_schedule(flags: Sequence[str], words: Sequence[str], path: Path) -> int:
    from samerun import data

    if flags:
        raise UserError(f"--schedule-plot: draws one schedule: leave {flags[0]} out.")
    cfg = config.compose(words).config
    spec = data.describe(cfg.dataset)
    config.check(cfg, spec)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise UserError(f"--schedule-plot: received '{path}', expected a .png, .svg or .pdf file.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--schedule-plot: there is no folder '{path.parent}'.")
    with quiet():
        from samerun import optim, plots
        from samerun.data.pipeline import num_batches
    steps = num_batches(spec.num_train, cfg.dataset.batch_size, cfg.dataset.drop_remainder)
    rates = optim.curve(cfg.optimizer, cfg.schedule, steps, cfg.training.epochs)
    plots.save(plots.schedule_curve(rates, steps), path)
    print(f"The learning rate over {cfg.training.epochs} epochs of {steps} steps is in {path}.")
    return 0
