"""What people who come from Keras, PyTorch, Lightning or Hydra type: the line to type instead.

Each case is a command line after `samerun train` and the line that its message suggests. That line
is accepted in place of what was wrong: it composes and fits the dataset.
"""

import functools
import re
import shlex
import subprocess
import sys

import pytest

from samerun.cli import main
from samerun.cli.arguments import split_flags
from samerun.command_line import program
from samerun.config.composition import compose_with_hydra, parse_sweep
from samerun.launch.job import check
from samerun.launch.overrides import check_overrides
from support import warm
from support.mistakes import MISTAKES, REGRESSION

RIGHT = (
    REGRESSION,
    "-m sweep=optuna",
    "dataset.view=rows",
    "model=mlp",
    "model=lstm",
    "optimizer=sgd",
)
KEPT = {
    typed: next((right for right in RIGHT if typed.startswith(f"{right} ")), "")
    for typed in MISTAKES
}
"""What is right of each line, and stays."""


def suggested(text):
    """Returns the last line in backticks."""
    assert len(text.splitlines()) == 1
    return re.findall("`(.+?)`", text)[-1]


@functools.cache
def accept(line):
    """Composes a line as `samerun train` does and checks it against its dataset."""
    flags, overrides = split_flags(shlex.split(line.removeprefix("samerun train")))
    parsed = check_overrides(overrides)
    # Of several values, none: what is composed is one run, or the settings of a sweep.
    composition, node = compose_with_hydra([one.text for one in parsed if not one.is_sweep])
    check(composition)
    if any(one.key == "sweep" for one in parsed):
        assert "-m" in flags
        parse_sweep(node)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, without a store."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("typed", MISTAKES)
def test_a_mistake_names_the_line_to_type(folder, capsys, typed):
    expected = MISTAKES[typed]
    assert main(["train", *typed.split()]) == 2
    assert suggested(capsys.readouterr().err) == expected
    assert not [*folder.iterdir()]
    accept(expected if expected.startswith("samerun") else f"{KEPT.get(typed, '')} {expected}")


@pytest.mark.parametrize("group", ["model", "optimizer", "schedule"])
def test_a_function_without_its_group_names_the_line_to_type(folder, capsys, group):
    (folder / "my_code.py").write_text("def build(first, second=None):\n    return first\n")
    assert main(["train", f"{group}.target=my_code:build"]) == 2
    line = suggested(capsys.readouterr().err)
    assert line == f"{group}=custom {group}.target=my_code:build"
    composition, _ = compose_with_hydra(line.split())
    assert getattr(composition.config, group).target == "my_code:build"


FILES = {
    "without its package": (
        "experiment/mine.yaml",
        "training: {epochs: 5}\n",
        "experiment=mine",
        "# @package _global_",
    ),
    "without its package, with defaults": (
        "experiment/mine.yaml",
        "defaults: [override /model: mlp, _self_]\n",
        "experiment=mine",
        "# @package _global_",
    ),
    "without override": (
        "experiment/mine.yaml",
        "# @package _global_\ndefaults: [/model: mlp, _self_]\n",
        "experiment=mine",
        "- override /model: mlp",
    ),
    "without override and slash": (
        "experiment/mine.yaml",
        "# @package _global_\ndefaults: [model: mlp, _self_]\n",
        "experiment=mine",
        "- override /model: mlp",
    ),
    "with an option as a value": (
        "experiment/mine.yaml",
        "# @package _global_\nmodel: mlp\n",
        "experiment=mine",
        "- override /model: mlp",
    ),
    "with another name of a key": (
        "experiment/mine.yaml",
        "# @package _global_\noptimizer: {lr: 0.1}\n",
        "experiment=mine",
        "optimizer.learning_rate",
    ),
    "without its base": (
        "model/mine.yaml",
        "units: [8]\n",
        "model=mine",
        "defaults: [mlp, _self_]",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_mistake_in_a_config_file_names_the_line_to_type(folder, capsys, case):
    name, text, override, line = FILES[case]
    file = folder / "conf" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert main(["train", "--config-dir", "conf", override]) == 2
    message = capsys.readouterr().err
    assert suggested(message) == line
    assert message.startswith(f"samerun: {name}: ")


@pytest.mark.parametrize("typed", ["dataset.augmentation=flip", "dataset/augmentation=flip"])
def test_a_group_within_a_group_may_have_a_dot(typed):
    composition = compose_with_hydra([typed])[0]
    assert composition.config.dataset.augmentation.flip_horizontal
    assert composition.overrides == ("dataset/augmentation=flip",)


def test_a_key_in_such_a_group_is_a_key():
    composition = compose_with_hydra(["dataset.augmentation={rotation: 3}"])[0]
    assert composition.config.dataset.augmentation.rotation == 3


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("fit model=mlp", "samerun train model=mlp"),
        ("model=mlp", "samerun train model=mlp"),
        ("digits_cnn", "samerun train experiment=digits_cnn"),
        ("trian", "samerun train"),
        ("sweep", "samerun train -m sweep=optuna"),
        ("list", "samerun runs"),
        ("ls", "samerun runs"),
        ("ps", "samerun runs"),
        ("history", "samerun runs"),
        ("info abcd", "samerun show abcd"),
        ("vs a b", "samerun compare a b"),
    ],
)
def test_a_command_of_another_tool_names_the_line_to_type(capsys, typed, line):
    assert main(typed.split()) == 2
    assert suggested(capsys.readouterr().err) == line.replace("samerun", program(), 1)


def test_the_line_to_type_has_quotes_where_a_shell_needs_them(capsys):
    assert main(["vs", "a b", "$x"]) == 2
    assert "compare 'a b' '$x'" in capsys.readouterr().err
    assert main(["diff", "a b"]) == 2
    assert main(["diff", "a b", "c", "d"]) == 2
    assert "compare 'a b' c d" in capsys.readouterr().err


COMMANDS = [
    "train lr=0.1",
    "train --epochs 5",
    "train -m sweep=optuna seed=1,2 sweep.objectives=[val_loss]",
    "train -m sweep=optuna lr=interval(1e-4,1e-1)",
    "fit",
    "resume abcd",
    "diff abcd ef",
    "compare abcd ef",
    "reproduce ab",
    "reproduce latest",
    "show abcd",
    "runs --sort nothing",
    "runs --columns nothing",
    "reproduce best:validation/accuracy",
    "resume night/7",
]


COLD = {"train lr=0.1", "runs --sort nothing", "resume abcd"}
"""They start as a user's do; the others in a process that has imported the command line."""
SHOWING = """
import sys
from samerun.cli import main
code = main(sys.argv[1:])
print(*sys.modules, sep="\\n", file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("typed", COMMANDS)
def test_a_mistake_imports_no_heavy_library(project, typed):
    if typed in COLD:
        command = [sys.executable, "-X", "importtime", "-m", "samerun", *typed.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    else:
        command = [sys.executable, "-c", SHOWING, *typed.split()]
        done = warm.run(command, cwd=project, kind=warm.Light)
    assert done.returncode == 2
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "samerun.cli" in imported
    assert not imported & {"tensorflow", "keras", "mlflow", "optuna", "pandas", "matplotlib"}
    assert len([line for line in done.stderr.splitlines() if line.startswith("samerun: ")]) == 1


@pytest.mark.parametrize("typed", ["lr=0.1", "-m sweep=optuna seed=1,2 confirm.top=3"])
def test_a_mistake_in_training_imports_no_numpy(project, typed):
    command = [sys.executable, "-X", "importtime", "-m", "samerun", "train", *typed.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "samerun.launch" in done.stderr
    assert "numpy" not in done.stderr
