"""Config classes of the samplers: how the values of the next trial are chosen."""

from enum import StrEnum

from samerun.config.fields import above, at_least, between, config


class Sampler(StrEnum):
    """How the values of the next trial are chosen."""

    auto = "auto"
    """By the search space, the objectives, the constraints and the number of trials."""
    tpe = "tpe"
    """Tree-structured Parzen estimator."""
    gp = "gp"
    """Gaussian process, for few trials and few numeric values. Requires PyTorch."""
    cmaes = "cmaes"
    """CMA-ES, an evolution strategy, for many trials of numeric values without conditions."""
    random = "random"
    """Uniform random sampling."""
    qmc = "qmc"
    """A quasi-random sequence, which covers the space more evenly than random sampling."""
    grid = "grid"
    """All combinations in random order, without conditions."""
    brute_force = "brute_force"
    """All combinations in random order, with conditions."""
    nsga2 = "nsga2"
    """NSGA-II, a genetic algorithm, for two or three objectives."""
    nsga3 = "nsga3"
    """NSGA-III, a genetic algorithm, for more objectives."""


class QmcType(StrEnum):
    """Which quasi-random sequence."""

    sobol = "sobol"
    halton = "halton"


@config
class Tpe:
    """Options of the TPE sampler (Bergstra et al., 2011; Falkner et al., 2018).

    Args:
        startup_trials: random trials before the sampler starts.
        candidates: candidates per draw, of which the best is used.
        multivariate: sample all values jointly instead of independently.
        group: model each group of values that occur together separately, as conditions require.
        constant_liar: avoid points near running trials, for parallel workers.
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
        startup_trials: random trials before the sampler starts.
        deterministic_objective: the objective is deterministic.
    """

    startup_trials: int = at_least(0)
    deterministic_objective: bool


@config
class Cmaes:
    """Options of the CMA-ES sampler (Hansen, 2016).

    Args:
        startup_trials: random trials before the sampler starts.
        sigma: initial standard deviation, as a fraction of each range; `null`: a sixth.
        population_size: trials per generation; `null`: depends on the number of values.
        consider_pruned_trials: also learn from pruned trials; recommended with Hyperband.
        separable: use a diagonal covariance matrix.
        with_margin: keep a minimum variance for integers and stepped values (Hamano et al., 2022).
        learning_rate_adaptation: adapt the learning rate, for noisy objectives (Nomura et al.,
            2023).
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
        sequence: which sequence.
        scramble: scramble the sequence by the seed; otherwise all seeds give the same trials.
    """

    sequence: QmcType
    scramble: bool


@config
class Nsga:
    """Options of NSGA-II and NSGA-III (Deb et al., 2002; Deb and Jain, 2014).

    Args:
        population_size: trials per generation.
        mutation_probability: mutation probability of each value; `null`: 1 / number of values.
        crossover_probability: probability of a crossover.
        swapping_probability: probability of swapping a value between parents.
    """

    population_size: int = at_least(2)
    mutation_probability: float | None = between(0, 1)
    crossover_probability: float = between(0, 1)
    swapping_probability: float = between(0, 1)


@config
class SamplerSettings:
    """The sampler of a sweep, with the options of each.

    Args:
        sampler: how the values of the next trial are chosen.
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
