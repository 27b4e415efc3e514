"""Kills a run repeatedly, resumes it each time, and compares it with an uninterrupted run.

    python tests/programs/kill_and_resume.py 20

Each kill is a SIGKILL at a random moment of a random kind: while the process starts, somewhere in
an epoch, or while a checkpoint is being written. Checkpoints are also written inside epochs. The
last process is not killed. Prints for each kill when it happened and where the run resumed; ends
with exit code 0 if the weights after every epoch, the final weights and every metric of every step,
one value a step, are the same bits as those of an uninterrupted run.
"""

import argparse
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from samerun import tracking

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.warm import Warm

OVERRIDES = (
    "model=cnn",
    "model.filters=[4,8]",
    "model.dropout=0.3",
    "model.batch_norm=true",
    "dataset.limit=200",
    "dataset.batch_size=4",
    "schedule=reduce_on_plateau",
    "schedule.patience_epochs=2",
    "checkpoint.every_steps=7",
    "tracking.log_every_steps=10",
    "tracking=lean",
)
MEASURED = ("train/", "validation/", "test/", "learning_rate", "best_epoch")


def started(arguments: list[str], folder: Path) -> Warm:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return Warm(
        [sys.executable, "-m", "samerun", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(arguments: list[str], folder: Path) -> str:
    process = started(arguments, folder)
    text, _ = process.communicate(timeout=600)
    if process.returncode:
        sys.exit(f"samerun {' '.join(arguments)} ended with {process.returncode}:\n{text}")
    return text


def run_folder(folder: Path) -> Path:
    (file,) = folder.glob("outputs/*/*/run.json")
    return file.parent


def read_start(process: Warm, seconds: float) -> str:
    """Waits, but not past the third epoch: a quick machine would come to the end of the run."""
    text, end = "", time.monotonic() + seconds
    while text.count("\nepoch ") < 3 and (left := end - time.monotonic()) > 0:
        if select.select([process.stdout], [], [], left)[0]:
            read = os.read(process.stdout.fileno(), 65536)
            if not read:
                break
            text += read.decode(errors="replace")
    return text


def kill(process: Warm, kind: str, folder: Path, chance: random.Random) -> str:
    """Kills a process at a moment of the kind; returns what it had printed by then."""
    lines: list[str] = []
    if kind == "start":
        lines.append(read_start(process, chance.uniform(0, 5)))
    else:
        epochs = chance.choice((0, 1, 2))
        for line in process.stdout:
            lines.append(line)
            epochs -= line.startswith("epoch ")
            if epochs < 0:
                break
        if kind == "writing":
            new = run_folder(folder) / "checkpoints" / "last.npz.new"
            end = time.monotonic() + 1
            while not new.exists() and process.poll() is None and time.monotonic() < end:
                pass
        else:
            time.sleep(chance.uniform(0, 0.15))
    process.kill()
    rest, _ = process.communicate()
    return "".join(lines) + rest


def interrupted(arguments: list[str], folder: Path, num_kills: int, chance: random.Random) -> None:
    process, done = started(arguments, folder), 0
    while done < num_kills:
        kinds = ("epoch", "writing", "epoch", "writing", "start")
        kind = chance.choice(kinds if done else kinds[:2])
        began = time.time()
        text = kill(process, kind, folder, chance)
        if process.returncode != -9:
            sys.exit(f"it ended by itself, with {process.returncode}, after {done} kills:\n{text}")
        done += 1
        epochs = [line for line in text.splitlines() if line.startswith(("epoch", "Resuming"))]
        print(f"kill {done} ({kind}): {epochs[-1] if epochs else 'before it trained'}", flush=True)
        for line in text.splitlines():
            if "damaged" in line or "Traceback" in line:
                print(f"    {line}", flush=True)
        torn = run_folder(folder) / "checkpoints" / "last.npz.new"
        if torn.exists() and torn.stat().st_mtime > began:
            print("    while a checkpoint was being written", flush=True)
        run_id = json.loads((run_folder(folder) / "run.json").read_text())["id"]
        process = started(["resume", run_id], folder)
    text, _ = process.communicate(timeout=600)
    going_on = next((line for line in text.splitlines() if line.startswith("Resuming")), text)
    print(f"left alone: {going_on}", flush=True)
    if process.returncode:
        sys.exit(f"the last process ended with {process.returncode}:\n{text}")


def came_to(folder: Path) -> dict[str, object]:
    """Everything that has to be equal, in exact numbers."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    (run,) = tracking.find_runs(uri=uri)
    client = tracking.connect(uri)
    points = {}
    for key in sorted(run.metrics):
        history = client.get_metric_history(run.id, key)
        steps = [point.step for point in history]
        if len(steps) != len(set(steps)):
            sys.exit(f"{key} has more than one value at a step: {steps}")
        if key.startswith(MEASURED):
            points[key] = {point.step: point.value.hex() for point in history}
    return {
        "status": run.status,
        "weights": run.tags["samerun.weights"],
        "differs": run.tags.get("samerun.resume_differs"),
        "points": points,
        "digests": tracking.read_artifact(run, "checkpoints/digests.csv", uri=uri),
        "history": tracking.read_artifact(run, "history.csv", uri=uri),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=None, help="of the moments; else by chance")
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    arguments = ["train", *OVERRIDES, f"training.epochs={3 * chosen.kills + 4}"]
    print(f"--seed {seed}: {' '.join(arguments)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="samerun-kills-") as name:
        whole, pieces = Path(name, "whole"), Path(name, "pieces")
        whole.mkdir()
        pieces.mkdir()
        finish(arguments, whole)
        interrupted(arguments, pieces, chosen.kills, random.Random(seed))
        expected, received = came_to(whole), came_to(pieces)
    wrong = [part for part in expected if expected[part] != received[part]]
    for part in wrong:
        print(f"{part}:\n  {expected[part]}\n  {received[part]}")
    if wrong:
        sys.exit(f"{', '.join(wrong)} differ from those of the run in one piece")
    num_points = sum(len(steps) for steps in expected["points"].values())
    print(f"{chosen.kills} kills: the same weights and the same {num_points} metric points")


if __name__ == "__main__":
    main()
