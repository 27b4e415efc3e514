"""Samplers: a table of builders, and the capabilities of each.

Every trial gets a new sampler, seeded by the sweep's seed and the trial's number. What a sampler
learns is in the storage, so a resumed sweep draws the same values as an uninterrupted one. If a
sampler were rebuilt with the same seed, it would repeat its first draws.
"""

import hashlib
import importlib.util
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from samerun.config.samplers import Sampler
from samerun.config.sweep import Sweep
from samerun.errors import UserError, listed
from samerun.search.domains import Categorical

if TYPE_CHECKING:
    import optuna

    from samerun.search.space import Space

_MOST_GRID_POINTS = 1_000_000
"""A grid is listed completely, again for every trial."""


def seed_of_trial(seed: int, number: int) -> int:
    """Returns the sampler's seed for the trial of this number."""
    digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def build_sampler(
    cfg: Sweep, space: "Space", seed: int, num_objectives: int, number: int = 0
) -> "optuna.samplers.BaseSampler":
    """Builds the sampler that draws one trial.

    Args:
        cfg: the sweep.
        space: the search space.
        seed: the sweep's seed.
        num_objectives: number of objectives.
        number: the trial's number.

    Raises:
        UserError: this sampler cannot search this space.
    """
    import optuna

    cfg, _ = choose_sampler(cfg, space, num_objectives)
    with warnings.catch_warnings():  # that an option may change in a later version of Optuna
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _BUILDERS[cfg.sampler](cfg, space, seed, seed_of_trial(seed, number))


@dataclass(frozen=True, kw_only=True)
class _Search:
    """What the rules of `sweep.sampler=auto` look at."""

    num_objectives: int
    num_trials: int
    num_values: int
    has_conditions: bool
    has_choices: bool
    has_constraints: bool


_MANY_TRIALS = 250
_AUTO: tuple[tuple[Sampler, str, Callable[[_Search], bool]], ...] = (
    (
        Sampler.nsga3,
        f"more than three objectives and at least {_MANY_TRIALS} trials",
        lambda it: it.num_objectives > 3 and it.num_trials >= _MANY_TRIALS,
    ),
    (
        Sampler.nsga2,
        f"several objectives and at least {_MANY_TRIALS} trials",
        lambda it: it.num_objectives > 1 and it.num_trials >= _MANY_TRIALS,
    ),
    (Sampler.tpe, "some values exist under conditions only", lambda it: it.has_conditions),
    (Sampler.tpe, "some values are choices", lambda it: it.has_choices),
    (
        Sampler.gp,
        f"numeric values only and fewer than {_MANY_TRIALS} trials",
        lambda it: it.num_trials < _MANY_TRIALS and _has_torch(),
    ),
    (
        Sampler.cmaes,
        f"several numeric values, no constraints and at least {_MANY_TRIALS} trials",
        lambda it: it.num_trials >= _MANY_TRIALS and it.num_values > 1 and not it.has_constraints,
    ),
    (Sampler.tpe, "it suits every search space", lambda it: True),
)
"""The sampler of `sweep.sampler=auto` is that of the first rule that applies."""


def choose_sampler(cfg: Sweep, space: "Space", num_objectives: int) -> tuple[Sweep, list[str]]:
    """Returns the settings with the sampler that `auto` chooses, and a note that names it.

    Raises:
        UserError: the chosen sampler cannot search this space.
    """
    if cfg.sampler is not Sampler.auto:
        check_sampler(cfg, space, num_objectives)
        return cfg, []
    it = _Search(
        num_objectives=num_objectives,
        num_trials=cfg.n_trials,
        num_values=len(space.entries),
        has_conditions=space.is_conditional,
        has_choices=any(isinstance(entry.space, Categorical) for entry in space.entries),
        has_constraints=bool(cfg.constraints),
    )
    sampler, why, _ = next(rule for rule in _AUTO if rule[2](it))
    return replace(cfg, sampler=sampler), [f"sweep.sampler=auto: {sampler}, since {why}."]


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def check_sampler(cfg: Sweep, space: "Space", num_objectives: int) -> None:
    """Checks that a sampler can search a space.

    Raises:
        UserError: it cannot.
    """
    sampler = cfg.sampler
    if sampler in (Sampler.grid, Sampler.brute_force):
        endless = [e.key for e in space.entries if e.space.num_points is None]
        if endless:
            raise UserError(
                f"sweep.sampler: {sampler} tries every value, but {endless[0]} has no step: "
                f"list its values, as in a,b,c, or give range(a,b,step)."
            )
    if sampler is Sampler.grid and space.is_conditional:
        keys = listed(entry.key for entry in space.entries if entry.when)
        raise UserError(
            f"sweep.sampler: grid does not support conditions, but {keys} has some: use "
            "brute_force."
        )
    if sampler is Sampler.grid and (space.num_points or 0) > _MOST_GRID_POINTS:
        raise UserError(
            f"sweep.sampler: a grid of {space.num_points} trials is more than "
            f"{_MOST_GRID_POINTS}: use random."
        )
    if sampler is Sampler.cmaes and num_objectives > 1:
        raise UserError(
            f"sweep.sampler: cmaes supports one objective, received {num_objectives}: use tpe, gp, "
            "nsga2 or nsga3."
        )
    if sampler is Sampler.gp and not _has_torch():
        raise UserError("sweep.sampler: gp needs PyTorch: pip install 'samerun[gp]'.")


def check_point(cfg: Sweep, space: "Space", values: Mapping[str, Any]) -> None:
    """Checks that a sampler can run a trial with the values of `sweep.enqueue`.

    Raises:
        UserError: it cannot.
    """
    missing = [entry.key for entry in space.entries if entry.key not in values]
    if cfg.sampler is Sampler.grid and missing:
        raise UserError(
            f"sweep.enqueue: received {dict(values)} without {listed(missing)}, expected every key "
            "of the search space, since grid adds none: give all, or use brute_force."
        )


def sampler_notes(cfg: Sweep, space: "Space") -> list[str]:
    """Returns what this sampler does with this space that a user may not expect."""
    points = space.num_points
    if cfg.sampler in (Sampler.grid, Sampler.brute_force) and (points or 0) > cfg.n_trials:
        return [
            f"{cfg.sampler} has {points} combinations and sweep.n_trials is {cfg.n_trials}: "
            f"sweep.n_trials={points} tries them all."
        ]
    at_random = []
    for entry in space.entries:
        is_choice = isinstance(entry.space, Categorical) and cfg.sampler is Sampler.cmaes
        lacks_conditions = cfg.sampler in (Sampler.cmaes, Sampler.gp, Sampler.qmc)
        if is_choice or (entry.when and lacks_conditions):
            at_random.append(entry.key)
    if not at_random:
        return []
    lacks = "choices and conditions" if cfg.sampler is Sampler.cmaes else "conditions"
    return [f"{cfg.sampler} samples {listed(at_random)} at random: it does not support {lacks}."]


def num_trials(cfg: Sweep, space: "Space", num_known: int = 0) -> int:
    """Returns the number of trials: at most that of all combinations, for an exhaustive sampler.

    Args:
        cfg: the sweep.
        space: the search space.
        num_known: number of combinations that need no trial.
    """
    points = space.num_points
    if points is None or cfg.sampler not in (Sampler.grid, Sampler.brute_force):
        return cfg.n_trials
    return min(cfg.n_trials, max(0, points - num_known))


def _tpe(cfg: Sweep, space: "Space", seed: int, own: int) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import TPESampler

    options = cfg.tpe
    return TPESampler(
        n_startup_trials=options.startup_trials,
        n_ei_candidates=options.candidates,
        multivariate=options.multivariate,
        group=options.group,
        constant_liar=options.constant_liar,
        seed=own,
    )


def _gp(cfg: Sweep, space: "Space", seed: int, own: int) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import GPSampler

    return GPSampler(
        n_startup_trials=cfg.gp.startup_trials,
        deterministic_objective=cfg.gp.deterministic_objective,
        warn_independent_sampling=False,
        seed=own,
    )


def _cmaes(cfg: Sweep, space: "Space", seed: int, own: int) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import CmaEsSampler

    options = cfg.cmaes
    return CmaEsSampler(
        n_startup_trials=options.startup_trials,
        sigma0=options.sigma,
        popsize=options.population_size,
        consider_pruned_trials=options.consider_pruned_trials,
        use_separable_cma=options.separable,
        with_margin=options.with_margin,
        lr_adapt=options.learning_rate_adaptation,
        warn_independent_sampling=False,
        seed=own,
    )


def _random(cfg: Sweep, space: "Space", seed: int, own: int) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=own)


def _qmc(cfg: Sweep, space: "Space", seed: int, own: int) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import QMCSampler, RandomSampler

    return QMCSampler(
        qmc_type=cfg.qmc.sequence,
        scramble=cfg.qmc.scramble,
        seed=seed,  # it selects the sequence; the position in it is in the storage
        independent_sampler=RandomSampler(seed=own),
        warn_independent_sampling=False,
    )


def _grid(cfg: Sweep, space: "Space", seed: int, own: int) -> "optuna.samplers.BaseSampler":
    from samerun.search.optuna_internals import Grid

    values = {entry.key: entry.space.points for entry in space.entries}
    return Grid(values, seed=seed)  # it shuffles the grid; a trial's number is its position


def _brute_force(cfg: Sweep, space: "Space", seed: int, own: int) -> "optuna.samplers.BaseSampler":
    from samerun.search.optuna_internals import BruteForce

    return BruteForce(seed=own)


def _nsga(cfg: Sweep, space: "Space", seed: int, own: int) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import NSGAIIISampler, NSGAIISampler

    options = cfg.nsga
    kind = NSGAIISampler if cfg.sampler is Sampler.nsga2 else NSGAIIISampler
    return kind(
        population_size=options.population_size,
        mutation_prob=options.mutation_probability,
        crossover_prob=options.crossover_probability,
        swapping_prob=options.swapping_probability,
        seed=own,
    )


_Builder = Callable[[Sweep, "Space", int, int], "optuna.samplers.BaseSampler"]
_BUILDERS: dict[Sampler, _Builder] = {
    Sampler.tpe: _tpe,
    Sampler.gp: _gp,
    Sampler.cmaes: _cmaes,
    Sampler.random: _random,
    Sampler.qmc: _qmc,
    Sampler.grid: _grid,
    Sampler.brute_force: _brute_force,
    Sampler.nsga2: _nsga,
    Sampler.nsga3: _nsga,
}
