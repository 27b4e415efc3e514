"""What tests use in a project: programs and a model to start, configs, metrics, git, waiting."""

import functools
import subprocess
import time
from pathlib import Path

from samerun import config

PROGRAMS = Path(__file__).parents[1] / "programs"
MODEL = """import keras
from samerun.models import head


def build(spec):
    inputs = keras.Input(spec.input_shape)
    hidden = keras.layers.Dense(4, activation="relu")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, head(spec)(hidden))
"""


@functools.cache
def composed(*overrides: str) -> config.Config:
    """Returns the config of a command line."""
    return config.compose(overrides).config


def values(client, run_id, key):
    """Returns the steps and values of a metric in the store."""
    return [(m.step, m.value) for m in client.get_metric_history(run_id, key)]


def git(folder, *arguments):
    """Runs git as a fixed user; returns what it prints."""
    who = ["-c", "user.name=me", "-c", "user.email=me@example.invalid"]
    answer = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return answer.stdout.strip()


def until(is_true):
    """Waits for what another process does; two minutes are for a machine with much else to do."""
    end = time.monotonic() + 120
    while not is_true():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)
