"""`samerun train`: every requested run is checked before the first one starts."""

import math
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samerun import config, errors, launch
from samerun.cli import multirun
from samerun.cli.arguments import (
    check_flags,
    check_settings,
    check_sweep_file,
    is_multirun,
    only_prints,
    split_flags,
)
from samerun.config.hydra_internals import MULTIRUN
from samerun.config.messages import translate
from samerun.config.overrides import Override, combinations, parse_overrides
from samerun.config.project import own_options, split_config_dirs, with_config_dirs
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

Trains a model and records the run in MLflow.

groups and their options
{groups}

  -m, --multirun          run every combination of values separated by commas
  --cfg job               print the composed config and stop
  --schedule-plot FILE    draw the learning rate over the epochs to FILE and stop
  --config-dir FOLDER     search FOLDER first for config files; may be given several times
  --hydra-help            all flags of Hydra

Every key is explained in {folder}/GROUP/OPTION.yaml.
Your own are found in conf/GROUP/OPTION.yaml and experiments/experiment/NAME.yaml here.{own}
"""


def train_help() -> str:
    """Returns the help of `samerun train`, with every group and its options."""
    groups = [*GROUPS, "dataset/augmentation", "debug", "experiment", "sweep"]
    rows = [(group, options(group)) for group in groups]
    lines = [f"  {group:<22}{' '.join(names)}" for group, names in rows if names]
    own = [f"{group}={name}" for group, _ in rows for name in own_options(group)]
    return TRAIN_HELP.format(
        groups="\n".join(lines),
        folder=package_folder("conf"),
        own=f"\nHere these are {' '.join(own)}." if own else "",
    )


def train_command(arguments: list[str]) -> int:
    """Checks every requested run, then trains them."""
    if {"-h", "--help"} & set(arguments):
        with with_config_dirs(split_config_dirs(arguments)[1]):
            print(train_help(), end="")
        return 0
    if "--hydra-help" in arguments:
        return hand_to_hydra(["--hydra-help"])  # it would reject any other argument
    rest, folders = split_config_dirs(arguments)
    with with_config_dirs(folders):
        arguments, plot = take_flag(expand(rest), "--schedule-plot")
        check_settings(arguments)
        flags, texts = split_flags(arguments)
        overrides = check_overrides(texts)
        texts = hide_passwords(overrides)
        if plot is not None:
            return _plot_schedule(flags, texts, Path(plot))
        check_flags(flags)
        arguments = [*texts, *flags]  # argparse refuses overrides on both sides of a flag
        if any(one.key == "sweep" for one in overrides):
            return _sweep(flags, overrides, arguments)
        if _needs_hydra(flags, overrides):
            return hand_to_hydra(arguments)
        if is_multirun(flags):
            return _multirun(texts, arguments)
        job = launch.compose(texts)
        if launch.needs_hydra(job):
            return hand_to_hydra(arguments)
        launch.launcher_of(job.composition.config)(job.composition, launch.make_folder(job))
        return 0


def _multirun(texts: Sequence[str], arguments: Sequence[str]) -> int:
    """Checks every run of a multirun, then has Hydra start them under a run of its own."""
    overrides = parse_overrides(texts)
    jobs = [launch.compose(combination) for combination in combinations(overrides)]
    multirun.check_several(jobs)
    if len(jobs) == 1:  # an experiment chooses a sweeper
        return hand_to_hydra(arguments)
    several = multirun.Multirun.of(jobs, overrides)
    with several.recorded():
        return hand_to_hydra([*several.hydra_overrides(), *arguments], several)


def _sweep(flags: Sequence[str], overrides: Sequence[Override], arguments: Sequence[str]) -> int:
    """Hands a sweep to Hydra, whose sweeper checks every branch of it before the first trial."""
    if only_prints(flags):
        return hand_to_hydra(arguments)
    if not is_multirun(flags):
        raise UserError("sweep: chooses the values of many runs, expected -m: samerun train -m … .")
    check_sweep_file(overrides)
    return hand_to_hydra(arguments)


def take_flag(arguments: list[str], flag: str) -> tuple[list[str], str | None]:
    """Returns the arguments without a flag and its value, and the value."""
    for index, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            return arguments[:index] + arguments[index + 1 :], argument.removeprefix(f"{flag}=")
        if argument == flag:
            if index + 1 == len(arguments):
                raise UserError(f"{flag}: received nothing, expected a file name.")
            return arguments[:index] + arguments[index + 2 :], arguments[index + 1]
    return arguments, None


def _needs_hydra(flags: Sequence[str], overrides: Sequence[Override]) -> bool:
    """Whether a flag or an override changes how Hydra composes, or requests something but a run."""
    others = [flag for flag in flags if flag not in ("-m", "--multirun")]
    ours = ("hydra.run.dir", "hydra.output_subdir", "hydra.sweep.dir", "hydra.sweep.subdir")
    return bool(others) or any(
        one.top == "hydra" and (one.prefix or one.key not in ours) for one in overrides
    )


def hand_to_hydra(arguments: Sequence[str], several: "multirun.Multirun | None" = None) -> int:
    """Hands the arguments to Hydra, which composes and calls `run_task` for each run.

    A run that fails does not keep the others of a multirun from running. Its message is printed
    here; Hydra would print a traceback.

    Args:
        arguments: the command line.
        several: the multirun that is to receive the results, if there is one.

    Returns:
        The exit code of the first failure, or 0.
    """
    import hydra

    codes: list[int] = []
    results: dict[int, Result] = {} if several is None else several.results
    started: list[bool] = []

    def task(node: Any) -> float:
        number = len(started)
        started.append(True)
        try:
            place = {} if several is None else several.announce(number)
            result: Any = launch.run_task(node, **place)
            if not hasattr(result, "objective"):
                if several is not None:
                    several.existing.add(number)
                return math.nan  # the same run is in the store, nothing was trained
            results[number] = result
            return float(result.objective)
        except Exception as error:
            code = errors.exit_code(error)
            if code is None:
                raise
            codes.append(code)
            print(f"samerun: {redact(errors.message(error))}", file=sys.stderr)
            return math.nan

    register()
    run_hydra = hydra.main(
        version_base="1.3", config_path=str(package_folder("conf")), config_name="config"
    )(task)
    mode = [MULTIRUN] if is_multirun(split_flags(arguments)[0]) else []
    argv, sys.argv = sys.argv, ["samerun", *mode, *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors are raised instead of printed
    try:
        with _translate_errors(started, split_flags(arguments)[1]):
            run_hydra()
    finally:
        sys.argv = argv
    if several is None and results:
        folder = Path(os.path.commonpath([result.folder for result in results.values()]))
        curves = {result.run_name: result.history for result in results.values()}
        figure = launch.table.draw_curves(curves, folder)
        if figure is not None:
            print(f"curves of all runs: {figure}")
    return codes[0] if codes else 0


@contextmanager
def _translate_errors(started: Sequence[bool], overrides: Sequence[str]) -> Iterator[None]:
    """Translates what Hydra raises for overrides; `started` is empty while no run has started."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        yield
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise translate(error, overrides) from error
    except OSError as error:  # Hydra creates the folder of a run before it calls the task
        if started or error.filename is None:
            raise
        raise no_folder(error) from error
    except (ValueError, OverflowError) as error:  # defaults that are no list; a huge number
        if not _is_from_hydra(error):
            raise
        raise translate(error, overrides) from error


def _is_from_hydra(error: BaseException) -> bool:
    """Whether it was raised while Hydra composed, and not by code of ours or the user's."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("hydra", "omegaconf")


def _plot_schedule(flags: Sequence[str], overrides: Sequence[str], path: Path) -> int:
    from samerun import data, user_code

    if flags:
        raise UserError(f"--schedule-plot: draws one schedule: leave {flags[0]} out.")
    cfg = config.compose(overrides).config
    user_code.check_functions(cfg)
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
