"""Runs the rows of the table of goals and writes their page and figures: `make bench`.

    python benchmarks/run_all.py [ROW …] [--tiny | --pages]

Without numbers all rows are run, in less than an hour on two cores; each has its own minutes, and
a program that takes far more is stopped. Writes `results/DATE.json`, and from the newest entry
of every row `RESULTS.md` and the block of goals in README.md. `--tiny` tries every program in
minutes, with sizes that say nothing about speed, and writes nothing; `--pages` only writes the
pages again, as after a change of a row's text. Ends with 1 if a row misses a goal or fails, with
130 if it is interrupted; the rows that have ended are kept.
"""

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from harness import end_in_order, machine, today

FOLDER = Path(__file__).resolve().parent
README = FOLDER.parent / "README.md"
BLOCK = re.compile(r"(<!-- goals: `make bench` -->\n).*?(<!-- end of goals -->)", re.DOTALL)
PATIENCE_SECONDS = 300
HEADER = "| # | what | against | measured | goal | verdict |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """A row of the table of goals, or one of the programs that measure it.

    Args:
        number: its number.
        what: what is measured.
        against: what it is compared with.
        command: the program in this folder and its arguments.
        minutes: how long it may take on two cores.
        tiny: arguments that run it in a minute, for a look at whether it works.
        why: where the time is spent and what was tried, which RESULTS.md has if a goal is missed.
        left_out: what the goal asks for and the program does not measure, which RESULTS.md has.
    """

    number: int
    what: str
    against: str
    command: str
    minutes: float
    tiny: str = ""
    why: str = ""
    left_out: str = ""

    @property
    def key(self) -> str:
        """What distinguishes it from the others: several rows of one program, or the reverse."""
        return f"{self.number:02} {self.command.partition('.')[0]}"


ONCE_IN_A_RUN = (
    "What samerun does once in a run; its epochs take no longer than those of the script (row 2). "
    "Processor time of a run on 6,000 images by `tracking.log_seconds=true` (2026-12-01, the "
    "machine of this row, idle): 16.5 s, of which 4.7 s steps, 3.6 s composing the config and "
    "importing Keras with TensorFlow, which the script imports too, 3.5 s figures with "
    "Matplotlib's import, 2.3 s tracking (MLflow's import, a new database, delivery), 1.0 s "
    "tracing, 0.3 s building the network, 0.2 s evaluation, 0.2 s storing the model. Tried and "
    "kept, each measured by itself: Keras without scikit-learn and pyplot, a third less, MLflow "
    "without FastAPI, a sixth less (decision 57), 1.2 s less for the complete process; the tables "
    "of a new database from a file, 1.1 s less (decision 55); names and versions of the installed "
    "packages from the first lines of their metadata, 0.2 s, and which of them the user's code "
    "imports from their lists of files, 0.3 s; imports that are hidden from the garbage collector; "
    "a model that is stored without reading the files of all packages; figures whose hidden axes "
    "make no ticks. Tried and not kept: PNG files compressed at level 1 (0.3 instead of 0.4 s for "
    "eight figures, 16 % larger); creating the tables from MLflow's models, which fails on SQLite; "
    "MLflow without `mlflow.genai`, which its SQL store imports. Not tried: constrained layout in "
    "one pass (about 29 % of the figures' time), all wrong images in one panel (13 %), labels "
    "without formulas (9 %); figures in another process beside the delivery."
)
"""Where the time of a whole process goes that a bare script does not need."""

SLOW_ANSWERS = (
    "The Intel machine takes 1.5 to 1.9 times as long as the AMD EPYC on which the same commands "
    "met the goal on the same day: completion of a key 0.37 s, `show latest` 0.38 s, the slowest "
    "mistake 0.46 s. A mistake that takes 0.64 s on the idle Intel machine spends most of them on "
    "imports (`-X importtime`): Hydra with OmegaConf 0.18 s, NumPy 0.09 s, samerun's own modules "
    "most of the rest. Tried and kept: answers that need neither are given without them (decision "
    "45). Not tried: composing without Hydra's main modules."
)
"""Where the time of a quick answer goes."""

ROWS: tuple[Row, ...] = (
    Row(
        number=1,
        what="whole process, fully tracked, deterministic",
        against="bare Keras script",
        command="whole_process.py",
        minutes=8.5,
        tiny="--images 1000 --epochs 1 --pairs 1",
        why=ONCE_IN_A_RUN,
    ),
    Row(
        number=3,
        what="extra seconds of a tracked run of 10 s",
        against="bare Keras script",
        command="whole_process.py --images 6000 --goal extra",
        minutes=4.8,
        tiny="--images 1000 --epochs 1 --pairs 1",
        why="see row 1.",
    ),
    Row(
        number=2,
        what="an epoch after the first, eight networks",
        against="bare Keras script",
        command="epochs.py",
        minutes=7,
        tiny="mlp --pairs 1 --steps 4",
        why=(
            "In five epochs of the row-LSTM with `tracking.log_seconds=true` (2026-12-01, busy "
            "machine) 90 % of the time was in the compiled steps, 8 % in the validation, 1.2 % "
            "in the checkpoints, 0.8 % in TensorBoard's files and 0.3 % in all other callbacks, "
            "so the step decides. Tried and kept: up to 20 steps per execution after the first "
            "epoch where they repay their tracing (decision 50), and in deterministic runs "
            "those passes of TensorFlow's graph optimizer that change no bit (decision 56): a "
            "traced step then took 0.92 of the processor time (row-LSTM), 0.81 (stacked GRU), "
            "0.82 (CNN), 0.87 (ConvLSTM), 0.90 (forecaster), 0.92 (SimpleRNN), 0.97 (language "
            "model) and 1.02 (MLP). Tried and rejected, since none is faster without other bits "
            "(2026-12-01, busy machine, one traced training step, the fastest of 40 to 60, ms): "
            "all passes but the memory optimizer, which change bits of the ConvLSTM and were "
            "not clearly faster; the inputs of a recurrent layer projected in one product "
            "before its loop, 5.6 to 7.8 (LSTM of 50 units over 28 steps, batch 64) and 33 to "
            "37 (LSTM of 128 over 64, batch 32); these two unrolled as well, 5.6 to 5.5 and 33 "
            "to 20, but tracing takes 1.2 to 2.4 s and 1.4 to 4.7 s, and gradients are added in "
            "another order; XLA, 8.0 to 6.3 (row-LSTM), 30 to 47 (LSTM of 128), 27 to 14 (GRU "
            "of 50 over 60) and 101 to 144 (SimpleRNN over 500); TensorFlow's kernel "
            "BlockLSTMV2 for the LSTM of 128, 25 to 49. Each pair was measured by itself, hence "
            "two values for the same step of Keras. Not tried: whole epochs per execution; batches "
            "gathered inside the compiled function."
        ),
        left_out="runs of 6 epochs, and the epoch in which several steps are traced.",
    ),
    Row(
        number=4,
        what="quick answers: help, completion, a mistake, runs, show, a wrong ID",
        against="–",
        command="quick_answers.py",
        minutes=0.6,
        tiny="--repeats 1",
        why=SLOW_ANSWERS,
    ),
    Row(
        number=4,
        what="a sentence for every mistake",
        against="–",
        command="mistakes.py",
        minutes=1.4,
        tiny="--lines 3",
        why=SLOW_ANSWERS,
    ),
    Row(
        number=5,
        what="a sweep of trials of very different lengths",
        against="official sweeper + joblib",
        command="skewed_sweep.py",
        minutes=2.8,
        tiny="--trials 4",
        why=(
            "The printed line has the seconds of the two workers. Where none are left, a worker "
            "has no trial: the grid is drawn in the same order each time, and its last trial "
            "sleeps for 7 s. The seconds between two trials, about 0.06 for each, are what a sweep "
            "does there: recording the end of one in MLflow and the study, and drawing, composing "
            "and recording the next, see row 8. Tried and kept: what row 8 has. Not tried: asking "
            "for the next trial before the last one is recorded, which samplers that learn would "
            "not see."
        ),
    ),
    Row(
        number=6,
        what="search: to the loss that 40 unpruned trials reach",
        against="KerasTuner, Ray Tune, Optuna",
        command="search.py --seeds 0 1 2 --limit 90",
        minutes=9.6,
        tiny="--seeds 0 --trials 3 --most 3 --epochs 3 --limit 120",
        why=(
            "A search ends after 90 s, so that the row takes minutes; they begin with the process, "
            "and contain its imports, and with samerun the checks, the stores and a recorded run "
            "for each trial (rows 7 and 8). Most of a pruned trial's time is the tracing of its "
            "network, with every program; besides, a trial of samerun takes the seconds outside "
            "`fit` of row 7, which the others do not have. So it trains fewer epochs in the same "
            "time. In as many epochs its losses are a few percent larger than those of Optuna's "
            "script and of Ray Tune; three seeds do not tell whether that is more than chance. "
            "KerasTuner's Hyperband, whose first trials are as short, reached the loss with two of "
            "three seeds. Tried and kept: trials pause and the best continue (decision 51); with "
            "one seed and without a limit it reached the loss after 129 epochs, 0.16 of the "
            "unpruned ones, and by stopping after 359. Not tried: `sweep.pruner=hyperband`; random "
            "first trials."
        ),
        left_out=(
            "three experiments and five seeds, which do not fit into an hour: this is one "
            "experiment with three seeds."
        ),
    ),
    Row(
        number=6,
        what="promotion: epochs to the same best, sets of stored learning curves",
        against="Optuna's SuccessiveHalvingPruner",
        command="promotion.py",
        minutes=0.7,
        tiny="--orders 2",
        why=(
            "On the set with 100 epochs a trial, the first trial, which stopping trains whole, is "
            "often as good as the target, and no rule completes one in fewer epochs: a rule that "
            "knows the best trial in advance has 0.7 or less in 60 % of the orders. 525 rules were "
            "tried, see decision 51."
        ),
    ),
    Row(
        number=7,
        what="a trial in a warm worker, and the first one",
        against="–",
        command="warm_trials.py",
        minutes=1.8,
        tiny="--trials 3 --repeats 1",
        why=(
            "Before the first trial, the branches are checked (0.8 s of processor time) and the "
            "worker imports TensorFlow, Keras and MLflow and builds the models, which takes most "
            "of the seconds (row 1 has the imports). Tried and kept: the worker starts when the "
            "branches are checked, no longer when the stores are open; the tables of a new MLflow "
            "database from a file; the imports of decision 57; Matplotlib only where figures are "
            "drawn. A later trial took 0.89 instead of 1.11 s of processor time in all, since it "
            "reuses the pipelines of data with the same content, builds the network once if it is "
            "neither stored nor drawn, and keeps what the first trial imported out of garbage "
            "collection. Tried and not kept: other thresholds of the garbage collector (no "
            "difference). Not tried: starting the worker before the checks. The printed table has "
            "the parts of a later trial."
        ),
    ),
    Row(
        number=8,
        what="what a trial costs besides its training, in small and large studies",
        against="`study.optimize`, SQLite",
        command="bookkeeping.py",
        minutes=2.7,
        tiny="--sizes 20",
        why=(
            "A trial of a sweep is also an MLflow run, which `study.optimize` does not have: the "
            "line `with an MLflow run` is `study.optimize` with a bare run for each trial. Time of "
            "the processors between two trials, after the changes below (profile of 69 trials, "
            "2026-12-01, busy machine): creating the MLflow run 18 %, composing the "
            "trial's config 18 %, reporting the end to the study 12 %, reading its trials 11 %, "
            "attributes of the trial 9 %, drawing and storing its values 7 %, tagging the end of "
            "its run 7 %, adding the trial 7 % and reading it again 6 %, the sweep's own metrics "
            "2 %, the rest 3 %. Tried and kept, in two alternating pairs of 60 trials 63 and 69 "
            "before and 52 and 48 ms after, where `study.optimize` took 17 to 21 and with an "
            "MLflow run 38 to 41: trials are read once instead of four times and a single one "
            "twice instead of four times; attributes are inserted in one statement; the sweep's "
            "own metrics are sent at most once a second; the config's content is moved instead "
            "of copied a second time. Statements fell from 68 to 37 in the study and from 16 to 8 "
            "in MLflow, transactions from 15 to 9 and from 5 to 3. Before: a trial's attributes in "
            "one transaction instead of eight (2.4 instead of 9.9 ms for four of them), the "
            "experiment looked up once, the sweep's seconds stored at most once a second. Not "
            "tried: all values of a trial in one transaction, which would need a storage of our "
            "own between Optuna and the database; recording the end of a trial in a thread, which "
            "saves no processor time and would report to the study before the run is tagged, or "
            "wait for it. MLflow's client has no call that creates several runs at once."
        ),
        left_out="5,000 trials, which take six minutes more, and PostgreSQL.",
    ),
    Row(
        number=9,
        what="determinism, checkpoints, TensorBoard, recording",
        against="each switched off",
        command="costs.py",
        minutes=3.8,
        tiny="--images 1500 --rounds 1",
        why=(
            "What is switched off costs little by itself: a checkpoint of a row-LSTM took 0.06 "
            "s, 1.2 % of an epoch (profile of 2026-12-01, busy machine), so writing it in the "
            "background could gain no more there, and was not done. Deterministic operations "
            "are other kernels, whose cost depends on the network; since decision 56 "
            "deterministic runs keep the passes over the graph that change no bit, with which a "
            "step of another CNN took 0.82 of the processor time. In the first form of this "
            "row, a process for each measurement, the fastest epochs of equal runs differed by "
            "14 %, more than any of the costs, so that processes now take turns epoch by epoch, "
            "and the time of the processors decides."
        ),
        left_out="waits for the disk: the ratios of the clock are printed without a verdict.",
    ),
    Row(
        number=10,
        what="memory of a worker that trains up to 300 runs",
        against="tenth run",
        command="soak.py --minutes 3 --runs 300",
        minutes=3.2,
        tiny="--runs 12",
        left_out="the runs up to 300 that three minutes do not hold.",
    ),
    Row(
        number=10,
        what="memory to stream images",
        against="their decoded size",
        command="streaming.py",
        minutes=1.3,
        tiny="--num 200 --side 64",
        left_out="CSV files: `benchmarks/predict.py` measures `samerun predict` on them.",
    ),
    Row(
        number=11,
        what="commands that look at runs on a store of 10,000 runs",
        against="100 runs",
        command="large_store.py --epochs 1 --repeats 3",
        minutes=1.8,
        tiny="--sizes 100 200 --epochs 1 --repeats 1",
        left_out="`samerun ui`, whose pages are MLflow's.",
    ),
)


def run(row: Row, arguments: str, file: Path) -> dict[str, Any]:
    """Runs the program of a row; returns its entry of the results.

    Args:
        row: the row.
        arguments: what follows the program's own ones.
        file: where the program writes its figures.
    """
    parts = f"{row.command} {arguments}".split()
    command = [sys.executable, str(FOLDER / parts[0]), *parts[1:], "--json", str(file)]
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdout=output, cwd=FOLDER.parent, start_new_session=True
        )
        try:
            code: int | None = process.wait(timeout=120 * row.minutes + PATIENCE_SECONDS)
        except BaseException as error:  # Ctrl-C too
            kill(process.pid)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            code = None
        minutes = (time.perf_counter() - began) / 60
        output.seek(0)
        printed = output.read().decode(errors="replace").strip()
    found = json.loads(file.read_text()) if file.exists() else {"figures": []}
    return {
        "key": row.key,
        "row": row.number,
        "what": row.what,
        "against": row.against,
        "command": f"python benchmarks/{' '.join(parts)}",
        "date": today(),
        "machine": machine(),
        "minutes": round(minutes, 1),
        "code": code,
        "printed": printed,
        "figures": found["figures"],
        "detail": found.get("detail"),
    }


def kill(pid: int) -> None:
    """Kills a program and all that it has started, in sessions of their own too."""
    with contextlib.suppress(psutil.NoSuchProcess):
        program = psutil.Process(pid)
        for process in [program, *program.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def why_missed(entry: Mapping[str, Any]) -> str:
    """Returns where the time goes in a row that misses a goal; empty for any other."""
    known = {row.key: row.why for row in ROWS}
    return "" if all(one["met"] for one in entry["figures"]) else known.get(entry["key"], "")


def left_out(entry: Mapping[str, Any]) -> str:
    """Returns what the goal of a row asks for and its program does not measure."""
    return {row.key: row.left_out for row in ROWS}.get(entry["key"], "")


def has_failed(entry: Mapping[str, Any]) -> bool:
    """Whether a row's program did not end by itself, or has no figures."""
    return entry["code"] not in (0, 1) or not entry["figures"]


def newest(folder: Path) -> list[dict[str, Any]]:
    """Returns the newest entry of each row, in their order.

    Args:
        folder: with a file of results for each date.
    """
    entries: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("*.json")):
        entries |= {entry["key"]: entry for entry in json.loads(file.read_text())["rows"]}
    return [entries[key] for key in sorted(entries)]


def table(entries: Sequence[Mapping[str, Any]]) -> str:
    """Returns the table of goals, a line for each figure, and below it where it was measured."""
    if not entries:
        return ""
    lines = [HEADER]
    for entry in entries:
        number, against = entry["row"], entry["against"]
        if has_failed(entry):
            lines.append(f"| {number} | {entry['what']} | {against} | – | – | **no result** |")
        for one in [] if has_failed(entry) else entry["figures"]:
            spread = "" if one.get("low") is None else f" ({one['low']:.3g} to {one['high']:.3g})"
            verdict = "met" if one["met"] else "**missed**"
            value = f"{one['value']:.3g}{spread}"
            cells = (number, one["what"], against, value, one["goal"], verdict)
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, "", measured_at(entries), ""])


def durations(entries: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table of the minutes that each row took, and their sum."""
    lines = ["| # | program | minutes |", "|---|---|---|"]
    for entry in entries:
        program = entry["command"].removeprefix("python benchmarks/")
        lines.append(f"| {entry['row']} | `{program}` | {entry['minutes']:.1f} |")
    lines.append(f"| | all | {sum(entry['minutes'] for entry in entries):.1f} |")
    return "\n".join([*lines, ""])


def overview(entries: Sequence[Mapping[str, Any]]) -> str:
    """Returns the table of README.md, a line for each program, and where it was measured."""
    if not entries:
        return ""
    lines = ["| # | what | against | measured | goals met |", "|---|---|---|---|---|"]
    for entry in entries:
        figures = [] if has_failed(entry) else entry["figures"]
        met = sum(one["met"] for one in figures)
        few = [f"{one['value']:.3g} (goal {one['goal']})" for one in figures[:2]]
        measured = "; ".join(few) if len(figures) <= 2 else f"{len(figures)} figures"
        count = f"{met} of {len(figures)}" if figures else "no result"
        cells = (entry["row"], entry["what"], entry["against"], measured or "–", count)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    note = f"{measured_at(entries)} Each figure is in [RESULTS](benchmarks/RESULTS.md)."
    return "\n".join([*lines, "", note, ""])


def measured_at(entries: Sequence[Mapping[str, Any]]) -> str:
    """Returns a sentence with the dates and machines of the rows."""
    places: dict[str, list[str]] = {}
    for entry in entries:
        numbers = places.setdefault(f"{entry['date']}, {entry['machine']}", [])
        if str(entry["row"]) not in numbers:
            numbers.append(str(entry["row"]))
    measured = [f"rows {', '.join(numbers)}: {place}" for place, numbers in places.items()]
    return f"Measured by `make bench`; {'; '.join(measured)}."


def page(entries: Sequence[Mapping[str, Any]]) -> str:
    """Returns RESULTS.md: the table, and for each row what its program printed."""
    sections = []
    for entry in entries:
        end = "stopped" if entry["code"] is None else f"exit code {entry['code']}"
        texts = {"Where the time goes, and what was tried": why_missed(entry)}
        texts["Not measured here"] = left_out(entry)
        more = "".join(f"{head}: {text}\n\n" for head, text in texts.items() if text)
        sections.append(
            f"## {entry['row']}. {entry['what']}\n\n`{entry['command']}`, {entry['date']}, "
            f"{entry['machine']}; {entry['minutes']} minutes, {end}\n\n"
            f"{more}```\n{entry['printed']}\n```\n"
        )
    head = "# Benchmark results\n\nWritten by `make bench` from `results/`; do not edit.\n"
    return "\n".join([head, table(entries), durations(entries), *sections])


def updated(text: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """Returns README.md with the current overview in its block."""
    assert BLOCK.search(text), "README.md has no block for the goals"
    return BLOCK.sub(lambda found: f"{found[1]}{overview(entries)}{found[2]}", text)


def write(folder: Path, readme: Path, done: Sequence[dict[str, Any]]) -> None:
    """Adds entries to the file of today, and writes RESULTS.md and README.md from all files.

    Args:
        folder: of RESULTS.md; the files of results are in `results/`.
        readme: the page with the block of goals.
        done: entries of rows that have just been run.
    """
    results = folder / "results"
    results.mkdir(exist_ok=True)
    file = results / f"{today()}.json"
    before = json.loads(file.read_text())["rows"] if file.exists() else []
    rows = {entry["key"]: entry for entry in [*before, *done]}
    text = json.dumps({"rows": [rows[key] for key in sorted(rows)]}, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
    write_pages(folder, readme)


def write_pages(folder: Path, readme: Path) -> None:
    """Writes RESULTS.md and the block of README.md from all files of results.

    Args:
        folder: of RESULTS.md.
        readme: the page with the block of goals.
    """
    entries = newest(folder / "results")
    (folder / "RESULTS.md").write_text(page(entries), encoding="utf-8")
    readme.write_text(updated(readme.read_text(encoding="utf-8"), entries), encoding="utf-8")


def chosen_rows(numbers: Sequence[int]) -> list[Row]:
    """Returns the rows of these numbers, or all; ends the program if there is no such row."""
    known = {row.number for row in ROWS}
    if unknown := sorted(set(numbers) - known):
        listed = ", ".join(map(str, sorted(known)))
        sys.exit(f"{unknown[0]}: no such row, expected one of {listed}.")
    return [row for row in ROWS if not numbers or row.number in numbers]


def main() -> int:
    """Runs the rows that the command line names, or all, and writes the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=int, nargs="*", help="numbers of rows; none: all")
    parser.add_argument("--tiny", action="store_true", help="only try the programs")
    parser.add_argument("--pages", action="store_true", help="only write the pages again")
    given = parser.parse_args()
    if given.pages:
        write_pages(FOLDER, README)
        return 0
    rows = chosen_rows(given.rows)
    done: list[dict[str, Any]] = []
    is_interrupted = False
    with tempfile.TemporaryDirectory(prefix="samerun-bench-") as name:
        try:
            for row in rows:
                print(f"\n{row.number}. {row.what} ({row.minutes:g} minutes)", flush=True)
                entry = run(row, row.tiny if given.tiny else "", Path(name) / f"{row.key}.json")
                print(entry["printed"], flush=True)
                done.append(entry)
                if not given.tiny:
                    write(FOLDER, README, done)  # now: whoever interrupts keeps what was measured
        except (KeyboardInterrupt, SystemExit):  # Ctrl-C, and what `end_in_order` makes of others
            is_interrupted = True
    return report(done, is_interrupted=is_interrupted)


def report(done: Sequence[Mapping[str, Any]], *, is_interrupted: bool) -> int:
    """Prints the goals and the minutes of the rows that were run; returns the exit code.

    Args:
        done: their entries.
        is_interrupted: the user has stopped the rest.
    """
    print(f"\n{table(done)}\n{durations(done)}", end="")
    if failed := [str(entry["row"]) for entry in done if has_failed(entry)]:
        print(f"rows without a result: {', '.join(failed)}")
    if is_interrupted:
        print("interrupted")
        return 130
    return 1 if any(entry["code"] for entry in done) or failed else 0


if __name__ == "__main__":
    end_in_order()
    sys.exit(main())
