"""The program that runs all benchmarks: `make bench`."""

import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Runs benchmarks that end as asked, by name; returns the exit code and the page."""
    (tmp_path / "benchmarks").mkdir()
    program = runpy.run_path(str(BENCHMARKS / "run_all.py"))
    places = program["main"].__globals__
    monkeypatch.setitem(places, "FOLDER", tmp_path / "benchmarks")

    def run(codes):
        for name, code in codes.items():
            text = f"import sys\nprint('of {name}')\nsys.exit({code})\n"
            (tmp_path / "benchmarks" / f"{name}.py").write_text(text)
        monkeypatch.setitem(places, "COMMANDS", dict.fromkeys(codes, []))
        monkeypatch.setattr(sys, "argv", ["run_all.py"])
        return program["main"](), (tmp_path / "benchmarks" / "RESULTS.md").read_text()

    return run


def test_all_benchmarks_are_run():
    files = {file.stem for file in BENCHMARKS.glob("*.py")}
    program = runpy.run_path(str(BENCHMARKS / "run_all.py"))
    assert files == {"run_all", *program["COMMANDS"]}


def test_a_benchmark_that_fails_is_named_and_the_others_are_run(bench, capsys):
    code, page = bench({"first": 1, "second": 0})
    assert code == 1
    assert "first: failed" in capsys.readouterr().out
    assert "exit code 1" in page.partition("## second")[0]
    assert "of second" in page
    assert bench({"first": 0, "second": 0})[0] == 0
