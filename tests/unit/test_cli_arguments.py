"""Arguments of `samerun train` that make no sense: one sentence, before anything is written."""

import os
import subprocess
import sys

import pytest

from samerun.cli import arguments as cli_arguments
from samerun.cli import main
from samerun.config.overrides import parse_overrides

SWEEP = ("-m", "sweep=optuna")
BAD = {
    "a setting without a sweep": (
        ["-m", "sweep.n_trials=4", "seed=1,2"],
        "sweep.n_trials: there is no sweep: add sweep=optuna",
    ),
    "the same with a plus": (["-m", "+sweep.n_trials=4", "seed=1,2"], "there is no sweep"),
    "the same with an experiment": (
        ["-m", "experiment=digits_cnn", "+sweep.n_trials=4", "seed=1,2"],
        "there is no sweep",
    ),
    "the same without -m": (["sweep.n_trials=4"], "there is no sweep"),
    "a space as a mapping": (
        [*SWEEP, "sweep.params={model.dropout: '0.1,0.2'}"],
        "expected model.dropout=… or +sweep.params={model.dropout: …}.",
    ),
    "no sweep by name": (["-m", "sweep=null", "seed=1,2"], "sweep: received null"),
    "a trial": (["trial.study=x"], "trial.study: only a sweep says"),
    "a trial of a sweep": ([*SWEEP, "trial.study=x", "seed=1,2"], "trial.study: only a sweep says"),
    "a config of many runs": (["-m", "model=mlp,cnn", "--cfg", "job"], "leave -m out"),
    "a config of a sweep": (["-m", "sweep=regularisation", "--cfg=job"], "--cfg: received with -m"),
    "information on many runs": (["-m", "--info", "seed=1,2"], "--info: received with -m"),
    "resolve alone": (["--resolve"], "expected --cfg job with it"),
    "a slip in a flag": (
        ["--multirn", "seed=1,2"],
        "--multirn: there is no such flag. Did you mean '--multirun'?",
    ),
    "an unknown flag": (["-x"], "-x: there is no such flag. `samerun train --hydra-help`"),
    "a wrong value of a flag": (["--cfg", "jobb"], "--cfg/-c: invalid choice: 'jobb' (choose from"),
    "a flag without its value": (["--cfg"], "--cfg/-c: expected one argument."),
    "a plot of many runs": (["-m", "seed=1,2", "--schedule-plot", "x.png"], "leave -m out"),
    "several values without -m": (["model.dropout=0.1,0.2"], "received several values"),
    "two options of a sweep": (
        ["-m", "sweep=regularisation", "sweep=schedules"],
        "received 'sweep=regularisation' and 'sweep=schedules'",
    ),
    "a space and a value": (
        [*SWEEP, "optimizer=adam,sgd", "optimizer=sgd"],
        "optimizer: received 'optimizer=adam,sgd' and 'optimizer=sgd', expected one of them.",
    ),
    "a setting without its group": ([*SWEEP, "n_trials=2", "seed=1,2"], "`sweep.n_trials=2`?"),
    "a key without its group": (["learning_rate=1"], "`optimizer.learning_rate=1`?"),
    "a slip in a group": ([*SWEEP, "sweeep.n_trials=3", "seed=1,2"], "`sweep.n_trials=3`?"),
    "a space of another model": (["-m", "sweep=pareto", "model=mlp"], "no such key with model=mlp"),
    "no key": ([*SWEEP, "=3"], "expected KEY=VALUE"),
    "no value": ([*SWEEP, "model.dropout"], "'model.dropout', expected KEY=VALUE"),
    "spaces": ([*SWEEP, "model.dropout", "=", "1,2"], "expected KEY=VALUE"),
    "a space after a comma": (
        [*SWEEP, "model.dropout=0.1,", "0.2"],
        "received '0.1,', expected a value, or a search space such as a,b",
    ),
    "how to correct it": ([*SWEEP, "model.dropout=0.1,", "0.2"], "with no space after a comma."),
    "curly quotes": ([*SWEEP, "model.dropout=“0.1,0.2”"], "in straight quotes"),
}


def refused(capsys, overrides, message):
    assert main(["train", *overrides]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_sentence(project, capsys, case):
    refused(capsys, *BAD[case])
    assert [path.name for path in project.iterdir()] == ["mlflow.db"]


SLIPS = ["interval(0)", "interval(0,1,2)", "intervall(0,1)", "uniform(0,1)", "log(interval(1,2))"]
SLIPS += ["(0,0.5)", "interval(a,b)", "interval(0,0.6", "interval[0,1]", "range()", "0.1,,0.2"]


@pytest.mark.parametrize("space", SLIPS)
@pytest.mark.parametrize("first", [SWEEP, ("-m",), ()], ids=["sweep", "multirun", "run"])
def test_a_slip_in_a_space_names_what_was_received(project, capsys, first, space):
    message = f"model.dropout: received '{space}', expected a value, or a search space such as a,b"
    refused(capsys, [*first, f"model.dropout={space}"], message)


def test_the_config_of_a_sweep_is_shown_without_m(project, capsys):
    assert main(["train", "sweep=regularisation", "--cfg", "job"]) == 0
    assert "n_trials:" in capsys.readouterr().out


def test_overrides_may_stand_on_both_sides_of_a_flag(project, capsys):
    assert main(["train", "seed=7", "--cfg", "job", "model=mlp"]) == 0
    out = capsys.readouterr().out
    assert "kind: mlp" in out
    assert "seed: 7" in out


@pytest.mark.parametrize("overrides", [["--help"], ["--cfg", "job"]], ids=["help", "config"])
def test_a_reader_that_leaves_early_is_no_error(project, overrides):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "samerun", "train", *overrides]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_run_is_resumed_by_its_name_with_an_equals_sign(version_0_1_0, capsys):
    for arguments in (["dropout=0.1889"], ["dropout=0.1889", "training.epochs=9"]):
        assert main(["resume", *arguments]) == 2
        assert "is trial 2 of the sweep 'small'" in capsys.readouterr().err
    assert main(["resume", "training.epochs=9"]) == 2
    assert "'training.epochs=9' names no run" in capsys.readouterr().err
    assert main(["resume", "finished", "small", "training.epochs=9"]) == 2
    assert "received finished small, expected the ID of one run" in capsys.readouterr().err


def test_a_sweep_file_of_samerun_is_not_composed_to_see_whether_it_defines_a_sweep(monkeypatch):
    monkeypatch.setattr(cli_arguments, "selects_sweep", lambda _: pytest.fail("composed"))
    cli_arguments.check_sweep_file(parse_overrides(["sweep=grid"]))
