"""The children of a parent run side by side, each in a worker process of its own.

A worker is a fresh process for one child, so that one that dies takes nothing of another with it.
It ends with its parent, and writes a checkpoint on SIGTERM, as every run does.
"""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samerun.errors import Diverged, Terminated, UserError, classify, first_line, is_out_of_memory
from samerun.process import OUTPUT_FILE, graphics_cards, redirect_output, start_worker

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker does for a child; everything in it can be pickled.

    Args:
        label: which child, such as `seed 3`.
        folder: the child's own folder.
        work: does it, with the console of the worker, and returns what can be pickled.
        if_it_dies: what to do if the process dies, as the end of a sentence.
    """

    label: str
    folder: Path
    work: "Callable[[Console], Any]"
    if_it_dies: str


@dataclass(frozen=True)
class _Worker:
    """A worker process, the number of its task, and the graphics card that it has."""

    process: BaseProcess
    number: int
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


def run_side_by_side(
    tasks: Sequence[Task], num_workers: int, out: "Console", *, finished: Callable[[Any], None]
) -> list[Any]:
    """Does the work of each child in a worker process, and names each that has finished.

    Whatever ends it early, such as a child that fails or Ctrl-C, first has the other children write
    their checkpoints; a second Ctrl-C kills them.

    Args:
        tasks: one for each child.
        num_workers: the most that are at work at the same time.
        out: where to show progress.
        finished: called with what a task returned, to show it.

    Returns:
        What they returned, in the order of the tasks.

    Raises:
        UserError: what a task raised, or its process died.
    """
    at_once = min(num_workers, len(tasks))
    out.print(f"{at_once} at a time; each writes to {OUTPUT_FILE} in its folder")
    cards: list[str | None] = [*graphics_cards()] or [None]
    free = [cards[number % len(cards)] for number in range(at_once)]
    waiting, answers = [*range(len(tasks))], dict[int, Any]()
    running: dict[Connection, _Worker] = {}
    try:
        while waiting or running:
            while waiting and free:
                number = waiting.pop(0)
                _start(number, tasks[number], free.pop(0), running)
            for connection in wait([*running]):
                assert isinstance(connection, Connection)
                worker = running[connection]
                task = tasks[worker.number]
                answers[worker.number] = _receive(connection, worker.process, task)
                del running[connection]
                free.append(worker.card)
                out.print(f"[bold]{len(answers)}/{len(tasks)}[/]  {task.label}  ", end="")
                finished(answers[worker.number])
    except BaseException:
        _stop([worker.process for worker in running.values()])
        raise
    return [answers[number] for number in range(len(tasks))]


def _start(number: int, task: Task, card: str | None, running: dict[Connection, _Worker]) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, task, card), name=task.label)
    running[ours] = _Worker(process, number, card)  # first: a signal may arrive while it starts
    try:
        process.start()
    finally:
        theirs.close()  # so that its death is the end of the pipe


def _receive(connection: Connection, process: BaseProcess, task: Task) -> Any:
    """Returns what a worker sends at its end.

    Raises:
        UserError: what its task raised, or the process died.
    """
    try:
        answer = connection.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        how = f"exit code {code}" if code >= 0 else f"signal {-code}, perhaps for lack of memory"
        raise UserError(f"{task.label}: its process died ({how}): {task.if_it_dies}.") from None
    process.join()
    if isinstance(answer, BaseException):
        answer.add_note(f"It is of {task.label}; its output is {task.folder / OUTPUT_FILE}")
        raise answer
    return answer


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


def _work(connection: Connection, task: Task, card: str | None) -> None:
    """Does a task in this process, which does nothing else, and sends the result or error."""
    start_worker([] if card is None else [("CUDA_VISIBLE_DEVICES", card)], is_busy=True)
    answer: Any
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
        with redirect_output(task.folder / OUTPUT_FILE):
            answer = _do(task)
    except BaseException as error:
        answer = _portable(error)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # there is nothing left to stop
    connection.send(answer)
    connection.close()
    os._exit(0)  # as a trial's worker, without taking TensorFlow down


def _do(task: Task) -> Any:
    try:
        from samerun import console

        return task.work(console.make_console())
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
