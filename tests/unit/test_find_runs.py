"""Which run a text names, from a database file and from a server; MLflow's filter language."""

import dataclasses
import math
import sqlite3

import pytest

from samerun import cli, tracking
from samerun.errors import UserError
from samerun.tracking import ids, rows
from support.recorded import connected

RUNS = {
    # ID without the zeros at its end: name, start, status, tags, metrics; from the oldest
    "abcd": ("fast", "FINISHED", {}, {"validation/accuracy": 0.8, "validation/loss": 0.3}),
    "abce": ("slow", "FINISHED", {}, {"validation/accuracy": 0.9, "validation/loss": 0.9}),
    "0000": ("slow", "FAILED", {"samerun.uid": "feed" * 8}, {"validation/accuracy": 0.99}),
    "5eed": ("night", "FINISHED", {"samerun.study": "night"}, {"validation/accuracy": 1.0}),
    "5ee0": (
        "dropout=0.1",
        "FINISHED",
        {
            "samerun.study": "night",
            "samerun.trial": "7",
            "mlflow.parentRunId": "5eed".ljust(32, "0"),
        },
        {"validation/accuracy": math.nan, "validation/loss": 0.1},
    ),
    "dead": ("gone", "FINISHED", {}, {"validation/loss": 0.0}),
}


def record_runs():
    client = connected()
    experiments = [tracking.experiment_id(client, name) for name in ("one", "two")]
    for index, (short, (name, status, tags, metrics)) in enumerate(RUNS.items()):
        made = client.create_run(
            experiments[index % 2], start_time=1000 + index, run_name=name, tags=tags
        )
        for key, value in metrics.items():
            client.log_metric(made.info.run_id, key, value)
        client.set_terminated(made.info.run_id, status, end_time=2000 + index)
        with sqlite3.connect("mlflow.db") as database:
            database.execute("pragma foreign_keys = off")
            for table in ("runs", "tags", "latest_metrics", "metrics"):
                change = f"update {table} set run_uuid = ? where run_uuid = ?"
                database.execute(change, (short.ljust(32, "0"), made.info.run_id))
        database.close()
    client.delete_run("dead".ljust(32, "0"))


@pytest.fixture
def runs(project, recorded_runs):
    """The runs above, made in this order; the last one is deleted."""
    recorded_runs.copy("runs_to_find", record_runs)


NAMED = {
    "fast": "abcd",
    "abcd": "abcd",
    "abcd".ljust(32, "0"): "abcd",
    "feed": "0000",
    "latest": "5eed",  # a trial belongs to its sweep
    "latest~0": "5eed",
    "latest~3": "abcd",
    "best:validation/accuracy": "abce",  # neither the failed run nor the sweep's own, nor NaN
    "best:validation/loss": "5ee0",
    "night/7": "5ee0",
    "night/007": "5ee0",
}


@pytest.mark.parametrize("name", NAMED)
def test_a_text_names_a_run_of_a_database_file(runs, name):
    (found,) = tracking.find_runs([name])
    assert found.id == NAMED[name].ljust(32, "0")


WRONG = {
    "abd": "names no run",
    "gone": "names no run",
    "a%": "names no run",
    "": "names no run",
    "latest~4": "the oldest is latest~3",
    "latest~x": "expected an ID",
    "best:validation/acuracy": "did you mean 'validation/accuracy'",
    "best:x": "metrics: validation/accuracy, validation/loss",
    "night/8": "night has 1 trials",
    "day/7": "names no run",
    "a\x1b[31m\n": "'a�[31m�' names no run",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_text_that_names_none_is_one_sentence(runs, name):
    with pytest.raises(UserError) as caught:
        tracking.find_runs([name])
    assert WRONG[name] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_ambiguous_text_lists_its_candidates(runs):
    with pytest.raises(UserError, match="'slow' names 2 runs") as caught:
        tracking.find_runs(["slow"])
    candidates = [line.split() for line in caught.value.__notes__]
    assert [line[:2] for line in candidates] == [["00000000", "slow"], ["abce0000", "slow"]]
    assert all(line[-1] == "ago" for line in candidates)


def test_the_candidates_are_shown_by_the_command_without_control_characters(runs, client, capsys):
    for _ in range(12):
        client.create_run("1", run_name="tw\x1b]0;in\n")
    assert cli.main(["diff", "tw\x1b]0;in\n", "fast"]) == 2
    lines = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert lines[0].startswith("samerun: 'tw�]0;in�' names 12 runs")
    candidates, rest = lines[1:11], lines[11:]
    assert all(line.split()[1] == "tw�]0;in�" for line in candidates)
    assert [line.strip() for line in rest] == ["… and 2 more"]


@pytest.mark.parametrize("name", ["latest", "latest~1", "best:validation/loss", "night/7"])
def test_a_run_of_that_name_does_not_replace_what_the_text_means(runs, client, caplog, name):
    made = client.create_run("1", start_time=1, run_name=name).info.run_id
    before = NAMED.get(name, "0000").ljust(32, "0")
    (found,) = tracking.find_runs([name])
    assert found.id == before
    assert made[:8] in caplog.text


def test_a_complete_id_wins_over_a_run_of_that_name(runs, client):
    run_id = "abcd".ljust(32, "0")
    client.create_run("1", run_name=run_id)
    client.create_run("1", tags={"samerun.uid": run_id})
    assert tracking.find_runs([run_id])[0].id == run_id
    uid = "feed" * 8
    client.create_run("1", run_name=uid)
    assert tracking.find_runs([uid])[0].id == "0000".ljust(32, "0")


def test_one_seed_of_several_is_not_the_best_run(runs, client):
    for value, tags in ((0.95, {}), (0.99, {"samerun.instance": "seed 3"})):
        made = client.create_run("1", run_name=f"at {value}", tags=tags).info.run_id
        client.log_metric(made, "validation/accuracy", value)
        client.set_terminated(made)
    assert tracking.find_runs(["best:validation/accuracy"])[0].name == "at 0.95"


def test_a_run_may_have_the_name_of_a_trial_of_no_study(runs, client):
    made = client.create_run("1", start_time=1, run_name="day/7").info.run_id
    assert tracking.find_runs(["day/7"])[0].id == made


def comparable(run):
    """Every field of a run, with metrics as text: NaN is not equal to itself."""
    metrics = {key: float(value).hex() for key, value in run.metrics.items()}
    return dataclasses.asdict(dataclasses.replace(run, metrics=metrics))


def test_what_is_read_from_the_file_is_what_mlflow_reads(runs, client):
    run_id = "5ee0".ljust(32, "0")
    client.log_param(run_id, "model", "cnn")
    client.log_metric(run_id, "train/loss", math.inf)
    client.log_metric(run_id, "train/loss", -math.inf, step=2)
    from_file = {run.id: comparable(run) for run in tracking.find_runs()}
    assert len(from_file) == 5
    assert from_file == {run.id: comparable(run) for run in tracking.search_runs("")}
    (run,) = tracking.find_runs([run_id])
    assert run.params == {"model": "cnn"}
    assert run.metrics["train/loss"] == -math.inf
    assert math.isnan(run.metrics["validation/accuracy"])
    assert (run.start_time, run.end_time) == (1004, 2004)


@pytest.fixture
def through_mlflow(runs, monkeypatch):
    """Reading the file fails, as for every other kind of store."""

    def fail(*_, **__):
        raise sqlite3.OperationalError("no such table: runs")

    for name in ("read_runs", "run_ids"):
        monkeypatch.setattr(rows, name, fail)


def test_another_store_knows_the_same_texts(through_mlflow):
    found = [run.id for run in tracking.find_runs(list(NAMED))]
    assert found == [short.ljust(32, "0") for short in NAMED.values()]
    assert [run.id[:4] for run in tracking.find_runs()] == ["5ee0", "5eed", "0000", "abce", "abcd"]


@pytest.mark.parametrize("name", WRONG)
def test_another_store_answers_the_same_to_a_text_that_names_none(through_mlflow, name):
    test_a_text_that_names_none_is_one_sentence(None, name)


def test_the_latest_runs_of_another_store_are_not_looked_for_among_all(through_mlflow, monkeypatch):
    asked, pages = [], tracking.Catalog.pages

    def page(self, filter="", most=None):
        asked.append(most)
        return pages(self, filter, most)

    monkeypatch.setattr(tracking.Catalog, "pages", page)
    assert len(tracking.find_runs()) == 5
    assert asked == [10]


def test_runs_by_id_need_no_search_in_another_store(through_mlflow, monkeypatch):
    monkeypatch.setattr(tracking.Catalog, "pages", None)
    wanted = ["abcd".ljust(32, "0"), "dead".ljust(32, "0"), "f" * 32]
    found = tracking.Catalog(tracking.existing()).complete(wanted)
    assert [run.name for run in found] == ["fast"]


@pytest.mark.parametrize("is_file", [True, False])
def test_the_runs_below_a_run_are_found_in_every_store(request, is_file):
    request.getfixturevalue("runs" if is_file else "through_mlflow")
    catalog = tracking.Catalog(tracking.existing())
    (parent,) = catalog.complete(["5eed".ljust(32, "0")])
    (child,) = catalog.children(parent)
    assert (child.id[:4], child.metrics["validation/loss"]) == ("5ee0", 0.1)
    assert catalog.children(child) == []


def test_a_filter_searches_all_experiments_the_newest_first(runs):
    found = tracking.search_runs("metrics.`validation/accuracy` > 0.85")
    assert [run.id[:4] for run in found] == ["5eed", "0000", "abce"]
    found = tracking.search_runs("attributes.status = 'FINISHED'", max_results=2)
    assert [run.id[:4] for run in found] == ["5ee0", "5eed"]
    assert tracking.search_runs("", max_results=0) == []


def test_more_runs_than_a_page_are_found(runs, monkeypatch):
    monkeypatch.setattr(tracking.catalog, "_PAGE", 2)
    assert len(tracking.search_runs("")) == 5
    assert len(tracking.search_runs("", max_results=3)) == 3


@pytest.mark.parametrize(
    "filter", ["accuracy > ", "test/accuracy > 0.9", "metrics.x > 'a'", "params.`x", "foo.x = 1"]
)
def test_a_wrong_filter_is_one_sentence_with_an_example(runs, filter):
    with pytest.raises(UserError, match=r"such as .*test/accuracy.* > 0.9") as caught:
        tracking.search_runs(filter)
    assert filter in str(caught.value)
    assert "\n" not in str(caught.value)


def test_runs_whose_parents_lead_in_a_circle_belong_to_no_group(client, project):
    experiment = tracking.experiment_id(client, "one")
    first, second, third = (client.create_run(experiment).info.run_id for _ in range(3))
    for run_id, above in ((first, second), (second, third), (third, first)):
        client.set_tag(run_id, "mlflow.parentRunId", above)
    assert tracking.find_runs(["latest"])[0].id in (first, second, third)


def test_short_ids_tell_runs_apart():
    one, other = "0" * 31 + "1", "0" * 31 + "2"
    assert ids.short_ids([one]) == {one: "0" * 8}
    assert ids.short_ids([one, other]) == {one: one, other: other}
