"""Walks through README in a fresh folder, on a screen of 60 columns: every command works, pasted.

    python tests/programs/readme_walk.py [--only TEXT]

Commands are those of README's blocks, and those that the screens print after `reproduce`, `open`,
`sync` and `command`. Each is given to `bash -c` as it is, with these exceptions: training commands
of README get a suffix that makes them short; `ID` becomes `latest`; a server is ended when it has
printed its address. What needs accounts or other people's data is left out by name, with a reason.
"""

import argparse
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHORT = " training.epochs=1 dataset.limit=100"
LABELS = ("reproduce", "open", "sync", "command", "show")
SERVERS = ("samerun ui", "samerun tensorboard", "samerun server")
LEFT_OUT = {
    "make": "makes an environment: .ci/run does it",
    "eval": "is of an interactive shell",
    "video_folder": "needs films",
    "samerun server": "asks for the password of an account",
}
CODE = """
import keras


def build(spec, **params):
    layers = [keras.layers.Flatten(), keras.layers.Dense(spec.num_outputs, "softmax")]
    return keras.Sequential([keras.Input(spec.input_shape), *layers])


def loss(y_true, y_pred):
    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


class Mine(keras.callbacks.Callback):
    pass
"""


def readme_commands(text):
    """Returns the commands of README's blocks, without comments."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            command = line.removeprefix("$ ").split("  #")[0].rstrip()
            if command.startswith(("samerun ", "make ", "eval ")):
                found.append(command)
    return found


def printed_commands(output):
    """Returns what a screen says to type: the rest of a line that starts with a known label."""
    found = re.findall(rf"^(?:{'|'.join(LABELS)}) +(\S*samerun .*)$", output, flags=re.MULTILINE)
    return [command.strip() for command in found]


def make_files(folder):
    """Writes the small files that README's commands about own data name."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    rows = random.normal(size=(120, 3))
    lines = [f"{a:.3f},{b:.3f},{200000 + 50000 * a:.0f}" for a, b, _ in rows]
    (folder / "houses.csv").write_text("\n".join(["rooms,age,price", *lines]) + "\n")
    days = np.datetime64("2020-01-01") + np.arange(1200)
    amounts = 100 + 20 * np.sin(np.arange(1200) / 7) + random.normal(size=1200)
    sales = [f"{day},{amount:.2f}" for day, amount in zip(days, amounts, strict=True)]
    (folder / "sales.csv").write_text("\n".join(["date,amount", *sales]) + "\n")
    texts = [f"{word} film number {n},{label}" for n in range(60) for word, label in WORDS]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *texts]) + "\n")
    (folder / "my_code.py").write_text(CODE)
    for name in ("cats", "dogs"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 256, size=(16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")


WORDS = (("good", "positive"), ("bad", "negative"))


def run(command, folder, environment, *, is_server):
    """Runs a command as pasted; returns its exit code and what it printed."""
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    if not is_server:
        return _finished(process)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("http"):
            os.killpg(process.pid, signal.SIGINT)
            break
    rest, _ = process.communicate(timeout=120)
    return process.returncode, "".join(lines) + rest


def _finished(process):
    output, _ = process.communicate(timeout=1800)
    return process.returncode, output


def shortened(command):
    """Returns a command of README so that it takes seconds, and its placeholders filled in."""
    command = re.sub(r"\bID\b", "latest", command)
    if command.startswith("samerun train") and "--schedule-plot" not in command:
        if "my_code:loss" in command or "debug=" in command:
            return command + " training.epochs=1"
        command += SHORT if "dataset.path" not in command else " training.epochs=1"
        command += " sweep.n_trials=2 sweep.workers=1" if "sweep=" in command else ""
    return command


def free_port():
    """Returns a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def walk(folder, only=""):
    """Runs everything; returns the commands that failed, with their output."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "COV_"))},
        "COLUMNS": "60",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    make_files(folder)
    waiting = [(shortened(one), True) for one in readme_commands((ROOT / "README.md").read_text())]
    first = "samerun train model=mlp" + SHORT
    waiting = [(first, True), *(pair for pair in waiting if only in pair[0])]
    failed, done = [], set()
    while waiting:
        command, is_readmes = waiting.pop(0)
        reason = next((why for name, why in LEFT_OUT.items() if name in command), "")
        kind = re.sub(r"\b[0-9a-f]{8}\b", "ID", command)
        if reason or kind in done:
            continue
        done.add(kind)
        is_server = any(name in command.replace(program(command), "samerun") for name in SERVERS)
        pasted = f"{command} --port {free_port()}" if is_server else command
        started = time.monotonic()
        code, output = run(pasted, folder, environment, is_server=is_server)
        is_mistake = "model.dropot" in command
        is_fine = code == (2 if is_mistake else 0) and "Traceback" not in output
        verdict = "works" if is_fine else f"FAILED with {code}"
        print(f"{verdict:8} {time.monotonic() - started:6.1f} s  {command}", flush=True)
        if not is_fine:
            failed.append(f"$ {pasted}\n{output}")
        if is_readmes:
            waiting = [*((one, False) for one in printed_commands(output)), *waiting]
    return failed


def program(command):
    """Returns the first word of a command, by which the screens call samerun."""
    return shlex.split(command)[0]


def main():
    """Walks in a fresh folder."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="README's commands that contain this text")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="samerun-walk-") as folder:
        failed = walk(Path(folder), chosen.only)
    print("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
