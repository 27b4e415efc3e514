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
    chosen = _parser().parse_intermixed_args(arguments)
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
        changes=chosen.changes,
        trusted=chosen.trust,
    )
    made = export.export(plan)
    show_lines(_rows(made, chosen.tolerance, chosen.quantize), make_console())
    if made.can_take_raw:
        print(_example(made))
    return 0


def _rows(made: "Export", tolerance: float, is_quantized: bool) -> list[tuple[str, str]]:
    from samerun.amounts import size
    from samerun.serving.export_folder import PREPROCESSING, REQUIREMENTS

    limit = "" if is_quantized else f" (tolerance {tolerance:g})"
    rows = [
        ("model", f"{made.file} ({size(made.num_bytes)})"),
        ("input", made.input),
        ("encoding", f"{made.how}; see {made.file.parent / PREPROCESSING}"),
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
    needed = made.file.parent / REQUIREMENTS
    how = f"in Python without samerun, with {needed}:" if made.can_take_raw else made.raw
    rows.append(("raw data", how))
    return rows


def _example(made: "Export") -> str:
    """Python that predicts on raw data without samerun, to be pasted."""
    return (
        f"import sys; sys.path.append({str(made.file.parent)!r})\n"
        f"from {made.raw} import load_export\n"
        "load_export().predict(frame)  # a data frame of raw data"
    )


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
        "changes",
        nargs="*",
        metavar="KEY=VALUE",
        help="where the data of the run is now, such as dataset.path=moved.csv",
    )
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
