"""Runs the notebooks of docs/notebooks, which are written as text, and stores what they show.

    python tools/notebooks.py [--check]

Each runs in an empty folder. With `--check` nothing is stored. A cell that raises ends it with 1.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import nbformat

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"


def read(page: Path) -> Any:
    """Returns a notebook without outputs, with the same cell IDs each time."""
    book = jupytext.read(page)
    book.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
    }
    for number, cell in enumerate(book.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
    return book


def run(page: Path) -> Any:
    """Runs every cell in an empty folder and returns the notebook with what they show.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an exception.
    """
    book = read(page)
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        options = {"metadata": {"path": folder}}
        nbclient.NotebookClient(book, timeout=600, resources=options, record_timing=False).execute()
        for cell in book.cells:
            if cell.cell_type == "code":
                cell.outputs = [one for one in cell.outputs if not _is_noise(one)]
    text = nbformat.writes(book)
    for place in (os.path.realpath(folder), folder):
        text = text.replace(place, ".")
    return nbformat.reads(text, as_version=4)


def _is_noise(output: Any) -> bool:
    """Whether an output is what libraries print about themselves, as TensorFlow does."""
    text = output.get("text", "")
    return output.get("name") == "stderr" or text.startswith("WARNING:tensorflow")


def main() -> None:
    """Runs all of them."""
    for page in sorted(FOLDER.glob("*.md")):
        book = run(page)
        if "--check" not in sys.argv[1:]:
            page.with_suffix(".ipynb").write_text(nbformat.writes(book) + "\n", encoding="utf-8")
        print(f"{page.name}: {len(book.cells)} cells")


if __name__ == "__main__":
    main()
