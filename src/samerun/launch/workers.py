"""The children of a parent run side by side, each in a worker process of its own.

A worker is a fresh process for one child, so that one that dies takes nothing of another with it.
It ends with its parent, and writes a checkpoint on SIGTERM, as every run does.
"""

import dataclasses
import multiprocessing
import os
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from samerun.command_line import line
from samerun.errors import Diverged, Terminated, UserError, classify, first_line, is_out_of_memory
from samerun.launch.child import Child, train_child
from samerun.process import OUTPUT_FILE, graphics_cards, quiet, redirect_output, start_worker
from samerun.result import Result
from samerun.user_code import trust_names

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class _Worker:
    """A worker process, its child, and the graphics card that it has."""

    process: BaseProcess
    child: Child
    card: str | None


def check_may_start() -> None:
    """Checks that this process is not a worker that still imports the user's own script.

    Raises:
        UserError: it is, because the script trains wherever it is imported.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UserError(
            "workers: a worker imports your script, which calls samerun.train again: put the call "
            'below `if __name__ == "__main__":`.'
        )


def train_side_by_side(each: Sequence[Child], num_workers: int, out: "Console") -> list[Result]:
    """Trains children in worker processes and prints a line for each that has finished.

    Whatever ends it early, such as a child that fails or Ctrl-C, first has the other children write
    their checkpoints; a second Ctrl-C kills them.

    Args:
        each: the children.
        num_workers: the most that are trained at the same time.
        out: where to show progress.

    Returns:
        Their results, in the order of the children, without models.

    Raises:
        UserError: what a child raised, or its process died.
    """
    from samerun.replay.recorded import clean

    at_once = min(num_workers, len(each))
    out.print(f"{at_once} at a time; each writes to {OUTPUT_FILE} in its folder")
    cards: list[str | None] = [*graphics_cards()] or [None]
    free = [cards[number % len(cards)] for number in range(at_once)]
    waiting, results = list(each), dict[int, Result]()
    running: dict[Connection, _Worker] = {}
    try:
        while waiting or running:
            while waiting and free:
                _start(waiting.pop(0), free.pop(0), running)
            for connection in wait([*running]):
                assert isinstance(connection, Connection)
                worker = running[connection]
                result = _receive(connection, worker)
                del running[connection]
                free.append(worker.card)
                results[worker.child.instance.number] = result
                done = f"[bold]{len(results)}/{len(each)}[/]  {worker.child.instance.label}  "
                out.print(done, end="")
                out.print(clean(result.sentence, 400), markup=False)  # may be of the store
    except BaseException:
        _stop([worker.process for worker in running.values()])
        raise
    return [results[child.instance.number] for child in each]


def _start(child: Child, card: str | None, running: dict[Connection, _Worker]) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, child, card), name=child.instance.label)
    running[ours] = _Worker(process, child, card)  # first: a signal may arrive while it starts
    try:
        process.start()
    finally:
        theirs.close()  # so that its death is the end of the pipe


def _receive(connection: Connection, worker: _Worker) -> Result:
    """Returns what a worker sends at its end.

    Raises:
        UserError: what its child raised, or the process died.
    """
    label, file = worker.child.instance.label, worker.child.folder / OUTPUT_FILE
    try:
        answer = connection.recv()
    except EOFError:
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"exit code {code}" if code >= 0 else f"signal {-code}, perhaps for lack of memory"
        trust = trust_names(worker.child.composition.config)
        command = line("resume", worker.child.parent_id, "workers=1", trust=trust)
        raise UserError(
            f"{label}: its process died ({how}): train what is left with fewer workers, "
            f"`{command}`."
        ) from None
    worker.process.join()
    if isinstance(answer, Result):
        return answer
    assert isinstance(answer, BaseException)
    answer.add_note(f"It is of {label}; its output is {file}")
    raise answer


def _stop(processes: Sequence[BaseProcess]) -> None:
    """Has workers write their checkpoints and end; kills them if a signal arrives meanwhile."""
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.terminate()
    try:
        for process in started:
            process.join()
    except BaseException:
        for process in started:
            process.kill()
        raise


def _work(connection: Connection, child: Child, card: str | None) -> None:
    """Trains a child in this process, which does nothing else, and sends the result or error."""
    start_worker([] if card is None else [("CUDA_VISIBLE_DEVICES", card)], is_busy=True)
    answer: Result | BaseException
    try:
        child.folder.mkdir(parents=True, exist_ok=True)
        with redirect_output(child.folder / OUTPUT_FILE):
            answer = _train(child)
    except BaseException as error:
        answer = _portable(error)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # there is nothing left to stop
    connection.send(answer)
    connection.close()
    os._exit(0)  # as a trial's worker, without taking TensorFlow down


def _train(child: Child) -> Result:
    try:
        with quiet():
            from samerun import console, training  # noqa: F401  (loads TensorFlow)
        return dataclasses.replace(train_child(child, console.make_console()), model=None)
    except BaseException:
        traceback.print_exc()
        raise


def _portable(error: BaseException) -> BaseException:
    """Returns an error of the same cause that any process can receive, without its arguments."""
    if isinstance(error, Terminated | KeyboardInterrupt):
        return type(error)()
    if isinstance(error, UserError):
        return UserError(str(error))
    if isinstance(error, Diverged):
        return Diverged(str(error))
    if is_out_of_memory(error):
        return MemoryError(first_line(error))
    return RuntimeError(classify(error).reason)
