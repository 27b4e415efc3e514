"""Runs behind a faulty proxy: is everything in the store, once, after `samerun sync`?

    python tests/programs/proxy_seeds.py --seeds 50

starts one MLflow server and one faulty proxy (`faulty_proxy.py`), then for each seed a process that
logs like a training does, and another one that runs `samerun sync` when the proxy does no harm any
more. What should be in the store is computed here, not read from the run's folder; the server is
read without the proxy. Prints one line for each seed; the exit code is 1 if any of these is not so:

    after `sync`: no point missing, none doubled, no artifact missing or different, no parameter,
    tag, dataset or model missing, exactly one run, FINISHED, and `sync --check` reports the same;
    no call of the run's methods took longer than a second.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = Path(__file__).parent
sys.path.insert(0, str(PROGRAMS.parent))
from support.warm import Warm  # noqa: E402

LONGEST_CALL_SECONDS = 1.0
EPOCHS = 12
STEPS = 20
METRICS = ("train/loss", "train/accuracy", "validation/loss", "validation/accuracy")
METRICS += ("learning_rate", "seconds")
SHARES = (0.1, 0.3, 0.5)
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "2",  # a request that hangs is given up after this
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def points():
    """Returns the points of the training: (metric, step, value)."""
    found = {(key, e, (e + 1) / (i + 7)) for e in range(EPOCHS) for i, key in enumerate(METRICS)}
    return found | {("batch/loss", step, 1 / (step + 1)) for step in range(EPOCHS * STEPS)}


def artifacts():
    """Returns the artifacts of the training: the bytes by their path."""
    texts = {f"notes/{number}.txt": f"note {number}\n" * 50 for number in range(8)}
    texts |= {f"config/{name}.yaml": f"name: {name}\n" for name in ("resolved", "overrides")}
    texts |= {f"plots/{number}.svg": "<svg/>" * 500 * number for number in range(1, 4)}
    texts |= {"evaluation/überblick.csv": "größe,value\n1,2\n", "empty.txt": ""}
    folder = {f"tables/{place}": f"{place}\n" * 99 for place in ("a.csv", "b.csv", "deep/c.csv")}
    return {path: text.encode() for path, text in (texts | folder).items()}


PARAMS = {f"model.part_{number}": str(number) for number in range(120)}
TAGS = {"purpose": "faults", "samerun.weights": "ab" * 32}
SPLITS = ("train", "validation", "test")
MODEL_FILES = ("MLmodel", "data/model.keras", "requirements.txt")


@dataclass
class Outcome:
    """What is wrong in the store, compared with what was logged."""

    runs: int = 0
    status: str = "none"
    undelivered: str = ""
    missing_points: int = 0
    doubled_points: int = 0
    missing_artifacts: int = 0
    others: list[str] = field(default_factory=list)

    def is_whole(self):
        """Whether everything is there, once."""
        counts = (self.missing_points, self.doubled_points, self.missing_artifacts)
        return self.runs == 1 and self.status == "FINISHED" and not any(
            (*counts, self.others, self.undelivered)
        )  # fmt: skip


# ---------------------------------------------------------------- what runs in its own process


def train(uri, experiment, seed, folder, patience):
    """Logs like a training; writes how long the slowest call took into `calls.json`."""
    from samerun import config, tracking

    os.chdir(folder)
    _write_to(folder / "train.txt")
    overrides = [f"tracking.uri={uri}", f"tracking.experiment={experiment}", "model=mlp"]
    overrides.append(f"tracking.patience_seconds={patience}")
    _save_models_without_tensorflow()
    pauses = random.Random(seed)
    took = []

    def timed(call, *args, **options):
        started = time.monotonic()
        call(*args, **options)
        took.append((time.monotonic() - started, call.__name__))

    opening = time.monotonic()
    with tracking.open_run(config.compose(overrides).config, folder / "run", name="behind") as run:
        opened = time.monotonic()
        log_everything(run, folder, timed, pauses)
        ending = time.monotonic()
    slowest = max(took)
    facts = {"slowest": slowest[0], "call": slowest[1], "opening": opened - opening}
    facts |= {"end": time.monotonic() - ending}
    (folder / "calls.json").write_text(json.dumps(facts))


def log_everything(run, folder, call, pauses):
    """Logs what `points`, `artifacts` and the constants specify, in the order of a training."""
    files = artifacts()
    in_folder = {path for path in files if path.startswith("tables/")}
    texts = sorted(set(files) - in_folder)
    for path in in_folder:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files[path])
    call(run.log_params, PARAMS)
    call(run.set_tags, TAGS)
    for split in SPLITS:
        schema = {"pixels": "float32 (8, 8, 1)", "label": "int64 ()"}
        call(
            run.log_dataset,
            name="digits",
            split=split,
            digest=split[0] * 64,
            num_examples=100,
            schema=schema,
            source="scikit-learn",
        )
    by_step = {}
    for key, step, value in points():
        by_step.setdefault((key == "batch/loss", step), {})[key] = value
    for epoch in range(EPOCHS):
        for step in range(epoch * STEPS, (epoch + 1) * STEPS):
            call(run.log_metrics, by_step[True, step], step=step)
        call(run.log_metrics, by_step[False, epoch], step=epoch)
        if epoch < len(texts):
            call(run.log_text, files[texts[epoch]].decode(), texts[epoch])
        time.sleep(pauses.random() * 0.1)
    for path in texts[EPOCHS:]:
        call(run.log_text, files[path].decode(), path)
    call(run.log_folder, folder / "tables")
    call(run.log_model, object(), object())


def _save_models_without_tensorflow():
    """Replaces how a model is saved: TensorFlow's import would take longer than everything else."""
    import mlflow.models

    from samerun.tracking import model

    def save(network, example, folder, run_id, raw):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "model.keras").write_bytes(b"weights" * 1000)
        (folder / "requirements.txt").write_text("keras\n")
        mlflow.models.Model(run_id=run_id, artifact_path="model").save(str(folder / "MLmodel"))

    model.save = save


def sync(folder, arguments):
    """Runs `samerun sync`; the exit code of the process is the command's."""
    from samerun.cli import main

    os.chdir(folder)
    _write_to(folder / "sync.txt")
    sys.exit(main(["sync", *arguments]))


def _write_to(path):
    """Sends this process's output and errors into a file."""
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


# ---------------------------------------------------------------- the store, read without the proxy


def compared(client, server_folder, experiment):
    """Compares what the store has with what was logged."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return _nothing()
    runs = client.search_runs([found.experiment_id], max_results=100)
    outcome = Outcome(runs=len(runs))
    if not runs:
        return _nothing()
    run = max(runs, key=lambda each: len(each.data.metrics))
    outcome.status = run.info.status
    outcome.undelivered = run.data.tags.get("samerun.undelivered", "")
    stored = [
        (key, point.step, point.value)
        for key in {key for key, _, _ in points()}
        for point in client.get_metric_history(run.info.run_id, key)
    ]
    outcome.missing_points = len(points() - set(stored))
    outcome.doubled_points = len(stored) - len(set(stored))
    there = server_folder / "mlartifacts" / found.experiment_id / run.info.run_id / "artifacts"
    wanted = artifacts()
    outcome.missing_artifacts = sum(
        not (there / path).is_file() or (there / path).read_bytes() != content
        for path, content in wanted.items()
    )
    outcome.others = [*_missing_facts(run), *_missing_model(client, server_folder, run)]
    return outcome


def _nothing():
    return Outcome(missing_points=len(points()), missing_artifacts=len(artifacts()))


def _missing_facts(run):
    missing = [key for key, value in PARAMS.items() if run.data.params.get(key) != value]
    missing += [key for key, value in TAGS.items() if run.data.tags.get(key) != value]
    names = [each.dataset.name for each in run.inputs.dataset_inputs]
    missing += [f"dataset {split}" for split in SPLITS if names.count(f"digits-{split}") != 1]
    return missing


def _missing_model(client, server_folder, run):
    shown = [each.model_id for each in run.outputs.model_outputs] if run.outputs else []
    if len(shown) != 1:
        return [f"{len(shown)} models"]
    stored = client.get_logged_model(shown[0])
    folder = server_folder / "mlartifacts" / run.info.experiment_id / "models" / shown[0]
    gone = [name for name in MODEL_FILES if not (folder / "artifacts" / name).is_file()]
    if str(stored.status) != "READY":
        gone.append(f"model is {stored.status}")
    return gone


# ---------------------------------------------------------------- the harness


class Processes:
    """The server and the proxy, ended with the block.

    Args:
        folder: for the server's database, artifacts and log.
    """

    def __init__(self, folder):
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.server_uri = f"http://127.0.0.1:{port}"
        command = [sys.executable, PROGRAMS / "mlflow_server.py", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--workers", "1"]
        environment = {**os.environ, **ENVIRONMENT}
        environment.pop("MLFLOW_TRACKING_URI", None)
        self._log = (folder / "server.log").open("ab")
        self._server = Warm(
            command,
            cwd=folder,
            env=environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._proxy = subprocess.Popen(
            [sys.executable, PROGRAMS / "faulty_proxy.py", "--upstream", self.server_uri],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.proxy_uri = self._proxy.stdout.readline().strip()

    def __enter__(self):
        for _ in range(600):
            if self._server.poll() is not None:
                raise SystemExit((self.folder / "server.log").read_text())
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.server_uri}/health", timeout=5).close()
                return self
            time.sleep(0.2)
        raise SystemExit("the server did not start")

    def __exit__(self, *_):
        os.killpg(self._server.pid, 9)
        self._server.wait()
        self._proxy.kill()
        self._proxy.wait()
        self._proxy.stdout.close()
        self._log.close()

    def faults(self, **plan):
        """Begins another plan; returns what the plan before it did."""
        with urllib.request.urlopen(f"{self.proxy_uri}/__faults__", timeout=30) as answer:
            before = json.load(answer)
        request = urllib.request.Request(
            f"{self.proxy_uri}/__faults__", json.dumps(plan).encode(), method="POST"
        )
        urllib.request.urlopen(request, timeout=30).close()
        return before


def in_a_process(target, *args):
    """Runs a function in a fork of this process, which has imported everything; returns its exit
    code."""
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    process.join(timeout=120)
    if process.is_alive():
        process.kill()
        process.join()
        return "hangs"
    return process.exitcode


def one_seed(seed, processes, client, folder, patience):
    """Trains behind the proxy, syncs without its faults; returns the row of the table."""
    folder.mkdir()
    choice = random.Random(seed)
    plan = {"seed": seed, "start": choice.choice((0, 3, 10)), "share": choice.choice(SHARES)}
    experiment = f"seed-{seed}"
    started = time.monotonic()
    processes.faults(**plan)
    code = in_a_process(train, processes.proxy_uri, experiment, seed, folder, patience)
    did = processes.faults(share=0)
    before = compared(client, processes.folder, experiment)
    synced = in_a_process(sync, folder, ["run"])
    after = compared(client, processes.folder, experiment)
    checked = in_a_process(sync, folder, ["run", "--check"])
    calls = folder / "calls.json"
    return {
        "seed": seed,
        "plan": plan,
        "did": did,
        "code": code,
        "calls": json.loads(calls.read_text()) if calls.exists() else {},
        "before": before,
        "after": after,
        "synced": synced,
        "checked": checked,
        "seconds": time.monotonic() - started,
    }


def is_good(row):
    """Whether a row of the table is as it has to be."""
    calls = row["calls"]
    codes = (row["code"], row["synced"], row["checked"]) == (0, 0, 0)
    return codes and calls["slowest"] <= LONGEST_CALL_SECONDS and row["after"].is_whole()


COLUMNS = (
    ("seed", 4),
    ("start", 5),  # requests without a fault
    ("share", 5),
    ("requests", 8),
    ("faults", 6),
    ("longest call s", 14),
    ("end s", 5),
    ("missing before: points", 22),
    ("artifacts", 9),
    ("after sync: points", 18),
    ("doubled", 7),
    ("artifacts", 9),
    ("others", 6),
    ("runs", 4),
    ("status", 8),
    ("codes", 5),  # of the training, of `sync`, of `sync --check`
    ("s", 4),
)


def head():
    """Returns the first line of the table."""
    return " ".join(name.rjust(width) for name, width in COLUMNS) + "  faults by kind"


def line(row):
    """Returns a row as text."""
    plan, did, calls = row["plan"], row["did"], row["calls"]
    before, after = row["before"], row["after"]
    cells = [row["seed"], plan["start"], plan["share"], did["requests"]]
    cells += [sum(did["faults"].values()), f"{calls.get('slowest', -1):.3f}"]
    cells += [f"{calls.get('end', -1):.1f}", before.missing_points, before.missing_artifacts]
    cells += [after.missing_points, after.doubled_points, after.missing_artifacts]
    cells += [len(after.others), after.runs, after.status]
    cells += [f"{row['code']} {row['synced']} {row['checked']}", f"{row['seconds']:.1f}"]
    text = " ".join(str(cell).rjust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))
    kinds = " ".join(f"{kind}:{number}" for kind, number in did["faults"].items())
    wrong = "" if is_good(row) else f"  WRONG {after.others[:5]} {after.undelivered}"
    return f"{text}  {kinds}{wrong}"


def prepare():
    """Imports everything once; the processes that are forked from this one start at once."""
    os.environ.update(ENVIRONMENT)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    import mlflow.models  # noqa: F401

    from samerun import cli, config, tracking  # noqa: F401

    config.compose([])


def rows(seeds, folder, patience):
    """Yields one row for each seed."""
    prepare()
    from mlflow import MlflowClient

    with Processes(folder) as processes:
        client = MlflowClient(tracking_uri=processes.server_uri)
        for seed in seeds:
            yield one_seed(seed, processes, client, folder / str(seed), patience)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--patience", type=int, default=4, help="tracking.patience_seconds")
    parser.add_argument("--keep", type=Path, help="a folder to keep everything in")
    asked = parser.parse_args()
    print(head(), flush=True)
    bad = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for row in rows(range(asked.first, asked.first + asked.seeds), folder, asked.patience):
            print(line(row), flush=True)
            bad += not is_good(row)
    print(f"{asked.seeds - bad} of {asked.seeds} seeds are as they have to be")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
