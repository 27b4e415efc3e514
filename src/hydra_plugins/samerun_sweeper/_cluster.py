"""The way to a Dask scheduler: somebody's address, or workers out of a batch system."""

import logging
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra_plugins.samerun_sweeper._remote import Facts
from samerun.config import Dask, UserError, listed, own_code

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
    found = own_code.files_of(targets, folder)
    return {name: file.read_text(encoding="utf-8") for name, file in found.items()}


def difference(mine: Facts, theirs: Facts) -> str:
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


def why_not(own: Facts, answer: Facts | BaseException, num_threads: int) -> str:
    """Says why a worker may not take part, as half a sentence; empty if it may.

    Args:
        own: what the sweep's own process can run.
        answer: what the worker said, or what came instead of an answer.
        num_threads: how many calls the worker would run side by side.
    """
    mend = "install the same there and start the worker again"
    if not isinstance(answer, Facts):
        said = " ".join(str(answer).split())[:200].rstrip(".")
        return f"cannot run samerun ({type(answer).__name__}: {said}): {mend}"
    if num_threads != 1:
        return f"runs {num_threads} trials in one process: start it with --nthreads 1"
    other = difference(own, answer)
    return f"has {other}: {mend}" if other else answer.unreachable


def connect(address: str, options: Dask, num_workers: int | None) -> tuple[Any, Any]:
    """Connects to a scheduler, or starts one here whose workers a batch system runs.

    Args:
        address: `tcp://...`, `tls://...` or the name of a batch system.
        options: `sweep.dask`.
        num_workers: how many workers to ask a batch system for.

    Returns:
        The Dask client, and the cluster if it was started here.

    Raises:
        UserError: Dask is not installed, nobody answers, or there is no such batch system.
    """
    try:
        import distributed
    except ImportError as error:
        raise UserError(
            "sweep.cluster: Dask is not installed: run pip install 'samerun[cluster]'."
        ) from error
    _silence()
    cluster = None
    if "://" not in address:
        cluster = _batch_system(address, options, num_workers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # versions are compared in our own words
            client = distributed.Client(
                cluster or address,
                timeout=SCHEDULER_SECONDS,
                security=None if cluster else _security(options),
                set_as_default=False,
            )
    except (OSError, TimeoutError, ValueError, RuntimeError, TypeError) as error:
        raise UserError(
            f"sweep.cluster: no scheduler answers at {address} within {SCHEDULER_SECONDS:g} s"
            f"{_why(error)}: start one with `dask scheduler`, or mend the address."
        ) from error
    return client, cluster


def _why(error: BaseException) -> str:
    said = " ".join(str(error.__cause__ or error).split())[:120].rstrip(".")
    return f" ({said})" if said else ""


def _silence() -> None:
    """Keeps Dask's own lines off the screen: what matters is said in the sweep's words."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _security(options: Dask) -> Any:
    """Returns the certificates for both ends, `None` for a connection in the clear.

    Raises:
        UserError: one of the three files is not given.
    """
    import distributed

    given = {
        "tls_ca": options.tls_ca,
        "tls_certificate": options.tls_certificate,
        "tls_key": options.tls_key,
    }
    if not any(given.values()):
        return None
    missing = [f"sweep.dask.{name}" for name, value in given.items() if not value]
    if missing:
        raise UserError(f"{listed(missing)}: received null, expected a file as for the others.")
    roles = {
        f"tls_{role}_{end}": given[key]
        for role in ("client", "scheduler", "worker")
        for end, key in (("cert", "tls_certificate"), ("key", "tls_key"))
    }
    return distributed.Security(tls_ca_file=options.tls_ca, require_encryption=True, **roles)


def _batch_system(name: str, options: Dask, num_workers: int | None) -> Any:
    if name not in _BATCH:
        raise UserError(
            f"sweep.cluster: received '{name}', expected the address of a scheduler such as "
            f"tcp://HOST:8786, or one of {listed(_BATCH)}."
        )
    if num_workers is None:
        raise UserError(
            f"sweep.workers: received null with {name}, expected how many jobs to ask it for."
        )
    try:
        import dask_jobqueue
    except ImportError as error:
        raise UserError(
            "sweep.cluster: dask-jobqueue is not installed: run pip install 'samerun[cluster]'."
        ) from error
    kind, _ = _BATCH[name]
    build: Any = getattr(dask_jobqueue, kind)
    submit = str(build.job_cls.submit_command).split()[0]
    if shutil.which(submit) is None:
        raise UserError(
            f"sweep.cluster: {name} has no {submit} on this machine: start the sweep on one from "
            "which jobs are submitted."
        )
    cluster = build(**batch_options(name, options))
    # `scale` would not replace a worker whose job was cancelled; this does.
    cluster.adapt(minimum_jobs=num_workers, maximum_jobs=num_workers)
    return cluster


def batch_options(name: str, options: Dask) -> dict[str, Any]:
    """Returns what dask-jobqueue is told: one trial at a time in each job, all its cores for it."""
    _, account = _BATCH[name]
    words = ["--nthreads", "1"]  # the last one given counts
    if options.gpus:
        words += ["--resources", f"GPU={options.gpus}"]
    security = _security(options)
    made: dict[str, Any] = {
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
    return {**made, "security": security} if security else made
