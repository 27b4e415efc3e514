"""Which checkpoints stay: after a run has finished, and after `samerun gc`."""

import contextlib
import json
import shutil
import sys
import time

import numpy as np
import pytest

import samerun as package
from samerun import checkpoints, config, retention, tracking
from samerun.amounts import duration, size
from samerun.checkpoints import TrainingState
from samerun.cli import main
from samerun.cli.gc_command import seconds
from samerun.command_line import line
from samerun.errors import UserError
from samerun.replay import garbage, resume
from samerun.tracking.recovery.lock import try_lock_folder
from support import warm
from support.project import PROGRAMS, composed
from support.recorded import log_what_resume_reads
from support.tables import mostly_slow

STATE = TrainingState(epoch=1, step=0, arrays={"a": np.zeros(1000)}, meta={})
SMALL = (
    "model=mlp",
    "model.units=[8]",
    "dataset.limit=100",
    "training.epochs=2",
    "schedule=constant",
    "tracking=lean",
)


def recorded(
    project, name, tags=None, *, error=None, upload=False, weights="same", composition=None
):
    """A run with three checkpoints that was not trained; returns its ID.

    With a composition it can be resumed.
    """
    cfg = composed("model=mlp") if composition is None else composition.config
    folder = project / "outputs" / name
    with (
        contextlib.suppress(RuntimeError),
        tracking.open_run(cfg, folder, name=name, tags=tags) as run,
    ):
        if composition is not None:
            log_what_resume_reads(run, composition)
        run.log_metrics({"train/loss": 1.0}, step=1)
        run.log_text("predictions", "evaluation/predictions.csv")
        run.set_tags({"samerun.weights": weights})
        for epoch in (1, 2):
            state = TrainingState(epoch=epoch, step=0, arrays=STATE.arrays, meta={})
            checkpoints.write(folder / "checkpoints", state, is_best=epoch == 1)
            if upload:
                copy = checkpoints.for_upload(folder / "checkpoints", epoch)
                run.log_file(copy, "checkpoints")
        if error:
            raise error
    return run.id


def proof_of(project, run_id, verdict="EXACT", **options):
    tags = {"samerun.reproduces": run_id, "samerun.verdict": verdict}
    return recorded(project, f"again-{run_id[:6]}", tags, **options)


def names(project, name):
    return sorted(path.name for path in (project / "outputs" / name / "checkpoints").iterdir())


def entries():
    return {entry.run.name: entry for entry in garbage.survey()}


ALL = ["best.npz", "last.npz", "previous.npz"]


# ---- checkpoint.after_success


@pytest.mark.parametrize(
    ("policy", "left"), mostly_slow([("keep", ALL), ("best", ["best.npz"]), ("none", [])], "best")
)
def test_a_finished_run_keeps_the_checkpoints_of_the_policy(project, policy, left):
    recorded(project, "run")
    cfg = composed(f"checkpoint.after_success={policy}")
    retention.after_success(cfg, project / "outputs" / "run")
    retention.after_success(cfg, project / "outputs" / "run")  # safe to repeat
    assert names(project, "run") == left
    assert (project / "outputs/run/artifacts/evaluation/predictions.csv").exists()


def test_a_run_without_a_best_checkpoint_keeps_the_last_one(project):
    recorded(project, "run")
    (project / "outputs/run/checkpoints/best.npz").unlink()
    retention.after_success(composed("checkpoint.after_success=best"), project / "outputs/run")
    assert names(project, "run") == ["last.npz"]


def test_a_failed_run_keeps_its_checkpoints(project):
    recorded(project, "run", error=RuntimeError("a fault"))
    retention.after_success(composed("checkpoint.after_success=none"), project / "outputs/run")
    assert names(project, "run") == ALL


def test_checkpoints_in_the_store_are_emptied_as_well(project):
    run_id = recorded(project, "run", upload=True)
    (run,) = tracking.find_runs([run_id])
    assert tracking.read_artifact(run, "checkpoints/a.npz")
    retention.after_success(composed("checkpoint.after_success=best"), project / "outputs/run")
    assert names(project, "run") == ["best.npz"]
    assert tracking.read_artifact(run, "checkpoints/a.npz") == b""
    assert not retention.copies_in(project / "outputs/run")


def test_a_checkpoint_that_waits_for_the_store_is_not_dropped(project, monkeypatch):
    recorded(project, "run", upload=True)
    monkeypatch.setattr(retention, "is_delivered", lambda folder: False)
    retention.after_success(composed("checkpoint.after_success=none"), project / "outputs/run")
    assert names(project, "run") == []
    assert len(retention.copies_in(project / "outputs/run")) == 2


@pytest.mark.slow
def test_a_real_run_keeps_its_best_checkpoint_and_is_resumed_from_it(project, capsys):
    overrides = [*SMALL, "checkpoint.after_success=best", "optimizer.learning_rate=10"]
    result = package.train([*overrides, "training.epochs=3"])
    assert [path.name for path in retention.files_in(result.folder)] == ["best.npz"]
    assert main(["resume", result.run_id, "training.epochs=4"]) == 0
    assert f"after epoch {result.best_epoch}, from" in capsys.readouterr().out
    (longer,) = tracking.find_runs([result.run_id])
    whole = package.train([*SMALL, "optimizer.learning_rate=10", "training.epochs=4"])
    assert longer.tags["samerun.weights"] == whole.weights_digest
    assert "samerun.resume_differs" not in longer.tags


def test_a_run_without_checkpoints_names_the_command_to_type_instead(project, capsys):
    result = package.train([*SMALL, "checkpoint.after_success=none"])
    assert not retention.files_in(result.folder)
    for more in ([], ["--fork"]):
        assert main(["resume", result.run_id, "training.epochs=4", *more]) == 2
        message = capsys.readouterr().err
        assert "(checkpoint.after_success=none)" in message
        assert f"`{line('reproduce', result.run_id, 'training.epochs=4')}`" in message


# ---- samerun gc


def test_only_runs_that_were_reproduced_exactly_lose_their_checkpoints(project, capsys):
    first, unproven = recorded(project, "first"), recorded(project, "unproven")
    other, close = recorded(project, "other"), recorded(project, "close")
    second = proof_of(project, first)
    proof_of(project, other, weights="others")  # a verdict that the weights do not bear out
    proof_of(project, close, "CLOSE")
    assert main(["gc"]) == 0
    output = capsys.readouterr().out
    assert names(project, "first") == []
    assert names(project, f"again-{first[:6]}") == [], "the two prove each other"
    for name in ("unproven", "other", "close"):
        assert names(project, name) == ALL
    assert f"EXACT reproduction {second}" in output
    assert f"keep: no proof: {line('reproduce', unproven[:8])} would make one" in output
    assert "Freed 3" in output
    assert "of 2 runs" in output
    (run,) = tracking.find_runs([first])
    assert run.tags["samerun.checkpoints_dropped"] == f"EXACT reproduction {second}"
    assert tracking.read_artifact(run, "evaluation/predictions.csv") == b"predictions"
    assert run.metrics == {"train/loss": 1.0}
    assert main(["gc"]) == 0
    assert "Freed 0 B of 0 runs" in capsys.readouterr().out


def test_a_dry_run_drops_nothing(project, capsys):
    first = recorded(project, "first", upload=True)
    proof_of(project, first)
    before = sorted(path for path in project.rglob("*") if path.is_file())
    assert main(["gc", "--dry-run"]) == 0
    assert "EXACT reproduction" in capsys.readouterr().out
    assert sorted(path for path in project.rglob("*") if path.is_file()) == before
    (run,) = tracking.find_runs([first])
    assert "samerun.checkpoints_dropped" not in run.tags


def test_uploaded_checkpoints_are_dropped_too(project):
    first = recorded(project, "first", upload=True)
    proof_of(project, first)
    assert main(["gc"]) == 0
    (run,) = tracking.find_runs([first])
    assert tracking.read_artifact(run, "checkpoints/a.npz") == b""
    assert not retention.copies_in(project / "outputs/first")


def proven(project, name, **options):
    run_id = recorded(project, name, **options)
    proof_of(project, run_id)
    return run_id


def test_a_failed_run_is_kept_whatever_its_tags(project):
    run_id = proven(project, "run", error=RuntimeError("a fault"))
    assert entries()["run"].kept_because == f"FAILED: {line('resume', run_id[:8])} needs them"


def test_a_run_whose_process_is_alive_is_kept(project):
    proven(project, "run")
    with try_lock_folder(project / "outputs/run") as is_held:
        assert is_held
        assert entries()["run"].kept_because == "its process is alive"


def test_a_run_that_is_not_wholly_in_the_store_is_kept(project):
    run_id = proven(project, "run")
    outbox = project / "outputs/run/outbox.jsonl"
    end = outbox.read_text().splitlines()[-1]
    with outbox.open("a") as file:
        file.write(json.dumps({"kind": "tags", "values": {"late": "true"}}) + f"\n{end}\n")
    expected = f"not all of it is in the store: samerun sync {run_id[:8]}"
    assert entries()["run"].kept_because == expected


def test_a_run_that_was_resumed_since_the_survey_is_kept(project, client):
    run_id = proven(project, "run")
    entry = entries()["run"]
    client.update_run(run_id, status="RUNNING")
    assert garbage.collect(entry) == 0
    assert names(project, "run") == ALL


def test_a_folder_that_is_not_the_runs_own_is_not_touched(project):
    proven(project, "run")
    shutil.copytree(project / "outputs/run", project / "copy")
    facts = json.loads((project / "outputs/run/run.json").read_text())
    (project / "outputs/run/run.json").write_text(json.dumps(facts | {"id": "0" * 32}))
    assert "run" not in entries()
    assert main(["gc"]) == 0
    assert names(project, "run") == ALL
    assert (project / "copy/checkpoints/last.npz").exists()


def test_a_link_to_another_folder_is_not_followed(project, tmp_path_factory):
    proven(project, "run")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    own = project / "outputs/run/checkpoints"
    shutil.copytree(own, elsewhere / "checkpoints")
    shutil.rmtree(own)
    own.symlink_to(elsewhere / "checkpoints")
    assert main(["gc"]) == 0
    assert (elsewhere / "checkpoints/last.npz").exists()


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_run_keeps_what_a_fork_still_needs(project, is_stored):
    run_id = proven(project, "run")
    tags = {"samerun.forked_from": run_id, "samerun.forked_at": "after epoch 1"}
    with tracking.open_run(composed(), project / "outputs/fork", name="fork", tags=tags) as fork:
        if is_stored:
            start = checkpoints.write_start(fork.folder / "checkpoints", STATE)
            fork.log_file(start, "checkpoints")
    reason = entries()["run"].kept_because
    assert reason is None if is_stored else "a fork needs them" in reason
    assert main(["gc"]) == 0
    assert names(project, "run") == ([] if is_stored else ALL)
    if is_stored:
        assert names(project, "fork") == ["start.npz"]


def test_only_old_runs_lose_their_checkpoints(project, capsys):
    proven(project, "run")
    assert main(["gc", "--older-than", "1h"]) == 0
    assert "keep: too young" in capsys.readouterr().out
    outbox = project / "outputs/run/outbox.jsonl"
    *lines, end = outbox.read_text().splitlines()
    long_ago = int((time.time() - 7200) * 1000)
    ended = json.dumps(json.loads(end) | {"timestamp": long_ago}, ensure_ascii=False)
    outbox.write_text("\n".join([*lines, ended]) + "\n")
    assert main(["gc", "--older-than", "1h"]) == 0
    assert "2h" in capsys.readouterr().out
    assert names(project, "run") == []


@pytest.mark.parametrize("moment", mostly_slow(["tag_run", "remove"], "tag_run"))
def test_a_collection_that_is_killed_is_completed_by_the_next_one(project, monkeypatch, moment):
    proven(project, "run")
    module = tracking if moment == "tag_run" else retention
    real = getattr(module, moment)

    def killed(*args, **options):
        (project / "outputs/run/checkpoints/last.npz").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, moment, killed)
    with pytest.raises(KeyboardInterrupt):
        garbage.collect(entries()["run"])
    monkeypatch.setattr(module, moment, real)
    assert garbage.collect(entries()["run"]) > 0
    assert names(project, "run") == []


def test_a_dropped_run_is_not_resumed_from_the_beginning(project):
    run_id = recorded(project, "run", composition=config.compose(SMALL))
    proof_of(project, run_id)
    assert main(["gc"]) == 0
    (run,) = tracking.find_runs([run_id])
    with pytest.raises(UserError, match="samerun gc deleted them; EXACT"):
        resume.plan_resume(run, ["training.epochs=5"])
    assert "nothing left" not in (resume.plan_resume(run).nothing_left or "")


@pytest.mark.parametrize(
    ("text", "expected"), [("30d", 2592000), ("12h", 43200), ("2w", 1209600), ("0.5h", 1800)]
)
def test_an_age_is_a_number_with_a_unit(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", mostly_slow(["30", "d", "-1d", "30 d", "1y", "nand", "1e3d", ""], "30")
)
def test_another_age_is_one_sentence(text, project, capsys):
    assert main(["gc", f"--older-than={text}"]) == 2
    message = capsys.readouterr().err
    assert f"--older-than: received '{text}'" in message
    assert message.count("\n") == 1


def test_a_folder_without_runs_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main(["gc"]) == 2
    assert "There are no runs here" in capsys.readouterr().err


def test_a_store_without_checkpoints_has_nothing_to_drop(project, capsys):
    assert main(["gc"]) == 0
    assert "nothing to delete" in capsys.readouterr().out


def test_the_command_does_not_import_tensorflow(project):
    proven(project, "run")
    program = [sys.executable, PROGRAMS / "quick_answer.py", "gc"]
    done = warm.run(program, cwd=project, kind=warm.Light)
    assert done.returncode == 0, done.stderr
    imported = done.stderr.splitlines()[-1]
    assert imported.startswith("imported: ")
    assert "tensorflow" not in imported
    assert names(project, "run") == []


def test_numbers_of_bytes_and_ages_are_short():
    sizes = [size(number) for number in (0, 999, 1234, 5.6e9)]
    assert sizes == ["0 B", "999 B", "1.23 kB", "5.6 GB"]
    assert [duration(n) for n in (0, 59, 3600, 200000)] == ["0s", "59s", "1h", "2d"]
