"""Trains several processes in turns, an epoch at a time: while one trains, the others are stopped.

So the epochs that are compared follow each other within seconds, and each side has both cores while
it trains, and pays for what its own threads do between two epochs. A process starts once for all
its epochs. It calls `wait_for_turns()`, which makes Keras wait at the start of each epoch; the
program that compares calls `epochs_in_turns`.
"""

import contextlib
import functools
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import environment

CHANNEL = "SAMERUN_BENCH_CHANNEL"
"""The environment variable with the number of the socket to the program that compares."""
PATIENCE_SECONDS = 300
"""How long a process may take to start, or to train an epoch."""


def wait_for_turns() -> None:
    """Makes each epoch of this process wait for its turn, and report how long it took.

    An epoch lasts from its start to that of the next one, so that everything that happens between
    two epochs counts.
    """
    import keras

    channel = socket.socket(fileno=int(os.environ[CHANNEL]))
    began: list[float] = []
    method = keras.callbacks.CallbackList.on_epoch_begin

    @functools.wraps(method)
    def waiting(self: Any, *arguments: Any, **options: Any) -> Any:
        spent = [now - start for now, start in zip(_clocks(), began, strict=False)]
        line = {"spent": spent, "num_parameters": self._model.count_params()}
        line["steps_per_execution"] = int(self._model.steps_per_execution)
        channel.sendall(json.dumps(line).encode() + b"\n")
        if not channel.recv(1):  # nothing waits for another epoch
            os._exit(0)
        began[:] = _clocks()
        return method(self, *arguments, **options)

    keras.callbacks.CallbackList.on_epoch_begin = waiting


def _clocks() -> tuple[float, float]:
    """Returns the time of the clock and that of the processors, of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


@dataclass
class Side:
    """A process that trains, with a connection to it.

    Args:
        process: the process.
        channel: the connection.
        output: what it writes.
    """

    process: "subprocess.Popen[bytes]"
    channel: socket.socket
    output: Any

    def arrived(self) -> dict[str, Any]:
        """Waits until it is about to begin an epoch, and stops it; returns what it reports."""
        line = bytearray()
        while not line.endswith(b"\n"):
            try:
                part = self.channel.recv(4096)
            except OSError:  # it was killed, or nothing came in time
                part = b""
            if not part:
                self.fail()
            line += part
        os.kill(self.process.pid, signal.SIGSTOP)
        return dict(json.loads(line))

    def epoch(self) -> dict[str, Any]:
        """Lets it train an epoch; returns what it reports."""
        os.kill(self.process.pid, signal.SIGCONT)
        with contextlib.suppress(OSError):  # it was killed, which the next line reports
            self.channel.sendall(b".")
        return self.arrived()

    def fail(self) -> None:
        """Ends this program: the process has ended too early, or takes far too long."""
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.output.seek(0)
        text = self.output.read().decode(errors="replace")
        sys.exit(f"a process that trains: exit code {code}\n{text[-4000:]}")


@contextlib.contextmanager
def started(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Iterator[Side]:
    """Starts a process that calls `wait_for_turns`, and ends it after the block.

    Args:
        command: program and arguments.
        folder: its working folder.
        variables: added to the environment.
    """
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_SECONDS)
    paths = os.pathsep.join([str(folder), str(Path(__file__).resolve().parent)])
    own = {**variables, "PYTHONPATH": paths, CHANNEL: str(theirs.fileno())}
    with ours, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(own),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        try:
            yield Side(process, ours, output)
        finally:
            process.kill()  # it would train more epochs than are compared
            process.wait()


@dataclass(frozen=True)
class Epochs:
    """The epochs of a side.

    Args:
        wall: seconds of the clock of each epoch that counts.
        cpu: seconds of the processors.
        num_parameters: of its network.
        steps_per_execution: of the last epoch.
    """

    wall: list[float]
    cpu: list[float]
    num_parameters: int
    steps_per_execution: int


def epochs_in_turns(
    commands: Mapping[str, tuple[Sequence[str], Path]],
    rounds: int,
    variables: Mapping[str, str] | None = None,
    *,
    traced: int = 1,
) -> dict[str, Epochs]:
    """Trains all sides in turns; returns what each epoch of each took, but for the first ones.

    The order is another one in each round: A B C, B C A, ….

    Args:
        commands: by name, the command and its working folder.
        rounds: epochs of each side that count.
        variables: added to the environment of all.
        traced: first epochs that do not count, because they include tracing.
    """
    names = list(commands)
    with contextlib.ExitStack() as stack:
        sides = {
            name: stack.enter_context(started(command, folder, variables or {}))
            for name, (command, folder) in commands.items()
        }
        sizes = {name: side.arrived()["num_parameters"] for name, side in sides.items()}
        found: dict[str, list[list[float]]] = {name: [] for name in names}
        steps = dict.fromkeys(names, 1)
        for number in range(traced + rounds):
            for at in range(len(names)):
                name = names[(number + at) % len(names)]
                report = sides[name].epoch()
                steps[name] = report["steps_per_execution"]
                if number >= traced:
                    found[name].append(report["spent"])
    return {
        name: Epochs(
            wall=[wall for wall, _ in spent],
            cpu=[cpu for _, cpu in spent],
            num_parameters=sizes[name],
            steps_per_execution=steps[name],
        )
        for name, spent in found.items()
    }
