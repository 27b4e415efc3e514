"""What commands leave out that takes long to import or to compose, in fresh processes."""

import subprocess
import sys

import pytest

from samerun import tracking
from samerun.errors import UserError
from samerun.launch.overrides import check_overrides
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
