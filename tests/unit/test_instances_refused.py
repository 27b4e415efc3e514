"""Parent runs of seeds or folds in a store: what is refused, and what their children may lack."""

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from samerun import cli, config, identity, tracking
from samerun.errors import UserError
from samerun.launch.instances import describe_data, instance_tags
from samerun.launch.summary import record
from samerun.replay.results import read_result
from samerun.result import Result

TABLE = ("dataset=table_csv", "dataset.path=table.csv", "dataset.target=y", "model=mlp")
TABLE += ("dataset.target_type=numbers", "seeds=2")


def stored(run_id):
    (run,) = tracking.find_runs([run_id])
    return run


@pytest.mark.parametrize("kind", ["seeds", "folds"])
def test_a_fork_of_several_runs_is_refused_with_what_to_type(store, capsys, kind):
    text = config.compose(["model=mlp", f"{kind}=3"]).resolved
    run_id = store({"config/resolved.yaml": text}, instances=kind, num_instances="3")
    assert cli.main(["resume", run_id, "--fork", "training.epochs=30"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"samerun show {run_id[:8]}" in line
    assert len(tracking.find_runs()) == 1


def write_table(first=1):
    lines = [f"{first if row == 0 else row},{row % 7},{row / 2}" for row in range(60)]
    Path("table.csv").write_text("a,b,y\n" + "\n".join(lines) + "\n")


@pytest.fixture
def interrupted(project):
    """The ID of a parent run that was interrupted before its first child."""
    write_table()
    composition = config.compose(TABLE)
    cfg = composition.config
    tags = {**instance_tags(cfg), **describe_data(cfg)}
    opened = tracking.open_run(cfg, project / "outputs" / "1", tags=tags)
    run = opened.__enter__()
    run.log_text(composition.resolved, "config/resolved.yaml")
    run.log_text(json.dumps(identity.code_files(cfg)), "provenance/files.json")
    opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    return run.id


def test_other_data_than_the_first_children_had_is_refused_before_another_child(
    interrupted, capsys
):
    write_table(first=1000)
    assert cli.main(["resume", interrupted]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "data changed" in line
    assert any(split in line for split in ("train", "validation", "test"))
    assert [run.id for run in tracking.find_runs()] == [interrupted]
    assert stored(interrupted).status != "FINISHED"


def result(**metrics):
    return Result(
        run_id="0" * 32,
        run_name="one",
        folder=Path(),
        metrics={name.replace("__", "/"): value for name, value in metrics.items()},
        history={"validation/loss": [metrics["test__loss"]]},
        best_epoch=1,
        weights_digest="",
        sentence="",
        objective=metrics["test__loss"],
        epoch_seconds=1.0,
        model=None,
    )


def test_a_metric_that_one_child_lacks_has_no_mean(project):
    cfg = config.compose(["model=mlp", "folds=2"]).config
    children = [result(test__auc=0.5, test__loss=0.2), result(test__loss=0.4)]
    for results in (children, children[::-1]):
        with tracking.open_run(cfg, Path("outputs", results[0].metrics["test/loss"].hex())) as run:
            made = record(run, cfg, results, Console(file=io.StringIO()))
        assert made.metrics == {"test/loss": pytest.approx(0.3)}
        metrics = stored(run.id).metrics
        assert metrics["test/loss"] == pytest.approx(0.3)
        assert not [name for name in metrics if "auc" in name]


RESULT = {
    "metrics": {"test/accuracy": 0.5},
    "best_epoch": 1,
    "weights_digest": "a" * 64,
    "sentence": "test accuracy 0.5",
    "objective": 0.5,
    "epoch_seconds": 1.0,
    "num_parameters": 7,
}
HISTORY = "epoch,validation/loss\n1,0.5\n"


def stored_result(store, **changes):
    text = json.dumps(RESULT | changes).replace('"HUGE"', "1e999")
    return stored(store({"result.json": text, "history.csv": HISTORY}))


@pytest.mark.parametrize("key", ["best_epoch", "num_parameters"])
def test_a_count_that_no_integer_holds_is_refused(store, key):
    with pytest.raises(UserError, match=r"result\.json"):
        read_result(stored_result(store, **{key: "HUGE"}))


def test_a_number_that_no_float_holds_is_infinite(store):
    found = read_result(stored_result(store, metrics={"test/accuracy": "HUGE"}, objective="HUGE"))
    assert found.metrics == {"test/accuracy": math.inf}
    assert found.objective == math.inf
    assert (found.best_epoch, found.num_parameters) == (1, 7)
