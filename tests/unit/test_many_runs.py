"""Many runs from one command: what starts them, from the command line and from Python."""

import pytest

import samerun
from samerun.cli import main
from samerun.config.overrides import combinations, parse_overrides
from samerun.errors import UserError

ONE_RUN = {
    "a sweep": (
        ["sweep=optuna", "model.dropout=interval(0,1)"],
        "use samerun.sweep([...]), which runs it",
    ),
    "a setting of a sweep": (["sweep.n_trials=3"], "use samerun.sweep([...]), which runs it"),
    "-m": (["-m", "model=mlp"], 'samerun.sweep(["sweep=grid", ...]), which runs every combination'),
    "-m with values": (["--multirun", "model=mlp,cnn"], 'samerun.sweep(["sweep=grid", ...])'),
    "values": (
        ["model=mlp,cnn"],
        'samerun.sweep(["sweep=grid", ...]), which runs every combination',
    ),
    "a range": (["training.epochs=range(1,3)"], 'samerun.sweep(["sweep=grid", ...])'),
    "an interval": (["model.dropout=interval(0,1)"], 'samerun.sweep(["sweep=optuna", ...])'),
    "a string": ("model=mlp", "expected a list: ['model=mlp']"),
}


@pytest.mark.parametrize("case", ONE_RUN)
def test_train_from_python_refuses_many_runs_and_names_what_runs_them(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given, sentence = ONE_RUN[case]
    with pytest.raises(UserError) as caught:
        samerun.train(given)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_sweep_from_python_without_a_search_names_two():
    with pytest.raises(UserError, match=r"sweep=grid, .* sweep=optuna"):
        samerun.sweep(["-m", "model=mlp,cnn"])


@pytest.mark.parametrize("overrides", [["model=mlp"], [], ["model=mlp", "model.units=[4,8]"]])
def test_a_multirun_with_nothing_to_vary_is_refused_with_a_line_to_type(
    overrides, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "-m", *overrides]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("samerun: -m: received one value for each key")
    assert f"train -m {' '.join([*overrides, 'seed=0,1,2'])};" in line.replace("'", "")
    assert line.endswith("leave -m out.")
    assert list(tmp_path.iterdir()) == []


def test_a_pattern_of_a_multirun_stands_for_the_options_that_need_no_function():
    runs = combinations(parse_overrides(["schedule=glob(c*)", "seed=1"]))
    names = ("constant", "cosine", "cosine_restarts")
    assert [*runs] == [[f"schedule={name}", "seed=1"] for name in names]
    assert [*combinations(parse_overrides(["model=glob(cust*)"]))] == [["model=custom"]]
    with pytest.raises(UserError, match=r"schedule=glob\(z\*\): no option of schedule matches"):
        [*combinations(parse_overrides(["schedule=glob(z*)"]))]
