"""The page of `samerun compare`: what a store holds is text; nothing comes from elsewhere."""

import base64
import dataclasses
import hashlib
import json
import re
import sqlite3
from html.parser import HTMLParser

import pytest

from samerun import cli, tracking
from samerun.report import compare
from samerun.report.compare import page
from support.compared import add, classified, probabilities

EVIL = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>[bold red]{{7*7}}{%x%}"
    "\x1b[2J\x1b]0;owned\x07\u202e --> </style></title>"
)
HUNKS = "diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n-x = 1\n+x = '{0}'"


class Outline(HTMLParser):
    """The tags of a page with their attributes, in order."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    @property
    def names(self):
        return [(tag, *sorted(attributes)) for tag, attributes in self.tags]


def make(store, text):
    """Two runs in whose records a text stands wherever a store may hold one."""
    truth, predicted, confidence = classified()
    other = predicted.copy()
    other[:9] = (truth[:9] + 2) % 4
    ids = []
    for at, classes in enumerate((predicted, other)):
        provenance = {
            "python": f"{at} {text}",
            "packages": {f"numpy{at}": text, "keras": f"{at}{text}"},
            "environment": {f"TF_{at}{text}": text},
            "machine": {"processor": f"{at}{text}", "instructions": [text], "gpus": [text]},
            "code": {"commit": "", "digest": "0"},
        }
        run_id = add(
            store,
            f"{at}",
            f"optimizer.learning_rate=0.{at + 1}",
            predictions={"probabilities": probabilities(classes, confidence), "truth": truth},
            provenance__provenance_dot_json=json.dumps(provenance),
            provenance__files_dot_json=json.dumps({f"{text}.py": str(at), "samerun/a.py": str(at)}),
            evaluation__per_class_dot_csv="class\n" + "\n".join([_quoted(text)] * 4) + "\n",
        )
        ids.append(run_id)
    with sqlite3.connect("mlflow.db") as database:
        for table in ("metrics", "latest_metrics"):
            insert = f"insert into {table} select ?, value + 1, timestamp, run_uuid, step, is_nan"
            columns = "(key, value, timestamp, run_uuid, step, is_nan)"
            query = insert.replace(table, f"{table} {columns}", 1)
            key = f"validation/{text}"[:250]
            where = f"from {table} where key = 'validation/loss' and run_uuid = ?"
            database.execute(f"{query} {where}", (key, ids[0]))
        database.execute("update runs set name = name || ?", (text,))
    database.close()
    return ids


def _quoted(text):
    return '"' + text.replace('"', '""') + '"'


def page_of(ids, text):
    made = compare.read(tracking.find_runs(ids))
    hunks = HUNKS.format(text)
    found = dataclasses.replace(made.found, hunks=(hunks,))
    return page.as_html(dataclasses.replace(made, found=found))


def test_what_a_store_holds_is_text_on_the_page(store):
    harmless = Outline(page_of(make(store, "harmless"), "harmless"))
    text = page_of(make(store, EVIL), EVIL)
    hostile = Outline(text)
    assert hostile.names == harmless.names
    assert not any(tag == "script" for tag, _ in hostile.tags)
    assert not any(name.startswith("on") for _, attrs in hostile.tags for name in attrs)
    assert "&lt;script&gt;alert(1)" in text
    assert "{{7*7}}" in text
    for letter in "\x1b\x07\u202e":
        assert letter not in text


def test_what_a_store_holds_is_text_on_the_screen(store, capsys):
    ids = make(store, EVIL)
    assert cli.main(["compare", *ids]) == 0
    out = capsys.readouterr().out
    assert "[bold red]{{7*7}}" in out
    for letter in "\x1b\x07\u202e":
        assert letter not in out


def test_enormous_texts_are_cut(store, capsys, project):
    ids = make(store, "x" * 100_000)
    assert cli.main(["compare", *ids]) == 0
    assert len(capsys.readouterr().out) < 30_000
    assert cli.main(["compare", *ids, "--html", "page.html"]) == 0
    without_pictures = re.sub(r"base64,[^\"]+", "", (project / "page.html").read_text())
    assert len(without_pictures) < 100_000


def test_nothing_on_the_page_comes_from_elsewhere(store):
    text = page_of(make(store, "plain"), "plain")
    outline = Outline(text)
    for _, attributes in outline.tags:
        assert not {"href", "action", "srcset", "style"} & attributes.keys()
        assert attributes.get("src", "data:image/png").startswith("data:image/png")
    assert not re.search(r"url\(|@import|https?:", text)
    (policy,) = [attrs["content"] for tag, attrs in outline.tags if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy


@pytest.fixture
def ids(store):
    return make(store, "plain")


def test_a_page_replaces_the_one_that_is_there_and_leaves_nothing_else(ids, project, capsys):
    before = set(project.iterdir())
    file = project / "page.html"
    file.write_text("older")
    assert cli.main(["compare", *ids, "--html", "page.html"]) == 0
    assert capsys.readouterr().out.split() == ["page", "page.html"]
    assert file.read_text().startswith("<!doctype html>")
    assert set(project.iterdir()) - before == {file}


def test_a_page_that_cannot_be_written_is_one_sentence(ids, project, capsys):
    (project / "page.html").mkdir()
    assert cli.main(["compare", *ids, "--html", "page.html"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_only_with_artifact_the_store_is_written_to(ids, project, capsys):
    first = tracking.find_runs(ids)[0]
    assert cli.main(["compare", *ids, "--html", "page.html", "--json"]) == 0
    assert tracking.list_artifacts(first, "compare") == []
    assert cli.main(["compare", *ids, "--artifact"]) == 0
    assert f"compare/{ids[1][:8]}.html" in capsys.readouterr().out
    (path,) = tracking.list_artifacts(first, "compare")
    assert path == f"compare/{ids[1][:8]}.html"
    assert tracking.read_artifact(first, path).startswith(b"<!doctype html>")
