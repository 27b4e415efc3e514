"""Every kind of task, trained here and reproduced in a fresh process: the same to the last bit."""

import numpy as np
import pytest

import samerun as package
from samerun import tracking

PLAIN = [
    "training.epochs=2",
    "tracking.log_figures=false",
    "tracking.log_model=false",
    "tracking.tensorboard=false",
]
REGULARISED = ["model.dropout=0.2", "model.batch_norm=true", "dataset/augmentation=all"]
KINDS = {
    "image": ["dataset.limit=160", "model=cnn", "model.filters=[8]", *REGULARISED],
    "large image": [
        "dataset=npz",
        "dataset.path=large.npz",
        "dataset.batch_size=64",
        "dataset.drop_remainder=true",
        "model=cnn",
        "model.filters=[48]",
        *REGULARISED,
    ],
    "text": [
        "dataset=python_docstrings",
        "dataset.limit=120",
        "model=lstm",
        "model.units=[8]",
        "model.bidirectional=true",
        "model.dropout=0.1",
        "model.mask_padding=true",
    ],
    "forecast": [
        "dataset=google_stock",
        "dataset.limit=120",
        "model=gru",
        "model.units=[8]",
        "schedule=reduce_on_plateau",
        "schedule.patience_epochs=1",
        "training.epochs=4",
    ],
    "language model": [
        "dataset=python_docs",
        "dataset.limit=80",
        "model=language_model",
        "model.units=[8]",
    ],
    "subclassed": [
        "dataset=google_stock",
        "dataset.horizon=3",
        "dataset.limit=120",
        "model=forecaster",
        "model.units=[8]",
    ],
    "mixed precision": [
        "dataset.limit=160",
        "model=cnn",
        "model.filters=[8]",
        "training.precision=mixed_bfloat16",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_process_gives_the_same_bits(kind, project, samerun):
    if kind == "large image":
        random = np.random.default_rng(0)
        x, y = random.random((320, 64, 64, 3), np.float32), np.arange(320) % 2
        np.savez(project / "large.npz", x=x, y=y)
    run_id = package.train([*PLAIN, *KINDS[kind]]).run_id
    again = samerun("reproduce", run_id, "--exact", cwd=project)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "EXACT: bit for bit the same" in again.stdout
    (new,) = (run for run in tracking.find_runs() if "samerun.reproduces" in run.tags)
    (old,) = tracking.find_runs([run_id])
    assert new.tags["samerun.weights"] == old.tags["samerun.weights"]
