"""Config classes of a sweep: search space, sampler, pruner, workers and failures."""

from enum import StrEnum
from typing import Any

from samerun.config.fields import a_path, above, at_least, between, config
from samerun.config.pruners import PrunerSettings
from samerun.config.samplers import SamplerSettings


class ObjectiveFrom(StrEnum):
    """Which epoch's value of an objective counts."""

    best = "best"
    """The best value at the end of any epoch."""
    last = "last"
    """The value of the last epoch."""


class Direction(StrEnum):
    """Whether an objective is minimized or maximized."""

    auto = "auto"
    """Minimize losses, errors, perplexities, bits per token and sizes, maximize all others."""
    minimize = "minimize"
    maximize = "maximize"


class ExecutorKind(StrEnum):
    """Where trials run if there is no `cluster`."""

    processes = "processes"
    """In worker processes on this machine."""
    inline = "inline"
    """In the sweep's own process, one after the other, for debugging."""


class Policy(StrEnum):
    """What to do after a trial has failed."""

    fail = "fail"
    """Mark it as failed and start the next trial."""
    retry = "retry"
    """Retry with the same values, from the last checkpoint if there is one."""
    stop = "stop"
    """Stop the sweep."""


@config
class Budget:
    """When a sweep stops before `n_trials`; `null`: no limit.

    Args:
        seconds: stop starting trials after n seconds.
        epochs: stop starting trials after n epochs in total.
        target: stop when the objective of a feasible trial reaches this value.
        patience_trials: stop after n consecutive finished trials without improvement.
    """

    seconds: float | None = above(0)
    epochs: int | None = above(0)
    target: float | None
    patience_trials: int | None = above(0)


@config
class Faults:
    """What to do after a trial has failed.

    Args:
        on_nan: the objective is NaN.
        on_memory: the trial ran out of memory.
        on_error: any other exception.
        on_time_limit: the trial took longer than `trial_seconds`.
        on_worker_death: the worker process died.
        max_retries: maximum number of retries per trial.
    """

    on_nan: Policy
    on_memory: Policy
    on_error: Policy
    on_time_limit: Policy
    on_worker_death: Policy
    max_retries: int = at_least(0)


@config
class Confirm:
    """Whether the best trials are trained again, with seeds that the search did not use.

    Args:
        top: how many of the best trials, once the search has ended; 0: none.
        seeds: number of runs of each, with the seeds `seed` + 1000, `seed` + 1001, ….
    """

    top: int = at_least(0)
    seeds: int = between(2, 1000)


@config
class Dask:
    """Options of workers on other machines, with `cluster`.

    Args:
        tls_ca: CA certificate file; without TLS, anyone who can reach the scheduler's port can run
            code.
        tls_certificate: certificate file of this machine.
        tls_key: private key file of this machine.
        connect_seconds: how long to wait for a scheduler's first worker; there is no limit for the
            queue of a batch system.
        gpus: GPUs per worker; 0: none.
        cores: cores per worker: the number of threads of each trial on any machine, and the cores
            requested from a batch system.
        memory: memory per worker, requested from a batch system, such as 8GB.
        walltime: time limit of each worker of a batch system, such as 04:00:00.
        queue: the batch system's queue or partition; `null`: its default.
        account: account to charge; `null`: the batch system's default.
        extra: additional lines of the batch script, without `#SBATCH`.
        setup: shell commands to run before a worker starts, such as `source venv/bin/activate`.
    """

    tls_ca: str | None = a_path()
    tls_certificate: str | None = a_path()
    tls_key: str | None = a_path()
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
class Sweep(SamplerSettings, PrunerSettings):
    """A hyperparameter sweep.

    Args:
        study: name of the Optuna study; an existing one is continued. `null`: a new study, named
            after the experiment, or the model and the dataset, and the time.
        storage: database URL of the study; `null`: `optuna.db` beside the runs.
        extend: continue a study although the search space, the objective or the base config has
            changed.
        n_trials: total number of trials, including those of earlier sweeps of this study.
        workers: parallel trials; `null`: one per core, or one per GPU.
        executor: where trials run, without `cluster`.
        cluster: address of a Dask scheduler, or the name of a batch system such as `slurm`;
            `null`: processes on this machine.
        dask: options of a cluster.
        params: the search space: keys, each with a space as on the command line, such as
            `interval(0,0.6)`, or `{when: {GROUP: OPTION}, space: ...}`.
        enqueue: points to evaluate first: mappings of keys to values, or run IDs.
        learn_from: name of an earlier study in the same storage, or a list of names. Its trials
            that are the same runs as trials of this sweep count as results and are not trained;
            the values of its best other trials are tried first. `null`: none.
        objectives: names of logged metrics; several: multi-objective optimization. Empty:
            `training.early_stopping.monitor`.
        objective_from: which epoch's value counts.
        direction: direction of optimization, one of `Direction` for all objectives, or a list of
            one for each. `auto`: by the objective's name.
        constraints: limits that the best trial has to satisfy, such as `num_parameters<=50000`: an
            objective's name or `system/epoch_seconds`, `<=` or `>=`, and a number. A model with too
            many parameters is not trained.
        trial_seconds: time limit of each trial; `null`: none.
        max_trials_per_worker: trials after which a worker process is replaced; `null`: never. In a
            cluster, this requires workers with a nanny, which is Dask's default.
        faults: what to do after a trial has failed.
        max_failures: stop the sweep when more than n trials have failed; `null`: never.
        budget: when to stop before `n_trials`.
        confirm: which trials are trained again with fresh seeds, and ranked by their means.
    """

    study: str | None
    storage: str | None
    extend: bool
    n_trials: int = above(0)
    workers: int | None = at_least(1)
    executor: ExecutorKind
    cluster: str | None
    dask: Dask
    params: dict[str, Any]
    enqueue: list[Any]
    learn_from: Any
    objectives: list[str]
    objective_from: ObjectiveFrom
    direction: Any
    constraints: list[str]
    trial_seconds: float | None = above(0)
    max_trials_per_worker: int | None = above(0)
    faults: Faults
    max_failures: int | None = at_least(0)
    budget: Budget
    confirm: Confirm
