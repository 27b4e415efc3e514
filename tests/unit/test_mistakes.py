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

REGRESSION = "dataset=diabetes model=mlp"
SWEPT = "-m sweep=optuna seed=1,2"
MISTAKES = {
    # training
    "epochs=5": "training.epochs=5",
    "num_epochs=5": "training.epochs=5",
    "trainer.max_epochs=5": "training.epochs=5",
    "training.num_epochs=5": "training.epochs=5",
    "training.epochs=5.0": "training.epochs=5",
    "--epochs 5": "training.epochs=5",
    "--epochs=5": "training.epochs=5",
    "epochs 5": "training.epochs=5",
    "epochs = 5": "training.epochs=5",
    "epochs= 5": "training.epochs=5",
    "training/epochs=3": "training.epochs=3",
    "loss=auto": "training.loss=auto",
    "criterion=CrossEntropyLoss": "training.loss=categorical_crossentropy",
    f"{REGRESSION} training.loss=mse": "training.loss=mean_squared_error",
    f"{REGRESSION} training.loss=mae": "training.loss=mean_absolute_error",
    f"{REGRESSION} loss=mse": "training.loss=mean_squared_error",
    "training.loss=sparse_categorical_crossentropy": "training.loss=categorical_crossentropy",
    "training.loss=mean_squared_error": "training.loss=categorical_crossentropy",
    "metric=accuracy": "training.metrics=[accuracy]",
    "metrics=[acc]": "training.metrics=[accuracy]",
    "training.metrics=accuracy": "training.metrics=[accuracy]",
    "training.metrics=[auc]": "training.metrics=[accuracy]",
    f"{REGRESSION} training.metrics=[mae,rmse]": (
        "training.metrics=[mean_absolute_error,root_mean_squared_error]"
    ),
    "patience=3": "training.early_stopping.patience_epochs=3",
    "training.patience=3": "training.early_stopping.patience_epochs=3",
    "early_stopping=true": "training.early_stopping.patience_epochs=5",
    "training.early_stopping=3": "training.early_stopping.patience_epochs=3",
    "callbacks=[EarlyStopping]": "training.early_stopping.patience_epochs=5",
    "training.early_stopping.monitor=val_loss": "training.early_stopping.monitor=validation/loss",
    "training.early_stopping.monitor=val_acc": (
        "training.early_stopping.monitor=validation/accuracy"
    ),
    "monitor=validation/loss": "training.early_stopping.monitor=validation/loss",
    "fp16=true": "training.precision=mixed_float16",
    "--fp16": "training.precision=mixed_float16",
    "precision=16": "training.precision=mixed_float16",
    "training.precision=bf16": "training.precision=mixed_bfloat16",
    "mixed_precision=true": "training.precision=mixed_float16",
    "xla=true": "training.jit_compile=true",
    "random_seed=5": "seed=5",
    "seed 5": "seed=5",
    "--seed 5": "seed=5",
    "seeds=1,2": "-m seed=1,2",
    "n_seeds=3": "seeds=3",
    "kfold=5": "folds=5",
    "cv=5": "folds=5",
    # optimizer and schedule
    "lr=0.01": "optimizer.learning_rate=0.01",
    "optimizer.lr=0.01": "optimizer.learning_rate=0.01",
    "training.learning_rate=0.01": "optimizer.learning_rate=0.01",
    "--lr 0.01": "optimizer.learning_rate=0.01",
    "+lr=0.01": "optimizer.learning_rate=0.01",
    "lr=0,01": "optimizer.learning_rate=0.01",
    "optimizer=SGD": "optimizer=sgd",
    "optimizer=Adam": "optimizer=adam",
    "optimizer=momentum": "optimizer=sgd optimizer.momentum=0.9",
    "optimizer.name=sgd": "optimizer=sgd",
    "optimizer.kind=sgd": "optimizer=sgd",
    "optim=RMSprop": "optimizer=rmsprop",
    "optimizer.momentum=0.9": "optimizer=sgd optimizer.momentum=0.9",
    "momentum=0.9": "optimizer=sgd optimizer.momentum=0.9",
    "optimizer=sgd weight_decay=0.01": "optimizer.weight_decay=0.01",
    "optimizer=sgd wd=0.01": "optimizer.weight_decay=0.01",
    "grad_clip=1.0": "optimizer.global_clipnorm=1.0",
    "optimizer.beta1=0.8": "optimizer.beta_1=0.8",
    "ema=true": "optimizer.use_ema=true",
    "schedule=warmup": "schedule.warmup_epochs=2",
    "schedule=none": "schedule=constant",
    "schedule=CosineAnnealingLR": "schedule=cosine",
    "schedule=ReduceLROnPlateau": "schedule=reduce_on_plateau",
    "lr_scheduler=cosine": "schedule=cosine",
    "warmup=3": "schedule.warmup_epochs=3",
    # model
    "model=CNN": "model=cnn",
    "model=dense": "model=mlp",
    "dataset.view=rows model=SimpleRNN": "model=simple_rnn",
    "dataset.view=rows model=bilstm": "model=lstm model.bidirectional=true",
    "model.name=mlp": "model=mlp",
    "architecture=mlp": "model=mlp",
    "mlp": "model=mlp",
    "--model mlp": "model=mlp",
    "model mlp": "model=mlp",
    "dropout=0.3": "model.dropout=0.3",
    "model.dropout_rate=0.3": "model.dropout=0.3",
    "model.droput=0.3": "model.dropout=0.3",
    "activation=ReLU": "model.activation=relu",
    "model.activation=swish": "model.activation=silu",
    "units=32": "model.dense_units=[32]",
    "model=mlp units=32": "model.units=[32]",
    "model=mlp model.hidden_size=[64,32]": "model.units=[64,32]",
    "num_layers=2": "model.filters=[32,64]",
    "model.filters=32": "model.filters=[32]",
    "batch_norm=true": "model.batch_norm=true",
    # dataset
    "model=lstm seed=3": "dataset.view=rows",
    "bs=32": "dataset.batch_size=32",
    "batch_size=32": "dataset.batch_size=32",
    "training.batch_size=32": "dataset.batch_size=32",
    "--batch-size 32": "dataset.batch_size=32",
    "dataset/batch_size=32": "dataset.batch_size=32",
    "dataset=Digits": "dataset=digits",
    "data=digits": "dataset=digits",
    "dataset.name=digits": "dataset=digits",
    "augmentation=flip": "dataset/augmentation=flip",
    "dataset.augmentation=flp": "dataset/augmentation=flip",
    "augment=true": "dataset/augmentation=all",
    "horizontal_flip=true": "dataset.augmentation.flip_horizontal=true",
    "validation_split=0.1": "dataset.validation_fraction=0.1",
    "dataset.val_split=0.1": "dataset.validation_fraction=0.1",
    "normalize=true": "dataset.normalization=standard",
    "dataset.normalization=minmax": "dataset.normalization=unit",
    # recording
    "name=first": "tracking.run_name=first",
    "experiment_name=course": "tracking.experiment=course",
    "tags=[a,b]": "+tracking.tags.a=true +tracking.tags.b=true",
    "log_dir=here": "hydra.run.dir=here",
    "save_best=true": "checkpoint.keep_best=true",
    "checkpoint=true": "checkpoint.keep_best=true",
    "logger=tensorboard": "tracking.tensorboard=true",
    "fast_dev_run=true": "debug=fast",
    "digits_cnn": "experiment=digits_cnn",
    "model=mlp device=gpu": "samerun train model=mlp",
    "model=mlp --device cpu": "samerun train model=mlp",
    "shuffle=true seed=3": "samerun train seed=3",
    "num_workers=4": "samerun train",
    # sweeps
    "n_trials=5": "-m sweep=optuna sweep.n_trials=5",
    "sweep.n_trials=5": "-m sweep=optuna sweep.n_trials=5",
    "sampler=tpe": "-m sweep=optuna sweep.sampler=tpe",
    "model=mlp,cnn": "-m model=mlp,cnn",
    f"{SWEPT} n_trials=5": "sweep.n_trials=5",
    f"{SWEPT} sweep.sampler=bayesian": "sweep.sampler=tpe",
    f"{SWEPT} sweep.pruner=ASHA": "sweep.pruner=successive_halving",
    f"{SWEPT} sweep.budget.terminator=true": "sweep.budget.patience_trials=20",
    f"{SWEPT} confirm.top=3": "sweep.confirm.top=3",
    f"{SWEPT} sweep.confirm=3": "sweep.confirm.top=3",
    f"{SWEPT} sweep.objectives=[val_loss]": "sweep.objectives=[validation/loss]",
    "-m sweep=optuna lr=interval(1e-4,1e-1)": "optimizer.learning_rate='interval(1e-4,1e-1)'",
    "-m sweep=optuna momentum=0.1,0.9": "optimizer=sgd optimizer.momentum=0.1,0.9",
}


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


@pytest.mark.parametrize("typed", COMMANDS)
def test_a_mistake_imports_no_heavy_library(project, typed):
    command = [sys.executable, "-X", "importtime", "-m", "samerun", *typed.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "samerun.cli" in imported
    assert not imported & {"tensorflow", "keras", "mlflow", "optuna", "pandas", "matplotlib"}
    assert len([line for line in done.stderr.splitlines() if line.startswith("samerun: ")]) == 1


def test_a_mistake_in_training_imports_no_numpy(project):
    command = [sys.executable, "-X", "importtime", "-m", "samerun", "train", "lr=0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "samerun.launch" in done.stderr
    assert "numpy" not in done.stderr
