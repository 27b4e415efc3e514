"""Runs that version 0.1.0 recorded: a stored run is a contract, so every later version reads them.

`recorded/0.1.0.tar.xz` is a project folder as commit d509152 left it: runs that finished, diverged,
were killed or had an uncommitted change, and a study of three trials. Its pictures were removed.
Keep it as it is; what a newer version records gets a file of its own.
"""

import json
import subprocess
from pathlib import Path

import pytest

from samerun import cli, tracking
from support.recorded import unpack_version_0_1_0

TESTS = Path(__file__).parents[1]
NAMES = {"finished", "other_seed", "failed", "interrupted", "uncommitted", "small"}


@pytest.fixture
def checkout(tmp_path):
    """The recorded project inside a clone of this repository, whose history has its commits."""
    subprocess.run(["git", "clone", "-q", "--no-checkout", TESTS.parent, tmp_path], check=True)
    subprocess.run(["git", "checkout", "-q", "HEAD", "--", "."], cwd=tmp_path, check=True)
    unpack_version_0_1_0(tmp_path)
    return tmp_path


def test_the_runs_of_version_0_1_0_are_found_by_name_and_by_the_beginning_of_an_id(version_0_1_0):
    runs = {run.name: run for run in tracking.find_runs()}
    assert set(runs) >= NAMES
    assert sum("samerun.trial" in run.tags for run in runs.values()) == 3
    assert runs["failed"].status == "FAILED"
    (again,) = tracking.find_runs([runs["finished"].id[:8]])
    assert again == runs["finished"]


def test_two_runs_of_version_0_1_0_are_compared(version_0_1_0, capsys):
    assert cli.main(["diff", "finished", "other_seed", "--json"]) == 0
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)["config"]}
    assert (rows["seed"]["first"], rows["seed"]["second"]) == ("0", "2")
    assert rows["tracking.tags.course"]["second"] == "dl1"


def test_runs_of_version_0_1_0_are_compared_except_for_their_predictions(version_0_1_0, capsys):
    assert cli.main(["compare", "finished", "other_seed", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["only_setting"] == "seed"
    assert len(found["curves"]["validation/loss"][0]) == 3
    (note,) = found["predictions"]["notes"]
    assert "earlier version" in note
    assert "samerun reproduce" in note
    assert cli.main(["compare", "finished", "failed", "interrupted", "--html", "page.html"]) == 0
    assert (version_0_1_0 / "page.html").exists()


def test_the_data_of_a_run_of_version_0_1_0_still_has_the_same_digests(version_0_1_0, samerun):
    done = samerun("reproduce", "finished", "--check", cwd=version_0_1_0)
    assert done.returncode in (0, 1), done.stderr
    for split in ("train split", "validation split", "test split"):
        (line,) = [line for line in done.stdout.splitlines() if split in line]
        assert line.split()[-1] == "same", line


@pytest.mark.slow
def test_an_interrupted_run_of_version_0_1_0_is_forked(version_0_1_0, samerun):
    arguments = ["resume", "interrupted", "--fork", "training.epochs=8", "tracking.run_name=forked"]
    done = samerun(*arguments, cwd=version_0_1_0)
    assert done.returncode == 0, done.stderr
    (run,) = tracking.find_runs(["forked"])
    assert run.status == "FINISHED"
    first, *_ = sorted(tracking.metric_histories(run)["train/loss"])
    assert first > 1, "it did not start from the checkpoint"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["uncommitted", "dropout=0.1889"])
def test_a_run_of_version_0_1_0_is_reproduced_with_its_own_code(name, checkout, samerun):
    done = samerun("reproduce", name, "--code", "--trust", "recorded-code", cwd=checkout)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "EXACT" in done.stdout or "CLOSE" in done.stdout
