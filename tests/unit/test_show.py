"""`samerun show`: one screen for a run, a sweep or a multirun, of any store."""

import json
import math
import sqlite3

import pytest
from rich.cells import cell_len

from samerun import cli, tracking
from samerun.command_line import line, program
from samerun.report import run_screen
from samerun.report.run_summary import summarize
from samerun.report.sparkline import sparkline
from samerun.tracking import Catalog, existing
from support import screens


def summary(name):
    catalog = Catalog(existing())
    return summarize(catalog, catalog.choose(name))


def commands(name):
    return [text for text, _ in summary(name).commands]


def shown(name, width=None):
    return "\n".join(text.plain for text in run_screen.lines(summary(name), width=width))


def test_runs_of_version_0_1_0_are_as_on_their_screen(version_0_1_0, request, monkeypatch):
    monkeypatch.setattr("samerun.command_line.program", lambda: "samerun")
    text = ""
    for name, width in (("finished", None), ("interrupted", 60), ("small", 80), ("small/1", 60)):
        text += f"# {name}, {width or 'a pipe'}\n{shown(name, width)}\n\n"
    update = request.config.option.update_screens
    screens.check("show", text, version_0_1_0, update=update)


def test_the_config_is_what_differs_from_the_default(version_0_1_0):
    found = summary("finished")
    assert found.config == {
        "model": "mlp",
        "dataset": "digits",
        "optimizer": "adam",
        "schedule": "cosine",
        "dataset.limit": "400",
        "model.units": "[16]",
        "training.epochs": "3",
        "training.intra_op_threads": "1",
    }


def test_a_sweep_shows_its_trials_the_best_first_and_its_commands(version_0_1_0):
    found = summary("small")
    losses = [row.run.metrics["validation/loss"] for row in found.children.rows]
    assert len(losses) == 3
    assert losses == sorted(losses)
    best = found.children.rows[0]
    assert found.commands[0] == (line("show", best.short), "its best run")
    assert "trial 1 of" in " ".join(summary("small/1").relations)


def test_json_has_the_histories(version_0_1_0, capsys):
    assert cli.main(["show", "finished", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert [step for step, _ in plain["metrics"]["train/loss"]["history"]] == [1, 2, 3]
    assert plain["metrics"]["validation/accuracy"]["best_step"] == 2
    assert plain["artifacts"]["history.csv"] == 381
    assert plain["provenance"]["machine"]["num_cores"] == 2


@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_only_commands_are_wider_than_the_terminal(version_0_1_0, width):
    lines = shown("finished", width).splitlines()
    wide = [text for text in lines if cell_len(text) > max(width, 60)]
    assert all(text.startswith(("command", program(), "  then http")) for text in wide)
    (command,) = [text for text in lines if text.startswith("command")]
    assert command.endswith("tracking.run_name=finished"), "it can be pasted"


def test_a_foreign_store_runs_nothing_and_prints_no_escape(store, project, capsys):
    secret = project / "secret.txt"
    secret.write_text("s" * 1234)
    deep = "[" * 100_000
    run_id = store(
        {"provenance/provenance.json": deep, "a\u202e.txt": "x"},
        name="x\x1b[2J[bold]\nrest",
        reason="\x1b]0;x\x07",
        command="rm -rf / \x1b[8m",
        result="[link=http://evil]x[/link]",
        dataset="\x9b31m",
        host="h" * 9000,
    )
    (folder,) = project.glob(f"mlruns/*/{run_id}/artifacts")
    (folder / "link.txt").symlink_to(secret)
    (folder / "linked").symlink_to(project)
    assert cli.main(["show", run_id[:8]]) == 0
    text = capsys.readouterr().out
    assert not {"\x1b", "\x9b", "\x07"} & set(text)
    assert "[link=http://evil]x[/link]" in text
    found = summary(run_id)
    assert found.provenance == {}
    assert not any("link" in path or "secret" in path for path in found.artifacts)


def test_artifacts_elsewhere_are_not_opened_by_the_path_in_the_store(store, project, client):
    run_id = store({"a.txt": "x"})
    (folder,) = project.glob(f"mlruns/*/{run_id}")
    folder.rename(project / "moved")
    folder.symlink_to(project / "moved")
    assert summary(run_id).artifacts is None
    assert "`samerun ui` lists them" in shown(run_id)


def test_config_values_that_are_no_options_are_not_composed(store, client, project):
    run_id = store({})
    client.log_param(run_id, "model", "../../secret")
    client.log_param(run_id, "model.units", "[3]")
    assert summary(run_id).config == {"model": "../../secret", "model.units": "[3]"}


def test_a_metric_that_is_not_finite_has_no_best(store, client):
    run_id = store({})
    for step in range(3):
        client.log_metric(run_id, "validation/loss", math.nan, step=step)
    (curve,) = [c for c in summary(run_id).curves if c.metric == "validation/loss"]
    assert curve.best is None
    assert "···" in shown(run_id)


def test_the_commands_fit_how_a_run_ended(store, client):
    done = store({})
    failed = store({})
    client.set_terminated(failed, "FAILED")
    assert commands(done)[0] == line("reproduce", done[:8])
    assert commands(failed)[0] == line("resume", failed[:8])


def test_what_the_pruner_stopped_is_not_offered_to_be_resumed(store, client):
    sweep = store({}, study="s")
    trial = store({}, study="s", trial="0", state="pruned", instances="seeds")
    seed = store({}, instance="seed 0")
    for run_id, parent in ((trial, sweep), (seed, trial)):
        client.set_tag(run_id, "mlflow.parentRunId", parent)
        client.set_terminated(run_id, "KILLED")
    for run_id in (trial, seed):
        assert not [text for text in commands(run_id) if " resume " in text]


def test_a_finished_run_of_the_same_data_that_stands_alone_is_the_one_to_compare_with(
    store, client
):
    alone = store({}, dataset="digits")
    failed = store({}, dataset="digits")
    client.set_terminated(failed, "FAILED")
    store({}, dataset="imdb")
    sweep = store({}, dataset="digits", study="s")
    child = store({}, dataset="digits", study="s", trial="0")
    client.set_tag(child, "mlflow.parentRunId", sweep)
    run_id = store({}, dataset="digits")
    assert line("compare", run_id[:8], alone[:8]) in commands(run_id)
    assert not [text for text in commands(alone) if failed[:8] in text or child[:8] in text]


def test_an_id_that_is_no_id_is_in_no_line_to_type(store):
    run_id = store({})
    with sqlite3.connect("mlflow.db") as database:
        database.execute("pragma foreign_keys = off")
        for table in ("runs", "tags", "latest_metrics", "metrics"):
            change = f"update {table} set run_uuid = '; touch ran' where run_uuid = ?"
            database.execute(change, (run_id,))
    database.close()
    assert commands("; touch") == []
    good = store({})
    assert not [text for text in commands(good) if "touch" in text]


def test_the_run_is_looked_for_once(store, monkeypatch, capsys):
    store({})
    asked, choose = [], Catalog.choose
    monkeypatch.setattr(Catalog, "choose", lambda *of: asked.append(of) or choose(*of))
    assert cli.main(["show", "latest"]) == 0
    assert len(asked) == 1


def test_a_folder_of_artifacts_that_is_a_link_is_not_followed(store, project):
    run_id = store({"a.txt": "x"})
    outside = project / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("s")
    (folder,) = project.glob(f"mlruns/*/{run_id}/artifacts")
    (folder / "tensorboard").symlink_to(outside)
    (run,) = tracking.find_runs([run_id])
    assert tracking.list_artifacts(run, "tensorboard") == []


def test_points_of_another_type_than_mlflow_writes_are_left_out(store, client):
    run_id = store({})
    client.log_metric(run_id, "loss", 0.5, step=1)
    with sqlite3.connect("mlflow.db") as database:
        values = "'loss', 0.1, 0, 'x', 0, ?"
        columns = "key, value, timestamp, step, is_nan, run_uuid"
        database.execute(f"insert into metrics ({columns}) values ({values})", (run_id,))
    database.close()
    (run,) = tracking.find_runs([run_id])
    assert tracking.metric_histories(run, keys=["loss"]) == {"loss": {1: 0.5}}


def test_relations_are_named_from_both_sides(store):
    first = store({})
    second = store({}, reproduces=first, verdict="EXACT")
    third = store({}, forked_from=first)
    assert set(summary(first).relations) == {
        "reproduced: EXACT",
        f"fork: {third[:8]}",
        f"reproduction: {second[:8]}",
    }
    assert summary(second).relations == (f"reproduces {first[:8]}: EXACT",)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1], "▁█"),
        ([1, 1], "▅▅"),
        ([0, math.nan, 7], "▁·█"),
        ([math.inf], "·"),
        ([], ""),
        ([-1.7e308, 1.7e308], "▁█"),
        (range(100), "▁▁▁▂▂▃▃▃▄▄▅▅▆▆▆▇▇███"),
        ([0] * 39 + [1], "▁" * 19 + "█"),
    ],
)
def test_a_sparkline_is_as_high_as_its_values(values, expected):
    assert sparkline(values) == expected


def test_a_wrong_id_is_one_sentence(project, capsys):
    assert cli.main(["show", "abcd"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'abcd' names no run" in line
