"""A sweep in a file of your own, found by `--config-dir`: mistakes in it, in one sentence."""

import pytest

from samerun.cli import main
from support.tables import mostly_slow

BASE = ("model=mlp", "dataset.limit=100", "sweep.workers=1")
HEAD = "defaults: [optuna, _self_]\n"
SPACE = HEAD + "params: {model.dropout: 'interval(0,0.5)'}\n"

BAD = {
    "a tab": (f"{HEAD}params:\n\tseed: 1,2\n", "mine.yaml, line 3, column 1: invalid YAML"),
    "a key twice": (f"{SPACE}n_trials: 3\nn_trials: 4\n", "line 4, column 1"),
    "an open bracket": (f"{HEAD}params: {{seed: 1\n", "line 3, column 1"),
    "an unknown key": (
        f"{SPACE}n_trialss: 3\n",
        "sweep/mine.yaml: sweep.n_trialss: there is no such key. Did you mean `sweep.n_trials`?",
    ),
    "an unknown key further in": (
        f"{SPACE}median: {{warmup: 3}}\n",
        "`sweep.median.warmup_epochs`",
    ),
    "a word for a number": (f"{SPACE}workers: two\n", "mine.yaml: sweep.workers: received 'two'"),
    "an unknown choice": (
        f"{SPACE}sampler: tpee\n",
        "received 'tpee', expected one of auto, tpe",
    ),
    "a word for a list": (
        f"{SPACE}objectives: validation/accuracy\n",
        "sweep.objectives: received 'validation/accuracy', expected a list: [validation/accuracy]",
    ),
    "a list for a mapping": (f"{HEAD}params: [a, b]\n", "sweep/mine.yaml: received a list"),
    "defaults that are no list": ("defaults: 3\n", "sweep/mine.yaml: defaults: expected a list"),
    "a list for all": ("- optuna\n- _self_\n", "'mine', whose file lacks optuna in its defaults"),
    "a number for a key": (f"{SPACE}3: 4\n", "sweep.3: there is no such key"),
}


@pytest.mark.parametrize("case", mostly_slow(BAD, "a tab", "an unknown key", "a list for all"))
def test_a_mistake_is_one_sentence_with_its_place(project, capsys, case):
    text, message = BAD[case]
    (project / "own" / "sweep").mkdir(parents=True)
    (project / "own" / "sweep" / "mine.yaml").write_text(text)
    assert main(["train", "-m", "--config-dir", "own", *BASE, "sweep=mine"]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1
    assert not (project / "optuna.db").exists()


def test_an_experiment_of_a_sweep_whose_defaults_are_no_list_is_one_sentence(project, capsys):
    (project / "own" / "experiment").mkdir(parents=True)
    (project / "own" / "experiment" / "mine.yaml").write_text("defaults: 3\n")
    overrides = ["--config-dir", "own", "experiment=mine", "sweep=regularisation"]
    assert main(["train", "-m", *overrides]) == 2
    err = capsys.readouterr().err
    assert err.startswith("samerun: experiment/mine.yaml: defaults: expected a list")
    assert len(err.splitlines()) == 1


def test_a_file_that_lacks_optuna_is_no_plain_run(project, capsys):
    (project / "own" / "sweep").mkdir(parents=True)
    (project / "own" / "sweep" / "mine.yaml").write_text("params: {seed: 'range(1,3)'}\n")
    assert main(["train", "-m", "--config-dir", "own", "model=mlp", "sweep=mine"]) == 2
    assert "'mine', whose file lacks optuna in its defaults" in capsys.readouterr().err
    assert not (project / "multirun").exists()
