"""The command line: thin, and quick to answer. TensorFlow is imported when training begins."""

import argparse
import os
import sys
from collections.abc import Sequence

from samerun import __version__
from samerun.cli.collecting import add_parser as add_gc
from samerun.cli.comparing import diff_command, reproduce_command
from samerun.cli.looking import experiments_command, tensorboard_command, ui_command
from samerun.cli.replaying import resume_command
from samerun.cli.server_command import add_server_parser
from samerun.cli.syncing import add_sync, mention_undelivered
from samerun.cli.train_command import hand_to_hydra, train_command
from samerun.errors import READER_LEFT, exit_code, message
from samerun.escaping import for_screen
from samerun.privacy import keep_private
from samerun.redaction import guard_output, redact

_OPENS_STORE = ("train", "resume", "reproduce", "diff", "ui", "tensorboard")


def main(words: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 1 failed, 2 not understood."""
    if words is None:  # a process of its own, not a call from a program
        guard_output()
        keep_private()
    words = list(sys.argv[1:] if words is None else words)
    try:
        code = _run(words)
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
        text = "\n".join([f"samerun: {message(error)}", *_notes(error)])
        print(for_screen(redact(text)), file=sys.stderr)
        return failure


def _reader_has_left() -> bool:
    """Whether nobody reads the output any more, as after `| head -1`; then it goes nowhere."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _run(words: list[str]) -> int:
    if words[:1] == ["-sc"] or any(word.startswith("--shell-completion") for word in words[:1]):
        return _complete(words)
    parser = _parser()
    if words and words[0] in _OPENS_STORE and not {"-h", "--help"} & set(words):
        mention_undelivered()
    if words[:1] == ["train"]:  # Hydra reads the rest
        return train_command(words[1:])
    if words[:1] == ["resume"]:
        return resume_command(words[1:])
    if words[:1] == ["reproduce"]:
        return reproduce_command(words[1:])
    if words[:1] == ["diff"]:
        return diff_command(words[1:])
    chosen = parser.parse_args(words)
    if not hasattr(chosen, "run"):
        parser.print_help()
        return 0
    return int(chosen.run(chosen))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun", description="The same run, every time: experiments with Keras."
    )
    parser.add_argument("--version", action="version", version=f"samerun {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="")
    commands.add_parser("train", help="train a model; -m for several", add_help=False)
    commands.add_parser("resume", help="go on with a run that was interrupted", add_help=False)
    commands.add_parser("reproduce", help="train a run again and compare every bit", add_help=False)
    commands.add_parser("diff", help="say what two runs differ in", add_help=False)
    ui = commands.add_parser("ui", help="open the MLflow UI on the runs of this folder")
    ui.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    ui.add_argument("--port", default=5000, type=int, help="port to listen on (%(default)s)")
    ui.set_defaults(run=ui_command)
    add_server_parser(commands)
    board = commands.add_parser("tensorboard", help="open TensorBoard on the runs named")
    board.add_argument(
        "ids", nargs="*", metavar="ID", help="run IDs, or their beginnings; or none for the latest"
    )
    board.add_argument("--port", default=6006, type=int, help="port to listen on (%(default)s)")
    board.set_defaults(run=tensorboard_command)
    add_sync(commands)
    add_gc(commands)
    gallery = commands.add_parser("experiments", help="list the experiments that come with samerun")
    gallery.add_argument("--markdown", action="store_true", help="as the page of the gallery")
    gallery.set_defaults(run=experiments_command)
    completion = commands.add_parser(
        "completion", help='print what makes Tab work: eval "$(samerun completion)"'
    )
    completion.add_argument("shell", nargs="?", default="bash", choices=["bash", "zsh", "fish"])
    completion.set_defaults(run=lambda chosen: hand_to_hydra(["-sc", f"install={chosen.shell}"]))
    return parser


def _complete(words: list[str]) -> int:
    """Answers the completion script; the words after `samerun train` are Hydra's to complete."""
    line = os.environ.get("COMP_LINE", "")
    if not line.startswith("samerun train "):
        typed = line.removeprefix("samerun").strip()
        commands = ["train", "resume", "reproduce", "diff", "sync", "experiments", "ui"]
        commands += ["tensorboard", "server", "gc", "completion"]
        print(" ".join(name for name in commands if name.startswith(typed)))
        return 0
    point = int(os.environ.get("COMP_POINT", len(line)))
    os.environ["COMP_LINE"] = "samerun " + line.removeprefix("samerun train ")
    os.environ["COMP_POINT"] = str(max(point - len("train "), 0))
    return hand_to_hydra(words)
