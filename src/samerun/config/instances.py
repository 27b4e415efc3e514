"""The instances of a config: what `seeds` and `folds` ask for, each a run that anyone can type."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

from samerun.config.root import Config
from samerun.errors import UserError, see


class InstanceKind(StrEnum):
    """What the runs of one config differ in, by the key that asks for them."""

    seeds = "seeds"
    """The seed; the data and its splits are the same."""
    folds = "folds"
    """The fold that is the validation split; the seed and the test split are the same."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One run of several of the same config.

    Args:
        number: which one, from 0; also the name of its folder in that of the parent run.
        label: such as `seed 43` or `fold 2/5`.
        override: what makes it, such as `seed=43` or `dataset.fold=2/5`.
    """

    number: int
    label: str
    override: str

    def of(self, cfg: Config) -> Config:
        """Returns the config of this instance: that of an ordinary run.

        Args:
            cfg: the config of all instances.
        """
        single = dataclasses.replace(cfg, seeds=None, folds=None, workers=1, trial=None)
        key, _, value = self.override.partition("=")
        if key == "seed":
            return dataclasses.replace(single, seed=int(value))
        return dataclasses.replace(single, dataset=dataclasses.replace(cfg.dataset, fold=value))


def kind_of(cfg: Config) -> InstanceKind | None:
    """Returns what the instances of a config differ in; `None` for a single run."""
    if cfg.seeds is not None:
        return InstanceKind.seeds
    return InstanceKind.folds if cfg.folds is not None else None


def instances_of(cfg: Config) -> tuple[Instance, ...]:
    """Returns the instances of a config, in order; none for a single run."""
    if cfg.seeds is not None:
        values = [str(cfg.seed + number) for number in range(cfg.seeds)]
        key, word = "seed", "seed"
    else:
        values = [f"{number + 1}/{cfg.folds}" for number in range(cfg.folds or 0)]
        key, word = "dataset.fold", "fold"
    return tuple(
        Instance(number=number, label=f"{word} {value}", override=f"{key}={value}")
        for number, value in enumerate(values)
    )


def as_first(cfg: Config) -> Config:
    """Returns a config whose seed and fold are those of its first instance.

    Args:
        cfg: a config as it was composed.

    Raises:
        UserError: it asks for seeds and folds at once, for all folds and for one, or for several
            workers for one run.
    """
    if cfg.workers > 1 and kind_of(cfg) is None:
        raise UserError(
            f"workers: received workers={cfg.workers} for one run, expected it with seeds or "
            "folds, whose runs it trains side by side: add seeds=5, or leave it out (trials of a "
            f"sweep: sweep.workers={cfg.workers})."
        )
    if cfg.seeds is not None and cfg.folds is not None:
        raise UserError(
            f"seeds, folds: received seeds={cfg.seeds} and folds={cfg.folds}, expected one of "
            "them: runs that share seeds and folds are not independent, and an interval over all "
            f"of them would be too narrow; `train -m seed=0,1 folds={cfg.folds}` has one per seed."
            + see("how-to/seeds-and-folds.md#what-the-interval-says")
        )
    if cfg.folds is None:
        return cfg
    first = f"1/{cfg.folds}"
    if cfg.dataset.fold not in (None, first):
        raise UserError(
            f"folds: received folds={cfg.folds}, which trains every fold, and "
            f"dataset.fold={cfg.dataset.fold}, which is one: leave one of them out."
        )
    return dataclasses.replace(cfg, dataset=dataclasses.replace(cfg.dataset, fold=first))
