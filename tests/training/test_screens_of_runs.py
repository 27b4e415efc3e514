"""What commands that train print, against the golden screens: see support/screens.py.

One tiny run is trained, reproduced, resumed and compared; a sweep has trials that answer at once.
"""

import shutil

import pytest

from samerun import cli
from support import screens

TRAIN = ("train", "model=mlp", "model.units=[4]", "dataset.limit=100", "training.epochs=1")
TRAIN += ("schedule=constant", "tracking=lean", "tracking.run_name=first")


@pytest.fixture(scope="module")
def folder(prepared_database, tmp_path_factory):
    made = tmp_path_factory.mktemp("screens")
    shutil.copy(prepared_database, made / "mlflow.db")
    return made


def options(request):
    return {"update": request.config.option.update_screens, "is_measured": True}


def steps():
    """Yields the screens in the order in which the commands run, as names and arguments."""
    yield "train", TRAIN
    yield "reproduce_check", ("reproduce", "first", "--check")
    yield "reproduce", ("reproduce", "first")
    yield "gc", ("gc", "--dry-run")
    yield "resume_finished", ("resume", "first")
    yield "resume", ("resume", "first", "training.epochs=2")
    yield "diff", ("diff", "first", "again-first")
    yield "compare", ("compare", "first", "again-first")
    yield "sync_check", ("sync", "--check")


def test_a_run_and_what_is_done_with_it_are_as_on_their_screens(
    folder, capsys, monkeypatch, request
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("COLUMNS", screens.WIDTH)
    monkeypatch.chdir(folder)
    differing = []
    for name, arguments in steps():
        code = cli.main(arguments)
        out, err = capsys.readouterr()
        text = out + err + (f"[exit code {code}]\n" if code else "")
        try:
            screens.check(name, text, folder, **options(request))
        except AssertionError as error:
            differing.append(str(error))
    assert not differing, "\n".join(differing)


def test_a_sweep_is_as_on_its_screen(worker, project, capsys, monkeypatch, request):
    monkeypatch.setenv("COLUMNS", screens.WIDTH)
    assert worker.sweep(n=3) == 0
    out, err = capsys.readouterr()
    screens.check("sweep", out + err, project, **options(request))
