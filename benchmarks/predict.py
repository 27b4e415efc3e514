"""Measures `samerun predict` on 1,000,000 rows: memory and time, against pandas and the network.

    python benchmarks/predict.py [--rows 1000000]

A narrow file of 4 columns and a wide one of 100; the latter takes 0.7 GB of the disk until the end.
Each side runs in a process of its own; time is processor time. The bare side reads the file with
pandas, calls Keras's `predict` on its scaled columns and writes the result with pandas. Memory is
printed above the imports, and as the growth over the same command with 1,000 rows.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import samerun

MOST_MEMORY, MOST_TIME = 0.25, 1.2
"""The goals: memory above the imports, by the decoded file; time, by that of the bare side."""
TRAIN = ["model=mlp", "training.epochs=1", "dataset=table_csv", "dataset.target=y"]
PARTS = {
    "imports": """
import keras, numpy as np, pandas as pd, mlflow
network = mlflow.keras.load_model(f"runs:/{run_id}/model")
network.predict(np.zeros((64, network.input_shape[1]), np.float32), verbose=0)
""",
    "samerun predict": """
from samerun import cli
assert cli.main(["predict", run_id, file, "-o", "ours.csv"]) == 0
""",
    "pandas, Keras": """
import keras, numpy as np, pandas as pd, mlflow
frame = pd.read_csv(file)
network = mlflow.keras.load_model(f"runs:/{run_id}/model")
x = frame.drop(columns="y").to_numpy()
x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
pd.DataFrame(network.predict(x, verbose=0)).to_csv("bare.csv")
""",
}
BEGIN = """
import sys
run_id, file = sys.argv[1:]
"""
END = """
import json, re, resource
used = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss, which begins with the memory of the process that started this one.
most = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(json.dumps({"mb": int(most[1]) / 1000, "seconds": used.ru_utime + used.ru_stime}))
"""


def write(file, num_rows, num_columns):
    """Writes a table of random numbers, and returns its decoded size in MB.

    Above 10,000 rows they repeat; nothing that is measured depends on that.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(min(10_000, num_rows), num_columns))
    text = io.StringIO()
    np.savetxt(text, np.column_stack([x, x.sum(axis=1)]), fmt="%.3f", delimiter=",")
    with Path(file).open("w") as out:
        out.write(",".join([*(f"feature_{number}" for number in range(num_columns)), "y"]) + "\n")
        for _ in range(num_rows // len(x)):
            out.write(text.getvalue())
    return num_rows * (num_columns + 1) * 8 / 1e6


def measured(program, *arguments):
    command = [sys.executable, "-c", f"{BEGIN}\n{program}\n{END}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(num_rows, num_columns):
    """Prints the measurement of one file; returns whether both goals are met."""
    write("small.csv", 5_000, num_columns)
    decoded = write("large.csv", num_rows, num_columns)
    train = [sys.executable, "-m", "samerun", "train", *TRAIN, "dataset.path=small.csv"]
    subprocess.run(train, capture_output=True, check=True)
    run_id = samerun.load_run("latest").id
    write("few.csv", 1_000, num_columns)
    fixed = measured(PARTS["samerun predict"], run_id, "few.csv")["mb"]
    found = {name: measured(part, run_id, "large.csv") for name, part in PARTS.items()}
    size = Path("large.csv").stat().st_size / 1e6
    Path("large.csv").unlink()
    print(f"\n{num_rows} rows, {num_columns} columns: {size:.0f} MB, decoded {decoded:.0f} MB")
    for name, one in found.items():
        print(f"  {name:<16}{one['mb']:8.0f} MB {one['seconds']:8.1f} s of processor time")
    above = found["samerun predict"]["mb"] - found["imports"]["mb"]
    few = fixed - found["imports"]["mb"]
    memory = above / decoded
    time = found["samerun predict"]["seconds"] / found["pandas, Keras"]["seconds"]
    print(f"  memory above the imports: {above:.1f} MB")
    print(f"  growth over the same command with 1,000 rows: {above - few:.1f} MB")
    print(
        f"  memory: {memory:.2f} of the decoded file; "
        f"goal: below {MOST_MEMORY}: {verdict(memory < MOST_MEMORY)}"
    )
    print(f"  time: {time:.2f} of the bare side's; goal: {MOST_TIME}: {verdict(time <= MOST_TIME)}")
    return memory < MOST_MEMORY and time <= MOST_TIME


def verdict(is_met):
    return "met" if is_met else "MISSED"


def main():
    """Measures both files; the exit code is 1 if a goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, nargs="*", default=[4, 100])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="predict-") as folder:
        os.chdir(folder)
        met = [measure(chosen.rows, number) for number in chosen.columns]
        os.chdir("/")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
