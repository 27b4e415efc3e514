"""Config classes of a sweep: what it tries, how it chooses, and what it does when trials fail."""

from enum import StrEnum
from typing import Any

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


class Pruner(StrEnum):
    """When a trial is stopped because others were better at the same epoch."""

    none = "none"
    """Never."""
    median = "median"
    """Worse than the median of the trials before it."""
    percentile = "percentile"
    """Outside the best `percentile.percentile` per cent of the trials before it."""
    successive_halving = "successive_halving"
    """Only one in `reduction_factor` goes on at each rung of epochs (ASHA)."""
    hyperband = "hyperband"
    """Successive halving with several first rungs."""
    patient = "patient"
    """No better for some epochs; with `patient.pruner`, and that pruner agrees."""
    threshold = "threshold"
    """Outside given limits."""
    wilcoxon = "wilcoxon"
    """Worse than the best trial by Wilcoxon's signed-rank test over the epochs."""


class QmcType(StrEnum):
    """Which quasi-random sequence."""

    sobol = "sobol"
    halton = "halton"


class ObjectiveFrom(StrEnum):
    """Which epoch's value of an objective counts."""

    best = "best"
    """The best epoch's by `training.early_stopping.monitor`'s rule, applied to the objective."""
    last = "last"
    """The last epoch's."""


class Direction(StrEnum):
    """Whether a small or a large value of the objective is good."""

    auto = "auto"
    """Small for losses, errors, perplexities and sizes, large for all others."""
    minimize = "minimize"
    maximize = "maximize"


class Executor(StrEnum):
    """Where trials run, without `cluster`."""

    processes = "processes"
    """In worker processes of this machine, which import TensorFlow once."""
    inline = "inline"
    """In the sweep's own process, one after the other; for debugging."""


class Policy(StrEnum):
    """What happens after a trial ended badly."""

    fail = "fail"
    """It counts as failed, and the next one starts."""
    retry = "retry"
    """It starts again with the same values, from its last checkpoint if there is one."""
    stop = "stop"
    """The sweep ends."""


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
class Median:
    """Options of the median pruner.

    Args:
        startup_trials: finished trials before any is pruned.
        warmup_epochs: no trial is pruned before.
        interval_epochs: epochs between two looks.
        min_trials: values at the same epoch that a comparison needs.
    """

    startup_trials: int = at_least(0)
    warmup_epochs: int = at_least(0)
    interval_epochs: int = above(0)
    min_trials: int = above(0)


@config
class Percentile(Median):
    """Options of the percentile pruner; the others as `Median`.

    Args:
        percentile: so many per cent of the trials, the best, go on.
    """

    percentile: float = between(0, 100)


@config
class SuccessiveHalving:
    """Options of asynchronous successive halving (Li et al., 2018).

    Args:
        min_epochs: epochs before the first rung; `null`: by the length of the first trials.
        reduction_factor: one in so many goes on; each rung is so many times as long.
        min_early_stopping_rate: rungs left out at the beginning.
        bootstrap_trials: trials that have to reach a rung before it decides.
    """

    min_epochs: int | None = above(0)
    reduction_factor: int = at_least(2)
    min_early_stopping_rate: int = at_least(0)
    bootstrap_trials: int = at_least(0)


@config
class Hyperband:
    """Options of Hyperband (Li et al., 2018); the most epochs are `training.epochs`.

    Args:
        min_epochs: epochs before the first rung of the first bracket.
        reduction_factor: one in so many goes on; each rung is so many times as long.
        bootstrap_trials: trials that have to reach a rung before it decides.
    """

    min_epochs: int = above(0)
    reduction_factor: int = at_least(2)
    bootstrap_trials: int = at_least(0)


@config
class Patient:
    """Options of the patient pruner.

    Args:
        pruner: another pruner that has to agree; `none` prunes by patience alone.
        patience_epochs: epochs without improvement.
        min_delta: smallest change that counts as an improvement.
    """

    pruner: Pruner
    patience_epochs: int = at_least(0)
    min_delta: float = at_least(0)


@config
class Threshold:
    """Options of the threshold pruner.

    Args:
        lower: a value below is pruned; `null`: no limit.
        upper: a value above is pruned; `null`: no limit.
        warmup_epochs: no trial is pruned before.
        interval_epochs: epochs between two looks.
    """

    lower: float | None
    upper: float | None
    warmup_epochs: int = at_least(0)
    interval_epochs: int = above(0)


@config
class Wilcoxon:
    """Options of the Wilcoxon pruner.

    Args:
        p_threshold: a trial is pruned if it is worse with a p value below this.
        startup_epochs: no trial is pruned before.
    """

    p_threshold: float = between(0, 1)
    startup_epochs: int = at_least(0)


@config
class Budget:
    """When a sweep ends before `n_trials`; `null` everywhere: it does not.

    Args:
        seconds: so long after its start no further trial begins.
        epochs: epochs of all trials together, after which no further trial begins.
        target: a value of the objective that is good enough.
        patience_trials: finished trials in a row without a better one.
    """

    seconds: float | None = above(0)
    epochs: int | None = above(0)
    target: float | None
    patience_trials: int | None = above(0)


@config
class Faults:
    """What happens after a trial ended badly.

    Args:
        on_nan: the objective is not a number.
        on_memory: it ran out of memory.
        on_error: any other exception.
        on_time_limit: it took longer than `trial_seconds`.
        on_worker_death: its process was killed.
        max_retries: how often one trial is tried again at most.
    """

    on_nan: Policy
    on_memory: Policy
    on_error: Policy
    on_time_limit: Policy
    on_worker_death: Policy
    max_retries: int = at_least(0)


@config
class Dask:
    """Options of workers on other machines, with `cluster`.

    Args:
        tls_ca: file with the certificate of the authority that both ends trust; without it
            whoever reaches the scheduler's port can run code.
        tls_certificate: file with this end's certificate.
        tls_key: file with this end's key.
        connect_seconds: how long to wait for the scheduler and the first worker.
        gpus: graphics cards that each worker has, 0 for none.
        cores: cores of each worker that a batch system is asked for.
        memory: memory of each worker that a batch system is asked for, such as 8GB.
        walltime: longest life of each worker of a batch system, such as 04:00:00.
        queue: the batch system's queue or partition; `null`: its default.
        account: whom the batch system charges; `null`: its default.
        extra: further lines of the batch script, without their `#SBATCH`.
        setup: shell lines before the worker starts, such as `source venv/bin/activate`.
    """

    tls_ca: str | None
    tls_certificate: str | None
    tls_key: str | None
    connect_seconds: float = above(0)
    gpus: int = at_least(0)
    cores: int = above(0)
    memory: str
    walltime: str
    queue: str | None
    account: str | None
    extra: list[str]
    setup: list[str]


@config
class Sweep:
    """A sweep: many runs, each with other values, for the best of them.

    Args:
        study: name of the Optuna study; the same name again goes on with it. `null`: made from
            the experiment and the search space.
        storage: URL of the study's database; `null`: `optuna.db` beside the runs.
        extend: the search space, the objective or the base config was changed on purpose.
        n_trials: how many trials there are in the end, those of an earlier start included.
        workers: trials side by side; `null`: one for each core, or each graphics card.
        executor: where trials run, without `cluster`.
        cluster: address of a Dask scheduler, or the name of a batch system such as `slurm`;
            `null`: processes on this machine.
        dask: options of a cluster.
        params: the search space: a key and a space in the command line's words, such as
            `interval(0,0.6)`, or `{when: {GROUP: OPTION}, space: ...}`.
        enqueue: points to try first: mappings of keys to values, or IDs of runs.
        objectives: logged names of what should get better; several give a Pareto front. Empty:
            `training.early_stopping.monitor`.
        objective_from: which epoch's value counts.
        direction: of the objective.
        sampler: how values are chosen.
        pruner: when a trial is stopped early.
        trial_seconds: longest time of a trial; `null`: no limit.
        max_trials_per_worker: trials after which a worker process is replaced; `null`: never.
        faults: what happens after a trial ended badly.
        max_failures: failed trials after which the sweep ends; `null`: it goes on.
        budget: when it ends before `n_trials`.
    """

    study: str | None
    storage: str | None
    extend: bool
    n_trials: int = above(0)
    workers: int | None = at_least(1)
    executor: Executor
    cluster: str | None
    dask: Dask
    params: dict[str, Any]
    enqueue: list[Any]
    objectives: list[str]
    objective_from: ObjectiveFrom
    direction: Direction
    sampler: Sampler
    pruner: Pruner
    tpe: Tpe
    gp: Gp
    cmaes: Cmaes
    qmc: Qmc
    nsga: Nsga
    median: Median
    percentile: Percentile
    successive_halving: SuccessiveHalving
    hyperband: Hyperband
    patient: Patient
    threshold: Threshold
    wilcoxon: Wilcoxon
    trial_seconds: float | None = above(0)
    max_trials_per_worker: int | None = above(0)
    faults: Faults
    max_failures: int | None = at_least(0)
    budget: Budget
