"""Runs that go on where they were interrupted, fork, or are not trained a second time."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from samerun import config, identity, tracking
from samerun.checkpoints import TrainingState
from samerun.cli import main
from samerun.config.stored import apply_overrides, differing_keys
from samerun.errors import Terminated, UserError
from samerun.launch import train
from samerun.replay import resume
from samerun.replay.fork import with_rate_of
from samerun.replay.trust import check_plain, check_trusted
from samerun.tags import data_digests, digests_tag
from samerun.tracking import local
from samerun.tracking.mlflow_run import MlflowRun
from support import warm
from support.mlflow_server import Server
from support.project import PROGRAMS
from support.recorded import log_what_resume_reads
from support.tables import mostly_slow
from support.warm import Warm

SMALL = (
    "model=mlp",
    "model.units=[16]",
    "model.dropout=0.3",
    "dataset.limit=200",
    "training.epochs=4",
    "schedule=constant",
    "tracking=lean",
)
MEASURED = ("train/", "validation/", "test/", "learning_rate")


@pytest.fixture
def stopped_at(monkeypatch):
    """Sends this process SIGTERM when a run writes down an epoch."""

    def stop(epoch):
        log = MlflowRun.log_metrics

        def log_and_stop(self, metrics, *, step):
            log(self, metrics, step=step)
            if step == epoch and "train/loss" in metrics:
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(MlflowRun, "log_metrics", log_and_stop)
        return lambda: monkeypatch.setattr(MlflowRun, "log_metrics", log)

    return stop


def points(client, run):
    """Every value that has to be equal, by metric and step; fails if a step has two."""
    found = {}
    for key in client.get_run(run.id).data.metrics:
        for point in client.get_metric_history(run.id, key):
            assert (key, point.step) not in found
            found[key, point.step] = point.value.hex()
    return {place: value for place, value in found.items() if place[0].startswith(MEASURED)}


def by_id(run_id):
    (run,) = tracking.find_runs([run_id])
    return run


@pytest.fixture
def stopped(client, stopped_at, recorded_runs):
    """A run that was stopped after its second epoch, copied with its store."""

    def make():
        let_it = stopped_at(2)
        with pytest.raises(Terminated) as stop:
            train(SMALL)
        let_it()
        (run,) = tracking.find_runs()
        assert stop.value.__notes__[0].endswith(f"resume {run.id}")
        return run.id

    return by_id(recorded_runs.copy("stopped", make))


# Going on


@pytest.mark.slow
def test_a_stopped_run_prints_how_to_resume_and_ends_as_if_never_stopped(client, stopped, capsys):
    assert stopped.status == "KILLED"
    assert main(["resume", stopped.id]) == 0
    assert "after epoch 2" in capsys.readouterr().out
    after = by_id(stopped.id)
    assert after.status == "FINISHED"
    assert not after.tags["samerun.reason"]
    assert after.tags["samerun.resumed"] == "1"
    whole = by_id(train(SMALL).run_id)
    assert after.tags["samerun.weights"] == whole.tags["samerun.weights"]
    assert points(client, after) == points(client, whole)
    assert "samerun.resume_differs" not in after.tags


@pytest.mark.slow
def test_a_finished_run_takes_more_epochs_as_if_they_had_been_asked_for(client, capsys):
    whole = by_id(train([*SMALL, "training.epochs=6"]).run_id)
    run_id = train(SMALL).run_id
    assert main(["resume", run_id]) == 0
    assert "nothing left to train" in capsys.readouterr().out
    assert main(["resume", "training.epochs=6", run_id[:12]]) == 0
    longer = by_id(run_id)
    for tag in ("samerun.weights", "samerun.fingerprint", "samerun.fingerprint.config"):
        assert longer.tags[tag] == whole.tags[tag]
    assert longer.tags["samerun.overrides"] == "training.epochs=6"
    assert longer.params["training.epochs"] == "4"  # MLflow's parameters stay
    stored = tracking.read_artifact(longer, "config/resolved.yaml").decode()
    assert config.from_yaml(stored).training.epochs == 6
    tests_of_four = {place for place in points(client, longer) if place[0].startswith("test/")}
    expected = {p: v for p, v in points(client, whole).items() if p[0].startswith("train/")}
    assert expected.items() <= points(client, longer).items()
    assert {step for _, step in tests_of_four} == {4, 6}


@pytest.mark.slow
def test_a_run_without_a_complete_checkpoint_restarts_in_the_same_run(client, stopped_at, capsys):
    let_it = stopped_at(2)
    with pytest.raises(Terminated) as stop:
        train([*SMALL, "checkpoint.every_epochs=null"])
    let_it()
    (run,) = tracking.find_runs()
    assert not hasattr(stop.value, "__notes__")  # there is nothing to go on from
    assert main(["resume", run.id]) == 0
    assert "from scratch" in capsys.readouterr().out
    after = by_id(run.id)
    assert after.status == "FINISHED"
    assert {step for key, step in points(client, after) if key == "train/loss"} == {1, 2, 3, 4}


@pytest.mark.slow
def test_a_fork_is_a_new_run_with_its_own_learning_rate(client, capsys):
    first = train(SMALL).run_id
    overrides = ["training.epochs=6", "schedule=cosine", "optimizer.learning_rate=0.01"]
    assert main(["resume", first, *overrides, "--fork"]) == 0
    fork, old = tracking.find_runs()
    assert old.id == first != fork.id
    assert fork.tags["samerun.forked_from"] == first
    rates = tracking.metric_histories(fork)["learning_rate"]
    assert sorted(rates) == [5, 6]
    assert 0 < rates[6] < rates[5] < 0.005  # the last third of a cosine from 0.01
    overrides = ["optimizer.learning_rate=0.1", "training.epochs=5"]
    assert main(["resume", "--fork", first, *overrides]) == 0
    again = tracking.find_runs()[0]
    assert tracking.metric_histories(again)["learning_rate"][5] == pytest.approx(0.1)
    capsys.readouterr()
    assert main(["resume", first, "model.units=[8]", "training.epochs=5", "--fork"]) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0
    assert main(["reproduce", fork.id]) == 0
    assert "EXACT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "rate", "num_factors"),
    [
        pytest.param(["schedule=constant"], 0.5, 0, id="constant"),
        pytest.param(["schedule=cosine"], None, 0, id="cosine"),
        pytest.param(["schedule=reduce_on_plateau"], None, 1, id="plateau"),
    ],
)
@pytest.mark.parametrize("has_rate", [True, False])
def test_a_state_takes_the_rate_of_another_config(overrides, rate, num_factors, has_rate):
    paths = ["adam/iteration", *(["adam/learning_rate"] if has_rate else []), "adam/m"]
    state = TrainingState(
        epoch=1,
        step=0,
        arrays={f"optimizer/{n}": np.float32(n) for n in range(len(paths))},
        meta={
            "variables": {"optimizer": [[p, [], "float32"] for p in paths], "schedule": []},
            "callbacks": {},
        },
    )
    cfg = config.compose([*overrides, "optimizer.learning_rate=0.5"]).config
    made = with_rate_of(state, cfg)
    listed = [entry[0] for entry in made.meta["variables"]["optimizer"]]
    expected = ["adam/iteration", "adam/m"]
    if rate is not None:
        expected.insert(1, "adam/learning_rate")
        assert made.arrays["optimizer/1"] == rate
    assert listed == expected
    assert made.arrays[f"optimizer/{len(listed) - 1}"] == len(paths) - 1
    assert len(made.meta["variables"]["schedule"]) == num_factors
    assert len(made.meta["callbacks"]) == num_factors


# What is refused; the runs are written by hand, nothing is trained


@pytest.fixture
def stored(client, tmp_path):
    """Makes a run in the store as an interrupted training leaves it."""

    def make(*overrides, files=None, text=None, tags=None):
        composition = config.compose([*SMALL, *overrides])
        folder = tmp_path / "outputs" / str(len(list(tmp_path.glob("outputs/*"))))
        opened = tracking.open_run(composition.config, folder, tags=tags)
        run = opened.__enter__()
        log_what_resume_reads(run, composition, files=files, text=text)
        assert not opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        return by_id(run.id)

    return make


@pytest.mark.parametrize(
    ("overrides", "changes", "message"),
    mostly_slow(
        [
            pytest.param([], ["optimizer.learning_rate=0.1"], "optimizer.learning_rate", id="key"),
            pytest.param([], ["schedule=cosine"], "schedule, schedule.decay_epochs", id="group"),
            pytest.param([], ["training.epochs=3"], "it can only grow", id="fewer-epochs"),
            pytest.param(
                ["schedule=cosine"], ["training.epochs=9"], "takes its length from it", id="cosine"
            ),
            pytest.param(
                ["schedule=one_cycle"], ["training.epochs=9"], "takes its length", id="one-cycle"
            ),
        ],
        "group",
        "cosine",
    ),
)
def test_a_changed_config_is_refused_with_its_keys(stored, overrides, changes, message):
    run = stored(*overrides)
    with pytest.raises(UserError) as refusal:
        resume.plan_resume(run, changes)
    assert message in str(refusal.value)
    assert "--fork" in str(refusal.value)
    assert resume.plan_resume(run, changes, fork=True).is_fork


@pytest.mark.parametrize(
    ("overrides", "changes"),
    mostly_slow(
        [
            pytest.param([], ["training.epochs=9"], id="constant"),
            pytest.param(
                ["schedule=exponential"],
                ["training.epochs=9"],
                id="exponential",
            ),
            pytest.param(
                ["schedule=cosine", "schedule.decay_epochs=4"],
                ["training.epochs=9"],
                id="fixed-cosine",
            ),
            pytest.param(
                [], ["evaluation.worst_examples=3", "checkpoint.every_steps=5"], id="free"
            ),
            pytest.param([], ["+tracking.tags.course=dl1"], id="tag"),
        ],
        "fixed-cosine",
        "free",
    ),
)
def test_what_training_does_not_meet_may_change(stored, overrides, changes):
    plan = resume.plan_resume(stored(*overrides), changes)
    assert plan.keys
    assert plan.nothing_left is None
    assert plan.state is None
    assert "from scratch" in plan.source


def test_code_that_changed_is_named(stored):
    files = identity.code_files(config.compose(SMALL).config)
    run = stored(files={**files, "samerun/training.py": "0" * 64})
    with pytest.raises(UserError, match=r"code changed .*\(samerun/training.py\)"):
        resume.plan_resume(run)


def test_data_that_changed_is_named(stored):
    run = stored()
    plan = resume.plan_resume(run)
    resume.check_data(plan)
    digests = {**data_digests(run.tags), "validation": "0" * 64}
    tags = {**run.tags, **digests_tag(digests)}
    other = dataclasses.replace(plan, run=dataclasses.replace(run, tags=tags))
    with pytest.raises(UserError, match=r"data changed .*\(validation\)"):
        resume.check_data(other)


def test_a_run_that_is_alive_is_refused(client, tmp_path):
    cfg = config.compose(SMALL).config
    with tracking.open_run(cfg, tmp_path / "1") as run:
        alive = by_id(run.id)
        with pytest.raises(UserError, match="wait until it ends"):
            resume.plan_resume(alive)
        with (
            pytest.raises(UserError, match="wait until it ends"),
            tracking.reopen_run(tmp_path / "2", run_id=run.id),
        ):
            pytest.fail("it was opened a second time")
    assert by_id(run.id).status == "FINISHED"


def test_a_run_on_another_machine_is_taken_over_only_on_request(client, stored):
    run = stored()
    client.set_tag(run.id, "samerun.host", "elsewhere")
    resume.plan_resume(by_id(run.id))  # it ended properly: no process is training it
    client.update_run(run.id, status="RUNNING")
    with pytest.raises(UserError, match="RUNNING on elsewhere.*--take-over"):
        resume.plan_resume(by_id(run.id))
    resume.plan_resume(by_id(run.id), take_over=True)


def test_a_trial_of_a_sweep_resumes_with_the_sweep_or_as_a_fork(client, stored):
    run = stored()
    client.set_tag(run.id, "samerun.study", "night")
    client.set_tag(run.id, "samerun.trial", "3")
    with pytest.raises(UserError, match="is trial 3 of the sweep 'night': the sweep .*--fork"):
        resume.plan_resume(by_id(run.id))
    assert resume.plan_resume(by_id(run.id), fork=True).is_fork
    assert resume.find_state(by_id(run.id), config.compose(SMALL).config, uri=None) is None


def test_a_folder_that_is_not_the_runs_own_is_not_used(client, stored):
    run, other = stored(), stored()
    client.set_tag(run.id, "samerun.folder", str(other.folder))
    plan = resume.plan_resume(by_id(run.id))
    assert plan.folder not in (run.folder, other.folder)


@pytest.mark.parametrize(
    "arguments",
    mostly_slow(
        [
            pytest.param(["resume", "nothing"], id="unknown-id"),
            pytest.param(["resume", "x", "epochs"], id="no-change"),
            pytest.param(["train", *SMALL, "tracking.if_exists=maybe"], id="if-exists"),
        ],
        "unknown-id",
    ),
)
def test_mistakes_are_one_sentence_without_tensorflow(project, arguments):
    program = [sys.executable, PROGRAMS / "quick_answer.py", *arguments]
    done = warm.run(program, cwd=project, kind=warm.Light)
    assert done.returncode == 2
    message, imported = done.stderr.strip().splitlines()
    assert message.startswith("samerun: ")
    assert "tensorflow" not in imported
    assert "keras" not in imported


# Another person's store


HOSTILE = ("model=custom", "model.target=os:system", "+model.params.command='touch stolen'")


def test_code_that_a_stored_config_names_is_not_imported_untrusted(stored, project):
    run = stored(text=config.compose(HOSTILE).resolved)
    assert main(["resume", run.id]) == 2
    assert main(["resume", run.id, "--trust", "my_code"]) == 2
    assert not (project / "stolen").exists()
    cfg = config.compose(HOSTILE).config
    check_trusted(cfg, ["os"])
    with pytest.raises(UserError, match="--trust os"):
        check_trusted(cfg, ["o", "os.path", "system", ""])


def test_a_stored_config_cannot_read_the_environment(stored, monkeypatch):
    monkeypatch.setenv("SECRET", "geheim")
    resolved = config.compose(SMALL).resolved
    text = resolved.replace("experiment: samerun", "experiment: ${oc.env:SECRET}")
    with pytest.raises(UserError, match="interpolation") as refusal:
        resume.plan_resume(stored(text=text))
    assert "geheim" not in str(refusal.value)
    check_plain(resolved)


def test_a_listing_that_climbs_out_of_the_artifacts_is_refused(stored, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.entities import FileInfo

    names = ["checkpoints/a.npz", "checkpoints/../../.bashrc"]
    listing = [FileInfo(name, False, 1) for name in names]
    run = stored()
    monkeypatch.setattr(local, "artifact_folder", lambda *_: None)  # as if it were a server's
    monkeypatch.setattr(MlflowClient, "list_artifacts", lambda *_: listing)
    with pytest.raises(UserError, match="leads out of"):
        resume.plan_resume(run)


# The same run is there already


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again_unless_code_or_data_changed(client, project, capsys):
    x = np.random.default_rng(0).integers(0, 256, (90, 8, 8, 1)).astype(np.uint8)
    y = np.arange(90) % 3
    np.savez("mine.npz", x=x, y=y)
    overrides = [
        "model=mlp",
        "dataset=npz",
        "dataset.path=mine.npz",
        *SMALL[4:],
        "training.epochs=1",
    ]
    first = train(overrides)
    skipping = [*overrides, "tracking.if_exists=skip"]
    capsys.readouterr()
    assert train(skipping).id == first.run_id
    assert first.run_id in (message := capsys.readouterr().out)
    assert first.sentence in message
    assert len(tracking.find_runs()) == 1
    x[0, 0, 0, 0] ^= 1
    np.savez("mine.npz", x=x, y=y)
    second = train(skipping)
    assert second.run_id != first.run_id
    assert train(skipping).id == second.run_id
    client.set_tag(second.run_id, "samerun.fingerprint.code", "0" * 64)
    client.set_tag(second.run_id, "samerun.fingerprint", "0" * 64)
    assert train(skipping).run_id != second.run_id


def test_an_unfinished_run_resumes_on_request(stopped):
    asking = [*SMALL, "tracking.if_exists=resume"]
    assert train(asking).run_id == stopped.id
    assert train(asking).id == stopped.id
    (after,) = tracking.find_runs()
    assert after.status == "FINISHED"
    assert after.tags["samerun.resumed"] == "1"


# Kills


def kills(number, *arguments):
    program = [sys.executable, str(PROGRAMS / "kill_and_resume.py"), str(number), *arguments]
    return warm.run(program, timeout=1800)


@pytest.mark.slow(seconds=60)
def test_kills_at_many_moments_leave_the_same_bits():
    done = kills(3)  # `python tests/programs/kill_and_resume.py 20` takes ten minutes
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills: the same weights" in done.stdout


@pytest.mark.slow
def test_a_run_resumes_in_an_empty_folder_from_the_server_alone(
    server, tmp_path, samerun, monkeypatch
):
    """The second machine is another folder: nothing but the server is shared."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    overrides = [*SMALL, "training.epochs=6", "tracking.experiment=far"]
    assert samerun("train", *overrides, cwd=here).returncode == 0
    whole = tracking.find_runs()[0]
    program = [sys.executable, "-m", "samerun", "train", *overrides, "training.epochs=6"]
    stops = [*program, "checkpoint.every_steps=3"]
    process = Warm(stops, cwd=here, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch 3/"):
            break
    process.kill()
    process.communicate()
    run = tracking.find_runs()[0]
    shutil.rmtree(here)
    client = tracking.connect(server)
    client.set_tag(run.id, "samerun.host", "here")
    refused = samerun("resume", run.id, cwd=there)
    assert refused.returncode == 2
    assert "--take-over" in refused.stderr
    done = samerun("resume", run.id, "--take-over", cwd=there)
    assert done.returncode == 0, done.stderr
    assert "from the artifact store" in done.stdout
    after = by_id(run.id)
    assert after.status == "FINISHED"
    assert after.tags["samerun.weights"] == whole.tags["samerun.weights"]
    assert points(client, after) == points(client, whole)


@pytest.fixture
def server(tmp_path, prepared_database):
    (tmp_path / "server").mkdir()
    made = Server(tmp_path / "server", prepared_database)
    yield f"http://127.0.0.1:{made.port}"
    made.stop()


def test_a_stored_config_is_read_exactly_and_changed_by_the_same_overrides():
    composition = config.compose([*SMALL, "dataset/augmentation=none", "seed=3"])
    assert apply_overrides(composition.resolved).config == composition.config
    other = apply_overrides(
        composition.resolved, ["schedule=exponential", "training.epochs=7"]
    ).config
    assert other.schedule.kind == "exponential"
    assert "training.epochs" in differing_keys(composition.config, other)
    for word, message in [
        ("model.drpout=0.2", "Did you mean `model.dropout=0.2`"),
        ("training.epochs=1,2", "expected KEY=VALUE"),
        ("experiment=digits_mlp", "single keys"),
        ("trial.storage=x", "single keys"),
    ]:
        with pytest.raises(UserError, match=message):
            apply_overrides(composition.resolved, [word])
