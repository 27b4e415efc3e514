"""A bundle on another machine: `samerun reproduce` and `samerun verify` say EXACT, offline."""

import shutil
import socket
from pathlib import Path

import pytest

import samerun as package
from samerun import cli, tracking
from support.bundles import with_another_weight


def train_table():
    Path("data").mkdir()
    lines = [f"{a},{a * a % 7},{3 * a % 11}" for a in range(80)]
    Path("data/table.csv").write_text("a,b,y\n" + "\n".join(lines) + "\n")
    words = ("model=mlp", "model.units=[4]", "training.epochs=2", "tracking=lean")
    table = ("dataset=table_csv", "dataset.path=data/table.csv", "dataset.target=y")
    return package.train([*words, *table, "dataset.target_type=numbers"]).run_id


@pytest.fixture
def elsewhere(project, recorded_runs, prepared_database, tmp_path, monkeypatch):
    """An empty folder with a bundle, on a machine without network; returns the run's ID."""
    run_id = recorded_runs.copy("bundled_table", train_table)
    assert cli.main(["bundle", run_id, "run.zip", "--data"]) == 0
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(prepared_database, other / "mlflow.db")
    shutil.move("run.zip", other)
    shutil.rmtree("mlruns")
    shutil.rmtree("data")
    monkeypatch.chdir(other)

    def refuse(*given):
        raise OSError("there is no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return run_id


@pytest.mark.slow
def test_a_bundle_is_reproduced_exactly_without_network(elsewhere, capsys):
    assert cli.main(["unbundle", "run.zip"]) == 0
    assert Path("data/table.csv").exists()
    assert cli.main(["reproduce", elsewhere, "--exact"]) == 0
    assert "EXACT" in capsys.readouterr().out
    (run,) = tracking.find_runs([elsewhere])
    assert {"checkpoints/a.npz"} <= set(tracking.list_artifacts(run, "checkpoints"))


@pytest.mark.slow
def test_verify_ends_with_a_table_and_the_exit_code_is_that_of_the_worst(elsewhere, capsys):
    assert cli.main(["verify", "run.zip"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("ok    run.zip  EXACT  run ")
    metrics = next(Path("mlruns").rglob("digests.csv"))
    Path("pyproject.toml").write_text(f'[tool.samerun]\nverify = ["run.zip", "{"0" * 32}"]\n')
    assert metrics.exists()
    assert cli.main(["verify"]) == 1
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("ok    run.zip")
    assert second.startswith(f"FAIL  {'0' * 32}  refused  ")


@pytest.mark.slow
def test_verify_fails_where_one_bit_of_the_weights_is_another(elsewhere, capsys):
    with_another_weight("run.zip")
    assert cli.main(["verify", "run.zip"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("FAIL  run.zip  CLOSE  run ")
    assert last.endswith("no difference in config, code, data, environment or machine")
