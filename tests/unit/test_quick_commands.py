"""What commands leave out that takes long to import or to compose, in fresh processes."""

import itertools
import subprocess
import sys

import pytest
from hydra.core.config_store import ConfigStore

from samerun import cli, tracking
from samerun.config.composition import compose
from samerun.errors import UserError
from samerun.launch.overrides import check_overrides
from samerun.sweeper import plan
from samerun.sweeper.composition import compose_sweep
from samerun.tracking import local
from samerun.tracking.recovery import sync

SLOW = ("hydra", "keras", "matplotlib", "mlflow", "numpy", "omegaconf", "optuna", "pandas", "scipy")


def imported(folder, *arguments, watched=SLOW):
    """Runs a command in a process of its own; returns which of the modules it imported."""
    program = (
        "import sys\nfrom samerun.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print('imported', *sorted({set(watched)!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["runs"],
        ["runs", "--all", "--csv"],
        ["show", "zzzz"],
        ["sync", "--check"],
    ],
    ids=" ".join,
)
def test_a_command_that_looks_at_a_store_imports_nothing_slow(version_0_1_0, arguments):
    assert imported(version_0_1_0, *arguments) == []


@pytest.mark.parametrize(
    "typed",
    ["lr=0.1", "optimizer.momentum=0.9", "model=cn", "-m sweep=optuna momentum=0.1,0.9"],
)
def test_a_key_or_option_that_does_not_exist_is_refused_before_composing(tmp_path, typed):
    composing = "hydra._internal.core_plugins.file_config_source"  # of Hydra's scan for plugins
    watched = (composing, "mlflow", "numpy", "optuna")
    assert imported(tmp_path, "train", *typed.split(), watched=watched) == []


@pytest.mark.parametrize(
    "overrides",
    [
        ["experiment=digits_cnn", "optimizer.momentum=0.9"],
        ["sweep=architecture", "model.units=[8]"],
        ["sweep=optuna", "optimizer=sgd,adam", "optimizer.momentum=0.1,0.9"],
        ["+model.params.width=7"],
        ["+tracking.tags.a=b"],
        ["model.units.0=3"],
        ["~schedule"],
        ["hydra.run.dir=here"],
        ["hydra.searchpath=[file://more]", "model=theirs"],
        ["model=mine", "model.depth=3"],
    ],
    ids=" ".join,
)
def test_what_depends_on_config_files_is_left_to_hydra(tmp_path, monkeypatch, overrides):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "conf" / "model" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("defaults: [mlp, _self_]\n")
    assert len(check_overrides(overrides)) == len(overrides)


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    """A working folder whose config files choose the options of other groups."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "model/sub/small.yaml": "# @package model\ndefaults: [/model/mlp@_here_, _self_]\n",
        "extra/e.yaml": "# @package _global_\ndefaults: [{override /model: mlp}]\n",
        "extra/sub/e.yaml": "# @package _global_\ndefaults: [{override /model: mlp}]\n",
        "debug/mine.yaml": "# @package _global_\ndefaults: [{override /model: mlp}]\n",
    }.items():
        tmp_path.joinpath("conf", name).parent.mkdir(parents=True, exist_ok=True)
        tmp_path.joinpath("conf", name).write_text(text)


def composes(overrides):
    try:
        compose(overrides)
    except (UserError, RecursionError):
        return False
    return True


@pytest.mark.parametrize(
    "typed",
    [
        "model=sub/small",
        "+extra=e",
        "+extra=e model.units=[3]",
        "+extra=sub/e",
        "+extra/sub=e model.units=[3]",
        "debug=mine model.units=[3]",
        "model=${oc.env:OPTION} model.units=[3]",
    ],
)
def test_what_own_files_may_choose_is_not_refused_before_composing(own_files, monkeypatch, typed):
    monkeypatch.setenv("OPTION", "mlp")
    assert composes(typed.split())
    assert check_overrides(typed.split())


def test_a_file_that_replaces_one_of_samerun_s_is_composed_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shadow = tmp_path / "conf" / "optimizer" / "adam.yaml"
    shadow.parent.mkdir(parents=True)
    shadow.write_text("defaults: [/optimizer/sgd@_here_, _self_]\n")
    assert composes(["optimizer.momentum=0.5"])
    assert check_overrides(["optimizer.momentum=0.5"])


def test_options_that_a_program_registers_with_hydra_are_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = ConfigStore.instance()
    monkeypatch.setattr(store, "repo", dict(store.repo))
    store.store(group="optimizer", name="mine", node={"defaults": ["sgd", "_self_"]})
    assert composes(["optimizer=mine", "optimizer.momentum=0.5"])
    assert check_overrides(["optimizer=mine", "optimizer.momentum=0.5"])


def test_what_is_refused_before_composing_hydra_refuses_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTION", "sgd")
    values = ("sgd", "'sgd'", " sgd", "sgd ", "[sgd]", "sgd.yaml", "./sgd", "../optimizer/sgd")
    hard = ("/optimizer/sgd", "${oc.env:OPTION}", "{kind: sgd}", "null", "''", "SGD", "none")
    choices = [[f"optimizer={value}"] for value in (*values, *hard)]
    choices += [["optimizer=none", "optimizer=sgd"], ["optimizer=sgd", "optimizer=adam"]]
    choices += [["optimizer@optimizer=sgd"], ["++optimizer.kind=sgd"], ["~optimizer"], []]
    choices += [["experiment=digits_cnn.yaml"], ["training=default.yaml"], ["+schema@x=config"]]
    choices += [["+schema@training=training"], ["dataset.augmentation=flip.yaml"]]
    known, wrong = [], []
    for chosen, key in itertools.product(choices, ("seed=1", "++optimizer.momentum=0.5")):
        try:
            check_overrides([*chosen, key])
        except UserError:
            wrong.append([*chosen, key])
        else:
            known.append([*chosen, key])
    assert [line for line in wrong if composes(line)] == []
    assert ["optimizer=SGD", "seed=1"] in wrong
    assert ["++optimizer.momentum=0.5"] in wrong
    assert ["optimizer=sgd", "++optimizer.momentum=0.5"] in known


@pytest.mark.parametrize(
    "typed",
    [
        "sweep=optuna.yaml seed=1,2",
        "sweep=optuna optimizer='sgd' optimizer.momentum=interval(0.1,0.5)",
        "sweep=optuna ++sweep.params.optimizer='sgd,adam' optimizer.momentum=0.1,0.2",
        "sweep=optuna optimizer=sgd,adam optimizer.momentum=0.1,0.2",
    ],
)
def test_a_search_that_hydra_composes_is_not_refused_before(tmp_path, monkeypatch, typed):
    monkeypatch.chdir(tmp_path)
    with compose_sweep(typed.split()) as (_, _, arguments):
        assert arguments


def test_an_objective_that_is_no_logged_name_is_reported_before_a_trial_is_composed(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "compose_branch", lambda *_: pytest.fail("a trial was composed"))
    given = ["train", "-m", "sweep=optuna", "seed=1,2"]
    for name, meant in (("val_loss", "validation/loss"), ("accuracy", "train/accuracy")):
        assert cli.main([*given, f"sweep.objectives=[{name}]"]) == 2
        printed = capsys.readouterr().err
        assert f"sweep.objectives: received '{name}', expected the logged name" in printed
        assert f"`sweep.objectives=[{meant}]`" in printed


def test_an_unknown_option_is_reported_before_the_keys_that_it_might_have(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="^optimizer: received 'SGD'.*`optimizer=sgd`"):
        check_overrides(["optimizer.momentum=0.9", "optimizer=SGD"])


def test_a_store_is_compared_with_and_without_mlflow_alike(version_0_1_0, monkeypatch):
    some = [one for one in sync.project_folders() if tracking.run_in(one)][:2]
    changed = next(some[0].joinpath("artifacts", "config").glob("*.yaml"))
    changed.write_text(changed.read_text().replace("e", "a", 1))

    def rows():
        return [one.rows for one in sync.check(some)]

    monkeypatch.setattr(sync, "_client", lambda *_: pytest.fail("MLflow was asked"))
    quick = rows()
    monkeypatch.undo()
    monkeypatch.chdir(version_0_1_0)
    for name in ("run_of", "points", "artifact_folder", "model_sizes"):
        monkeypatch.setattr(local, name, lambda *_: None)
    assert rows() == quick
    assert any(f"{changed.name} differs" in text for row in quick[0] for text in row.differences)


def test_importing_predict_imports_neither_hydra_nor_the_datasets_of_training():
    program = (
        "import sys, samerun.serving.predict\n"
        "print({'hydra', 'omegaconf', 'samerun.data', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
