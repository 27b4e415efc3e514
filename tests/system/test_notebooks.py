"""Notebooks in a real Jupyter kernel: those of the documentation, and one that is interrupted."""

import os
import re
import runpy
import sys
import tempfile
import time
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

from support.warm import Warm

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
TRAIN = (
    'samerun.train(["model=mlp", "model.units=[16]", "training.epochs=15", "dataset.limit=600", '
    '"tracking=lean"])'
)

SLOW = """
import time

import keras

evaluate = keras.Model.evaluate


def slow(*arguments, **options):
    time.sleep(0.5)
    return evaluate(*arguments, **options)


keras.Model.evaluate = slow
"""
"""The cell cannot end before it is interrupted, however late that is."""


@pytest.fixture
def kernel(tmp_path):
    manager, client = start_new_kernel(cwd=str(tmp_path))
    yield manager, Cells(client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


class Cells:
    """Runs cells and returns what they show: the printed text, and the error's if there is one."""

    def __init__(self, client):
        self.client = client

    def start(self, code):
        self.printed, self.error = "", None
        self.request = self.client.execute(code)

    def read_until(self, is_reached):
        """Reads messages of the cell until one is reached, or the cell has ended."""
        end = time.monotonic() + 120
        while not is_reached(self.printed):
            message = self.client.get_iopub_msg(timeout=end - time.monotonic())
            if message["parent_header"].get("msg_id") != self.request:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                self.printed += content["text"]
            elif message["msg_type"] == "error":
                self.error = "\n".join(content["traceback"])
            elif message["msg_type"] in ("display_data", "execute_result"):
                self.printed += content["data"]["text/plain"]
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return

    def run(self, code):
        self.start(code)
        self.read_until(lambda _: False)
        return self.printed, self.error


def test_an_interrupted_cell_ends_in_a_sentence_and_the_next_one_resumes(kernel):
    manager, cells = kernel
    assert cells.run("import samerun") == ("", None)
    assert cells.run(SLOW)[1] is None
    cells.start(f"result = {TRAIN}")
    cells.read_until(lambda printed: "epoch 3/15" in printed)
    assert "epoch 3/15" in cells.printed, cells.error
    manager.interrupt_kernel()
    cells.read_until(lambda _: False)
    assert "epoch 15/15" not in cells.printed
    first, hint, in_python = cells.error.splitlines()
    assert first == "samerun: interrupted."
    assert re.search(r"^Resume with: .*samerun resume [0-9a-f]{32}$", hint)
    assert 'samerun.resume("latest")' in in_python

    assert cells.run("keras.Model.evaluate = evaluate") == ("", None)
    printed, error = cells.run('resumed = samerun.resume("latest")')
    assert error is None
    assert "epoch 15/15" in printed
    assert "epoch 1/15" not in printed
    cells.run(f"whole = {TRAIN}")
    same, error = cells.run("resumed.weights_digest == whole.weights_digest")
    assert (same, error) == ("True", None)
    assert cells.run("resumed.history['train/loss'] == whole.history['train/loss']")[0] == "True"


SECONDS = {"first_experiment": 70, "text_reviews": 50}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=pytest.mark.slow(seconds=SECONDS.get(page.stem, 0)))
        for page in sorted(ROOT.glob("docs/notebooks/*.md"))
    ],
)
def test_a_notebook_of_the_documentation_runs_and_has_the_cells_that_are_stored(page, monkeypatch):
    monkeypatch.setattr("jupyter_client.launcher.Popen", Warm)  # a cold kernel is above
    tool = runpy.run_path(str(ROOT / "tools" / "notebooks.py"))
    stored = tool["nbformat"].read(page.with_suffix(".ipynb"), as_version=4)
    made = tool["run"](page)
    assert [cell.source for cell in made.cells] == [cell.source for cell in stored.cells]
    for book in (made, stored):
        shown = tool["nbformat"].writes(book)
        assert "EXACT" in shown
        for place in (tempfile.gettempdir(), str(Path.home()), sys.prefix, str(ROOT)):
            assert f"{place}{os.sep}" not in shown
        assert "site-packages" not in shown
