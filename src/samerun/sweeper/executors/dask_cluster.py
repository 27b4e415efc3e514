"""Connecting to a Dask scheduler: an existing one, or one whose workers a batch system runs."""

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
from samerun.sweeper.executors.dask_remote import WorkerEnvironment

SCHEDULER_SECONDS = 5.0
"""A scheduler responds in milliseconds; a wrong address should not cost a minute."""

_BATCH = {  # the class of dask-jobqueue, and its name for the account to charge
    "lsf": ("LSFCluster", "project"),
    "moab": ("MoabCluster", "account"),
    "oar": ("OARCluster", "project"),
    "pbs": ("PBSCluster", "account"),
    "sge": ("SGECluster", "project"),
    "slurm": ("SLURMCluster", "account"),
}


def modules_of(targets: Sequence[str], folder: Path) -> dict[str, str]:
    """Returns the source of the user's own modules that their functions need, by path.

    Installed packages have to be installed on the workers too.

    Args:
        targets: such as `my_code:build`.
        folder: the working folder.
    """
    found = user_code.files_of(targets, folder)
    return {name: file.read_text(encoding="utf-8") for name, file in found.items()}


def difference(mine: WorkerEnvironment, theirs: WorkerEnvironment) -> str:
    """Returns how a worker differs from the sweep's own process.

    Returns:
        Half a sentence; empty if a trial is the same here and there.
    """
    differences = []
    if theirs.python != mine.python:
        differences.append(f"Python {theirs.python} instead of {mine.python}")
    for name in sorted({*mine.packages, *theirs.packages}):
        here, there = mine.packages.get(name), theirs.packages.get(name)
        if here is not None and here != there:
            differences.append(
                f"{name} {there} instead of {here}" if there else f"no {name} {here}"
            )
    if theirs.code != mine.code and not any(one.startswith("samerun ") for one in differences):
        differences.append("other source files of samerun")
    shown = (
        [*differences[:5], f"{len(differences) - 5} more differences"]
        if len(differences) > 6
        else differences
    )
    return listed(shown)


def why_not(
    own: WorkerEnvironment, answer: WorkerEnvironment | BaseException, num_threads: int
) -> str:
    """Returns why a worker is not suitable, as half a sentence; empty if it is.

    Args:
        own: what the sweep's own process can run.
        answer: what the worker returned or raised.
        num_threads: number of calls that the worker would run in parallel.
    """
    mend = "install the same there and start the worker again"
    if not isinstance(answer, WorkerEnvironment):
        message = " ".join(str(answer).split())[:200].rstrip(".")
        return f"cannot run samerun ({type(answer).__name__}: {message}): {mend}"
    if num_threads != 1:
        return f"runs {num_threads} trials in one process: start it with --nthreads 1"
    other = difference(own, answer)
    return f"has {other}: {mend}" if other else answer.unreachable


class Batch:
    """A scheduler in this process whose workers are jobs of a batch system.

    Attributes:
        cluster: the cluster of dask-jobqueue.
        refusals: the messages of the batch system for the jobs that it refused.
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
            # Anyone who reaches the port can run code: certificates for this sweep only.
            security=_security(options) or _own_certificates(),
            shared_temp_directory=str(folder),
            log_directory=str(folder / "workers"),
        )
        # Unlike `scale`, this replaces a worker whose job was cancelled.
        self.cluster.adapt(minimum_jobs=num_workers, maximum_jobs=num_workers)

    def close(self) -> None:
        """Cancels the jobs, and deletes the certificates that were written for them."""
        self.cluster.close()
        for file in self._folder.glob(".dask-jobqueue.*"):
            file.unlink(missing_ok=True)


def _noting_refusals(job: Any, refusals: list[str]) -> Any:
    """Returns a class of jobs that records refusals, which Dask would only log."""

    class Job(job):  # type: ignore[misc]
        async def _submit_job(self, script_filename: str) -> Any:
            try:
                return await super()._submit_job(script_filename)
            except Exception as error:
                message = str(error).rpartition("stderr:")[2]
                refusals.append(" ".join(message.split())[:300].rstrip("."))
                raise

    return Job


def _own_certificates() -> Any:
    from distributed import Security

    return Security.temporary()


def connect(
    address: str, options: Dask, num_workers: int | None, folder: Path
) -> tuple[Any, Batch | None]:
    """Connects to a scheduler, or starts one whose workers a batch system runs.

    Args:
        address: `tcp://...`, `tls://...` or the name of a batch system.
        options: `sweep.dask`.
        num_workers: number of workers to request from a batch system.
        folder: the sweep's folder, shared by the machines of a batch system.

    Returns:
        The Dask client, and the batch system's workers if there is one.

    Raises:
        UserError: Dask is not installed, no scheduler answers, or there is no such batch system.
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
    """Returns a client of a scheduler that responds.

    Dask's client itself waits forever for a silent port, and prints a traceback.

    Raises:
        UserError: no scheduler answers there.
    """
    import distributed

    try:
        asyncio.run(_shake_hands(address, security))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `difference` compares versions
            return distributed.Client(
                address, timeout=SCHEDULER_SECONDS, security=security, set_as_default=False
            )
    except Exception as error:  # another program's port may send anything
        raise UserError(
            f"sweep.cluster: no scheduler responds at {address} within {SCHEDULER_SECONDS:g} s"
            f"{_why(error)}: start one with `dask scheduler`, or correct the address."
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
            f"sweep.workers: received null with {name}, expected the number of jobs to request."
        )


def _why(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    message = error.strerror if isinstance(error, OSError) and error.strerror else ""
    return f" ({message})" if message else ""


def _silence() -> None:
    """Hides Dask's own log lines: the sweep reports what matters."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _security(options: Dask) -> Any:
    """Returns the certificates for both ends; `None` for an unencrypted connection.

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
    """Returns the options of dask-jobqueue: one trial at a time in each job, with all its cores."""
    account = _BATCH[name][1]
    arguments = ["--nthreads", "1"]  # the last value counts
    if options.gpus:
        arguments += ["--resources", f"GPU={options.gpus}"]
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
        "worker_extra_args": arguments,
        "scheduler_options": {"dashboard": False, "dashboard_address": ":0"},
    }
