"""Working folders in which nothing can be trained: one sentence, and nothing is made anywhere."""

import sys
from pathlib import Path

import pytest

from samerun.cli import main
from samerun.errors import UserError
from samerun.tracking.database import database_file

QUICK = ["train", "model=mlp", "debug=fast"]


@pytest.mark.parametrize("name", ["q?x", "a%41b", "%3f"])
def test_a_folder_whose_name_means_something_else_in_a_uri_is_refused(
    name, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main(QUICK) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "Rename that folder" in message
    assert [*tmp_path.rglob("*")] == [folder]


@pytest.mark.parametrize("name", ["a#b", "a b", "100%", "%zz", "ä&[']+"])
def test_a_folder_of_any_other_name_is_taken(name, tmp_path, monkeypatch):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    assert database_file("sqlite:///mlflow.db") == tmp_path / name / "mlflow.db"


def test_a_database_file_with_a_nul_is_refused():
    with pytest.raises(UserError, match="cannot be the path"):
        database_file("sqlite:///a\0b")


@pytest.mark.parametrize(
    "place",
    [
        "file-in-the-way",
        pytest.param(
            "/sys",
            marks=pytest.mark.skipif(
                not sys.platform.startswith("linux"), reason="there is no /sys"
            ),
        ),
    ],
)
def test_a_folder_that_cannot_be_written_is_refused_in_one_sentence(
    place, tmp_path, monkeypatch, capsys
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if place == "file-in-the-way":
        (tmp_path / "outputs").write_text("")
        place = str(tmp_path)
    monkeypatch.chdir(place)
    assert main(QUICK) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "hydra.run.dir=FOLDER" in message
    assert not Path("mlflow.db").exists()
