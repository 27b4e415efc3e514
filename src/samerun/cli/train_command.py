"""`samerun train`: Hydra composes, and every run is checked before the first one starts."""

import math
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samerun import config, errors, launch
from samerun.cli.arguments import (
    check_flags,
    check_sweep_file,
    is_multirun,
    only_looks,
    own_folder,
    parted,
)
from samerun.config.messages import translate
from samerun.config.overrides import Override, combinations, parse_overrides
from samerun.config.schema import GROUPS, options, register
from samerun.errors import UserError
from samerun.experiments import expand
from samerun.folders import package_folder
from samerun.launch.job import no_folder
from samerun.launch.overrides import check_overrides, hide_passwords
from samerun.process import quiet
from samerun.redaction import redact

if TYPE_CHECKING:
    from samerun.result import Result

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


def train_help() -> str:
    """Returns the help of `samerun train`, with every group and its options."""
    groups = [*GROUPS, "dataset/augmentation", "debug", "experiment", "sweep"]
    rows = [(group, options(group)) for group in groups]
    lines = [f"  {group:<22}{' '.join(names)}" for group, names in rows if names]
    return TRAIN_HELP.format(groups="\n".join(lines), folder=package_folder("conf"))


def train_command(words: list[str]) -> int:
    """Checks every run that the words ask for, then trains them."""
    if {"-h", "--help"} & set(words):
        print(train_help())
        return 0
    if "--hydra-help" in words:
        return hand_to_hydra(["--hydra-help"])  # of other words it would say that they are unknown
    words, plot = taken(expand(words), "--schedule-plot")
    flags, plain = parted(words)
    overrides = check_overrides(plain, config_dir=own_folder(flags))
    plain = hide_passwords(overrides)
    if plot is not None:
        return _plot_schedule(flags, plain, Path(plot))
    check_flags(flags)
    words = [*plain, *flags]  # argparse refuses words on both sides of a flag
    if any(one.key == "sweep" for one in overrides):
        return _sweep(flags, overrides, words)
    if _asks_hydra(flags, overrides):
        return hand_to_hydra(words)
    if is_multirun(flags):
        for combination in combinations(parse_overrides(plain)):
            launch.compose(combination)
        return hand_to_hydra(words)
    job = launch.compose(plain)
    if launch.needs_hydra(job):
        return hand_to_hydra(words)
    launch.run_one(job.composition, launch.make_folder(job))
    return 0


def _sweep(flags: Sequence[str], overrides: Sequence[Override], words: Sequence[str]) -> int:
    """Hands a sweep to Hydra, whose sweeper checks every branch of it before the first trial."""
    if only_looks(flags):
        return hand_to_hydra(words)
    if not is_multirun(flags):
        raise UserError("sweep: chooses the values of many runs, expected -m: samerun train -m … .")
    check_sweep_file(flags, overrides)
    return hand_to_hydra(words)


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


def _asks_hydra(flags: Sequence[str], overrides: Sequence[Override]) -> bool:
    """Whether Hydra is asked for something that changes what composition means, or is no run."""
    others = [flag for flag in flags if flag not in ("-m", "--multirun")]
    ours = ("hydra.run.dir", "hydra.output_subdir")
    return bool(others) or any(
        one.top == "hydra" and (one.prefix or one.key not in ours) for one in overrides
    )


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
            result = launch.run_task(node)
            if not hasattr(result, "objective"):
                return math.nan  # the same run is in the store, nothing was trained
            results.append(result)
            return float(result.objective)
        except Exception as error:
            code = errors.exit_code(error)
            if code is None:
                raise
            codes.append(code)
            print(f"samerun: {redact(errors.message(error))}", file=sys.stderr)
            return math.nan

    register()
    start = hydra.main(
        version_base="1.3", config_path=str(package_folder("conf")), config_name="config"
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
        raise translate(error) from error
    except OSError as error:  # Hydra makes the folder of a run before anything of ours looks at it
        if began or error.filename is None:
            raise
        raise no_folder(error) from error
    except ValueError as error:  # what Hydra raises for a file whose defaults are no list
        if not _is_hydras(error):
            raise
        raise translate(error) from error


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
