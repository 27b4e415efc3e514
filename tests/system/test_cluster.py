"""A sweep over two hosts, which continues when a worker is killed or the cable is pulled."""

import json
import os
import signal
import sys
import time

import psutil
import pytest

from samerun import tags as tag
from support.two_hosts import PASSWORD, TwoHosts, missing
from support.warm import is_worker

MODEL = '''
import time

import keras

from samerun.models import head


def build(spec, units=8):
    """A small model whose epochs take a while."""
    inputs = keras.Input(spec.input_shape)
    x = keras.layers.Dense(units, activation="relu")(keras.layers.Flatten()(inputs))
    return Slow(inputs, head(spec)(x))


class Slow(keras.Model):
    def evaluate(self, *args, **options):
        time.sleep(0.4)  # at the end of every epoch
        return super().evaluate(*args, **options)
'''

LOOK = """
import json, os, sys
import mlflow, optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.load_study(study_name=sys.argv[1], storage=os.environ["SAMERUN_STORAGE"])
client = mlflow.MlflowClient()
found = {"trials": [], "runs": []}
for trial in study.trials:
    found["trials"].append([trial.number, trial.state.name, trial.user_attrs.get("samerun.run")])
    found["runs"].append(client.get_run(trial.user_attrs["samerun.run"]).to_dictionary())
    run = found["runs"][-1]
    history = client.get_metric_history(run["info"]["run_id"], "validation/loss")
    run["steps"] = [point.step for point in history]
    run["artifacts"] = [a.path for a in client.list_artifacts(run["info"]["run_id"])]
print(json.dumps(found))
"""
NUM_TRIALS, EPOCHS = 12, 6
OVERRIDES = f"""
samerun train -m model=custom model.target=my_model:build dataset=digits dataset.limit=100
training.epochs={EPOCHS} optimizer.learning_rate=tag(log,interval(1e-5,1e-1))
sweep=optuna sweep.study=night sweep.n_trials={NUM_TRIALS} sweep.median.startup_trials=3
""".split()


@pytest.fixture
def stage():
    with TwoHosts() as made:
        (made.head.folder / "my_model.py").write_text(MODEL)
        for host in (made.head, made.other):
            made.start_worker(host)
        yield made


def ended(stage):
    """How many trials have come to an end."""
    if not stage.query("select to_regclass('trials')"):
        return 0
    return int(stage.query("select count(*) from trials where state in ('COMPLETE', 'PRUNED')"))


def until(is_true, sweep, seconds):
    end = time.monotonic() + seconds
    while not is_true():
        assert sweep.poll() is None, "the sweep has ended"
        assert time.monotonic() < end, "timed out"
        time.sleep(0.2)


@pytest.mark.slow(seconds=70)
@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_a_sweep_over_two_hosts_outlives_a_killed_worker_and_a_cut_cable(stage):
    arguments = [sys.executable, "-m", *OVERRIDES]
    arguments += [f"sweep.cluster={stage.scheduler}", f"sweep.storage={stage.study}"]
    sweep = stage.head.start(*arguments, log="sweep.log", **stage.environment)
    log = stage.head.folder / "sweep.log"
    try:
        until(lambda: ended(stage) >= 2, sweep, 300)
        (victim,) = (p for p in stage.other.pids() if is_worker(psutil.Process(p)))
        os.kill(victim, signal.SIGKILL)
        until(lambda: ended(stage) >= 5, sweep, 300)
        stage.cut()
        time.sleep(16)  # longer than Dask waits, see `two_hosts`
        stage.mend()
        assert sweep.wait(600) == 0
    except BaseException:
        print(log.read_text())
        raise
    assert "Retrying trial" in log.read_text()
    found = json.loads(stage.head.run(sys.executable, "-c", LOOK, "night", **stage.environment))
    assert [number for number, _, _ in found["trials"]] == list(range(NUM_TRIALS))
    states = [state for _, state, _ in found["trials"]]
    assert set(states) == {"COMPLETE", "PRUNED"}
    hosts = [run["data"]["tags"]["samerun.host"] for run in found["runs"]]
    assert set(hosts) == {"head", "other"}
    for state, run in zip(states, found["runs"], strict=True):
        assert run["info"]["status"] == {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}[state]
        assert sorted(run["steps"]) == list(range(1, len(run["steps"]) + 1))
        if state == "COMPLETE":
            assert len(run["steps"]) == EPOCHS
        assert {"checkpoints", "provenance"} <= set(run["artifacts"])
    # Another sweep with the same storage learns from it: its trials are complete without training.
    more = [*arguments, "sweep.study=day", "sweep.learn_from=night", "sweep.n_trials=1"]
    out = stage.head.run(*more, **stage.environment)
    complete = {number: run for number, state, run in found["trials"] if state == "COMPLETE"}
    tags = {run["info"]["run_id"]: run["data"]["tags"] for run in found["runs"]}
    assert not [run for run in tags if tag.RESUME_DIFFERS in tags[run]]
    # A run that ended while the cable was cut may lack something in the store: it is not lent.
    num_complete = len(complete)
    complete = {n: run for n, run in complete.items() if not tags[run].get(tag.UNDELIVERED)}
    assert f"{len(complete)} of its {num_complete} completed trials are lent as results" in out
    learned = json.loads(stage.head.run(sys.executable, "-c", LOOK, "day", **stage.environment))
    assert [run for _, _, run in learned["trials"][:-1]] == list(complete.values())
    # PostgreSQL's own folder is beside those of the hosts.
    written = [file for host in (stage.head, stage.other) for file in host.folder.rglob("*")]
    assert [f for f in written if f.is_file() and PASSWORD.encode() in f.read_bytes()] == []


def test_a_cluster_and_files_of_one_machine_are_refused_in_one_sentence(samerun, tmp_path):
    arguments = ["train", "-m", "sweep=optuna", "model.dropout=interval(0,0.5)"]
    cluster = "sweep.cluster=tcp://127.0.0.1:1"
    done = samerun(*arguments, cluster, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"sweep.storage: received sqlite:///{tmp_path}/optuna.db with a cluster" in done.stderr
    storage = "sweep.storage=postgresql://h/x"
    done = samerun(*arguments, cluster, storage, cwd=tmp_path)
    assert done.returncode == 2
    assert f"tracking.uri: received sqlite:///{tmp_path}/mlflow.db with a clu" in done.stderr
    assert list(tmp_path.iterdir()) == []
