"""`samerun runs`: what the list says, at each width, on stores of others and of version 0.1.0."""

import contextlib
import csv
import io
import itertools
import json
import math
import os
import pty
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.cells import cell_len

from samerun import cli, tracking
from samerun.errors import UserError
from samerun.report import run_rows, runs_text
from samerun.report.run_list import list_runs
from samerun.tracking import Catalog, StoredRun, existing
from support import screens
from support.recorded import connected

HOSTILE = {
    "escape": "a\x1b[31m\x1b]0;title\x07\nb",
    "markup": "[bold red]x[/] [link=http://evil]y[/link]",
    "long": "n" * 240,
    "latest": "latest",
    "formula": '=HYPERLINK("http://evil")',
    "wide": "数字" * 20,
}


def listed(**options):
    return list_runs(Catalog(existing()), **options)


def by_name(found):
    return {row.run.name: row for row in found.rows}


def shown(found, width):
    return [line.plain for line in runs_text.lines(found, width=width)]


def recorder(first=0):
    """Returns what records a run, each a millisecond after the one before, and returns its ID."""
    client = connected()
    experiments = [tracking.experiment_id(client, name) for name in ("one", "two")]
    count = itertools.count(first)

    def record(name, *, params=(), metrics=(), status="FINISHED", parent=None, **tags):
        index = next(count)
        given = {f"samerun.{key}": value for key, value in tags.items()}
        given |= {"mlflow.parentRunId": parent} if parent else {}
        start = int(time.time() * 1000) - 3_600_000 + index
        made = client.create_run(
            experiments[index % 2], start_time=start, run_name=name, tags=given
        )
        for key, value in dict(params).items():
            client.log_param(made.info.run_id, key, value)
        for key, value in dict(metrics).items():
            client.log_metric(made.info.run_id, key, value)
        if status != "RUNNING":
            client.set_terminated(made.info.run_id, status, end_time=start + 1500)
        return made.info.run_id

    return record


@pytest.fixture
def make(project):
    """Records a run, after those of the night; returns its ID."""
    return recorder(first=100)


def scored(value, name="accuracy"):
    return {f"test/{name}": value, f"test/{name}_low": value - 0.1, f"test/{name}_high": value}


def record_night():
    make = recorder()
    sweep = make("night", params={"seed": 9}, study="night", objectives="validation/accuracy")
    for number, (objective, test) in enumerate([(0.7, 0.99), (0.9, 0.8), (math.nan, 0.5)]):
        params = {"model": "mlp", "model.dropout": number / 10, "seed": 0, "tracking.uri": number}
        metrics = {"validation/accuracy": objective, **scored(test)}
        tags = {"study": "night", "trial": number, "state": "pruned" if number == 2 else "complete"}
        make(f"trial {number}", params=params, metrics=metrics, parent=sweep, **tags)
    params = {"model": "cnn", "model.dropout": 0.1, "model.filters": 8, "seed": 0}
    single = make("single", params=params, metrics=scored(0.6), resumed="2", undelivered="1 tag")
    make("again", params=params, metrics=scored(0.6), reproduces=single, verdict="EXACT")
    params = {"model": "mlp", "model.dropout": 0.12345678, "seed": 1}
    make("fork", params=params, status="RUNNING", forked_from=single)
    return sweep


@pytest.fixture
def night(project, recorded_runs):
    """A sweep of three trials, a single run and its reproduction; returns the ID of the sweep."""
    return recorded_runs.copy("night", record_night)


def test_a_sweep_is_one_row_with_the_score_of_the_run_that_its_objective_chose(night):
    rows = listed().rows
    assert [row.run.name for row in rows] == ["fork", "again", "single", "night"]
    sweep = rows[-1]
    assert sweep.num_children == 3
    assert sweep.score.value == 0.8, "the best on the test split must not be chosen"
    assert sweep.notes[0] == "3 trials"
    (best,) = tracking.find_runs(["night/1"])
    assert sweep.notes[1] == f"best {best.id[:8]}"


def test_a_sweep_that_names_its_best_has_that_score(night, client):
    client.set_tag(night, "samerun.best", tracking.find_runs(["night/0"])[0].id)
    assert by_name(listed())["night"].score.value == 0.99


def test_runs_that_confirm_the_best_trials_are_no_trials_of_the_search(night, make):
    tags = {"study": "night-confirm-1000-1004", "trial": 0, "confirms": 1}
    make("confirms trial 1", metrics=scored(0.7), parent=night, **tags)
    assert by_name(listed())["night"].notes[:2] == ("3 trials", "1 confirmed")


def test_all_opens_the_groups(night):
    rows = listed(opened=True).rows
    assert [(row.run.name, row.depth) for row in rows[3:]] == [
        ("night", 0),
        ("trial 2", 1),
        ("trial 1", 1),
        ("trial 0", 1),
    ]
    assert run_rows.status_of(rows[4].run) == "pruned"
    by_id = {plain["id"]: plain for plain in runs_text.as_dicts(listed(opened=True))}
    assert by_id[rows[5].run.id]["parent"] == night


def test_the_group_of_seeds_has_the_score_that_it_logged(make):
    parent = make("seeds", metrics=scored(0.75), instances="seeds", num_instances="2")
    for seed in range(2):
        make(f"seed {seed}", metrics=scored(0.7 + seed / 10), parent=parent)
    (row,) = listed().rows
    assert (row.score.value, row.num_children) == (0.75, 2)
    assert row.notes == ("2 seeds",)


def test_a_group_is_sorted_by_its_own_value_else_by_its_best_run(make):
    seeds = make("seeds", metrics=scored(0.75), instances="seeds", num_instances="2")
    make("lucky seed", metrics=scored(0.99), parent=seeds)
    make("single", metrics=scored(0.8))
    sweep = make("night", study="night", objectives="validation/accuracy")
    for number, (objective, test) in enumerate([(0.7, 0.98), (0.9, 0.7)]):
        metrics = {"validation/accuracy": objective, **scored(test)}
        tags = {"study": "night", "trial": number}
        make(f"trial {number}", metrics=metrics, parent=sweep, **tags)
    rows = listed(sort="test/accuracy").rows
    assert [row.run.name for row in rows] == ["single", "seeds", "night"]
    assert [row.score.value for row in rows] == [0.8, 0.75, 0.7]


def test_trials_are_sorted_by_the_status_that_is_shown(night):
    rows = listed(filter="tags.`samerun.study` = 'night'", sort="status").rows
    shown = [run_rows.status_of(row.run) for row in rows]
    assert shown == sorted(shown)
    assert shown[-1] == "pruned"


def test_relations_and_what_is_missing_are_marked(night):
    rows = by_name(listed())
    original = rows["single"]
    assert original.notes == ("undelivered: 1 tag", "reproduced: EXACT", "resumed 2 times")
    assert rows["again"].notes == (f"reproduces {original.short}: EXACT",)
    assert rows["fork"].notes == (f"forked from {original.short}",)
    assert run_rows.status_of(rows["fork"].run) == "running"


def test_only_parameters_that_differ_and_can_change_a_result_are_shown(night):
    # A sweep's own parameters are those of no run; model.filters has one value.
    assert listed().columns == ("model", "seed", "model.dropout")
    assert listed(opened=True).columns == ("model", "seed", "model.dropout")
    head, *rows = shown(listed(), None)
    assert head.split() == ["id", "age", "status", "test/accuracy", *["name", "model", "seed"]] + [
        "dropout",
        "notes",
    ]
    assert "0.1235" in rows[0]
    assert rows[-1].split()[-5:-3] == ["3", "trials"]


def test_numbers_are_not_rounded_until_they_are_equal(make):
    for value in (0.12345678, 0.12345679):
        make("x", params={"model.dropout": value})
    text = "\n".join(shown(listed(), 60))
    assert "0.12345678" in text
    assert "0.12345679" in text


def test_a_number_with_another_metric_says_which(make):
    make("classes", metrics=scored(0.9))
    make("values", metrics=scored(0.5, "mean_absolute_error"))
    make("unfinished", metrics={"validation/loss": 0.3, "train/loss": 0.1})
    make("nothing")
    text = "\n".join(shown(listed(), None))
    assert "test/accuracy 0.900 (0.800–0.900)" in text
    assert "test/mean_absolute_error 0.500 (0.400–0.500)" in text
    assert "validation/loss 0.300" in text
    assert by_name(listed())["nothing"].score is None


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("age", "fork"),
        ("name", "again"),
        ("test/accuracy", "night"),
        ("model.dropout", "again"),
        ("status", "again"),
    ],
)
def test_runs_are_sorted(night, sort, first):
    assert listed(sort=sort).rows[0].run.name == first


def test_what_falls_is_best_where_it_is_lowest(make):
    for name, value in (("a", 0.3), ("b", 0.1), ("c", math.nan)):
        make(name, metrics={"validation/loss": value})
    make("d")
    assert [row.run.name for row in listed(sort="validation/loss").rows] == ["b", "a", "d", "c"]


def test_a_filter_lists_each_run_that_fits_trials_too(night):
    found = listed(filter="params.model = 'mlp' and metrics.`test/accuracy` >= 0.8")
    assert {row.run.name for row in found.rows} == {"trial 0", "trial 1"}
    assert len(listed(filter="params.model = 'mlp'", most=1).rows) == 1


def test_columns_are_parameters_metrics_and_tags(night):
    found = listed(columns=["validation/accuracy", "model.filters", "samerun.trial"], opened=True)
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(runs_text.as_csv(found)))}
    assert rows["trial 1"]["validation/accuracy"] == "0.9"
    assert rows["trial 1"]["samerun.trial"] == "1"
    assert rows["single"]["model.filters"] == "8"


def test_more_columns_than_have_room_are_named(make, capsys):
    for value in range(2):
        make("x", params={f"model.option_{n}": value for n in range(12)})
    assert cli.main(["runs"]) == 0
    assert "4 more parameters differ" in capsys.readouterr().err
    assert len(listed().columns) == 12


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--sort", "acuracy"], "--sort: received 'acuracy', expected age"),
        (["--sort", "test/acuracy"], "Did you mean 'test/accuracy'?"),
        (["--columns", "modl"], "Did you mean 'model'?"),
        (["-n", "-1"], "-n: received -1"),
        (["accuracy > 0.9"], "such as 'metrics."),
        (["model=cnn"], "such as 'metrics."),
    ],
)
def test_mistakes_are_one_sentence(night, capsys, arguments, sentence):
    assert cli.main(["runs", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_a_folder_without_runs_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["runs"]) == 2
    assert "There are no runs here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [20, 60, 80, 140])
def test_no_line_is_wider_than_the_terminal_and_nothing_that_differs_is_cut(night, make, width):
    twins = ["t" * 90 + end for end in ("one", "two")]
    for index, name in enumerate([*HOSTILE.values(), *twins]):
        make(name, params={"model": "cnn", "model.units": "[" + "8, " * 30 + f"{index}]"})
    lines = shown(listed(), width)
    assert all(cell_len(line) <= max(width, 45) for line in lines)
    text = "".join(line.strip() for line in lines)
    for differing in ("one", "two", "seed", "dropout"):
        assert differing in text
    assert "8,8,8" in text.replace(" ", "")


def test_names_of_a_hostile_store_are_shown_as_text(make):
    for name in HOSTILE.values():
        make(name, verdict="\x1b[2J", reproduces="\x1b[2J", undelivered="\x1b[2J")
    for width in (None, 60):
        for line in runs_text.lines(listed(), width=width):
            assert "\x1b" not in line.plain
            assert "\n" not in line.plain
    text = "\n".join(shown(listed(), None))
    assert "[bold red]x[/]" in text
    rows = list(csv.reader(io.StringIO(runs_text.as_csv(listed()))))
    assert {row[1][:11] for row in rows} >= {"'=HYPERLINK", "a�[31m�]0;t"}
    assert all("\x1b" not in cell for row in rows for cell in row)


def test_a_verdict_of_another_store_does_not_mark_what_it_does_not_name():
    one = StoredRun(
        id="a" * 32,
        name="",
        experiment_id="1",
        status="FINISHED",
        params={},
        metrics={},
        tags={"samerun.reproduces": "b" * 32, "samerun.verdict": "EXACT"},
    )
    assert run_rows.verdicts_in([one]) == {"b" * 32: ["EXACT"]}
    assert list(run_rows.notes_of(one, run_rows.verdicts_in([one]), {})) == [
        "reproduces bbbbbbbb: EXACT"
    ]


def test_json_has_every_value_and_is_json(night, make, capsys):
    make("inf", metrics={"train/loss": math.inf})
    capsys.readouterr()
    assert cli.main(["runs", "--json", "--all"]) == 0
    rows = json.loads(
        capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )
    single = next(row for row in rows if row["name"] == "single")
    assert single["params"]["model.filters"] == "8"
    assert single["headline"] == {"metric": "test/accuracy", "value": 0.6, "low": 0.5, "high": 0.6}
    assert single["seconds"] == 1.5
    assert rows[0]["metrics"] == {"train/loss": None}


@pytest.mark.parametrize("width", [60, 140])
def test_a_terminal_gets_its_width(night, width):
    """In a real terminal; elsewhere a row is one line."""
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "samerun", "runs"]
    process = subprocess.Popen(command, stdout=child, stderr=subprocess.PIPE, env=environment)
    os.close(child)
    written = b""
    with contextlib.suppress(OSError):  # Linux's end of a terminal that nothing writes to any more
        while new := os.read(parent, 100_000):
            written += new
    os.close(parent)
    assert (process.communicate(timeout=60)[1], process.returncode) == (b"", 0)
    text = written.decode()
    assert "\x1b[1m" in text
    lines = screens.normalize(text, "/nowhere").splitlines()
    assert max(map(cell_len, lines)) <= width
    assert (len(lines) == 5) == (width == 140)


def test_the_runs_of_version_0_1_0_are_as_on_their_screen(version_0_1_0, capsys, request):
    text = ""
    for width, options in ((None, {}), (None, {"opened": True}), (60, {}), (100, {"opened": True})):
        text += f"# {width or 'a pipe'}{' --all' if options else ''}\n"
        text += "\n".join(shown(listed(**options), width)) + "\n\n"
    update = request.config.option.update_screens
    screens.check("runs", text, version_0_1_0, update=update)


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "find-runs.md"
ON_PAGE = re.findall(
    r"(?m)^samerun ((?:runs|show).*?)(?:  #.*| > \S+\.csv| \| .*)?$", PAGE.read_text()
)


@pytest.mark.parametrize("command", ON_PAGE)
def test_a_command_of_the_page_answers(version_0_1_0, command, capsys):
    assert cli.main(shlex.split(command)) == 0
    assert capsys.readouterr().out.count("\n") > 2


def test_the_page_has_filters():
    assert sum("FINISHED" in command or "params" in command for command in ON_PAGE) == 2


def test_a_store_without_a_database_of_mlflow_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("mlflow.db").write_text("no database")
    with pytest.raises(UserError, match="is not an SQLite database"):
        listed()
