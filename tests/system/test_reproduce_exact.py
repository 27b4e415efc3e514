"""Every kind of task, trained and reproduced in another process: the same to the last bit."""

import pytest

from samerun import tracking

PLAIN = [
    "training.epochs=2",
    "tracking=lean",
]
KINDS = {
    "image": [
        "dataset.limit=160",
        "dataset/augmentation=all",
        "model=cnn",
        "model.filters=[8]",
        "model.dropout=0.2",
        "model.batch_norm=true",
    ],
    "mixed images": [
        "dataset.limit=160",
        "dataset/augmentation=all",
        "dataset.augmentation.contrast=0.2",
        "dataset.augmentation.brightness=0.2",
        "dataset.augmentation.noise=0.1",
        "dataset.augmentation.cutout=0.5",
        "dataset.augmentation.mixup=0.4",
        "training.precision=mixed_bfloat16",
        "model=cnn",
        "model.filters=[8]",
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
def test_another_process_gives_the_same_bits(kind, project, samerun):
    done = samerun("train", *PLAIN, *KINDS[kind], cwd=project)
    assert done.returncode == 0, done.stderr
    run_id = tracking.find_runs()[0].id
    again = samerun("reproduce", run_id, "--exact", cwd=project)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "EXACT:" in again.stdout
    (new,) = (run for run in tracking.find_runs() if "samerun.reproduces" in run.tags)
    (old,) = tracking.find_runs([run_id])
    assert new.tags["samerun.weights"] == old.tags["samerun.weights"]
