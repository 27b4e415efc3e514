"""`samerun export`: the model of a recorded run in a format of another program."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from samerun.cli.id_argument import ID_HELP
from samerun.cli.trust_argument import add_trust

if TYPE_CHECKING:
    from samerun.serving.export import Export

_FORMATS = ("keras", "saved_model", "onnx", "tflite", "openvino")


def export_command(arguments: list[str]) -> int:
    """Exports the model of a run and prints what it expects."""
    chosen = _parser().parse_args(arguments)
    from samerun import tracking
    from samerun.console import make_console, show_lines
    from samerun.serving import export

    (run,) = tracking.find_runs([chosen.id])
    plan = export.prepare(
        run,
        chosen.format,
        folder=chosen.output,
        quantize=chosen.quantize,
        tolerance=chosen.tolerance,
        trusted=chosen.trust,
    )
    made = export.export(plan)
    show_lines(_rows(made, chosen.tolerance, chosen.quantize), make_console())
    return 0


def _rows(made: "Export", tolerance: float, is_quantized: bool) -> list[tuple[str, str]]:
    from samerun.amounts import size
    from samerun.serving.export_folder import PREPROCESSING

    limit = "" if is_quantized else f" (tolerance {tolerance:g})"
    rows = [
        ("model", f"{made.file} ({size(made.num_bytes)})"),
        ("input", made.input),
        ("raw data", f"{made.how}; see {made.file.parent / PREPROCESSING}"),
        ("output", made.output),
        (
            "compared",
            f"{made.num_examples:,} {made.split} predictions of the run, largest difference "
            f"{made.difference:.2g}{limit}",
        ),
        ("score", made.score),
    ]
    if made.cost is not None:
        rows.append(("cost", f"quantized − original: {made.cost.sentence()}"))
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun export",
        description="Writes the model of a recorded run into a folder, in the format of another "
        "program, with what it expects as JSON beside it. The file is loaded again and compared "
        "with the run's test predictions; if they differ, nothing is kept.",
    )
    parser.add_argument("id", metavar="ID", help=ID_HELP)
    add = parser.add_argument
    add(
        "--format",
        required=True,
        choices=_FORMATS,
        help="keras, saved_model and tflite need nothing else; onnx and openvino need "
        "pip install 'samerun[export]'",
    )
    add(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="the folder to write, by default exports/ID-FORMAT; an earlier export is replaced",
    )
    add(
        "--quantize",
        action="store_true",
        help="with tflite: weights as 8-bit integers; prints what that costs in the run's metric",
    )
    add(
        "--tolerance",
        type=float,
        default=1e-4,
        metavar="NUMBER",
        help="largest difference of a probability, or of a number relative to the largest one "
        "(%(default)s)",
    )
    add_trust(parser)
    return parser
