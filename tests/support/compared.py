"""Runs to compare, made in a store without training them: configs, metrics, curves, predictions."""

import functools
import io

import numpy as np

from samerun import config

NUM_CLASSES = 4
PLAIN = ("model=mlp", "training.epochs=3")


@functools.cache
def resolved(*overrides):
    return config.compose([*PLAIN, *overrides]).resolved


def archive(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def probabilities(predicted, confidence, num_classes=NUM_CLASSES):
    """Returns probabilities whose largest is that of the predicted class."""
    rest = (1 - np.asarray(confidence, np.float64)) / (num_classes - 1)
    made = np.repeat(rest[:, None], num_classes, axis=1)
    made[np.arange(len(predicted)), predicted] = confidence
    return made.astype(np.float32)


def add(store, name, *overrides, predictions=None, digest="d" * 64, scores=None, **artifacts):
    """Makes a run; returns its ID.

    Args:
        store: the fixture.
        name: of the run.
        overrides: of its config.
        predictions: arrays by name, as training stores them.
        digest: of its test split.
        scores: values per epoch by metric.
        artifacts: further contents, by path with `__` for `/` and `_dot_` for `.`.
    """
    content = {"config/resolved.yaml": resolved(*overrides)}
    if predictions is not None:
        content["evaluation/predictions.npz"] = archive(**predictions)
    for path, text in artifacts.items():
        content[path.replace("__", "/").replace("_dot_", ".")] = text
    metrics = scores or {"validation/loss": [1.0, 0.5, 0.25]}
    if predictions is not None and "probabilities" in predictions:
        is_right = predictions["probabilities"].argmax(axis=1) == predictions["truth"]
        accuracy = float(is_right.mean())
        metrics = {f"test/accuracy{end}": [accuracy] for end in ("", "_low", "_high")} | metrics
    return store(content, name=name, metrics=metrics, **{"data.test": digest})


def classified(seed=0, num=400, share=0.9):
    """Returns truth, predicted classes and confidences of a classifier that is mostly right."""
    random = np.random.default_rng(seed)
    truth = random.integers(NUM_CLASSES, size=num).astype(np.int32)
    is_wrong = random.random(num) > share
    predicted = np.where(is_wrong, (truth + 1) % NUM_CLASSES, truth)
    return truth, predicted, random.uniform(0.5, 0.99, num)
