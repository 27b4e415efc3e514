"""`samerun predict`: what a stored model answers to a file or a folder."""

import argparse
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from samerun.cli.id_argument import ID_HELP
from samerun.cli.trust_argument import add_trust
from samerun.errors import FAILED, UserError
from samerun.escaping import for_screen
from samerun.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from samerun.serving.predict import Output


def predict_command(arguments: list[str]) -> int:
    """Predicts; the exit code is 1 if a row was refused."""
    chosen = _parser().parse_args(arguments)
    _check(chosen.source, chosen.output)
    from samerun import tracking

    (run,) = tracking.find_runs([chosen.id])
    from samerun.serving.predict import predict
    from samerun.serving.stored_model import open_model

    model = open_model(run, trusted=chosen.trust)
    with _opened(chosen.output) as out:
        tally = predict(
            model,
            chosen.source,
            out,
            as_json=chosen.json or str(chosen.output).endswith((".json", ".jsonl")),
            complain=lambda text: print(for_screen(f"refused: {text}"), file=sys.stderr),
        )
        if not tally.answered:  # here, so that no file is replaced by an empty one
            raise UserError(f"{chosen.source}: every row was refused.")
    return FAILED if tally.refused else 0


def _check(source: str, output: str | None) -> None:
    path = Path(source).expanduser()
    if source != "-" and not path.exists():
        raise UserError(
            f"received '{source}', expected a file, a folder, or - for the standard input: there "
            f"is none at {path.absolute()}."
        )
    if output is None:
        return
    target = Path(output).expanduser().resolve()
    if target.is_dir() or not target.parent.is_dir():
        raise UserError(f"-o: received '{output}', expected a file in an existing folder.")
    if source != "-" and target.exists() and target.samefile(path):
        raise UserError(f"-o: received '{output}', which is the input, expected another file.")


@contextmanager
def _opened(output: str | None) -> "Iterator[Output]":
    """The file to write to, which gets its name when it is complete; a device is written to."""
    if output is None:
        yield _Screen(sys.stdout) if sys.stdout.isatty() else sys.stdout
        return
    target = Path(output).expanduser().resolve()  # a link stays: the file that it names is written
    is_device = target.exists() and not target.is_file()
    of_the_block: list[OSError] = []
    try:
        with (
            nullcontext(target) if is_device else replacing(target) as place,
            place.open("w", encoding="utf-8", newline="") as file,
        ):
            try:
                yield _File(file, output)
            except OSError as error:
                of_the_block.append(error)
                raise
    except OSError as error:
        if error in of_the_block:
            raise
        raise _unwritable(output, error) from error


def _unwritable(output: str, error: OSError) -> UserError:
    return UserError(f"-o: {output} cannot be written: {error.strerror}.")


class _File:
    """A file whose errors name the flag.

    Args:
        file: where to write.
        output: what `-o` received.
    """

    def __init__(self, file: TextIO, output: str) -> None:
        self._file = file
        self._output = output

    def write(self, text: str) -> int:
        """Writes a text.

        Raises:
            UserError: the disk is full, or something else is wrong with the file.
        """
        try:
            return self._file.write(text)
        except OSError as error:
            raise _unwritable(self._output, error) from error


class _Screen:
    """A terminal, which obeys no control character of a label.

    Args:
        out: the standard output.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """Writes a text without control characters."""
        return self._out.write(for_screen(text))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun predict",
        description="Predicts with the model of a run: rows of a CSV file under the names of the "
        "training file's columns, texts, images. Every answer has the line or the file that it is "
        "for; rows that are refused are named, and the exit code is then 1.",
    )
    parser.add_argument("id", metavar="ID", help=ID_HELP)
    parser.add_argument(
        "source",
        metavar="FILE|FOLDER|-",
        help="a CSV file, a .txt file, an image or a .npy file; a folder of texts or images; - "
        "reads a CSV file from the standard input",
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE",
        help="write to a file: CSV, or JSON lines if it ends in .jsonl (default: to the screen)",
    )
    parser.add_argument("--json", action="store_true", help="write JSON lines")
    add_trust(parser, reads_data=False)
    return parser
