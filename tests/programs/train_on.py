"""Trains in a folder, from the checkpoint that is there, and prints the result.

Words: the folder; when to be killed (`none`, `step:20`, `epoch:3`, or at such a call of a
checkpoint, counted: `replace:2`, `fsync:3`; `file_size:2000`: no file may grow larger); the rest is
the config's.
"""

import io
import json
import os
import resource
import signal
import sys
from pathlib import Path

from rich.console import Console

from samerun import checkpoints, config, tracking, training
from samerun.errors import UserError

folder, (kind, _, number), *overrides = sys.argv[1], sys.argv[2].partition(":"), *sys.argv[3:]
run = tracking.NullRun(Path(folder))


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def log_metrics(metrics, *, step):
    is_step = "train/step_loss" in metrics
    if kind == ("step" if is_step else "epoch") and step == int(number):
        die()


run.log_metrics = log_metrics
if kind in ("replace", "fsync"):
    real, calls = getattr(os, kind), []

    def call(*args):
        calls.append(kind)
        if len(calls) == int(number):
            die()
        return real(*args)

    setattr(os, kind, call)
if kind == "file_size":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(number), -1))
state = checkpoints.latest(Path(folder) / "checkpoints")
out = Console(file=io.StringIO())
try:
    result = training.train(config.compose(overrides).config, run, out, state=state)
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
print(json.dumps([result.weights_digest, result.history, result.metrics, result.best_epoch]))
