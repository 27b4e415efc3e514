"""A project of your own, and what its models answer to raw data through each of five doors.

    python tests/programs/five_doors.py [--warm] [own|image|table|text|series …]

`samerun init` writes a project into an empty folder. There, for each kind of data: a run is
trained, a sweep of two trials is searched, one of its trials is reproduced (EXACT) and exported to
ONNX and TensorFlow Lite. Then new raw data is given to

    python    samerun.load_run(ID).predict, and mlflow.pyfunc.load_model
    predict   samerun predict ID FILE
    serve     samerun serve ID, over HTTP
    onnx      the exported folder, by onnxruntime, in a process that cannot import samerun
    tflite    the exported folder, by TensorFlow Lite's interpreter, in such a process

The first three run the same Keras model and have to agree bit for bit. Another runtime rounds
otherwise: its numbers may differ by TOLERANCE, its labels, dates and steps not at all.

With `--warm` every process is forked from one that has done the imports, as `support/warm.py` does
it for tests; it needs a quarter of the time.
"""

import argparse
import base64
import contextlib
import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from support import warm

TOLERANCE = 1e-5
"""Largest difference of an exported model: of probabilities, or relative to the largest number."""
READ = """
import json, pathlib, sys
import pandas as pd

def read(source):
    if source.endswith(".csv"):
        return pd.read_csv(source)
    files = sorted(pathlib.Path(source).iterdir())
    return pd.DataFrame({"image": [file.read_bytes() for file in files]})

def write(frame):
    print("ANSWERS", json.dumps(frame.to_dict("records")))
"""
PYTHON = """
run, source, *trusted = sys.argv[1:]
import samerun
write(samerun.load_run(run, trust=trusted).predict(read(source)))
"""
MLFLOW = """
run, source = sys.argv[1:]
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
write(mlflow.pyfunc.load_model(f"runs:/{run}/model").predict(read(source)))
"""
EXPORTED = """
folder, package, source, *blocked = sys.argv[1:]
loaded = [name for name in sys.modules if name.partition(".")[0] in blocked]
sys.modules.update(dict.fromkeys([*blocked, *loaded]))  # importing one of them raises ImportError
sys.path.append(folder)
import importlib
write(importlib.import_module(package).load_export().predict(read(source)))
"""


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    Args:
        train: overrides that train on it.
        source: a file or a folder with new raw data.
        trusted: the package with the code that the run needs.
        decodes: whether TensorFlow decodes the raw data, whatever runs the model.
    """

    train: tuple[str, ...]
    source: str
    trusted: tuple[str, ...] = ()
    decodes: bool = False


KINDS = {
    "own": Kind(("experiment=rings",), "new_points.csv", trusted=("five",)),
    "image": Kind(
        ("dataset=image_folder", "dataset.path=photos", "dataset.height=8", "dataset.width=8")
        + ("model=cnn", "model.filters=[4]", "model.dense_units=[]", "dataset.batch_size=8"),
        "new_photos",
        decodes=True,
    ),
    "table": Kind(
        ("dataset=table_csv", "dataset.path=houses.csv", "dataset.target=price", "model=mlp")
        + ("model.units=[4]", "dataset.target_type=numbers", "dataset.standardize_target=true"),
        "new_houses.csv",
    ),
    "text": Kind(
        ("dataset=text_csv", "dataset.path=reviews.csv", "dataset.max_length=12", "model=gru")
        + ("dataset.vocabulary_size=50", "model.embedding_dim=4", "model.units=[4]"),
        "new_reviews.csv",
    ),
    "series": Kind(
        ("dataset=series_csv", "dataset.path=sales.csv", "dataset.target=amount", "model=lstm")
        + ("dataset.date_column=day", "dataset.window=14", "dataset.horizon=3", "model.units=[4]"),
        "new_sales.csv",
    ),
}


@dataclass(frozen=True)
class Project:
    """A project, and how processes start in it.

    Args:
        folder: of the project.
        process: `subprocess.Popen`, or `warm.Warm`.
    """

    folder: Path
    process: type["subprocess.Popen[str]"]

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Starts Python with these arguments."""
        command = [sys.executable, *arguments]
        return self.process(command, cwd=self.folder, env=environment(), **options)

    def run(self, *arguments: str) -> str:
        """Runs Python with these arguments; returns what it prints.

        Raises:
            SystemExit: it fails.
        """
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self.start(*arguments, text=True, **streams) as process:
            printed, errors = process.communicate()
        if process.returncode:
            raise SystemExit(f"{' '.join(arguments)}\n{printed}\n{errors}")
        return printed

    def samerun(self, *arguments: str) -> str:
        """Runs a command of samerun; returns what it prints."""
        return self.run("-m", "samerun", *arguments)

    def python(self, code: str, *arguments: str) -> list[dict]:
        """Returns what a Python program answers."""
        printed = self.run("-c", READ + code, *arguments)
        (line,) = (line for line in printed.splitlines() if line.startswith("ANSWERS "))
        return json.loads(line.removeprefix("ANSWERS "))


class Ended(Exception):
    """A server ended before it answered."""


def main() -> int:
    """Opens the doors of the kinds that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", choices=[[], *KINDS], metavar="KIND")
    parser.add_argument("--warm", action="store_true", help="fork the processes")
    given = parser.parse_args()
    chosen, process = given.kinds or [*KINDS], warm.Warm if given.warm else subprocess.Popen
    with tempfile.TemporaryDirectory(prefix="five-doors-") as place:
        Project(Path(place), process).samerun("init", "five")
        project = Project(Path(place, "five"), process)
        write_data(project.folder)
        num_failed = sum(not is_same(project, name) for name in chosen)
    print(f"{len(chosen)} kinds of data, {num_failed} with a door that answers differently")
    return 1 if num_failed else 0


def write_data(project: Path) -> None:
    """Writes small files of each kind: some to train on, some new."""
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(44):
        name = ("dark", "light")[number % 2]
        folder = project / ("new_photos" if number > 39 else f"photos/{name}")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 128, (20 + number % 5, 24, 3)) + 120 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.jpg", quality=90)
    houses = [
        [round(random.uniform(40, 160), 1), 1 + row % 5, ("Aachen", "Bonn", "Celle")[row % 3]]
        for row in range(90)
    ]
    prices = [round(3000 * size + 20000 * rooms) for size, rooms, _ in houses]
    rows = [[*house, price] for house, price in zip(houses, prices, strict=True)]
    write_csv(project / "houses.csv", ["size", "rooms", "town", "price"], rows)
    new = [*houses[:5], [99.5, 3, "Dresden"]]  # a town that training did not have
    write_csv(project / "new_houses.csv", ["size", "rooms", "town"], new)
    texts = [
        [f"a {word} film about word{row % 7}, really", label]
        for row in range(30)
        for word, label in (("fine", "good"), ("dull", "bad"))
    ]
    write_csv(project / "reviews.csv", ["text", "label"], texts)
    unknown = [["An unknown word, and a fine one!"], ["dull"]]
    write_csv(project / "new_reviews.csv", ["text"], [*([text] for text, _ in texts[:4]), *unknown])
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(300)]
    sales = [[day.isoformat(), f"{50 + 20 * np.sin(n / 5):.2f}"] for n, day in enumerate(days)]
    write_csv(project / "sales.csv", ["day", "amount"], sales)
    write_csv(project / "new_sales.csv", ["day", "amount"], sales[-30:])
    points = [[f"{x:.3f}" for x in point] for point in random.normal(scale=2, size=(6, 2))]
    write_csv(project / "new_points.csv", ["x0", "x1"], points)


def write_csv(file: Path, header: list[str], rows: list[list[object]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([header, *rows])


def is_same(project: Project, name: str) -> bool:
    """Trains, searches, reproduces, exports, and compares the doors; prints a line for each."""
    kind, began = KINDS[name], time.monotonic()
    trust = [part for module in kind.trusted for part in ("--trust", module)]
    short = ("training.epochs=2", "evaluation.bootstrap_samples=100")
    short += ("tracking=lean", "tracking.log_model=true")
    project.samerun("train", *kind.train, *short)
    space = "model.dropout=choice(0.0,0.2)"
    settings = ("sweep=optuna", f"sweep.study={name}", "sweep.n_trials=2", "sweep.executor=inline")
    project.samerun("train", "-m", *kind.train, *short, *settings, space)
    shown = project.samerun("show", f"{name}/0", "--json")
    trial = re.findall(r'"id": "([0-9a-f]{32})"', shown)[0]
    doors = doors_of(project, kind, trial, trust)
    with ThreadPoolExecutor(2) as pool:
        verdict = pool.submit(project.samerun, "reproduce", trial, "--exact", *trust)
        opened = {door: pool.submit(answer) for door, answer in doors.items()}
        answers = {door: found.result() for door, found in opened.items()}
        assert "EXACT: bit-for-bit identical" in verdict.result(), verdict.result()
    limits = {door: TOLERANCE if door in ("onnx", "tflite") else 0.0 for door in answers}
    gaps = {door: difference(answers["python"], found) for door, found in answers.items()}
    for door, gap in gaps.items():
        mark = "ok  " if gap <= limits[door] else "FAIL"
        print(f"{mark}  {name:<7} {door:<8} {len(answers[door])} answers, difference {gap:.2g}")
    print(f"      {name:<7} reproduced EXACT; {time.monotonic() - began:.0f} s", flush=True)
    return all(gap <= limits[door] for door, gap in gaps.items())


def doors_of(
    project: Project, kind: Kind, trial: str, trust: list[str]
) -> dict[str, Callable[[], list[dict]]]:
    """Returns what each door answers to the new data, when it is called."""
    doors = {
        "serve": partial(served, project, kind, trial, trust),
        "onnx": partial(exported, project, kind, trial, trust, "onnx"),
        "tflite": partial(exported, project, kind, trial, trust, "tflite"),
        "python": partial(project.python, PYTHON, trial, kind.source, *kind.trusted),
        "predict": partial(predicted, project, kind, trial, trust),
    }
    if not kind.trusted:  # MLflow loads no modules of the user's own
        doors["mlflow"] = partial(project.python, MLFLOW, trial, kind.source)
    return doors


def difference(expected: list[dict], found: list[dict]) -> float:
    """Returns the largest difference of numbers; infinite if anything else differs."""
    if len(found) != len(expected) or not expected:
        return float("inf")
    largest = 0.0
    for one, other in zip(expected, found, strict=True):
        if [*one] != [*other]:
            return float("inf")
        for cell, answer in zip(one.values(), other.values(), strict=True):
            if not isinstance(cell, float):
                largest = largest if cell == answer else float("inf")
            else:
                largest = max(largest, abs(cell - answer) / max(1.0, abs(cell)))
    return largest


def predicted(project: Project, kind: Kind, trial: str, trust: list[str]) -> list[dict]:
    """Returns what `samerun predict` writes, without the line or the file of each answer."""
    project.samerun("predict", trial, kind.source, "-o", "out.jsonl", *trust)
    rows = [json.loads(line) for line in (project.folder / "out.jsonl").read_text().splitlines()]
    return [dict([*row.items()][1:]) for row in rows]


def exported(project: Project, kind: Kind, trial: str, trust: list[str], form: str) -> list[dict]:
    """Returns what the exported model answers in a process without samerun."""
    screen = project.samerun("export", trial, "--format", form, "-o", form, *trust)
    (package,) = re.findall(r"^from (\w+) import load_export$", screen, flags=re.MULTILINE)
    needed = ("tensorflow", "keras") if form == "tflite" or kind.decodes else ()
    blocked = {"samerun", "tensorflow", "keras", "mlflow"} - {*needed}
    return project.python(EXPORTED, form, package, kind.source, *sorted(blocked))


def served(project: Project, kind: Kind, trial: str, trust: list[str]) -> list[dict]:
    """Returns what `samerun serve` answers over HTTP."""
    source = project.folder / kind.source
    if source.is_dir():
        files = sorted(source.iterdir())
        rows = [{"image": base64.b64encode(file.read_bytes()).decode()} for file in files]
    else:
        with source.open(newline="") as opened:
            rows = [{k: number(v) for k, v in row.items()} for row in csv.DictReader(opened)]
    log = project.folder / "server.txt"
    for _ in range(3):
        with contextlib.suppress(Ended):  # another process was given the port in the meantime
            return from_server(project, ["serve", trial, *trust], rows, log)
    raise SystemExit(f"samerun serve ended three times\n{log.read_text()}")


def from_server(project: Project, command: list[str], rows: list[dict], log: Path) -> list[dict]:
    """Starts a server on a free port, asks it, and ends it.

    Raises:
        Ended: it ended by itself.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["-m", "samerun", *command, "--port", str(port)]
    with log.open("wb") as written:
        server = project.start(*arguments, stdout=written, stderr=written, start_new_session=True)
    try:
        return ask(f"http://127.0.0.1:{port}", rows, server)
    except OSError as error:
        raise SystemExit(f"{error!r}\n{log.read_text()}") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def ask(address: str, rows: list[dict], server: "subprocess.Popen[str]") -> list[dict]:
    """Returns the answers to rows, as soon as the server is ready."""
    until = time.monotonic() + 300
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            break
        except OSError:
            if server.poll() is not None:
                raise Ended from None
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.3)
    body = json.dumps({"dataframe_records": rows}).encode()
    request = urllib.request.Request(
        f"{address}/invocations", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        found = json.load(answer)["predictions"]
    if server.poll() is not None:  # it was another server that answered
        raise Ended
    return found


def number(cell: str) -> float | int | str:
    """Returns a cell as a number, if it is one."""
    for made in (int, float):
        with contextlib.suppress(ValueError):
            return made(cell)
    return cell


def environment() -> dict[str, str]:
    """Returns the environment of the processes: without a store of the user's."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**kept, "PATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}


if __name__ == "__main__":
    sys.exit(main())
