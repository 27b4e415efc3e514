"""Config classes of the samplers: how the values of the next trial are chosen."""

from enum import StrEnum

from samerun.config.fields import above, at_least, between, config


class Sampler(StrEnum):
    """How the values of the next trial are chosen."""

    tpe = "tpe"
    """Tree-structured Parzen estimator: where good trials are dense and bad ones are not."""
    gp = "gp"
    """Gaussian process; for few trials of a few numbers. Needs PyTorch."""
    cmaes = "cmaes"
    """CMA-ES, an evolution strategy; for many trials of numbers without conditions."""
    random = "random"
    """Every value as likely as any other."""
    qmc = "qmc"
    """A quasi-random sequence that fills the space more evenly than random."""
    grid = "grid"
    """Every combination, in random order; without conditions."""
    brute_force = "brute_force"
    """Every combination, in random order; with conditions."""
    nsga2 = "nsga2"
    """NSGA-II, a genetic algorithm; for two or three objectives."""
    nsga3 = "nsga3"
    """NSGA-III, a genetic algorithm; for more objectives."""


class QmcType(StrEnum):
    """Which quasi-random sequence."""

    sobol = "sobol"
    halton = "halton"


@config
class Tpe:
    """Options of the TPE sampler (Bergstra et al., 2011; Falkner et al., 2018).

    Args:
        startup_trials: random trials before it begins.
        candidates: draws from which the best is taken.
        multivariate: choose all values together, not one by one.
        group: learn each set of values that occur together by itself: what conditions need.
        constant_liar: keep away from trials under way, so that workers side by side do not try
            the same.
    """

    startup_trials: int = at_least(0)
    candidates: int = above(0)
    multivariate: bool
    group: bool
    constant_liar: bool


@config
class Gp:
    """Options of the Gaussian process sampler.

    Args:
        startup_trials: random trials before it begins.
        deterministic_objective: the same values always give the same result.
    """

    startup_trials: int = at_least(0)
    deterministic_objective: bool


@config
class Cmaes:
    """Options of the CMA-ES sampler (Hansen, 2016).

    Args:
        startup_trials: random trials before it begins.
        sigma: how wide it looks at first, as a share of each range; `null`: a sixth.
        population_size: trials of a generation; `null`: by the number of values.
        consider_pruned_trials: learn from pruned trials too; better with Hyperband.
        separable: learn no connections between values.
        with_margin: keep whole numbers and steps from freezing (Hamano et al., 2022).
        learning_rate_adaptation: for noisy objectives (Nomura et al., 2023).
    """

    startup_trials: int = at_least(0)
    sigma: float | None = above(0)
    population_size: int | None = at_least(2)
    consider_pruned_trials: bool
    separable: bool
    with_margin: bool
    learning_rate_adaptation: bool


@config
class Qmc:
    """Options of the quasi-random sampler.

    Args:
        sequence: which one.
        scramble: shuffle it by the seed; without, every seed gives the same trials.
    """

    sequence: QmcType
    scramble: bool


@config
class Nsga:
    """Options of NSGA-II and NSGA-III (Deb et al., 2002; Deb and Jain, 2014).

    Args:
        population_size: trials of a generation.
        mutation_probability: of each value; `null`: one over the number of values.
        crossover_probability: of a child having two parents.
        swapping_probability: of a value coming from the other parent.
    """

    population_size: int = at_least(2)
    mutation_probability: float | None = between(0, 1)
    crossover_probability: float = between(0, 1)
    swapping_probability: float = between(0, 1)


@config
class SamplerSettings:
    """The sampler of a sweep, with the options of each.

    Args:
        sampler: how values are chosen.
        tpe: options of the sampler `tpe`.
        gp: options of the sampler `gp`.
        cmaes: options of the sampler `cmaes`.
        qmc: options of the sampler `qmc`.
        nsga: options of the samplers `nsga2` and `nsga3`.
    """

    sampler: Sampler
    tpe: Tpe
    gp: Gp
    cmaes: Cmaes
    qmc: Qmc
    nsga: Nsga
