"""A stored run again: the comparison before it, the verdict after it, and the recorded code."""

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import samerun as package
from samerun import cli, levels, tracking
from samerun.replay import comparison, verdict
from samerun.replay.comparison import Row, RowState
from samerun.replay.recorded import Provenance, read
from samerun.replay.verdict import Agreement, RunOutcome
from support import warm
from support.project import MODEL, git
from support.recorded import write_artifact

PLAIN = [
    "training.epochs=2",
    "tracking=lean",
]


def train(*overrides):
    """Trains in this process and returns the run as the store has it."""
    result = package.train([*PLAIN, *overrides])
    (run,) = tracking.find_runs([result.run_id])
    return run


def reproduce(run, *overrides):
    """Runs the command in this process; returns exit code and, where one was made, the new run."""
    before = {found.id for found in tracking.find_runs()}
    code = cli.main(["reproduce", run.id, *overrides])
    made = [found for found in tracking.find_runs() if found.id not in before]
    return code, made[0] if made else None


def write_table():
    """Writes a table of the user's own; returns the overrides that train on it."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(60, 2)).round(3)
    lines = [f"{a},{b},{a - b:.3f}" for a, b in rows.tolist()]
    Path("table.csv").write_text("a,b,y\n" + "\n".join(lines) + "\n")
    overrides = ["dataset=table_csv", "dataset.path=table.csv", "dataset.target=y"]
    return [*overrides, "dataset.target_type=numbers", "model=mlp", "model.units=[4]"]


@pytest.fixture
def run(project, recorded_runs):
    """A run on a table of the user's own, copied with its store."""
    run_id = recorded_runs.copy("table", lambda: train(*write_table()).id)
    (found,) = tracking.find_runs([run_id])
    return found


def test_the_same_run_again_is_exact_and_so_is_a_trial_outside_of_its_sweep(run, capsys):
    code, again = reproduce(run, "--exact")
    assert code == 0
    assert "EXACT:" in capsys.readouterr().out
    assert again.tags["samerun.verdict"] == "EXACT"
    assert again.tags["samerun.reproduces"] == run.id
    assert again.tags["samerun.weights"] == run.tags["samerun.weights"]
    assert again.tags["samerun.fingerprint"] == run.tags["samerun.fingerprint"]
    assert again.name == f"again-{run.name}"
    page = tracking.read_artifact(again, "reproduction.md").decode()
    assert "**EXACT:" in page
    assert (
        "weights at 2 checkpoints identical, final weights identical, predictions identical" in page
    )
    # a trial of a sweep is reproduced outside of it
    stored = tracking.read_artifact(run, "config/resolved.yaml").decode()
    trial = "trial:\n  study: s\n  storage: sqlite:///gone.db\n  number: 3\n  run: '1'\n"
    write_artifact(run.id, "config/resolved.yaml", stored.replace("trial: null\n", trial))
    assert read(run).cfg.trial.number == 3
    code, second = reproduce(run)
    assert code == 0
    assert second.name == f"again-2-{run.name}"
    assert second.tags["samerun.verdict"] == "EXACT"
    assert "trial: null" in tracking.read_artifact(second, "config/resolved.yaml").decode()


def test_check_and_dry_run_train_nothing(run, capsys):
    for flag in ("--check", "--dry-run"):
        assert reproduce(run, flag) == (0, None)
        output = capsys.readouterr().out
        assert "train split" in output
        assert "differs" not in output.replace("nothing that matters differs", "")


def test_a_flipped_byte_in_the_data_names_the_split(run, project, capsys):
    file = project / "table.csv"
    content = bytearray(file.read_bytes())
    place = content.index(b".", len(content) // 2) + 1
    content[place] ^= 1  # a digit becomes its neighbor
    file.write_bytes(content)
    assert cli.main(["reproduce", run.id, "--check"]) == 1
    output = capsys.readouterr().out
    splits = [split for split in ("train", "validation", "test") if f"data: {split}" in output]
    assert splits
    code, again = reproduce(run)
    assert code == 1
    assert f"Most likely cause: data: {splits[0]} split was " in capsys.readouterr().out
    assert again.tags["samerun.verdict"] == "DIFFERENT"


@pytest.mark.slow
def test_a_change_that_is_asked_for_is_named(run, capsys):
    code, _ = reproduce(run, "optimizer.learning_rate=0.1")
    assert code == 1
    output = capsys.readouterr().out
    assert "Most likely cause: config: optimizer.learning_rate was 0.001 and is 0.1." in output
    assert cli.main(["reproduce", run.id, "optimizer.learnig_rate=0.1"]) == 2
    assert cli.main(["reproduce", run.id, "--rtol", "0.1", "quickly"]) == 2


@pytest.mark.slow
def test_an_edited_line_of_a_model_names_its_file_and_a_missing_package_is_refused_by_name(
    project, capsys, monkeypatch
):
    place = project / "installed"
    (place / "fancy_layers-1.2.dist-info").mkdir(parents=True)
    facts = "Metadata-Version: 2.1\nName: fancy-layers\nVersion: 1.2\n"
    (place / "fancy_layers-1.2.dist-info/METADATA").write_text(facts)
    (place / "fancy_layers-1.2.dist-info/top_level.txt").write_text("fancy_layers\n")
    (place / "fancy_layers.py").write_text("width = 4\n")
    monkeypatch.syspath_prepend(str(place))
    mine = MODEL.replace("import keras\n", "import fancy_layers\nimport keras\n")
    (project / "fancy_model.py").write_text(mine)
    run = train("dataset.limit=60", "model=custom", "model.target=fancy_model:build")
    assert reproduce(run) == (2, None)
    assert "--trust fancy_model" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "fancy_model")
    (project / "fancy_model.py").write_text(mine.replace("Dense(4", "Dense(5"))
    code, again = reproduce(run, "--trust", "fancy_model")
    output = capsys.readouterr().out
    assert code == 1
    assert "DIFFERENT: " in output
    assert "First difference: train/loss, epoch 1: " in output
    assert "Most likely cause: code: your files differ: fancy_model.py." in output
    assert again.tags["samerun.verdict"] == "DIFFERENT"
    (project / "fancy_model.py").write_text(mine)
    monkeypatch.undo()
    monkeypatch.chdir(project)
    for flags in (["--check"], ["--dry-run"], []):
        asked = ["reproduce", run.id, "--trust", "fancy_model", *flags]
        assert cli.main(asked) == 2
        message = capsys.readouterr().err
        assert "fancy-layers==1.2, not installed here" in message
        assert message.count("\n") == 1


def outcome(metrics, *, status="FINISHED", weights="w", predictions=None, digests=()):
    run = tracking.StoredRun(
        id="1",
        name="run",
        experiment_id="1",
        status=status,
        params={},
        metrics={},
        tags={"samerun.weights": weights},
    )
    return RunOutcome(run=run, metrics=metrics, weights=dict(digests), predictions=predictions)


def test_close_is_within_the_tolerance_and_names_the_place():
    first = outcome({"train/loss": {1: 1.0, 2: 0.5}}, predictions={"p": np.array([[0.5, 0.1]])})
    second = outcome(
        {"train/loss": {1: 1.0, 2: 0.5001}},
        weights="v",
        predictions={"p": np.array([[0.5, 0.1001]])},
    )
    found = verdict.judge(first, second, [])
    assert found.agreement is Agreement.close
    assert str(found.first) == "train/loss, epoch 2: 0.5 and then 0.5001"
    assert found.largest.what == "predictions: p of example 0"
    assert verdict.judge(first, second, [], rtol=1e-5).agreement is Agreement.different


def test_predictions_that_the_recorded_version_did_not_store_are_no_difference():
    metrics, stored = {"train/loss": {1: 1.0}}, {"p": np.array([[0.5]])}
    first = outcome(metrics, predictions=stored)
    second = outcome(metrics, predictions={**stored, "truth": np.array([1])})
    found = verdict.judge(first, second, [])
    assert found.agreement is Agreement.exact
    assert "predictions identical" in found.sentences()[0]
    assert verdict.judge(second, first, []).agreement is Agreement.different


def test_the_first_difference_is_the_earliest_and_the_largest_any():
    first = outcome({"train/loss": {1: 1.0, 2: 1.0}, "test/accuracy": {2: 0.5}})
    second = outcome({"train/loss": {1: 1.1, 2: 1.0}, "test/accuracy": {2: 0.1}})
    found = verdict.judge(first, second, [])
    assert found.agreement is Agreement.different
    assert (found.first.what, found.first.step) == ("train/loss", 1)
    assert found.largest.what == "test/accuracy"


def test_a_missing_epoch_and_a_nan_are_differences_but_equal_nans_are_not():
    whole = outcome({"train/loss": {1: 1.0, 2: float("nan")}})
    assert verdict.judge(whole, whole, []).agreement is Agreement.exact
    shorter = outcome({"train/loss": {1: 1.0}})
    assert verdict.judge(whole, shorter, []).agreement is Agreement.different
    assert verdict.judge(shorter, whole, []).agreement is Agreement.different


def test_a_run_that_did_not_finish_is_compared_as_far_as_it_came():
    killed = outcome({"train/loss": {1: 1.0}}, status="KILLED", weights=None)
    killed.run.tags.clear()
    whole = outcome({"train/loss": {1: 1.0, 2: 0.5}, "test/loss": {2: 0.5}})
    assert verdict.judge(killed, whole, []).agreement is Agreement.exact


def test_other_weights_at_a_checkpoint_are_never_exact():
    metrics = {"train/loss": {1: 1.0}}
    first = outcome(metrics, digests={(1, 5): "a"})
    found = verdict.judge(first, outcome(metrics, digests={(1, 5): "b"}), [])
    assert found.agreement is not Agreement.exact
    assert found.checks["weights at epoch 1, step 5"] is RowState.differs


def row(part, what, state=RowState.differs, *, matters=True):
    return Row(part=part, what=what, first="1", second="2", state=state, matters=matters)


def test_the_likeliest_cause_is_code_before_data_before_threads():
    rows = [row("machine", "processor"), row("threads", "intra"), row("data", "test split")]
    assert comparison.likeliest(rows).what == "test split"
    assert comparison.likeliest([*rows, row("code", "your files")]).what == "your files"
    assert comparison.likeliest([row("code", "commit", matters=False)]) is None
    assert comparison.likeliest([row("code", "commit", RowState.unknown)]) is None


def test_what_an_old_run_did_not_record_is_unknown():
    now = Provenance(commit="a" * 40, patch="", files={"samerun/a.py": "1"}, python="3.11.7")
    rows = comparison.compare(Provenance(), now)
    assert {row.state for row in rows} == {RowState.unknown}


def test_changed_new_and_gone_files_are_named_those_that_compute_first():
    first = {"samerun/models/cnn.py": "1", "samerun/cli/x.py": "1", "gone.py": "1", "old.py": "7"}
    second = {"samerun/models/cnn.py": "2", "samerun/cli/x.py": "2", "new.py": "2", "now.py": "7"}
    assert comparison.changed_files(first, second) == [
        "gone.py (gone)",
        "new.py (new)",
        "old.py (moved to now.py)",
        "samerun/models/cnn.py",
        "samerun/cli/x.py",
    ]


def test_what_starts_stores_and_shows_a_run_cannot_change_its_result():
    assert levels.computes("models/cnn.py")
    assert levels.computes("a_module_of_an_older_version.py")
    for path in ("cli/__init__.py", "logbook.py", "tracking/run.py"):
        assert not levels.computes(path)


@pytest.mark.slow
def test_the_recorded_code_comes_back_from_uncommitted_work(project, samerun):
    (project / ".gitignore").write_text("mlruns\nmlflow.db*\noutputs\n__pycache__\n")
    (project / "my_model.py").write_text(MODEL)
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "first")
    (project / "my_model.py").write_text(MODEL.replace("Dense(4", "Dense(6"))
    (project / "more.py").write_text("unused = 1\n")
    overrides = ["dataset.limit=60", "model=custom", "model.target=my_model:build"]
    made = samerun("train", *PLAIN, *overrides, "tracking.run_name=dirty", cwd=project)
    assert made.returncode == 0, made.stderr
    (project / "my_model.py").write_text(MODEL.replace("Dense(4", "Dense(8"))
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "second")
    trust = ["--trust", "my_model"]
    plain = samerun("reproduce", "dirty", *trust, cwd=project)
    assert plain.returncode == 1, plain.stderr
    assert "your files differ: my_model.py" in plain.stdout
    recorded = samerun("reproduce", "dirty", *trust, "--code", cwd=project)
    assert recorded.returncode == 0, recorded.stderr
    assert "EXACT" in recorded.stdout
    assert len(git(project, "worktree", "list").splitlines()) == 1


def test_other_threads_are_named(run, capsys):
    recorded = int(run.params["training.intra_op_threads"])
    change = f"training.intra_op_threads={recorded + 1}"
    assert reproduce(run, "--check", change) == (1, None)
    screen = capsys.readouterr().out
    row = rf"training.intra_op_threads +{recorded} +{recorded + 1} +differs"
    assert re.search(row, screen), screen
    assert "the result may differ: threads: training.intra_op_threads" in screen


@pytest.mark.slow
def test_an_edited_line_of_samerun_and_the_recorded_code_of_it(prepared_database, tmp_path):
    here = Path(package.__file__).parents[2]
    if not (here / ".git").exists():
        pytest.skip("needs a checkout of samerun itself")
    clone = tmp_path / "clone"
    git(here, "clone", "--quiet", ".", str(clone))
    for name in ("src", "conf", "experiments"):
        shutil.copytree(here / name, clone / name, dirs_exist_ok=True)
    shutil.copy(prepared_database, clone / "mlflow.db")
    builder = clone / "src/samerun/models/images.py"
    before = builder.read_text()
    environment = {**os.environ, "PYTHONPATH": str(clone / "src")}

    def run(*arguments):
        command = [sys.executable, "-m", "samerun", *arguments]
        return warm.run(command, cwd=clone, env=environment, kind=warm.Libraries)

    builder.write_text(
        before.replace("dense_layers(cfg, cfg.units)", "dense_layers(cfg, [*cfg.units, 3])")
    )
    arguments = ["dataset.limit=60", "model=mlp", "model.units=[4]", "tracking.run_name=dirty"]
    assert run("train", *PLAIN, *arguments).returncode == 0
    builder.write_text(
        before.replace("dense_layers(cfg, cfg.units)", "dense_layers(cfg, [*cfg.units, 5])")
    )
    git(clone, "commit", "--quiet", "-am", "second")
    plain = run("reproduce", "dirty")
    assert plain.returncode == 1, plain.stderr
    assert "code: samerun's files differ: samerun/models/images.py" in plain.stdout
    recorded = run("reproduce", "dirty", "--code")
    assert recorded.returncode == 0, recorded.stderr
    assert "EXACT" in recorded.stdout
