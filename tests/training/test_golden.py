"""Tiny seeded runs with recorded numbers: a change that alters them has to state it."""

import pytest

import samerun as package
from support.tables import mostly_slow

OVERRIDES = (
    "dataset.limit=160",
    "training.epochs=2",
    "model.dropout=0.25",
    "tracking=lean",
)
# To 1e-3: other processors round differently in the last bits, other code differs by far more.


@pytest.mark.parametrize(
    ("overrides", "losses"),
    mostly_slow(
        [
            pytest.param(["model=mlp", "model.units=[16]"], [2.45171, 2.36039], id="mlp"),
            pytest.param(
                ["model.filters=[4]", "dataset/augmentation=rotate_shift_zoom"],
                [2.34095, 2.32701],
                id="cnn",
            ),
        ],
        "cnn",
    ),
)
def test_losses_are_the_written_down_ones(project, overrides, losses):
    result = package.train([*OVERRIDES, *overrides])
    assert result.history["train/loss"] == pytest.approx(losses, abs=1e-3)
