"""From values to the complete config of a trial: composed once per branch, fixed from then on."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from samerun import config, search
from samerun.config.checkpoint import Trial
from samerun.config.composition import parse_complete
from samerun.config.hydra_internals import without_type
from samerun.config.messages import translate
from samerun.config.overrides import parse_override
from samerun.config.parts import fill
from samerun.config.root import has_meaning, idle_keys, keys_as_before
from samerun.redaction import redact_override
from samerun.search.constraints import Constraint
from samerun.search.domains import Categorical, Dimension
from samerun.search.objectives import Objectives

THREADS = ("training.intra_op_threads", "training.inter_op_threads")
_PLUGINS = ("hydra/sweeper", "hydra/launcher")

Branch = tuple[tuple[str, str], ...]
"""The options of the groups in the search space, sorted."""


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """A trial for a worker; everything in it can be pickled.

    Args:
        number: the trial's number.
        node: its complete config, Hydra's part included.
        context: Hydra's loader and callbacks.
        job_name: Hydra's name of the job.
        folder: the trial's folder.
        trial: which trial it is.
        overrides: the overrides that train it outside the sweep.
        objectives: the objectives that trials are compared by.
        constraints: the limits that the best trial has to satisfy.
    """

    number: int
    node: DictConfig
    context: HydraContext
    job_name: str
    folder: str
    trial: Trial
    overrides: tuple[str, ...]
    objectives: Objectives
    constraints: tuple[Constraint, ...] = ()


def compose_branch(
    context: HydraContext, master: DictConfig, overrides: Sequence[str]
) -> DictConfig:
    """Returns the complete config that Hydra composes, its own part included.

    Raises:
        UserError: an override is wrong.
    """
    setup_globals()
    # A trial is composed without `sweep=`, which chose the sweeper; Hydra 1.4 requires a sweeper.
    given = [parse_override(str(override)).key for override in master.hydra.overrides.hydra]
    chosen = [f"{key}={master.hydra.runtime.choices[key]}" for key in _PLUGINS if key not in given]
    try:
        node = context.config_loader.load_sweep_config(master, [*overrides, *chosen])
    except (HydraException, OmegaConfBaseException, ValueError, OverflowError) as error:
        raise translate(error) from error
    assert isinstance(node, DictConfig)
    return node


def parsed(node: DictConfig, overrides: Sequence[str]) -> config.Composition:
    """Returns the typed config in a complete one.

    Raises:
        UserError: a key or a value is not understood.
    """
    HydraConfig.instance().set_config(node)  # a config may refer to `${hydra:...}`
    return parse_complete(node, overrides)


def fill_missing(node: DictConfig, values: Mapping[str, Any]) -> DictConfig:
    """Returns a config in which required keys have a value, where the sweep gives it to them.

    Args:
        node: a complete config; `dataset.path`, say, may be missing (`???`).
        values: a value of each key that the sweep varies.
    """
    node = copy.deepcopy(node)
    for key, value in values.items():
        parent, _, name = key.rpartition(".")
        within = OmegaConf.select(node, parent) if parent else node
        if isinstance(within, DictConfig) and OmegaConf.is_missing(within, name):
            OmegaConf.update(node, key, value)
    return node


class TrialConfigs:
    """The configs of all branches, composed once: editing a file later changes no trial.

    Args:
        compose: `compose_branch`, cached: Hydra takes 0.3 s.
        space: the search space, with the overrides that all trials share.
        threads: number of threads of each trial; `None` keeps those of the config.
    """

    def __init__(
        self,
        compose: Callable[[tuple[str, ...]], DictConfig],
        space: "search.Space",
        threads: int | None,
    ) -> None:
        self.threads = threads
        self._compose = compose
        self._space = space
        self._branches: dict[Branch, DictConfig] = {}
        self._parsed: dict[Branch, config.Config] = {}
        self._thread_overrides: dict[Branch, list[str]] = {}
        self._choices = {
            entry.key: _config_values(entry, entry.space)
            for entry in space.entries
            if isinstance(entry.space, Categorical) and not entry.is_group
        }
        for options in space.branches():
            branch = tuple(sorted(options.items()))
            firsts = {key: values[0] for key, values in self._choices.items()}
            node = fill_missing(compose((*space.fixed, *space.overrides(options))), firsts)
            swept = {entry.key for entry in space.entries}
            self._thread_overrides[branch] = _set_threads(node, threads, swept)
            self._branches[branch] = node
            self._parsed[branch] = parsed(node, []).config

    def with_threads(self, threads: int | None) -> "TrialConfigs":
        """Returns the same configs with another number of threads for each trial."""
        return TrialConfigs(self._compose, self._space, threads)

    def with_fixed(self, settings: Mapping[str, Any]) -> "TrialConfigs":
        """Returns the configs with other values of keys that all trials share.

        Args:
            settings: the values, by key.
        """
        given = self._space.fixed
        kept = [text for text in given if parse_override(text).key not in settings]
        fixed = (*kept, *(f"{key}={value}" for key, value in settings.items()))
        return TrialConfigs(self._compose, replace(self._space, fixed=fixed), self.threads)

    def branches(self) -> Iterator[dict[str, str]]:
        """Yields the group options of every branch."""
        for branch in self._branches:
            yield dict(branch)

    def base(self) -> config.Config:
        """Returns the config of the first branch."""
        return self._parsed[next(iter(self._branches))]

    def configs(self) -> list[config.Config]:
        """Returns the config of every branch."""
        return list(self._parsed.values())

    def max_epochs(self) -> int:
        """Returns the number of epochs of the longest trial."""
        return max(self._max_epochs_of(dict(branch)) for branch in self._branches)

    def _max_epochs_of(self, options: Mapping[str, str]) -> int:
        for entry in self._space.active(options):
            if entry.key == "training.epochs":
                return max(int(float(str(end))) for end in entry.space.ends)
        return self._parsed[tuple(sorted(options.items()))].training.epochs

    def flattened(self) -> dict[str, str]:
        """Returns the settings that all trials share and that have to stay the same, flattened."""
        return _fixed_settings(self.base())

    def digest(self) -> str:
        """Returns the SHA-256 of the configs of all branches, without threads."""
        kept = {str(branch): _fixed_settings(self._parsed[branch]) for branch in self._branches}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Returns the overrides that train a trial outside the sweep, for the record."""
        fixed = [*self._space.fixed, *self._thread_overrides[self._branch_of(values)]]
        return [redact_override(override) for override in (*fixed, *self._space.overrides(values))]

    def composition(self, values: Mapping[str, Any]) -> config.Composition:
        """Returns the parsed config of a trial with these values.

        Raises:
            UserError: a key or a value is not understood.
        """
        return parsed(self._node(values), self.overrides(values))

    def node(self, values: Mapping[str, Any], trial: Trial, sweep_folder: Path) -> DictConfig:
        """Returns the complete config of a trial, for `run_job`.

        Args:
            values: what the study suggested.
            trial: which trial it is.
            sweep_folder: the folder of the sweep, in which the trial's is named by its number.
        """
        node = self._node(values)
        node.trial = trial
        with read_write(node.hydra), open_dict(node.hydra):  # HydraConfig made it read-only
            node.hydra.job.id = str(trial.number)
            node.hydra.job.num = trial.number
            node.hydra.sweep.dir = str(sweep_folder)
            node.hydra.sweep.subdir = str(trial.number)
            node.hydra.overrides.task = self.overrides(values)
            if node.hydra.job.chdir is None:  # `null` depends on a version that workers do not know
                node.hydra.job.chdir = False
        # Without its type, which is created at run time and cannot be pickled; `parse` checks
        # everything again in the worker.
        plain = without_type(node)
        OmegaConf.set_struct(plain, True)
        return plain

    def _branch_of(self, values: Mapping[str, Any]) -> Branch:
        keys = {key for branch in self._branches for key, _ in branch}
        return tuple(sorted((key, str(values[key])) for key in keys if key in values))

    def _node(self, values: Mapping[str, Any]) -> DictConfig:
        branch = self._branch_of(values)
        node = copy.deepcopy(self._branches[branch])
        try:
            for entry in self._space.entries:
                if entry.key in values and entry.key not in dict(branch):
                    value = self._config_value(entry, values[entry.key])
                    OmegaConf.update(node, entry.key, value, force_add=bool(entry.prefix))
        except OmegaConfBaseException as error:
            raise translate(error) from error
        return fill(node)

    def _config_value(self, entry: Dimension, value: Any) -> Any:
        """Returns the value in the config for a value in the study."""
        known = entry.space.read(value)
        if not isinstance(entry.space, Categorical):
            return known
        return self._choices[entry.key][entry.space.values.index(known)]


def _config_values(entry: Dimension, space: Categorical) -> list[Any]:
    """Returns the value in the config for each choice: a study knows a list, say, as text."""
    overrides = [f"{entry.prefix}{entry.key}={text}" for text in space.texts]
    return [parse_override(override).value for override in overrides]


def _fixed_settings(cfg: config.Config) -> dict[str, str]:
    """Returns the settings that may not change when a study is resumed; it keeps its threads."""
    plain, left_out = config.flatten(cfg), {*THREADS, *idle_keys(cfg), *keys_as_before(cfg)}
    return {k: v for k, v in plain.items() if has_meaning(k) and k not in left_out}


def _set_threads(node: DictConfig, threads: int | None, swept: Set[str]) -> list[str]:
    """Gives each trial its share of the cores, unless the user chose; returns the overrides.

    They are part of the trial's recorded command: with another number of threads, convolution
    gradients are summed in another order, and the trial would not reproduce outside the sweep.
    """
    overrides = []
    for key in THREADS:
        group, _, name = key.partition(".")
        is_free = key not in swept and OmegaConf.is_interpolation(node[group], name)
        if threads is not None and is_free:
            node[group][name] = threads
            overrides.append(f"{key}={threads}")
    return overrides
