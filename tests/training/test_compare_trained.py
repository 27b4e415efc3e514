"""`samerun compare` on trained runs: labels that were changed in the test split are found."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

import samerun as package
from samerun import cli

NUM_TEST = 300
FIXED = ("model=mlp", "dataset=npz", "training.epochs=2", "tracking=lean")


@pytest.mark.slow
def test_twenty_relabeled_test_examples_are_exactly_the_list(project, capsys):
    """Two trainings: only real predictions show that nothing else is in the list."""
    digits = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target
    planted = np.random.default_rng(0).choice(NUM_TEST, 20, replace=False)
    relabeled = y[:NUM_TEST].copy()
    relabeled[planted] = (relabeled[planted] + 3) % 10
    for name, labels in (("plain", y[:NUM_TEST]), ("relabeled", relabeled)):
        arrays = {"x_train": x[NUM_TEST:], "y_train": y[NUM_TEST:]}
        np.savez(f"{name}.npz", x_test=x[:NUM_TEST], y_test=labels, **arrays)
        package.train([*FIXED, f"dataset.path={name}.npz", f"tracking.run_name={name}"])
    capsys.readouterr()
    assert cli.main(["compare", "plain", "relabeled", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["only_setting"] == "dataset.path"
    assert [row["what"] for row in found["data"]] == ["test split"]
    listed = [one["index"] for one in found["predictions"]["disagreements"]]
    assert sorted(listed) == sorted(planted.tolist())
    assert found["verdict"]["best"] is None
    assert cli.main(["compare", "plain", "relabeled", "--html", "page.html", "--examples"]) == 0
    assert (project / "page.html").read_text().count('alt="Test example') == 20
