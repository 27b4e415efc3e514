"""Several runs of one config, one for each seed or fold, below a parent run with their mean."""

import csv
import dataclasses
import io
import math
import pickle
import shlex
import socket
import statistics

import optuna
import pytest
from scipy import stats

import samerun
from samerun import cli, config, tracking, training
from samerun import tags as tag
from samerun.data.catalog import load
from samerun.data.dataset import split_source
from samerun.errors import UserError
from samerun.launch import reproduction, workers
from samerun.replay import reproduce
from samerun.replay.recorded import read
from samerun.replay.results import read_result
from support.project import composed
from support.recorded import write_artifact

QUICK = ["training.epochs=2", "tracking=lean", "model=mlp", "model.units=[4]", "dataset.limit=60"]

SEEDS = [*QUICK, "seed=7", "checkpoint.every_steps=1", "seeds=3"]
STORAGE = "sqlite:///optuna.db"


class Interrupt:
    """Interrupts the training at an epoch of a child, as Ctrl-C does."""

    def __init__(self, monkeypatch, child, epoch):
        self.left = child
        self.epoch = epoch
        self.trained = []
        self._train = training.train
        monkeypatch.setattr(training, "train", self.train)

    def train(self, cfg, run, out, **options):
        self.trained.append((cfg.seed, options["state"] is not None))
        log = run.log_metrics

        def log_metrics(metrics, *, step):
            log(metrics, step=step)
            if len(self.trained) == self.left and "train/loss" in metrics and step == self.epoch:
                training.request_stop(KeyboardInterrupt)

        run.log_metrics = log_metrics
        return self._train(cfg, run, out, **options)


def train_interrupted():
    """Trains three seeds, is interrupted in the second of them, and is resumed."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        interrupt = Interrupt(monkeypatch, child=2, epoch=1)
        with pytest.raises(KeyboardInterrupt) as raised:
            samerun.train(SEEDS)
        (parent,) = [run for run in tracking.find_runs() if run.tags.get(tag.INSTANCES)]
        interrupt.trained.clear()
        interrupt.left = 0
        assert cli.main(["resume", parent.id]) == 0
    return {
        "parent": parent.id,
        "status": parent.status,
        "notes": " ".join(raised.value.__notes__),
        "trained": interrupt.trained,
    }


@pytest.fixture
def interrupted(project, recorded_runs):
    """What became of a parent run of three seeds that was interrupted and resumed."""
    return recorded_runs.copy("seeds", train_interrupted)


@pytest.fixture
def seeds(interrupted):
    """The ID of that parent run, copied with its store."""
    return interrupted["parent"]


def stored(run_id):
    (run,) = tracking.find_runs([run_id])
    return run


def children_of(parent, number):
    """The children of a parent run by their labels."""
    found = tracking.find_by_tags(composed(), {"mlflow.parentRunId": parent})
    assert len(found) == number
    return {run.tags[tag.INSTANCE]: run for run in found}


def test_seeds_train_one_run_each_and_their_parent_has_mean_spread_and_interval(seeds):
    parent, children = stored(seeds), children_of(seeds, 3)
    assert sorted(children) == ["seed 7", "seed 8", "seed 9"]
    assert parent.tags[tag.INSTANCES] == "seeds"
    assert parent.tags[tag.NUM_INSTANCES] == "3"
    results = [read_result(run) for run in children.values()]
    assert len({result.weights_digest for result in results}) == 3
    for name in ("test/accuracy", "test/log_loss"):
        values = [result.metrics[name] for result in results]
        low, high = stats.t.interval(0.95, 2, statistics.mean(values), stats.sem(values))
        found = [parent.metrics[name + end] for end in ("", "_std", "_low", "_high")]
        expected = [statistics.mean(values), statistics.stdev(values), low, high]
        assert found == pytest.approx(expected, rel=1e-12)
    assert "test/accuracy_low_std" not in parent.metrics  # an interval of intervals says nothing
    best = [result.objective for result in results]
    assert parent.metrics["validation/loss"] == pytest.approx(statistics.mean(best), rel=1e-12)
    table = [*csv.reader(io.StringIO(tracking.read_artifact(parent, "runs.csv").decode()))]
    assert [row[0] for row in table[1:4]] == ["seed 7", "seed 8", "seed 9"]
    assert [row[1] for row in table[1:4]] == [children[row[0]].id[:8] for row in table[1:4]]
    assert "over 3 seeds" in parent.tags["mlflow.note.content"]


def test_a_child_is_the_run_that_anybody_can_type(seeds):
    child = children_of(seeds, 3)["seed 8"]
    assert child.tags[tag.COMMAND] == shlex.join(
        ["samerun", "train", *QUICK, "checkpoint.every_steps=1", "seed=8"]
    )
    alone = samerun.train([*QUICK, "seed=8"])
    assert alone.weights_digest == read_result(child).weights_digest
    name = tag.FINGERPRINT_CONFIG
    assert stored(alone.run_id).tags[name] == child.tags[name]


def test_the_same_parent_run_is_skipped(seeds, monkeypatch, capsys):
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained again"))
    found = samerun.train([*SEEDS, "tracking.if_exists=skip"])
    assert found.id == seeds
    assert cli.main(["resume", seeds]) == 0
    assert "nothing left to train" in capsys.readouterr().out


@pytest.fixture
def elsewhere(seeds, monkeypatch):
    """The stored configs name another server; afterwards, it must not have been asked."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        for run in (stored(seeds), *children_of(seeds, 3).values()):
            cfg = read(run).cfg
            there = dataclasses.replace(cfg.tracking, uri=uri)
            text = config.to_yaml(dataclasses.replace(cfg, tracking=there))
            write_artifact(run.id, "config/resolved.yaml", text)
            assert read(run).cfg.tracking.uri == uri
        yield
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_parent_run_whose_children_have_finished_is_completed_in_the_store_it_is_in(
    seeds, elsewhere, monkeypatch
):
    before = stored(seeds).metrics
    tracking.connect(tracking.resolve_uri(None)).set_terminated(seeds, "KILLED")
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained again"))
    assert cli.main(["resume", seeds]) == 0
    assert stored(seeds).status == "FINISHED"
    assert stored(seeds).metrics == before
    children_of(seeds, 3)


def work_here(tasks, num_workers, out, *, finished):
    """Does what each task of a worker does, in this process and in another order."""
    assert num_workers == 2
    answers = {}
    for task in reversed(tasks):
        sent = pickle.loads(pickle.dumps(task))
        answers[task.label] = pickle.loads(pickle.dumps(sent.work(out)))
        finished(answers[task.label])
    return [answers[task.label] for task in tasks]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([], id="one by one"),
        pytest.param(["workers=2"], id="side by side", marks=pytest.mark.slow),
    ],
)
def test_reproducing_a_parent_run_compares_every_child_and_gives_one_verdict(
    seeds, elsewhere, monkeypatch, capsys, more
):
    monkeypatch.setattr(workers, "run_side_by_side", work_here)
    assert cli.main(["reproduce", seeds, "--exact", *more]) == 0
    shown = capsys.readouterr().out
    assert shown.count("EXACT: bit-for-bit identical") == 3
    assert shown.splitlines()[-1] == "EXACT: the 3 runs as a whole"
    assert "differs" not in shown  # the number of workers changes nothing
    (again,) = tracking.find_by_tags(composed(), {tag.REPRODUCES: seeds})
    assert again.tags[tag.VERDICT] == "EXACT"
    before, after = children_of(seeds, 3), children_of(again.id, 3)
    for label, child in after.items():
        assert child.tags[tag.REPRODUCES] == before[label].id
        assert child.tags[tag.VERDICT] == "EXACT"
        digests = [read_result(run).weights_digest for run in (before[label], child)]
        assert digests[0] == digests[1]
    assert again.metrics == stored(seeds).metrics
    assert read(again).cfg.workers == (2 if more else 1)


def test_other_seeds_are_no_reproduction(seeds, capsys):
    assert cli.main(["reproduce", seeds, "seeds=4"]) == 2
    assert "another seed" in capsys.readouterr().err


def test_the_recorded_number_of_workers_is_not_that_of_a_reproduction(seeds, capsys):
    run = stored(seeds)
    resolved = read(run).resolved.replace("workers: 1", "workers: 64")
    write_artifact(run.id, "config/resolved.yaml", resolved)
    assert read(stored(seeds)).cfg.workers == 64
    plan = reproduction.prepare_instances(stored(seeds), [], reproduce.prepare)
    assert plan.parent.cfg.workers == 1
    plan = reproduction.prepare_instances(stored(seeds), ["workers=3"], reproduce.prepare)
    assert plan.parent.cfg.workers == 3
    assert [child.cfg.workers for child in plan.children] == [1, 1, 1]


def test_an_interrupted_parent_run_is_resumed_without_training_again_what_is_there(interrupted):
    parent = interrupted["parent"]
    assert interrupted["status"] == "KILLED"
    assert f"samerun resume {parent}" in interrupted["notes"]
    # The first is kept, the second is resumed; that both are exact, their reproduction shows.
    assert interrupted["trained"] == [[8, True], [9, False]]
    assert stored(parent).status == "FINISHED"
    children_of(parent, 3)


def test_a_child_with_another_config_is_not_believed(seeds, capsys):
    parent = stored(seeds)
    child = children_of(seeds, 3)["seed 8"]
    client = tracking.connect(tracking.resolve_uri(None))
    client.set_tag(child.id, tag.INSTANCE, "seed 9")
    client.set_terminated(parent.id, "KILLED")
    assert cli.main(["reproduce", seeds]) == 2
    assert "seed 8 is missing" in capsys.readouterr().err


@pytest.mark.slow
def test_folds_train_one_run_each_on_the_same_test_split(project):
    result = samerun.train([*QUICK, "dataset=diabetes", "dataset.limit=null", "folds=3"])
    assert result.labels == ("fold 1/3", "fold 2/3", "fold 3/3")
    children = children_of(result.run_id, 3)
    digests = [tag.data_digests(run.tags) for run in children.values()]
    assert len({one["test"] for one in digests}) == 1
    assert len({one["validation"] for one in digests}) == 3
    names = {"mean_absolute_error"}
    for name in names:
        values = [child.metrics[f"test/{name}"] for child in result.children]
        assert result.metrics[f"test/{name}"] == pytest.approx(statistics.mean(values))
        assert result.std[f"test/{name}"] == pytest.approx(statistics.stdev(values))
    alone = samerun.train([*QUICK, "dataset=diabetes", "dataset.limit=null", "dataset.fold=2/3"])
    assert alone.weights_digest == result.children[1].weights_digest


@pytest.mark.slow
def test_a_trial_of_a_sweep_is_pruned_seed_by_seed(project):
    rates = "optimizer.learning_rate=0.01,0.0000001"
    first = "sweep.enqueue=[{optimizer.learning_rate: 0.01}]"
    sweep = ["sweep=grid", "sweep.pruner=wilcoxon", "sweep.executor=inline", "sweep.n_trials=2"]
    result = samerun.sweep([*QUICK, "dataset.limit=200", "seeds=5", rates, first, *sweep])
    (good,), study = result.best, optuna.load_study(study_name=result.study, storage=STORAGE)
    states = [trial.state.name for trial in study.trials]
    assert (good.number, states) == (0, ["COMPLETE", "PRUNED"])
    assert [sorted(trial.intermediate_values) for trial in study.trials] == [
        [1, 2, 3, 4, 5],
        [1, 2, 3, 4],
    ]
    assert stored(result.run_ids[1]).tags[tag.REASON] == "pruned after run 4"
    children_of(result.run_ids[0], 5), children_of(result.run_ids[1], 4)


def test_scaling_is_fitted_to_the_training_part_of_a_fold(project):
    from samerun import data

    cfg = composed("dataset=diabetes", "dataset.fold=2/3", "dataset.normalization=standard").dataset
    splits = split_source(cfg, load(cfg))
    made = data.build(cfg, 0)
    scaled = made.preprocessing(splits["train"].x)
    assert abs(scaled.mean(axis=0)).max() < 1e-5
    assert abs(made.preprocessing(splits["validation"].x).mean(axis=0)).max() > 1e-3


def test_a_metric_that_is_not_finite_has_no_mean():
    from samerun.launch.summary import Spread

    assert math.isnan(Spread.of([1.0, math.nan]).mean)


def test_the_results_of_a_run_that_has_not_written_them_are_refused(project):
    client = tracking.connect(tracking.resolve_uri(None))
    made = client.create_run(tracking.experiment_id(client, "default"))
    run = stored(made.info.run_id)
    with pytest.raises(UserError, match=r"result\.json"):
        read_result(run)
