"""Measures `samerun predict` on a CSV file: memory and time, against pandas and the bare network.

    python benchmarks/predict.py RUN_ID FILE.csv

Each side runs in a process of its own, in the folder of the store; time is processor time. The bare
side reads the file with pandas and calls `predict` on as many rows of random numbers, unscaled.
"""

import json
import subprocess
import sys
from pathlib import Path

OURS = """
from samerun import cli
code = cli.main(["predict", sys.argv[1], sys.argv[2], "-o", "predicted.csv"])
"""
BARE = """
import keras, numpy as np, pandas as pd, mlflow
frame = pd.read_csv(sys.argv[2])
network = mlflow.keras.load_model(f"runs:/{sys.argv[1]}/model")
x = np.random.default_rng(0).random((len(frame), network.input_shape[1]), np.float32)
pd.DataFrame(network.predict(x, verbose=0)).to_csv("bare.csv")
"""
BASE = """
import keras, numpy as np, pandas as pd, mlflow
network = mlflow.keras.load_model(f"runs:/{sys.argv[1]}/model")
network.predict(np.zeros((64, network.input_shape[1]), np.float32), verbose=0)
"""
END = """
import resource, json
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"mb": used.ru_maxrss / 1024, "seconds": used.ru_utime + used.ru_stime}))
"""


def measured(program, run_id, file):
    command = [sys.executable, "-c", f"import sys\n{program}\n{END}", run_id, file]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(run_id, file):
    import pandas as pd

    decoded = pd.read_csv(file).memory_usage(deep=True).sum() / 1e6
    base, ours, bare = (measured(part, run_id, file) for part in (BASE, OURS, BARE))
    print(f"file {Path(file).stat().st_size / 1e6:.0f} MB, decoded {decoded:.0f} MB")
    for name, found in (("imports and model", base), ("samerun predict", ours), ("bare", bare)):
        print(f"{name:<18}{found['mb']:8.0f} MB {found['seconds']:8.1f} s of processor time")
    above = ours["mb"] - base["mb"]
    print(f"memory above imports: {above:.0f} MB, {above / decoded:.2f} of the decoded file")
    print(f"processor time: {ours['seconds'] / bare['seconds']:.2f} of the bare network's")


if __name__ == "__main__":
    main(*sys.argv[1:])
