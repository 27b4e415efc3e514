"""Config classes of a sweep: what it tries, how it chooses, and what it does when trials fail."""

from enum import StrEnum
from typing import Any

from samerun.config.fields import a_path, above, at_least, config
from samerun.config.pruners import PrunerSettings
from samerun.config.samplers import SamplerSettings


class ObjectiveFrom(StrEnum):
    """Which epoch's value of an objective counts."""

    best = "best"
    """The best that the objective had at the end of any epoch."""
    last = "last"
    """The last epoch's."""


class Direction(StrEnum):
    """Whether a small or a large value of the objective is good."""

    auto = "auto"
    """Small for losses, errors, perplexities, bits per token and sizes, large for all others."""
    minimize = "minimize"
    maximize = "maximize"


class ExecutorKind(StrEnum):
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
        connect_seconds: how long to wait for a scheduler's first worker; the queue of a batch
            system may take any time.
        gpus: graphics cards that each worker has, 0 for none.
        cores: cores of each worker: a trial computes with so many threads, on whatever machine, and
            a batch system is asked for so many.
        memory: memory of each worker that a batch system is asked for, such as 8GB.
        walltime: longest life of each worker of a batch system, such as 04:00:00.
        queue: the batch system's queue or partition; `null`: its default.
        account: whom the batch system charges; `null`: its default.
        extra: further lines of the batch script, without their `#SBATCH`.
        setup: shell lines before the worker starts, such as `source venv/bin/activate`.
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
    """A sweep: many runs, each with other values, for the best of them.

    Args:
        study: name of the Optuna study; the same name again goes on with it. `null`: a new study,
            named by the experiment, or the model and the data set, and the time.
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
        direction: of the objective, which its name decides; another one than `auto` is a check.
        trial_seconds: longest time of a trial; `null`: no limit.
        max_trials_per_worker: trials after which a worker process is replaced; `null`: never. Of a
            cluster's workers those that have a nanny, as they do by default.
        faults: what happens after a trial ended badly.
        max_failures: the sweep ends when more trials than this have failed; `null`: it goes on.
        budget: when it ends before `n_trials`.
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
    objectives: list[str]
    objective_from: ObjectiveFrom
    direction: Direction
    trial_seconds: float | None = above(0)
    max_trials_per_worker: int | None = above(0)
    faults: Faults
    max_failures: int | None = at_least(0)
    budget: Budget
