"""A model and a schedule are each added to a copy of the project in three files, and no others."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

MODEL = {
    "src/samerun/config/models/images.py": [
        (
            "KINDS: ",
            '''@config
class Toy(Model, Regularised):
    """One hidden layer.

    Args:
        units: its width.
    """

    layouts: ClassVar[tuple[Layout, ...]] = (Layout.image, Layout.table)

    kind: str = "toy"
    units: int = above(0)


KINDS: ''',
        ),
        ("(Mlp, Cnn, LeNet5)", "(Mlp, Cnn, LeNet5, Toy)"),
    ],
    "src/samerun/models/images.py": [
        ("import Cnn, LeNet5, Mlp", "import Cnn, LeNet5, Mlp, Toy"),
        (
            "BUILDERS: ",
            '''def toy(cfg: Toy, spec: DataSpec) -> keras.Model:
    """Returns a network with one hidden layer."""
    flatten = keras.layers.Flatten(name="flatten")
    layers = [flatten, *dense_layers(cfg, [cfg.units]), head(spec)]
    return keras.Sequential([keras.Input(spec.input_shape, name="input"), *layers], name="toy")


BUILDERS: ''',
        ),
        ("    Mlp: mlp,\n", "    Mlp: mlp,\n    Toy: toy,\n"),
    ],
}
MODEL_YAML = """\
# One hidden layer.
defaults:
  - /schema/model/toy@_here_
  - /common/model@_here_
  - _self_

units: 8                      # width of the hidden layer
"""
SCHEDULE = {
    "src/samerun/config/schedules.py": [
        (
            "SCHEDULES: ",
            '''@config
class Toy(Schedule):
    """The learning rate, halved.

    Args:
        factor: what it is multiplied by.
    """

    kind: str = "toy"
    factor: float = between(0, 1)


SCHEDULES: ''',
        ),
        ("    Constant,\n", "    Constant,\n    Toy,\n"),
    ],
    "src/samerun/optim/schedules.py": [
        ("    Step,\n", "    Step,\n    Toy,\n"),
        (
            "SHAPES: ",
            """def _toy(cfg: Toy, rate: float, span: Span) -> Rate:
    return schedules.PolynomialDecay(rate * cfg.factor, span.shape, rate * cfg.factor)


SHAPES: """,
        ),
        ("    Constant: _constant,\n", "    Constant: _constant,\n    Toy: _toy,\n"),
    ],
}
SCHEDULE_YAML = """\
# The learning rate, halved.
defaults:
  - /schema/schedule/toy@_here_
  - /common/schedule@_here_
  - _self_

factor: 0.5                   # multiplier
"""


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the project with both of them in it."""
    root = tmp_path_factory.mktemp("three_places") / "project"
    for name in ("src", "conf", "experiments", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "recorded", "*.egg-info")
        shutil.copytree(PROJECT / name, root / name, ignore=ignored)
    shutil.copy(PROJECT / "pyproject.toml", root)
    for edits, name, yaml in (
        (MODEL, "model/toy.yaml", MODEL_YAML),
        (SCHEDULE, "schedule/toy.yaml", SCHEDULE_YAML),
    ):
        assert len(edits) == 2  # and the YAML file makes three
        for file, changes in edits.items():
            text = (root / file).read_text()
            for before, after in changes:
                assert text.count(before) == 1, f"{file}: {before}"
                text = text.replace(before, after)
            (root / file).write_text(text)
        (root / "conf" / name).write_text(yaml)
    return root


@pytest.mark.slow
def test_a_model_and_a_schedule_pass_the_contract_tests_after_three_edits_each(copied):
    files = ["training/test_contracts.py", "training/test_contracts_datasets.py"]
    files += ["training/test_optim.py", "unit/test_configs.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", "toy"]
        + [f"tests/{name}" for name in files],
        cwd=copied,
        env={**os.environ, "PYTHONPATH": str(copied / "src")},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    listed = subprocess.run(
        [sys.executable, "-m", "samerun", "train", "--help"],
        cwd=copied,
        env={**os.environ, "PYTHONPATH": str(copied / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert listed.stdout.count(" toy") == 2
