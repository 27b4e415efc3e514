"""The command line: thin, and quick to answer. TensorFlow is imported when training starts."""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from samerun import __version__, stopwatch
from samerun.cli.bundle_command import bundle_command, unbundle_command
from samerun.cli.compare_command import compare_command
from samerun.cli.diff_command import diff_command
from samerun.cli.evaluate_command import evaluate_command
from samerun.cli.export_command import export_command
from samerun.cli.gc_command import gc_command
from samerun.cli.generate_command import generate_command
from samerun.cli.init_command import init_command
from samerun.cli.predict_command import predict_command
from samerun.cli.promote_command import promote_command
from samerun.cli.reproduce_command import reproduce_command
from samerun.cli.resume_command import resume_command
from samerun.cli.runs_command import runs_command
from samerun.cli.serve_command import serve_command
from samerun.cli.server_command import server_command
from samerun.cli.show_command import show_command
from samerun.cli.sync_command import print_undelivered, sync_command
from samerun.cli.table_command import table_command
from samerun.cli.tensorboard_command import tensorboard_command
from samerun.cli.ui_command import ui_command
from samerun.cli.ui_commands import completion_command, experiments_command
from samerun.cli.verify_command import verify_command
from samerun.command_line import line
from samerun.errors import READER_LEFT, UserError, exit_code, listed, message
from samerun.escaping import for_screen
from samerun.privacy import keep_private
from samerun.process import own_process, pause_garbage_collection
from samerun.redaction import guard_output, redact


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of `samerun`.

    Args:
        help: what it does, in one line.
        load: returns its function, which takes the arguments after its name and returns the exit
            code. What that needs is imported only then.
        opens_store: it opens the tracking store, so runs that are not completely in it are named.
    """

    help: str
    load: Callable[[], Callable[[list[str]], int]]
    opens_store: bool = False


def _load_train() -> Callable[[list[str]], int]:
    from samerun.cli.train_command import train_command  # with Hydra, which takes 0.4 s to import

    return train_command


COMMANDS = {
    "train": Command(help="train a model, or several with -m", load=_load_train, opens_store=True),
    "runs": Command(help="list the recorded runs", load=lambda: runs_command, opens_store=True),
    "show": Command(
        help="show a recorded run, sweep or multirun on one screen",
        load=lambda: show_command,
        opens_store=True,
    ),
    "resume": Command(
        help="resume an interrupted run", load=lambda: resume_command, opens_store=True
    ),
    "reproduce": Command(
        help="train a recorded run again and compare the results",
        load=lambda: reproduce_command,
        opens_store=True,
    ),
    "bundle": Command(
        help="write a run to one file, for another machine",
        load=lambda: bundle_command,
        opens_store=True,
    ),
    "unbundle": Command(
        help="read such a file into the store of this folder", load=lambda: unbundle_command
    ),
    "verify": Command(
        help="reproduce the runs that pyproject.toml lists, with one table of verdicts",
        load=lambda: verify_command,
    ),
    "compare": Command(
        help="show runs side by side, and whether the best is really better",
        load=lambda: compare_command,
        opens_store=True,
    ),
    "diff": Command(
        help="show what differs between two runs", load=lambda: diff_command, opens_store=True
    ),
    "table": Command(
        help="show a paper's table: means over seeds, intervals, tests",
        load=lambda: table_command,
        opens_store=True,
    ),
    "predict": Command(
        help="predict on new data: rows, texts, images",
        load=lambda: predict_command,
        opens_store=True,
    ),
    "generate": Command(
        help="continue a text with a language model",
        load=lambda: generate_command,
        opens_store=True,
    ),
    "evaluate": Command(
        help="evaluate a trained model on new labeled data",
        load=lambda: evaluate_command,
        opens_store=True,
    ),
    "serve": Command(
        help="serve a trained model with MLflow's scoring server",
        load=lambda: serve_command,
        opens_store=True,
    ),
    "export": Command(
        help="write the model of a run for another program: ONNX, TFLite, …",
        load=lambda: export_command,
        opens_store=True,
    ),
    "promote": Command(
        help="give a run's model an alias in the model registry, unless it is worse",
        load=lambda: promote_command,
        opens_store=True,
    ),
    "ui": Command(
        help="open the MLflow UI with the runs of this folder",
        load=lambda: ui_command,
        opens_store=True,
    ),
    "server": Command(
        help="start a shared tracking server with user accounts", load=lambda: server_command
    ),
    "tensorboard": Command(
        help="open TensorBoard with the given runs",
        load=lambda: tensorboard_command,
        opens_store=True,
    ),
    "sync": Command(help="deliver what the tracking store is missing", load=lambda: sync_command),
    "gc": Command(
        help="delete checkpoints of finished runs that were reproduced exactly",
        load=lambda: gc_command,
    ),
    "init": Command(
        help="write a project of your own: model, dataset, tests", load=lambda: init_command
    ),
    "experiments": Command(
        help="list your own experiments and those included with samerun",
        load=lambda: experiments_command,
    ),
    "completion": Command(
        help='print the shell completion script: eval "$(samerun completion)"',
        load=lambda: completion_command,
    ),
}


GROUPS = {
    "train": ("init", "train", "resume", "experiments"),
    "look": ("runs", "show", "compare", "diff", "table", "ui", "tensorboard"),
    "repeat": ("reproduce", "bundle", "unbundle", "verify"),
    "use": ("predict", "generate", "evaluate", "serve", "export", "promote"),
    "store": ("sync", "server", "gc"),
    "shell": ("completion",),
}
"""How the help groups the commands."""
_SHORT = ("runs", "show", "diff", "table", "train")
"""Commands that load neither data nor a model; `train` collects garbage once training begins."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 success, 1 failure, 2 wrong usage."""
    if arguments is None:  # a process of its own, not a call from a program
        guard_output()
        keep_private()
        own_process()
    given = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = "".join(given[:1]), given[1:]
    try:
        if name == "-sc" or name.startswith("--shell-completion"):
            return _complete([name, *rest])
        command = COMMANDS.get(name)
        if command is None and name and not name.startswith("-"):
            raise _no_command(name, rest)
        if command is None:
            parser = _parser()
            parser.parse_args(given)  # prints and exits, unless nothing was given
            parser.print_help()
            return 0
        if arguments is None and name in _SHORT:
            pause_garbage_collection()
        if {"-h", "--help"} & set(rest):
            return _print_help(name, command, rest)
        if command.opens_store:
            print_undelivered()
        with stopwatch.part("imports"):
            run = command.load()
        code = run(rest)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        return READER_LEFT
    except BaseException as error:
        failure = exit_code(error)
        if failure is None:
            raise
        notes = getattr(error, "__notes__", [])
        text = "\n".join([f"samerun: {message(error)}", *notes])
        print(for_screen(redact(text)), file=sys.stderr)
        return failure


def _print_help(name: str, command: Command, rest: list[str]) -> int:
    """Prints the help of a command, then its examples and its page."""
    try:
        command.load()(rest)
    except SystemExit as end:
        if end.code:
            raise
    from samerun.cli.examples import EXAMPLES

    shown = EXAMPLES[name]
    examples = "".join(f"  {one}\n" for one in shown.lines())
    print(f"\nexamples:\n{examples}\nMore in {shown.page}.", flush=True)
    return 0


def _no_command(name: str, rest: Sequence[str]) -> UserError:
    """Returns the error for a command that does not exist, with the line to type."""
    from samerun.config.suggestions import as_hint, command_of  # with Hydra, as for `train`

    known = list(COMMANDS)
    meant = command_of(name, known)
    hint = as_hint(line(*meant.split(), *rest)) if meant else ""
    return UserError(f"{name}: there is no such command, expected one of {listed(known)}.{hint}")


def _reader_has_left() -> bool:
    """Whether no process reads the output any more, as after `| head -1`; it is discarded then."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _parser() -> argparse.ArgumentParser:
    """Returns the parser of everything but commands: help, version and unknown flags."""
    text = "The same run, every time: experiments with Keras.\n"
    for group, names in GROUPS.items():
        text += f"\n{group}:\n"
        text += "".join(f"  {name:<13}{COMMANDS[name].help}\n" for name in names)
    parser = argparse.ArgumentParser(
        prog="samerun",
        usage="samerun [-h] [--version] COMMAND ...",
        description=text,
        epilog="`samerun COMMAND --help` explains one of these commands.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"samerun {__version__}")
    return parser


def _complete(arguments: list[str]) -> int:
    """Answers the completion script of a shell, which names itself: `-sc query=bash`."""
    from samerun.cli import completion

    line = os.environ.get("COMP_LINE", "")
    helps = {name: command.help for name, command in COMMANDS.items()}
    shell = "".join(arguments).rpartition("=")[2]
    print(completion.answer(completion.candidates(line, helps, _help_of), shell), end="")
    return 0


def _help_of(name: str) -> str:
    """Returns what `samerun NAME --help` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        COMMANDS[name].load()(["--help"])
    return printed.getvalue()
