"""The way to a Dask scheduler: somebody's address, or workers out of a batch system."""

import asyncio
import logging
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samerun import user_code
from samerun.config.sweep import Dask
from samerun.errors import UserError, listed
from samerun.sweeper.executors.dask_remote import WorkerFacts

SCHEDULER_SECONDS = 5.0
"""A scheduler that is there answers in milliseconds; a wrong address should not cost a minute."""

_BATCH = {  # the class of dask-jobqueue, and what it calls whom to charge
    "lsf": ("LSFCluster", "project"),
    "moab": ("MoabCluster", "account"),
    "oar": ("OARCluster", "project"),
    "pbs": ("PBSCluster", "account"),
    "sge": ("SGECluster", "project"),
    "slurm": ("SLURMCluster", "account"),
}


def modules_of(targets: Sequence[str], folder: Path) -> dict[str, str]:
    """Returns the text of the modules of their own that users' functions need, by path.

    What is installed has to be installed on the workers too.

    Args:
        targets: such as `my_code:build`.
        folder: the working folder.
    """
    found = user_code.files_of(targets, folder)
    return {name: file.read_text(encoding="utf-8") for name, file in found.items()}


def difference(mine: WorkerFacts, theirs: WorkerFacts) -> str:
    """Says what a worker has that the sweep's own process has not, or the other way round.

    Returns:
        Half a sentence; empty if a trial is the same here and there.
    """
    said = []
    if theirs.python != mine.python:
        said.append(f"Python {theirs.python} instead of {mine.python}")
    for name in sorted({*mine.packages, *theirs.packages}):
        here, there = mine.packages.get(name), theirs.packages.get(name)
        if here is not None and here != there:
            said.append(f"{name} {there} instead of {here}" if there else f"no {name} {here}")
    if theirs.code != mine.code and not any(word.startswith("samerun ") for word in said):
        said.append("other source files of samerun")
    shown = [*said[:5], f"{len(said) - 5} differences more"] if len(said) > 6 else said
    return listed(shown)


def why_not(own: WorkerFacts, answer: WorkerFacts | BaseException, num_threads: int) -> str:
    """Says why a worker may not take part, as half a sentence; empty if it may.

    Args:
        own: what the sweep's own process can run.
        answer: what the worker said, or what came instead of an answer.
        num_threads: how many calls the worker would run side by side.
    """
    mend = "install the same there and start the worker again"
    if not isinstance(answer, WorkerFacts):
        said = " ".join(str(answer).split())[:200].rstrip(".")
        return f"cannot run samerun ({type(answer).__name__}: {said}): {mend}"
    if num_threads != 1:
        return f"runs {num_threads} trials in one process: start it with --nthreads 1"
    other = difference(own, answer)
    return f"has {other}: {mend}" if other else answer.unreachable


class Batch:
    """A scheduler in this process whose workers are jobs of a batch system.

    Attributes:
        cluster: the cluster of dask-jobqueue.
        refusals: what the batch system said to jobs that it did not take.
    """

    def __init__(self, name: str, options: Dask, num_workers: int, folder: Path) -> None:
        import dask_jobqueue

        kind = getattr(dask_jobqueue, _BATCH[name][0])
        submit = str(kind.job_cls.submit_command).split()[0]
        if shutil.which(submit) is None:
            raise UserError(
                f"sweep.cluster: {name} has no {submit} on this machine: start the sweep on one "
                "from which jobs are submitted."
            )
        self._folder = folder
        self.refusals: list[str] = []
        self.cluster = kind(
            **batch_options(name, options),
            job_cls=_noting_refusals(kind.job_cls, self.refusals),
            # Whoever reaches the scheduler's port runs code: certificates of this sweep alone.
            security=_security(options) or _own_certificates(),
            shared_temp_directory=str(folder),
            log_directory=str(folder / "workers"),
        )
        # `scale` would not replace a worker whose job was cancelled; this does.
        self.cluster.adapt(minimum_jobs=num_workers, maximum_jobs=num_workers)

    def close(self) -> None:
        """Takes the jobs back, and the certificates that were written for them."""
        self.cluster.close()
        for file in self._folder.glob(".dask-jobqueue.*"):
            file.unlink(missing_ok=True)


def _noting_refusals(job: Any, refusals: list[str]) -> Any:
    """Returns a class of jobs that notes what Dask would only log."""

    class Job(job):  # type: ignore[misc]
        async def _submit_job(self, script_filename: str) -> Any:
            try:
                return await super()._submit_job(script_filename)
            except Exception as error:
                said = str(error).rpartition("stderr:")[2]
                refusals.append(" ".join(said.split())[:300].rstrip("."))
                raise

    return Job


def _own_certificates() -> Any:
    from distributed import Security

    return Security.temporary()


def connect(
    address: str, options: Dask, num_workers: int | None, folder: Path
) -> tuple[Any, Batch | None]:
    """Connects to a scheduler, or starts one here whose workers a batch system runs.

    Args:
        address: `tcp://...`, `tls://...` or the name of a batch system.
        options: `sweep.dask`.
        num_workers: how many workers to ask a batch system for.
        folder: the sweep's folder, which the machines of a batch system share.

    Returns:
        The Dask client, and the batch system's workers if there is one.

    Raises:
        UserError: Dask is not installed, nobody answers, or there is no such batch system.
    """
    try:
        import dask_jobqueue  # noqa: F401
        import distributed
    except ImportError as error:
        raise UserError(
            "sweep.cluster: Dask is not installed: run pip install 'samerun[cluster]'."
        ) from error
    _silence()
    if "://" not in address:
        _check_batch(address, num_workers)
        batch = Batch(address, options, num_workers or 1, folder)
        return distributed.Client(batch.cluster, set_as_default=False), batch
    security = _security(options)
    if address.startswith("tls:") and security is None:
        raise UserError(
            "sweep.cluster: a tls address needs sweep.dask.tls_ca, tls_certificate and tls_key."
        )
    return _client(address, security), None


def _client(address: str, security: Any) -> Any:
    """Returns a client of a scheduler that was heard to answer.

    Dask's client itself waits for ever for a port that says nothing, and prints a traceback.

    Raises:
        UserError: no scheduler answers there.
    """
    import distributed

    try:
        asyncio.run(_shake_hands(address, security))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # versions are compared in our own words
            return distributed.Client(
                address, timeout=SCHEDULER_SECONDS, security=security, set_as_default=False
            )
    except Exception as error:  # the port of another program may answer anything
        raise UserError(
            f"sweep.cluster: no scheduler answers at {address} within {SCHEDULER_SECONDS:g} s"
            f"{_why(error)}: start one with `dask scheduler`, or mend the address."
        ) from error


async def _shake_hands(address: str, security: Any) -> None:
    from distributed.comm import connect as reach

    arguments = security.get_connection_args("client") if security else {}
    reaching = reach(address, timeout=SCHEDULER_SECONDS, **arguments)
    (await asyncio.wait_for(reaching, SCHEDULER_SECONDS)).abort()


def _check_batch(name: str, num_workers: int | None) -> None:
    if name not in _BATCH:
        raise UserError(
            f"sweep.cluster: received '{name}', expected the address of a scheduler such as "
            f"tcp://HOST:8786, or one of {listed(_BATCH)}."
        )
    if num_workers is None:
        raise UserError(
            f"sweep.workers: received null with {name}, expected how many jobs to ask it for."
        )


def _why(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    said = error.strerror if isinstance(error, OSError) and error.strerror else ""
    return f" ({said})" if said else ""


def _silence() -> None:
    """Keeps Dask's own lines off the screen: what matters is said in the sweep's words."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _security(options: Dask) -> Any:
    """Returns the certificates for both ends, `None` for a connection in the clear.

    Raises:
        UserError: one of the three files is not given, or not there.
    """
    import distributed

    given = {
        "sweep.dask.tls_ca": options.tls_ca,
        "sweep.dask.tls_certificate": options.tls_certificate,
        "sweep.dask.tls_key": options.tls_key,
    }
    if not any(given.values()):
        return None
    for key, file in given.items():
        if file is None or not Path(file).is_file():
            raise UserError(f"{key}: received {file or 'null'}, expected a file: TLS needs three.")
    ca, certificate, key_file = (str(Path(str(file)).absolute()) for file in given.values())
    roles: dict[str, str] = {}
    for role in ("client", "scheduler", "worker"):
        roles |= {f"tls_{role}_cert": certificate, f"tls_{role}_key": key_file}
    return distributed.Security(tls_ca_file=ca, require_encryption=True, **roles)


def batch_options(name: str, options: Dask) -> dict[str, Any]:
    """Returns what dask-jobqueue is told: one trial at a time in each job, all its cores for it."""
    account = _BATCH[name][1]
    words = ["--nthreads", "1"]  # the last one given counts
    if options.gpus:
        words += ["--resources", f"GPU={options.gpus}"]
    return {
        "cores": options.cores,
        "memory": options.memory,
        "processes": 1,
        "python": sys.executable,
        "queue": options.queue,
        "walltime": options.walltime,
        account: options.account,
        "job_extra_directives": list(options.extra),
        "job_script_prologue": list(options.setup),
        "worker_extra_args": words,
        "scheduler_options": {"dashboard": False, "dashboard_address": ":0"},
    }
