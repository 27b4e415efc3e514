"""The executor on a Dask scheduler, with a client that the test controls."""

import threading
import time
from concurrent.futures import Future

import pytest

from samerun.sweeper.executors import dask, dask_remote
from samerun.sweeper.executors.dask import DaskExecutor
from samerun.sweeper.worker import run_trial, warm_up

ADDRESS = "tcp://10.0.0.2:40000"


class Client:
    """One worker behind a nanny, at the same address however often its process is a new one."""

    def __init__(self):
        self.process = 0
        self.calls = []
        self.asked = 0
        self.may_restart = threading.Event()
        self.restarts = 0
        self.before_answer = lambda: None
        self._cancel = None

    def scheduler_info(self):
        found = {ADDRESS: {"nthreads": 1, "nanny": "tcp://10.0.0.2:39999"}}
        self.before_answer()
        return {"workers": found}

    def run(self, function, *arguments, workers, on_error):
        self.asked += 1
        own = dask_remote.describe_worker(dask_remote.Needs())
        fields = {**vars(own), "token": str(self.process)}
        return dict.fromkeys(workers, dask_remote.WorkerEnvironment(**fields))

    def submit(self, function, context, inner, *arguments, **options):
        call = Remote(context, inner)
        self.calls.append(call)
        return call

    def restart_workers(self, workers, timeout, raise_for_error):
        self.restarts += 1
        assert self.may_restart.wait(30)
        self.process += 1
        return dict.fromkeys(workers, "OK")

    def trials(self):
        return [call for call in self.calls if call.inner is dask_remote.run_trial]


class Remote(Future):
    """A call on the worker."""

    def __init__(self, context, inner):
        super().__init__()
        self.context, self.inner = context, inner

    def release(self):
        pass


@pytest.fixture
def client():
    made = Client()
    yield made
    made.may_restart.set()


@pytest.fixture
def executor(client):
    """It has looked once: its only worker is warm."""
    made = DaskExecutor(client, needs=dask_remote.Needs(), folder="study", modules={}, max_trials=1)
    look(made, client)
    assert made.free() == 1
    return made


def look(executor, client):
    """Has the executor look at the workers; warming one up takes no time."""
    executor._look()
    for call in client.calls:
        if call.inner is warm_up and not call.done():
            call.set_result(1)
    executor._dispatch()


def until(is_true):
    end = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)


def use_up(executor, client):
    """Trains the one trial that the worker's process may train."""
    done = executor.submit(run_trial, "an order")
    client.trials()[-1].set_result("an outcome")
    assert done.result(30) == "an outcome"


def test_the_scheduler_is_heard_while_a_worker_is_slow_to_come_back(executor, client, monkeypatch):
    use_up(executor, client)
    look(executor, client)
    until(lambda: client.restarts == 1)
    monkeypatch.setattr(dask, "GONE_SECONDS", 0.2)
    time.sleep(0.3)
    look(executor, client)
    assert executor.free() == 1  # a call would wait for the next worker
    assert client.restarts == 1


def test_a_process_that_is_used_up_is_given_no_further_trial(executor, client):
    executor.submit(run_trial, "an order")
    ends = client.trials()[0]
    # The trial ends while the scheduler still lists its worker.
    client.before_answer = lambda: ends.done() or ends.set_result("an outcome")
    executor.submit(run_trial, "the next order")
    for _ in range(3):
        look(executor, client)
    until(lambda: client.restarts == 1)
    assert client.trials() == [ends]
    client.may_restart.set()
    until(lambda: not executor._leaving)
    look(executor, client)
    assert [call.context.token for call in client.trials()] == ["0", "1"]


def test_a_restart_that_failed_is_tried_again(executor, client, monkeypatch):
    monkeypatch.setattr(dask, "END_SECONDS", 0.0)
    restart, answers = client.restart_workers, [OSError("unavailable"), {ADDRESS: "timed out"}]

    def fail(workers, **options):
        if not answers:
            return restart(workers, **options)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(client, "restart_workers", fail)
    client.may_restart.set()
    use_up(executor, client)
    until(lambda: look(executor, client) or client.process == 1)
    until(lambda: look(executor, client) or executor.num_workers() == 1)
    assert answers == []


def test_a_process_that_hangs_is_not_asked_before_its_nanny_ended_it(executor, client, monkeypatch):
    monkeypatch.setattr(dask, "END_SECONDS", 0.2)
    future = executor.submit(run_trial, "an order")
    monkeypatch.setattr(client, "loop", Loop(), raising=False)
    executor.kill(future)
    assert executor.is_lost(future.exception(30))
    look(executor, client)
    assert (client.asked, client.restarts) == (1, 0)  # it may end itself
    time.sleep(0.3)
    look(executor, client)
    until(lambda: client.restarts == 1)
    client.may_restart.set()
    until(lambda: not executor._leaving)
    look(executor, client)
    assert (client.asked, executor.num_workers()) == (2, 1)


class Loop:
    """Passes on that a call is cancelled, which a hanging process does not receive."""

    def add_callback(self, function, *arguments, **options):
        pass
