"""`make bench`: the programs of the table of goals, its results, and README's numbers."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
BLOCK = "before\n<!-- goals: `make bench` -->\n<!-- end of goals -->\nafter\n"
PROGRAM = """import sys
from pathlib import Path

sys.path.insert(0, {folder!r})
from harness import Figure, arguments_of, finish, middle

given = arguments_of("A program.").parse_args()
share = Figure("share", 0.9, 0.8, is_floor=True)
sys.exit(finish([middle("seconds", [2, 1, 4], {limit}), share], given.json))
"""


@pytest.fixture
def run_all(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import run_all

    return run_all


@pytest.fixture
def bench(run_all, tmp_path, monkeypatch, capsys):
    """Runs rows with the given programs; returns exit code, README and what was printed."""
    monkeypatch.setattr(run_all, "FOLDER", tmp_path)
    monkeypatch.setattr(run_all, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text(BLOCK)

    def run(texts, *arguments):
        rows = []
        for name, text in texts.items():
            tmp_path.joinpath(f"program{name}.py").write_text(text)
            number = int(str(name)[0])  # 1a and 1b: two programs of row 1
            rows.append(run_all.Row(number, f"of {name}", "a script", f"program{name}.py", 1))
        monkeypatch.setattr(run_all, "ROWS", tuple(rows))
        monkeypatch.setattr(sys, "argv", ["run_all.py", *arguments])
        code = run_all.main()
        return code, (tmp_path / "README.md").read_text(), capsys.readouterr().out

    return run


def program(limit):
    return PROGRAM.format(folder=str(BENCHMARKS), limit=limit)


def test_a_row_that_misses_its_goal_is_reported_and_the_others_are_run(bench, tmp_path):
    code, readme, _ = bench({1: program(1.5), 2: program(3)})
    assert code == 1
    assert "| 1 | of 1 | a script | 2 (goal ≤ 1.5); 0.9 (goal ≥ 0.8) | 1 of 2 |" in readme
    assert "| 2 | of 2 | a script | 2 (goal ≤ 3); 0.9 (goal ≥ 0.8) | 2 of 2 |" in readme
    (file,) = tmp_path.glob("results/*.json")
    entry = json.loads(file.read_text())["rows"][0]
    assert entry["figures"][0] == {
        **{"what": "seconds", "value": 2, "low": 1, "high": 4, "goal": "≤ 1.5", "met": False}
    }
    assert {"date", "machine", "minutes", "command"} <= set(entry)
    page = (tmp_path / "RESULTS.md").read_text()
    assert "seconds: 2 (1 to 4), goal ≤ 1.5: MISSED" in page
    assert "| 1 | seconds | a script | 2 (1 to 4) | ≤ 1.5 | **missed** |" in page
    assert "| 2 | seconds | a script | 2 (1 to 4) | ≤ 3 | met |" in page
    assert "| 2 | share | a script | 0.9 | ≥ 0.8 | met |" in page


def test_a_row_that_misses_a_goal_says_what_was_tried(bench, run_all, tmp_path, monkeypatch):
    made = run_all.Row
    monkeypatch.setattr(run_all, "Row", lambda *given: made(*given, why=f"it is row {given[0]}."))
    bench({1: program(1.5), 2: program(3)})
    page = (tmp_path / "RESULTS.md").read_text()
    assert "Where the time goes, and what was tried: it is row 1." in page
    assert "it is row 2." not in page


def test_what_a_row_leaves_out_is_on_the_page_whether_its_goal_is_met_or_not(
    bench, run_all, tmp_path, monkeypatch
):
    made = run_all.Row
    monkeypatch.setattr(run_all, "Row", lambda *given: made(*given, left_out=f"{given[0]} tables."))
    bench({1: program(1.5), 2: program(3)})
    page = (tmp_path / "RESULTS.md").read_text()
    assert "Not measured here: 1 tables." in page
    assert "Not measured here: 2 tables." in page


def test_a_later_text_of_a_row_is_on_the_page_without_another_run(
    bench, run_all, tmp_path, monkeypatch
):
    bench({1: program(1.5)})
    assert bench({1: "raise SystemExit(1)"}, "--pages")[0] == 0
    assert "seconds: 2 (1 to 4), goal ≤ 1.5: MISSED" in (tmp_path / "RESULTS.md").read_text()
    made = run_all.Row
    monkeypatch.setattr(run_all, "Row", lambda *given: made(*given, why="it was seen later."))
    bench({1: program(1.5)}, "--pages")
    assert "what was tried: it was seen later." in (tmp_path / "RESULTS.md").read_text()


def test_a_program_that_fails_has_no_result(bench):
    code, readme, printed = bench({1: "raise SystemExit('no')", 2: program(3)})
    assert code == 1
    assert "| 1 | of 1 | a script | – | no result |" in readme
    assert "rows without a result: 1" in printed


def test_minutes_of_each_row_and_their_sum_are_printed_and_on_the_page(bench, tmp_path):
    _, _, printed = bench({1: program(3), "2a": program(3), "2b": "raise SystemExit('no')"})
    for text in (printed, (tmp_path / "RESULTS.md").read_text()):
        minutes = [float(found) for found in re.findall(r"\.py` \| (\d+\.\d) \|", text)]
        assert len(minutes) == 3
        assert f"| | all | {sum(minutes):.1f} |" in text


def test_an_interruption_keeps_and_prints_the_rows_that_have_ended(
    bench, run_all, tmp_path, monkeypatch
):
    run = run_all.run

    def interrupted(row, *arguments):
        if row.number == 2:
            raise KeyboardInterrupt
        return run(row, *arguments)

    monkeypatch.setattr(run_all, "run", interrupted)
    code, readme, printed = bench({1: program(3), 2: program(3)})
    assert code == 130
    assert "| 1 | seconds | a script | 2 (1 to 4) | ≤ 3 | met |" in printed
    assert "| 1 | of 1 |" in readme
    (file,) = tmp_path.glob("results/*.json")
    assert [entry["row"] for entry in json.loads(file.read_text())["rows"]] == [1]


def test_a_program_that_is_stopped_leaves_no_process_behind(run_all):
    text = """import subprocess, sys, time
command = [sys.executable, "-c", "import time; time.sleep(60)"]
print(subprocess.Popen(command, start_new_session=True).pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as program:
        started = psutil.Process(int(program.stdout.readline()))
        run_all.kill(program.pid)
        assert program.wait(timeout=30) == -signal.SIGKILL
    _, alive = psutil.wait_procs([started], timeout=30)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def test_sigterm_removes_the_folder_of_a_program(tmp_path):
    text = f"""import sys, time
sys.path.insert(0, {str(BENCHMARKS)!r})
from harness import workspace
with workspace() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", text]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
        folder = Path(program.stdout.readline().strip())
        assert folder.is_dir()
        program.terminate()
        assert program.wait(timeout=30) == 128 + signal.SIGTERM
    assert folder.parent == tmp_path
    assert not folder.exists()


@pytest.fixture
def sides(tmp_path, monkeypatch):
    """Trains sides in turns, without Keras; returns their epochs and what they wrote."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from turns import epochs_in_turns

    tmp_path.joinpath("keras.py").write_text(KERAS)

    def run(programs, rounds, **options):
        commands = {
            name: ([sys.executable, "-c", TRAINS.format(name=name, body=body)], tmp_path)
            for name, body in programs.items()
        }
        found = epochs_in_turns(commands, rounds, **options)
        return found, (tmp_path / "trained").read_text()

    return run


KERAS = """class callbacks:
    class CallbackList:
        def on_epoch_begin(self, epoch):
            pass
"""
TRAINS = """import sys, time, types
import keras, turns
turns.wait_for_turns()
model = types.SimpleNamespace(steps_per_execution=20, count_params=lambda: 7)
callbacks = keras.callbacks.CallbackList()
callbacks._model = model
for epoch in range(60):
    callbacks.on_epoch_begin(epoch)
    with open("trained", "a") as file:
        file.write("{name}")
    {body}
"""


def test_sides_train_in_turns_and_the_traced_epoch_does_not_count(sides):
    found, trained = sides({"A": "time.sleep(0.2)", "B": "pass"}, 2, traced=1)
    assert trained == "ABBAAB"  # nothing trains while it is not its turn
    assert [(len(one.wall), len(one.cpu)) for one in found.values()] == [(2, 2), (2, 2)]
    assert min(found["A"].wall) > 0.2
    assert max(found["A"].cpu) < 0.2
    assert found["B"].num_parameters == 7
    assert found["B"].steps_per_execution == 20
    assert not [one for one in psutil.Process().children() if "turns" in " ".join(one.cmdline())]


def test_a_side_that_ends_too_early_is_no_result(sides):
    with pytest.raises(SystemExit, match="exit code 3\nno memory"):
        sides({"A": "pass", "B": "print('no memory'); sys.exit(3)"}, 2)
    assert not [one for one in psutil.Process().children() if "turns" in " ".join(one.cmdline())]


@pytest.mark.parametrize(
    ("ours", "theirs", "value", "what"),
    [
        ([20, 30, 40], [40, 60, 80], 0.5, "seconds to the target, samerun"),
        ([20, 30, None], [40, 60, 80], 0.5, "seconds to the target, samerun"),
        ([45, 45, 45], [20, None, None], 0.5, "seconds to the target, 90 where it is missed"),
        ([None, None, None], [45, 45, 45], 2, "seconds to the target, 90 where it is missed"),
        ([None, None, 10], [None, None, None], 0.5, "best loss within 90 s"),
    ],
)
def test_searches_are_compared_by_time_unless_both_miss_the_target(
    monkeypatch, ours, theirs, value, what
):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import search

    def ended(all_seconds, loss):
        return [search.Reached([loss, loss], one or 90, one is not None) for one in all_seconds]

    found = {"samerun": ended(ours, 0.2)}
    found |= dict.fromkeys(search.SCRIPTS, ended(theirs, 0.4))
    figures = [
        one for one in search.compared(found, 800, 90) if one.what.endswith("/ Ray Tune, ASHA")
    ]
    assert figures[0].what.startswith(what)
    assert figures[0].value == pytest.approx(value)


def test_all_goals_met_ends_with_0(bench):
    assert bench({1: program(3)})[0] == 0


def test_a_row_of_its_own_leaves_the_results_of_the_others(bench, tmp_path):
    programs = {1: program(3), 2: program(3)}
    bench(programs)
    _, readme, _ = bench({1: program(1), 2: program(1)}, "2")
    assert "| 1 | of 1 | a script | 2 (goal ≤ 3); 0.9 (goal ≥ 0.8) | 2 of 2 |" in readme
    assert "| 2 | of 2 | a script | 2 (goal ≤ 1); 0.9 (goal ≥ 0.8) | 1 of 2 |" in readme
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")


def test_a_row_can_have_two_programs(bench):
    _, readme, _ = bench({"1a": program(3), "1b": program(1), "2a": program(3)}, "1")
    assert readme.count("| 1 | of 1") == 2
    assert "| 2 |" not in readme


def test_a_row_that_does_not_exist_is_refused(bench):
    with pytest.raises(SystemExit, match=r"3: no such row, expected one of 1\."):
        bench({1: program(3)}, "3")


def test_tiny_writes_nothing(bench, tmp_path):
    _, readme, _ = bench({1: program(3)}, "--tiny")
    assert readme == BLOCK
    assert not (tmp_path / "results").exists()


def test_rows_fit_into_an_hour_and_have_programs(run_all):
    assert sum(row.minutes for row in run_all.ROWS) <= 50  # and the installation of the others
    assert len({row.key for row in run_all.ROWS}) == len(run_all.ROWS)
    for row in run_all.ROWS:
        assert (BENCHMARKS / row.command.split()[0]).is_file()
        assert row.tiny, f"row {row.number}: no tiny sizes"


def test_each_program_is_in_a_row_or_quoted_by_a_page(run_all):
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    texts = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    in_rows = {row.command.split()[0] for row in run_all.ROWS}
    for file in BENCHMARKS.glob("*.py"):
        if file.stem not in ("harness", "run_all", "turns"):
            assert file.name in in_rows or f"benchmarks/{file.name}" in texts, file.name


def test_readme_and_results_have_the_newest_figures(run_all):
    entries = run_all.newest(BENCHMARKS / "results")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert run_all.updated(readme, entries) == readme, "run `make bench`"
    page = BENCHMARKS / "RESULTS.md"
    assert not entries or page.read_text(encoding="utf-8") == run_all.page(entries)


def test_peers_are_pinned_without_an_address(run_all):
    from harness import PACKAGES

    files = {file.stem for file in (BENCHMARKS / "peers").glob("*.txt")}
    assert files == set(PACKAGES)
    for name in files:
        lines = (BENCHMARKS / "peers" / f"{name}.txt").read_text().splitlines()
        assert all(re.match(r"(#|[\w.-]+(\[[\w,-]+\])?==[\w.]+)", line) for line in lines), name
