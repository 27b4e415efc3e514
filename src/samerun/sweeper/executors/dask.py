"""An executor on the workers of a Dask scheduler, on any number of machines."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from samerun import user_code
from samerun.errors import UserError, WorkerLost
from samerun.redaction import redact
from samerun.sweeper.executors import dask_cluster, dask_remote
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.executors.dask_cluster import Batch
from samerun.sweeper.executors.dask_remote import Needs, TaskContext, WorkerEnvironment
from samerun.sweeper.plan import SweepPlan
from samerun.sweeper.worker import run_trial, warm_up

LOOK_SECONDS = 1.0
"""How often the scheduler is asked for its workers."""
GONE_SECONDS = 60.0
"""How long a scheduler may not respond before the sweep ends: twice Dask's own timeout."""
END_SECONDS = 10.0
"""How long a process may take to end itself before its nanny kills it."""
RESTART_SECONDS = 60.0
"""How long a nanny may take to end a process and start the next one."""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Task:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)
    remote: Any = None
    since: float = 0.0


@dataclass(eq=False)
class _Worker:
    address: str
    token: str
    has_gpu: bool
    has_nanny: bool
    task: _Task | None = None
    trials: int = 0
    ends_by: float | None = None


@final
class DaskExecutor(Executor):
    """Runs one function at a time on each worker of a Dask scheduler.

    Each call is bound to one process: losing a worker breaks only its call, and Dask never reruns a
    call by itself, which would mix two executions in one run. Workers may join and leave.

    Args:
        client: a Dask client.
        batch: the jobs of a batch system that are its workers; they end with it.
        needs: what workers have to reach.
        folder: name of the study's folder on each worker.
        modules: the user's own modules, see `dask_cluster.modules_of`.
        most: the maximum number of workers; `None` for all.
        max_trials: number of trials after which a worker's nanny restarts it; `None`: never.
    """

    def __init__(
        self,
        client: Any,
        batch: Batch | None = None,
        *,
        needs: Needs,
        folder: str,
        modules: Mapping[str, str],
        most: int | None = None,
        max_trials: int | None = None,
    ) -> None:
        self._client = client
        self._batch = batch
        self._needs = needs
        self._folder = folder
        self._modules = dict(modules)
        self._most = most
        self._max_trials = max_trials
        self._own = dask_remote.describe_worker(Needs())
        self._lock = threading.RLock()
        self._workers: dict[str, _Worker] = {}
        # Workers whose process has to end before their addresses are accepted again.
        self._leaving: dict[str, _Worker] = {}
        self._refused: dict[str, str] = {}
        self._queue: deque[_Task] = deque()
        self._is_closed = threading.Event()
        self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="samerun-dask", daemon=True)

    def begin_study(self, name: str) -> None:
        """Gives the study a folder of its own on each worker, where trials have the same numbers.

        Args:
            name: the study's name.
        """
        self._folder = name

    def start(self, seconds: float) -> int:
        """Waits for the first suitable worker.

        Args:
            seconds: for how long; workers of a batch system may take as long as its queue.

        Returns:
            The number of workers.

        Raises:
            UserError: no worker joined, or all have other versions.
        """
        end = time.monotonic() + seconds
        while not self._workers:
            self._look()
            if self._workers:
                break
            if self._batch is not None and self._batch.refusals:
                raise UserError(
                    f"sweep.cluster: the batch system refused the job: {self._batch.refusals[0]}."
                )
            if self._refused:
                raise UserError(f"sweep.cluster: {next(iter(self._refused.values()))}")
            if self._batch is None and time.monotonic() > end:
                raise UserError(
                    f"sweep.cluster: no worker joined the scheduler within {seconds:g} s: start "
                    "one with `dask worker ADDRESS --nthreads 1`."
                )
            time.sleep(0.2)
        self._thread.start()
        return len(self._workers)

    def num_workers(self) -> int:
        """Returns the current number of workers."""
        return len(self._workers)

    def free(self) -> int:
        """Counts the workers without a call, minus the calls that wait for one.

        One if nothing runs: a call may wait for the first worker, or the next one.

        Raises:
            UserError: the scheduler is gone.
        """
        if time.monotonic() - self._heard > GONE_SECONDS:
            raise UserError(
                "sweep.cluster: the scheduler is gone: restart it, then run the same command to "
                "resume the sweep."
            )
        with self._lock:
            tasks = [worker.task for worker in self._workers.values()]
            under_way = any(task and task.function is not warm_up for task in tasks)
            least = 0 if self._queue or under_way else 1
            return max(tasks.count(None) - len(self._queue), least)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Calls a function on a free worker, or on the next one that becomes free."""
        is_trial = function is run_trial
        task = _Task(dask_remote.run_trial if is_trial else function, arguments)
        with self._lock:
            self._queue.append(task)
        self._dispatch()
        return task.future

    def seconds(self, future: Future[Any]) -> float:
        """Counts from when a worker, already warm, received the call."""
        task = self._task(future)
        return time.monotonic() - task.since if task is not None and task.since else 0.0

    def stop(self) -> None:
        """Asks every busy worker of this sweep to write a checkpoint and return."""
        with self._lock:
            self._empty_queue("the sweep was stopped")
            busy = [worker.address for worker in self._workers.values() if worker.task]
        if busy:
            with contextlib.suppress(Exception):
                self._client.run(
                    dask_remote.request_stop, self._folder, workers=busy, on_error="ignore"
                )

    def kill(self, future: Future[Any]) -> None:
        """Ends the process that runs a call, which breaks the call; the worker restarts."""
        with self._lock:
            for task in [task for task in self._queue if task.future is future]:
                self._queue.remove(task)
                self._lose(task, "it had not started")
            busy = [worker for worker in self._workers.values() if worker.task is not None]
            for worker in busy:
                if worker.task is not None and worker.task.future is future:
                    self._workers.pop(worker.address)
                    self._leaving[worker.address] = worker
                    worker.ends_by = time.monotonic() + END_SECONDS
                    self._lose(worker.task, "its process was ended")

    def is_lost(self, error: BaseException) -> bool:
        """Whether a future raised this because its worker, or the connection to it, is lost."""
        return isinstance(error, WorkerLost | CancelledError)

    def _task(self, future: Future[Any]) -> _Task | None:
        with self._lock:
            tasks = (worker.task for worker in self._workers.values())
            return next((task for task in tasks if task and task.future is future), None)

    def close(self) -> None:
        """Ends running calls, the connection, and the cluster if it was started for this sweep.

        Workers of an existing scheduler stay; a process that was still running a call restarts.
        """
        self._is_closed.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        with self._lock:
            self._empty_queue("the sweep ended")
            tasks = [worker.task for worker in self._workers.values() if worker.task]
            for task in tasks:
                self._lose(task, "the sweep ended")
        for end in (self._batch, self._client):
            if end is not None:
                with contextlib.suppress(Exception):
                    end.close()

    def _watch(self) -> None:
        while not self._is_closed.wait(LOOK_SECONDS):
            try:
                self._look()
                self._dispatch()
            except Exception as error:  # the scheduler may be unavailable for a moment
                _log.debug("No look at the workers: %s", error)
                if time.monotonic() - self._heard > GONE_SECONDS:
                    self._lose_all()

    def _look(self) -> None:
        """Adds new workers, and removes those that are gone."""
        found = self._client.scheduler_info()["workers"]
        self._heard = time.monotonic()
        with self._lock:
            for address in [a for a in self._workers if a not in found]:
                self._remove(address)
            self._refused = {a: why for a, why in self._refused.items() if a in found}
            self._leaving = {a: worker for a, worker in self._leaving.items() if a in found}
            for worker in list(self._leaving.values()):
                if worker.ends_by is not None and worker.ends_by <= self._heard:
                    self._end_by_nanny(worker)
            known = {*self._workers, *self._refused, *self._leaving}
        new = [a for a in found if a not in known]
        if self._most is not None:
            new = new[: max(self._most - len(self._workers), 0)]
        if new:
            answers = self._client.run(
                dask_remote.describe_worker, self._needs, workers=new, on_error="return"
            )
            for address, answer in answers.items():
                if isinstance(answer, OSError | TimeoutError):  # it is ending
                    continue
                self._take_in(address, answer, found[address])

    def _take_in(
        self, address: str, answer: WorkerEnvironment | BaseException, info: Mapping[str, Any]
    ) -> None:
        why = dask_cluster.why_not(self._own, answer, info["nthreads"])
        if why:
            self._refuse(address, why)
            return
        assert isinstance(answer, WorkerEnvironment)
        has_gpu = bool(info.get("resources", {}).get("GPU"))
        worker = _Worker(address, answer.token, has_gpu, bool(info.get("nanny")))
        with self._lock:
            self._workers[address] = worker
            # Importing TensorFlow, which takes 4 to 8 s, does not count for any trial.
            self._hand_over(_Task(warm_up, ()), worker)

    def _refuse(self, address: str, why: str) -> None:
        self._refused[address] = f"worker {address} {why}."
        _log.warning("Left out: %s", self._refused[address])

    def _empty_queue(self, why: str) -> None:
        while self._queue:
            self._lose(self._queue.popleft(), why)

    def _remove(self, address: str) -> None:
        worker = self._workers.pop(address)
        if worker.task is not None:
            self._lose(worker.task, f"worker {address} is gone")

    def _forget(self, worker: _Worker) -> bool:
        """Removes a worker; returns `False` if its address already belongs to another one."""
        is_known = self._workers.get(worker.address) is worker
        if is_known:
            del self._workers[worker.address]
        return is_known

    def _lose(self, task: _Task, why: str) -> None:
        """Breaks a call; its process ends itself when it notices that the call was cancelled."""
        if not task.future.done():
            task.future.set_exception(WorkerLost(why))
        if task.remote is not None:
            with contextlib.suppress(Exception):
                self._client.loop.add_callback(self._client._cancel, [task.remote], force=True)

    def _lose_all(self) -> None:
        with self._lock:
            for address in list(self._workers):
                self._remove(address)
            self._empty_queue("the scheduler is gone")

    def _end_by_nanny(self, worker: _Worker) -> None:
        """Ends a process from a separate thread, since that may take a minute."""
        worker.ends_by = None
        if worker.has_nanny:
            threading.Thread(target=self._restart, args=(worker,), daemon=True).start()
        else:
            del self._leaving[worker.address]

    def _restart(self, worker: _Worker) -> None:
        address, answer = worker.address, {}
        with contextlib.suppress(Exception):  # it, or for a moment the scheduler, is gone
            answer = self._client.restart_workers(
                [address], timeout=RESTART_SECONDS, raise_for_error=False
            )
        with self._lock:
            if answer.get(address) != "OK":
                worker.ends_by = time.monotonic() + END_SECONDS  # then it is retried
            elif self._leaving.get(address) is worker:
                del self._leaving[address]

    def _dispatch(self) -> None:
        """Gives waiting calls to free workers."""
        with self._lock:
            for worker in self._workers.values():
                if worker.task is None and self._queue:
                    self._hand_over(self._queue.popleft(), worker)

    def _hand_over(self, task: _Task, worker: _Worker) -> None:
        context = TaskContext(folder=self._folder, token=worker.token, modules=self._modules)
        worker.task = task
        task.since = time.monotonic()
        task.remote = self._client.submit(
            dask_remote.call,
            context,
            task.function,
            *task.arguments,
            workers=[worker.address],
            allow_other_workers=False,
            resources={"GPU": 1} if worker.has_gpu else None,
            pure=False,
            retries=0,
        )
        task.remote.add_done_callback(lambda remote: self._done(task, worker, remote))

    def _done(self, task: _Task, worker: _Worker, remote: Any) -> None:
        """Passes the result on; releases the remote copy, since losing it would repeat the call."""
        from distributed import KilledWorker

        result: Any = None
        error: BaseException | None = None
        is_used_up = False
        try:
            result = remote.result(timeout=END_SECONDS)
        except (KilledWorker, CancelledError, TimeoutError) as gone:
            error = WorkerLost(f"worker {worker.address} died ({type(gone).__name__})")
        except BaseException as raised:
            error = raised
        with self._lock:
            if isinstance(error, WorkerLost):  # added again when its process is known
                self._forget(worker)
            elif worker.task is task:
                worker.task = None
                worker.trials += task.function is dask_remote.run_trial
                if worker.has_nanny and worker.trials == self._max_trials:
                    is_used_up = self._forget(worker)
                if is_used_up:
                    self._leaving[worker.address] = worker
                if error is not None and task.function is warm_up:
                    self._forget(worker)
                    self._refuse(worker.address, f"cannot import TensorFlow ({error})")
            if not task.future.done():
                if error is None:
                    task.future.set_result(result)
                else:
                    task.future.set_exception(error)
        with contextlib.suppress(Exception):
            remote.release()
        if is_used_up:  # its process may end only now, as it no longer holds a result
            worker.ends_by = time.monotonic()
        self._dispatch()


def open_executor(plan: SweepPlan) -> DaskExecutor:
    """Returns the executor of a sweep whose settings name a cluster, with at least one worker.

    Raises:
        UserError: there is no scheduler, or no suitable worker.
    """
    settings = plan.settings
    assert settings.cluster is not None
    configs = plan.configs.configs()
    targets = sorted({name for cfg in configs for name in user_code.targets(cfg).values()})
    modules = dask_cluster.modules_of(targets, Path.cwd())
    client, batch = dask_cluster.connect(
        settings.cluster, settings.dask, settings.workers, plan.folder
    )
    storage, tracking_uri = redact(plan.storage), redact(plan.tracking_uri())
    needs = Needs(storage=storage, tracking=tracking_uri, secret=storage != plan.storage)
    executor = DaskExecutor(
        client,
        batch,
        needs=needs,
        folder=plan.name,
        modules=modules,
        most=settings.workers,
        max_trials=settings.max_trials_per_worker,
    )
    try:
        executor.start(settings.dask.connect_seconds)
    except BaseException:
        executor.close()
        raise
    return executor
