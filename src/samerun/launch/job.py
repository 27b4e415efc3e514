"""From overrides to a checked config and the folder of its run, as Hydra would make it."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from samerun import config, stopwatch
from samerun.config.composition import compose_with_hydra, without_hydra
from samerun.config.instances import kind_of
from samerun.config.messages import translate
from samerun.config.overrides import parse_overrides
from samerun.config.project import split_config_dirs, with_config_dirs
from samerun.config.secrets import hide_secrets, safe_yaml
from samerun.errors import UserError, raises_mistakes_shortly
from samerun.launch.instances import train_instances
from samerun.launch.overrides import check_overrides
from samerun.launch.run import run_one
from samerun.process import quiet
from samerun.redaction import redact_override

if TYPE_CHECKING:
    from samerun.result import InstancesResult, Result
    from samerun.tracking import Run, StoredRun


SavedData = Callable[[DictConfig], AbstractContextManager[None]]
"""Saves data that was passed in, once its config is composed; for good if the block accepts it."""


class Launcher(Protocol):
    """Trains a checked config in a folder, below a parent run if there is one."""

    def __call__(
        self,
        composition: config.Composition,
        folder: Path,
        *,
        parent: "Run | None" = None,
        varied: Collection[str] = (),
    ) -> "Result | InstancesResult | StoredRun":
        """Returns the result; or the run in the store, if nothing was trained."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run that is composed and checked.

    Args:
        composition: its config.
        node: all that Hydra composed, with Hydra's own settings under `hydra`.
    """

    composition: config.Composition
    node: DictConfig


@raises_mistakes_shortly
def train(
    overrides: Sequence[str] = (), *, data: Any = None
) -> "Result | InstancesResult | StoredRun":
    """Trains one run, exactly as `samerun train OVERRIDES` does; with `seeds` or `folds`, several.

    Args:
        overrides: such as `["model=mlp", "training.epochs=5"]`; `"--config-dir", "FOLDER"` too.
        data: your own data instead of that of a file: `(x, y)`, a dict of them named `train`,
            `validation` and `test`, a `pandas.DataFrame` (with `dataset.target=COLUMN`), or a
            `tf.data.Dataset` of `(x, y)`. It is saved in `data/from_python/`, under its digest.

    Returns:
        The result; with `seeds=5` or `folds=5`, that of all their runs. Or the run in the store,
        where `tracking.if_exists` found the same one.

    Raises:
        UserError: an override is not understood, or the data does not fit.
    """
    _check_one_run(overrides)
    given, saved = with_data(overrides, data)
    rest, folders = split_config_dirs(given)
    with with_config_dirs(folders):
        job = compose([one.text for one in check_overrides(rest)], saved)
    return launcher_of(job.composition.config)(job.composition, make_folder(job))


def with_data(overrides: Sequence[str], data: Any) -> tuple[Sequence[str], SavedData]:
    """Returns the overrides with those that name data that was passed in, and what saves it.

    Args:
        overrides: of a run or of a sweep.
        data: as for `train`; `None`: the overrides say which.

    Raises:
        UserError: it cannot be used, or the overrides name other data.
    """
    if data is None:
        return overrides, _nothing_saved
    from samerun.data import passed  # importing NumPy takes longer than the checks

    prepared = passed.prepare(overrides, data)

    def saved(node: DictConfig) -> AbstractContextManager[None]:
        chosen = OmegaConf.to_container(node.dataset, enum_to_str=True)
        assert isinstance(chosen, dict)
        return prepared.saved({str(key): value for key, value in chosen.items()})

    return prepared.overrides, saved


def _nothing_saved(node: DictConfig) -> AbstractContextManager[None]:
    """Saves nothing: no data was passed in."""
    return nullcontext()


def launcher_of(cfg: config.Config) -> "Launcher":
    """Returns what trains a config: `run_one`, or with `seeds` or `folds` `train_instances`."""
    return run_one if kind_of(cfg) is None else train_instances


def _check_one_run(overrides: Sequence[str]) -> None:
    """Checks that the arguments of `train` are those of a single run.

    Raises:
        UserError: they are those of a sweep or of a multirun, with what runs it.
    """
    check_is_list("train", overrides)
    rest = split_config_dirs(overrides)[0]
    flags = [text for text in rest if text in ("-m", "--multirun")]
    given = parse_overrides([text for text in rest if text not in flags])
    searched = next((one for one in given if one.top == "sweep"), None)
    several = next((one for one in given if one.is_sweep), None)
    if searched is not None:
        received, runs = str(searched), "use samerun.sweep([...]), which runs it"
    elif flags or several is not None:
        received = flags[0] if several is None else str(several)
        is_listed = several is None or several.parsed.is_discrete_sweep()
        kind = "grid" if is_listed else "optuna"
        does = "runs every combination" if is_listed else "searches it"
        runs = f'use samerun.sweep(["sweep={kind}", ...]), which {does}'
    else:
        return
    raise UserError(
        f"samerun.train: received {received}, expected the overrides of one run: {runs}."
    )


def check_is_list(function: str, overrides: Sequence[str]) -> None:
    """Checks that the overrides are no single string, which is a sequence of letters.

    Args:
        function: of `samerun` that received them.
        overrides: its argument.

    Raises:
        UserError: they are.
    """
    if isinstance(overrides, str):
        raise UserError(
            f"samerun.{function}: received the string '{redact_override(overrides)}', expected a "
            f"list: ['{redact_override(overrides)}']."
        )


@stopwatch.part("config")
def compose(overrides: Sequence[str], saved: SavedData = _nothing_saved) -> Job:
    """Composes, parses and checks a run; writes nothing but data that was passed in.

    Args:
        overrides: checked ones.
        saved: saves that data while the config is checked, and for good if nothing is wrong.

    Raises:
        UserError: an override is not understood, or the config does not fit its dataset.
    """
    composition, node = compose_with_hydra(overrides)
    with saved(node):
        check(composition)
        from samerun import tracking  # importing it takes longer than these checks

        tracking.resolve_uri(composition.config.tracking.uri)
    return Job(composition=composition, node=node)


def check(composition: config.Composition) -> config.Composition:
    """Checks a config against its dataset, which is described without loading TensorFlow.

    Functions of the user's own are called once, which may load it.

    Raises:
        UserError: they do not fit, or the dataset cannot be downloaded.
    """
    from samerun import user_code

    user_code.check_functions(composition.config)
    from samerun import data  # importing NumPy takes longer than these checks

    cfg, spec = composition.config, data.describe(composition.config.dataset)
    config.check(cfg, spec)
    data.check_download(cfg.dataset)
    if user_code.targets(cfg):
        with quiet():
            from samerun import training
        training.check_own_functions(cfg, spec)
    return composition


def needs_hydra(job: Job) -> bool:
    """Whether a config file sets what only Hydra does: change the folder, run callbacks, log."""
    hydra = job.node.hydra
    settings = (hydra.job.chdir, hydra.job.env_set, hydra.callbacks, hydra.verbose)
    logs = OmegaConf.select(hydra, "job_logging.root")
    return hydra.mode is RunMode.MULTIRUN or any(settings) or logs is not None


def make_folder(job: Job) -> Path:
    """Creates the folder `hydra.run.dir` and in `.hydra/` the files that Hydra writes.

    Raises:
        UserError: the folder cannot be created.
    """
    node = job.node
    try:
        folder = Path(node.hydra.run.dir).absolute()
        with open_dict(node.hydra):
            node.hydra.mode = RunMode.RUN
            node.hydra.runtime.output_dir = str(folder)
        HydraConfig.instance().set_config(node)  # for the user's own code
        subfolder = node.hydra.output_subdir
    except OmegaConfBaseException as error:
        raise translate(error) from error
    overrides = [redact_override(override) for override in node.hydra.overrides.task]
    files = {
        "config.yaml": safe_yaml(without_hydra(node)),
        "hydra.yaml": safe_yaml(OmegaConf.masked_copy(node, "hydra")),
        "overrides.yaml": OmegaConf.to_yaml(OmegaConf.create(overrides)),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if subfolder is not None:
            folder.joinpath(subfolder).mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                folder.joinpath(subfolder, name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise no_folder(error) from error
    return folder


def no_folder(error: OSError) -> UserError:
    """Returns the message for a run folder that cannot be created."""
    return UserError(
        f"The folder of the run cannot be created ({Path(error.filename).absolute()}: "
        f"{error.strerror}): work in a folder that you may write to, or name one with "
        "hydra.run.dir=FOLDER, of a multirun hydra.sweep.dir=FOLDER."
    )


def parse_task(node: Any) -> tuple[config.Composition, Path]:
    """Returns the checked config of a job that Hydra runs, and the folder that Hydra chose.

    Args:
        node: what Hydra composed.

    Raises:
        UserError: the config is not valid or does not fit its dataset.
    """
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    written = folder.joinpath(settings.output_subdir or ".hydra").glob("*.yaml")
    for file in (Path(settings.sweep.dir, "multirun.yaml"), *written):
        if file.is_file():
            hide_secrets(file)
    return check(config.parse(node, settings.overrides.task)), folder


def run_task(
    node: Any, *, parent: "Run | None" = None, varied: Collection[str] = ()
) -> "Result | InstancesResult | StoredRun":
    """Trains what Hydra composed, in the folder that Hydra chose: one run of a multirun.

    Args:
        node: what Hydra composed.
        parent: the run of the multirun, if there is one; it shows the config once for all runs.
        varied: the keys with several values in the multirun.
    """
    composition, folder = parse_task(node)
    return launcher_of(composition.config)(composition, folder, parent=parent, varied=varied)
