"""Components of a package of your own: typed, checked, completed and trusted like samerun's."""

import sys

import pytest

import samerun
from samerun import cli, config, identity
from samerun.cli.completion import candidates
from samerun.cli.init_command import write_project
from samerun.config.composition import compose
from samerun.config.schema import GROUPS, leaves
from samerun.replay.trust import check_trusted
from samerun.search import parse_space

RINGS = ("model=rings_net", "dataset=rings")
COMPONENTS = "src/mine/components.py"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A project as `samerun init` writes it, with an optimizer and a schedule more."""
    write_project(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    before = list(sys.path)
    yield tmp_path / "mine"
    sys.path[:] = before


def declare(mine, text, **files):
    file = mine / COMPONENTS
    file.write_text(file.read_text() + text)
    for path, content in files.items():
        target = mine / "conf" / f"{path.replace('__', '/')}.yaml"
        target.parent.mkdir(exist_ok=True)
        target.write_text(content)


def test_an_own_model_and_dataset_are_typed(mine):
    cfg = compose(["experiment=rings", "model.units=7"]).config
    assert (cfg.model.kind, cfg.model.units, cfg.dataset.num_rings) == ("rings_net", 7, 3)
    assert "my" not in cfg.model.target
    assert cfg.model.params == {"units": 7, "dropout": 0.0}
    assert cfg.dataset.params == {"num_points": 600, "num_rings": 3, "noise": 0.15}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.unitz=3", "model.unitz: there is no such key with model=rings_net. Did you mean"),
        ("model.unitz=3", "`model.units=3`"),
        ("model.units=many", "model.units: received 'many', expected an integer"),
        ("model.units=0", "model.units: received 0, expected a number above 0"),
        ("dataset.noise=-1", "dataset.noise: received -1, expected a number at least 0"),
        ("model.filters=[3]", "no such key with model=rings_net, only with cnn"),
    ],
)
def test_a_mistake_is_one_sentence_as_for_ours(mine, override, message):
    with pytest.raises(samerun.UserError) as caught:
        compose([*RINGS, override])
    assert message in str(caught.value)


def test_an_own_optimizer_and_schedule_are_typed(mine):
    declare(
        mine,
        '''
from samerun.components import Optimizer, Schedule


@component("mine.steps:momentum")
class Momentum(Optimizer):
    """Gradient descent."""

    kind: str = "momentum"
    momentum: float = fraction()


@component("mine.steps:halving")
class Halving(Schedule):
    """Half the rate."""

    kind: str = "halving"
    every: int = above(0)
''',
        optimizer__momentum="defaults:\n  - /schema/optimizer/momentum@_here_\n"
        "  - /common/optimizer@_here_\n  - _self_\nlearning_rate: 0.1\nmomentum: 0.9\n",
        schedule__halving="defaults:\n  - /schema/schedule/halving@_here_\n"
        "  - /common/schedule@_here_\n  - _self_\nevery: 3\n",
    )
    cfg = compose([*RINGS, "optimizer=momentum", "schedule=halving", "schedule.every=5"]).config
    assert cfg.optimizer.params == {"momentum": 0.9}
    assert cfg.schedule.params == {"every": 5}
    with pytest.raises(samerun.UserError, match="optimizer.momentum: received 2"):
        compose(["optimizer=momentum", "optimizer.momentum=2"])


def test_a_stored_config_is_read_back_and_needs_trust(mine):
    cfg = compose(RINGS).config
    again = config.from_yaml(config.to_yaml(cfg))
    assert again == cfg
    with pytest.raises(samerun.UserError, match="give --trust mine"):
        check_trusted(again, [])
    check_trusted(again, ["mine"])


def test_a_stored_config_imports_nothing_elsewhere(mine, tmp_path_factory, monkeypatch):
    text = config.to_yaml(compose(RINGS).config)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(samerun.UserError, match=r"model.kind: received 'rings_net'|dataset.kind"):
        config.from_yaml(text)
    compose([])
    assert "rings_net" not in {kind.kind for kind in GROUPS["model"]}
    assert "rings_net" not in leaves()["model.dropout"]


def test_the_files_of_the_package_are_the_code_of_the_run(mine):
    cfg = compose(RINGS).config
    files = identity.code_files(cfg)
    names = ("__init__", "components", "data", "models")
    assert {f"mine/{name}.py" for name in names} <= set(files)
    (mine / COMPONENTS).write_text((mine / COMPONENTS).read_text() + "# changed\n")
    changed = identity.code_files(cfg)
    assert [name for name in files if files[name] != changed[name]] == ["mine/components.py"]
    assert not any(name.startswith("mine/") for name in identity.code_files(compose([]).config))


def test_the_fingerprint_has_its_fields(mine):
    first, other = (compose([*RINGS, f"model.units={n}"]).config for n in (4, 5))
    assert config.fingerprint(first) != config.fingerprint(other)
    assert config.parameters(first)["model.units"] == "4"


def test_its_keys_are_swept_with_their_types(mine):
    space = parse_space([*RINGS, "model.units=interval(2,9)"], {})
    values = next(space.corners(next(iter(space.branches()), {})))
    assert isinstance(values["model.units"], int)


def test_completion_imports_no_code_of_the_folder(mine):
    (mine / COMPONENTS).write_text("raise SystemExit('imported')\n")
    found = [word for word, _ in candidates("samerun train model=r", {"train": ""}, str)]
    assert found == ["model=rings_net"]
    line = "samerun train model=rings_net model.u"
    assert [word for word, _ in candidates(line, {"train": ""}, str)] == ["model.units="]
    assert cli.main(["train", "--help"]) == 0
    assert "mine.components" not in sys.modules
    with pytest.raises(samerun.UserError, match=r"importing it raised SystemExit"):
        compose(RINGS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_that_name", "importing it raised ModuleNotFoundError"),
        ("x = 1 +", "importing it raised SyntaxError"),
        ("", "has no such component, expected a class with kind"),
        (
            "from samerun.components import *\n@component('mine.models:f')\nclass Cnn(Model):\n"
            "    kind: str = 'cnn'\n",
            "there is another model=cnn",
        ),
        (
            "from samerun.components import *\n@component('mine.models:f')\nclass A(Model):\n"
            "    units: int = above(0)\n",
            "expected a name of its own",
        ),
        (
            "from samerun.components import *\n@component('mine.models:f')\nclass A:\n    pass\n",
            "TypeError: A has none of these base classes: Model",
        ),
    ],
)
def test_a_mistake_in_the_package_is_one_sentence(mine, capsys, text, message):
    (mine / COMPONENTS).write_text(text)
    assert cli.main(["train", *RINGS]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_a_package_that_does_not_exist_is_one_sentence(mine, capsys):
    file = mine / "pyproject.toml"
    file.write_text(file.read_text().replace('package = "mine"', 'package = "other"'))
    assert cli.main(["train", *RINGS]) == 2
    assert "there is no module other.components in" in capsys.readouterr().err


def test_an_option_without_a_package_is_one_sentence(mine, capsys):
    (mine / "pyproject.toml").unlink()
    assert cli.main(["train", *RINGS]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "[tool.samerun]" in printed


def test_a_missing_function_is_found_before_tensorflow_is_imported(mine, capsys):
    (mine / "src/mine/models.py").write_text("def other(spec):\n    pass\n")
    assert cli.main(["train", *RINGS]) == 2
    assert "model=rings_net: mine.models:rings_net:" in capsys.readouterr().err


def test_a_project_is_written_and_not_over_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "work/my-project"]) == 0
    assert "samerun train experiment=rings" in capsys.readouterr().out
    folder = tmp_path / "work" / "my-project"
    assert {"conf", "experiments", "src", "tests", "mlruns", "pyproject.toml", "Makefile"} <= {
        path.name for path in folder.iterdir()
    }
    text = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert 'package = "my_project"' in text
    assert 'name = "my-project"' in text
    assert "PACKAGE" not in text
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert cli.main(["init", "work/my-project"]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_lines_that_init_prints_can_be_typed_where_the_environment_has_a_space(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    module = sys.modules[write_project.__module__]
    monkeypatch.setattr(module, "program", lambda folder: "../my env/bin/samerun")
    assert cli.main(["init", "mine"]) == 0
    printed = capsys.readouterr().out
    assert "'../my env/bin/samerun' train experiment=rings" in printed
    assert "'../my env/bin/python' -m pytest" in printed


@pytest.mark.parametrize("name", ["123", "class", "samerun", "é-?".replace("é", "--")])
def test_a_folder_whose_name_makes_no_package_is_refused(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", f"./{name}"]) == 2
    assert "expected a name for a Python package" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (
            "defaults: [/schema/model/ring_net@_here_, _self_]",
            "schema/model/ring_net: received 'ring_net', expected the kind of a class in "
            r"mine.components that has a file model/KIND.yaml. Did you mean 'rings_net'\?",
        ),
        ("units: 3", r"with `defaults: \[/schema/model/thin@_here_, _self_\]`"),
    ],
)
def test_a_file_with_the_start_of_no_class_names_what_is_missing(mine, start, message):
    (mine / "conf" / "model" / "thin.yaml").write_text(f"{start}\n")
    with pytest.raises(samerun.UserError, match=message):
        compose(["model=thin"])


def test_the_message_for_an_own_class_without_a_file_names_the_file(mine):
    with pytest.raises(samerun.UserError, match=r"needs the file conf/model/thin_layer\.yaml\."):
        compose(["model=thin_layer"])
    (mine / "pyproject.toml").unlink()
    with pytest.raises(samerun.UserError) as caught:
        compose(["model=thin_layer"])
    assert "class of your own" not in str(caught.value)
