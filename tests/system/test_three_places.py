"""A part of each kind is added to a copy of the project in at most three files, and no others."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from support import warm

PROJECT = Path(__file__).resolve().parents[2]

MODEL = {
    "src/samerun/config/models/images.py": [
        (
            "KINDS: ",
            '''@config
class Toy(Model, Regularized):
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
    "conf/model/toy.yaml": """\
# One hidden layer.
defaults:
  - /schema/model/toy@_here_
  - /common/model@_here_
  - _self_

units: 8                      # width of the hidden layer
""",
}
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
    "conf/schedule/toy.yaml": """\
# The learning rate, halved.
defaults:
  - /schema/schedule/toy@_here_
  - /common/schedule@_here_
  - _self_

factor: 0.5                   # multiplier
""",
}
DATASET = {
    "src/samerun/config/datasets/tables.py": [
        (
            "KINDS: ",
            '''@config
class Toy(Dataset, RandomSplit, HeldOut, Scaled, ScaledTarget):
    """The sums of two numbers.

    Args:
        num_examples: number of rows.
    """

    kind: str = "toy"
    num_examples: int


KINDS: ''',
        ),
        ("(Diabetes, TableCsv)", "(Diabetes, TableCsv, Toy)"),
    ],
    "src/samerun/data/tables.py": [
        ("import Diabetes, Missing, TableCsv, ", "import Diabetes, Missing, TableCsv, Toy, "),
        (
            "SOURCES: ",
            '''def outline_toy(cfg: Toy) -> Outline:
    """Returns the outline of the sums."""
    return Outline(
        task=Task.regression,
        layout=Layout.table,
        input_shape=(2,),
        num_outputs=1,
        num_examples=cfg.num_examples,
    )


def load_toy(cfg: Toy) -> Source:
    """Computes the sums."""
    x = np.arange(2 * cfg.num_examples, dtype=np.float64).reshape(-1, 2)
    return Source(outline=outline_toy(cfg), examples=Split(x, x.sum(axis=1, keepdims=True)))


SOURCES: ''',
        ),
        (
            "    TableCsv: SourceKind(",
            "    Toy: SourceKind(outline=outline_toy, load=load_toy),\n    TableCsv: SourceKind(",
        ),
    ],
    "conf/dataset/toy.yaml": """\
# Sums of two numbers.
defaults:
  - /schema/dataset/toy@_here_
  - /common/dataset@_here_
  - /common/random_split@_here_
  - /common/scaled_table@_here_
  - _self_

num_examples: 50              # number of rows
test_fraction: 0.2            # fraction of the rows held out for the final test
""",
}
OPTIMIZER = {
    "src/samerun/config/optimizers.py": [
        (
            "OPTIMIZERS: ",
            '''@config
class Toy(Optimizer):
    """Plain stochastic gradient descent with momentum.

    Args:
        momentum: fraction of the last step that is added to the next one.
    """

    kind: str = "toy"
    momentum: float = fraction()


OPTIMIZERS: ''',
        ),
        ("    Sgd,\n", "    Sgd,\n    Toy,\n"),
    ],
    "src/samerun/optim/__init__.py": [
        ("    Sgd,\n", "    Sgd,\n    Toy,\n"),
        ("    Sgd: keras", "    Toy: keras.optimizers.SGD,\n    Sgd: keras"),
    ],
    "conf/optimizer/toy.yaml": """\
# Gradient descent with momentum.
defaults:
  - /schema/optimizer/toy@_here_
  - /common/optimizer@_here_
  - _self_

learning_rate: 0.01           # initial learning rate; the schedule changes it over time
momentum: 0.5                 # fraction of the last step that is added to the next one
""",
}
SAMPLER = {
    "src/samerun/config/samplers.py": [
        ('    random = "random"\n', '    random = "random"\n    toy = "toy"\n'),
        (
            "@config\nclass SamplerSettings:",
            '''@config
class ToySampler:
    """Options of the sampler.

    Args:
        offset: added to its seed.
    """

    offset: int = at_least(0)


@config
class SamplerSettings:''',
        ),
        ("    sampler: Sampler\n", "    sampler: Sampler\n    toy: ToySampler\n"),
    ],
    "src/samerun/search/samplers.py": [
        (
            "_BUILDERS: ",
            """def _toy(cfg: Sweep, space: "Space", seed: int, own: int) -> Any:
    from optuna.samplers import RandomSampler

    return RandomSampler(own + cfg.toy.offset)


_BUILDERS: """,
        ),
        ("    Sampler.tpe: _tpe,\n", "    Sampler.tpe: _tpe,\n    Sampler.toy: _toy,\n"),
    ],
    "conf/sweep/optuna.yaml": [("\ntpe:\n", "\ntoy:\n  offset: 1     # added to its seed\ntpe:\n")],
}
PRUNER = {
    "src/samerun/config/pruners.py": [
        ('    median = "median"\n', '    median = "median"\n    toy = "toy"\n'),
        (
            "@config\nclass PrunerSettings:",
            '''@config
class ToyPruner:
    """Options of the pruner.

    Args:
        worst: the largest value that continues.
    """

    worst: float


@config
class PrunerSettings:''',
        ),
        (
            "    promote: bool\n    median",
            "    promote: bool\n    toy_pruner: ToyPruner\n    median",
        ),
    ],
    "src/samerun/search/pruners.py": [
        (
            "_BUILDERS: ",
            """def _toy(cfg: Sweep, max_epochs: int) -> "optuna.pruners.BasePruner":
    from optuna.pruners import ThresholdPruner

    return ThresholdPruner(upper=cfg.toy_pruner.worst)


_BUILDERS: """,
        ),
        ("    Pruner.none: _none,\n", "    Pruner.none: _none,\n    Pruner.toy: _toy,\n"),
    ],
    "conf/sweep/optuna.yaml": [
        (
            "\nmedian:\n",
            "\ntoy_pruner:\n  worst: 1.0    # the largest value that continues\nmedian:\n",
        )
    ],
}
LOSS = {  # has no settings, so no YAML
    "src/samerun/config/training.py": [
        ('    huber = "huber"\n', '    huber = "huber"\n    toy = "toy"\n'),
        ("        Loss.huber,\n", "        Loss.huber,\n        Loss.toy,\n"),
    ],
    "src/samerun/losses/__init__.py": [
        (
            "    Loss.huber: ",
            "    Loss.toy: lambda cfg, spec: keras.losses.MeanAbsoluteError(),\n    Loss.huber: ",
        ),
    ],
}
PARTS = {
    "dataset": (DATASET, 3),
    "optimizer": (OPTIMIZER, 3),
    "sampler": (SAMPLER, 3),
    "pruner": (PRUNER, 3),
    "loss": (LOSS, 2),
}
BUILT = """
import numpy as np
from omegaconf import OmegaConf
from samerun import config, losses, optim
from samerun.config.composition import parse_sweep
from samerun.data import catalog
from samerun.folders import package_folder
from samerun.search import parse_space, pruners, samplers

cfg = config.compose(["model=mlp", "dataset=toy", "optimizer=toy", "training.loss=toy"]).config
spec = catalog.describe(cfg.dataset)
print("dataset", spec.task, catalog.load(cfg.dataset).examples.y[1].tolist())
print("optimizer", optim.build(cfg.optimizer, cfg.schedule, 10, 2).momentum)
print("loss", float(losses.loss(cfg, spec)(np.array([[1.0]]), np.array([[3.0]]))))
plain = OmegaConf.load(package_folder("conf") / "sweep" / "optuna.yaml")
del plain["defaults"]
node = OmegaConf.create({"sweep": OmegaConf.merge(plain, {"sampler": "toy", "pruner": "toy"})})
sweep = parse_sweep(node)
space = parse_space(["model.dropout=interval(0,0.5)"], {}, compose=lambda overrides: cfg,
                    options=lambda group: [])
print("sampler", type(samplers.build_sampler(sweep, space, 0, 1)).__name__)
print("pruner", type(pruners.build_pruner(sweep, "minimize", 5)).__name__)
"""
EXPECTED = {
    "dataset": "regression [5.0]",
    "optimizer": "0.5",
    "loss": "2.0",
    "sampler": "RandomSampler",
    "pruner": "ThresholdPruner",
}


def copy_of_project(root):
    for name in ("src", "conf", "experiments", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "recorded", "*.egg-info")
        shutil.copytree(PROJECT / name, root / name, ignore=ignored)
    shutil.copy(PROJECT / "pyproject.toml", root)
    return root


def edit(root, files):
    """Makes the edits: a new file, or pairs of texts, each of which occurs once."""
    for file, changes in files.items():
        if isinstance(changes, str):
            (root / file).write_text(changes)
            continue
        text = (root / file).read_text()
        for before, after in changes:
            assert text.count(before) == 1, f"{file}: {before}"
            text = text.replace(before, after)
        (root / file).write_text(text)


def run_in(root, *arguments, timeout):
    """Runs Python with the source files of the copy."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    command = [sys.executable, *arguments]
    return warm.run(command, cwd=root, env=environment, timeout=timeout, kind=warm.Libraries)


@pytest.mark.slow
def test_a_model_and_a_schedule_pass_the_contract_tests_after_three_edits_each(tmp_path):
    root = copy_of_project(tmp_path / "project")
    for files in (MODEL, SCHEDULE):
        assert len(files) == 3
        edit(root, files)
    names = ["training/test_contracts.py", "training/test_contracts_datasets.py"]
    names += ["training/test_optim.py", "unit/test_configs.py"]
    done = run_in(
        root,
        *("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", "toy"),
        *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # Hydra has been imported
        *(f"tests/{name}" for name in names),
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    listed = run_in(root, "-m", "samerun", "train", "--help", timeout=120)
    assert listed.stdout.count(" toy") == 2


@pytest.mark.slow
def test_other_parts_are_built_after_edits_of_at_most_three_files_each(tmp_path):
    root = copy_of_project(tmp_path / "project")
    for files, num_files in PARTS.values():
        assert len(files) == num_files
        edit(root, files)
    done = run_in(root, "-c", BUILT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert dict(line.split(" ", 1) for line in done.stdout.splitlines()) == EXPECTED
