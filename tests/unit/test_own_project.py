"""Config files in the user's own folders: found by themselves, in front of samerun's."""

import pytest

from samerun.cli import main
from samerun.cli.completion import candidates
from samerun.config import compose
from samerun.config.composition import compose_with_hydra
from samerun.config.project import config_folders, with_config_dirs
from samerun.config.schema import options
from samerun.errors import UserError
from samerun.folders import package_folder
from samerun.sweeper.composition import compose_sweep


def write(folder, units, name="model/tiny.yaml"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"defaults: [mlp, _self_]\nunits: [{units}]\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's folder with an option, an experiment and a sweep of their own."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "conf", 7)
    for name, text in {
        "experiment/mine": "# @package _global_\n# What: mine\ndefaults: [override /model: tiny]\n",
        "sweep/widths": "defaults: [grid, _self_]\nparams: {model.dropout: '0,0.1'}\n",
    }.items():
        file = tmp_path / "experiments" / f"{name}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text.replace("[override /model: tiny]", "\n  - override /model: tiny"))
    return tmp_path


def units(*overrides):
    return compose(overrides).config.model.units


def test_options_in_the_working_folder_are_found(folder):
    assert units("model=tiny") == [7]
    assert units("experiment=mine") == [7]
    assert {"tiny", "cnn"} <= set(options("model"))


def test_the_resolved_config_does_not_need_the_folder(folder, monkeypatch, tmp_path_factory):
    from samerun.config import from_yaml

    composition = compose(["experiment=mine"])
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert from_yaml(composition.resolved) == composition.config
    with pytest.raises(UserError, match="received 'mine'"):
        compose(["experiment=mine"])


def test_an_own_sweep_is_found_from_python(folder):
    with compose_sweep(["experiment=mine", "sweep=widths"]) as (_, master, _):
        assert master.sweep.params == {"model.dropout": "0,0.1"}
        assert master.model.units == [7]


def test_several_folders_stack_the_first_given_first(folder):
    write(folder / "a", 1)
    write(folder / "b", 2)
    write(folder / "b", 3, "model/small.yaml")
    with with_config_dirs(["a", "b"]):
        assert (units("model=tiny"), units("model=small")) == ([1], [3])
    assert units("model=tiny") == [7]


def test_config_dir_may_be_given_several_times(folder, capsys):
    write(folder / "a", 1)
    write(folder / "b", 3, "model/small.yaml")
    for option, value in {"small": 3, "tiny": 1}.items():
        arguments = ["train", f"model={option}", "--config-dir", "a", "--config-dir=b"]
        assert main([*arguments, "--cfg", "job", "--package", "model"]) == 0
        assert f"units:\n- {value}\n" in capsys.readouterr().out
    assert main(["train", "--config-dir", "nowhere"]) == 2
    assert "there is no folder 'nowhere'" in capsys.readouterr().err


def test_a_search_path_of_the_users_own_loses_no_builtin_experiment(folder):
    write(folder / "more", 5, "model/small.yaml")
    path = f"hydra.searchpath=[file://{folder / 'more'}]"
    assert units(path, "model=small") == [5]
    assert compose([path, "experiment=digits_cnn"]).config.model.kind == "cnn"
    assert units(path, "experiment=mine") == [7]


def test_an_own_option_is_in_front_of_ours_and_a_config_of_another_program_is_not(folder):
    write(folder / "conf", 4, "model/cnn.yaml")
    (folder / "conf" / "config.yaml").write_text("defaults: [server: nginx]\n")
    assert units("model=cnn") == [4]


def test_other_folders_may_be_named(folder):
    write(folder / "settings", 6, "model/other.yaml")
    (folder / "pyproject.toml").write_text('[tool.samerun]\nconfig_folders = ["settings"]\n')
    assert units("model=other") == [6]
    assert "tiny" not in options("model")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.samerun]\nconfig_folders = ["nowhere"]', "there is no folder 'nowhere'"),
        ('[tool.samerun]\nconfig_folders = "conf"', "expected a list of folders"),
        ('[tool.samerun]\nconfig_folder = ["conf"]', "Did you mean 'config_folders'?"),
        ('[tool.samerun]\npackage = "my-project"', "expected the name of a Python package"),
        ("[tool]\nsamerun = 3", "expected a table"),
        ('[tool.samerun]\nverify_key = ""', "verify_key: expected a file of public SSH keys"),
        ("[tool.samerun", "pyproject.toml: invalid TOML"),
        ("tool = 1", "pyproject.toml: tool: expected a table, such as [tool.samerun]"),
        ("#" * 1_000_001, "pyproject.toml: received a file of 1000001 bytes"),
    ],
)
def test_a_mistake_in_pyproject_is_one_sentence(folder, capsys, text, message):
    (folder / "pyproject.toml").write_text(text)
    assert main(["train", "model=tiny", "--cfg", "job"]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_a_file_in_a_folder_above_does_not_count(folder, monkeypatch):
    (folder / "pyproject.toml").write_text("[tool.samerun]\nconfig_folders = 3\n")
    (folder / "inner").mkdir()
    monkeypatch.chdir(folder / "inner")
    assert config_folders() == ()


def test_samerun_itself_is_no_project_of_a_user(monkeypatch):
    monkeypatch.chdir(package_folder("conf").parent)
    assert config_folders() == ()


def test_help_completion_and_suggestions_know_them(folder, capsys):
    assert main(["train", "--help"]) == 0
    assert "model=tiny experiment=mine sweep=widths" in capsys.readouterr().out
    found = {word for word, _ in candidates("samerun train model=t", {"train": ""}, str)}
    assert found == {"model=tiny"}
    assert main(["train", "model=tinny"]) == 2
    assert "Did you mean `model=tiny`?" in capsys.readouterr().err
    assert main(["experiments"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert " ".join(first.split()) == "mine mine [your own: samerun train experiment=mine]"


def test_a_new_file_is_found_by_the_same_process(folder):
    assert "later" not in options("model")
    write(folder / "conf", 8, "model/later.yaml")
    assert "later" in options("model")
    assert compose_with_hydra(["model=later"])[0].config.model.units == [8]


def test_a_name_that_leaves_the_folders_is_no_group(folder):
    (folder / "secret.yaml").write_text("")
    assert options("..") == options("../..") == options(str(folder)) == []
