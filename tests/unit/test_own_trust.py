"""A recorded run imports nothing of the working folder's package without `--trust`."""

import zipfile

import pytest
import yaml

from samerun import cli, config, user_code
from samerun.config.paths import paths
from samerun.config.schema import GROUPS, load_own, without_own_code
from samerun.config.stored import apply_overrides
from samerun.errors import UserError
from samerun.replay.trust import check_trusted, trusts_components
from support.compared import add, resolved
from support.own_parts import imports_undone

PACKAGE = """
from samerun.components import Model, above, component
open('imported', 'w').close()

@component("theirs.models:net")
class Net(Model):
    kind: str = "net"
    depth: int = above(0)
"""


@pytest.fixture
def package(project):
    """A working folder whose package leaves a file when it is imported; returns the file."""
    (project / "theirs").mkdir()
    (project / "theirs/components.py").write_text(PACKAGE)
    (project / "theirs/models.py").write_text("def net(spec, depth):\n    pass\n")
    (project / "pyproject.toml").write_text('[tool.samerun]\npackage = "theirs"\n')
    with imports_undone("theirs"):
        yield project / "imported"


def stored(**groups):
    """The config of a run in which groups have other values, such as those of a component."""
    plain = yaml.safe_load(resolved())
    plain["model"] = {}
    for group, values in groups.items():
        plain[group] |= values
    return yaml.safe_dump(plain, sort_keys=False)


THEIRS = stored(model={"kind": "net", "depth": 3})


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["diff", "theirs", "plain"], 0),
        (["compare", "theirs", "plain"], 0),
        (["reproduce", "theirs", "--dry-run"], 2),
        (["resume", "theirs"], 2),
        (["bundle", "theirs", "run.zip"], 2),
        (["export", "theirs", "--format", "keras"], 2),
        (["verify", "theirs"], 1),
        (["evaluate", "theirs", "dataset.path=a.csv"], 2),
    ],
)
def test_no_command_imports_the_package(store, package, capsys, command, code):
    add(store, "plain")
    store({"config/resolved.yaml": THEIRS}, name="theirs")
    assert cli.main(command) == code
    printed = capsys.readouterr()
    assert not package.exists()
    assert "Traceback" not in printed.err
    if command[0] in ("reproduce", "resume", "bundle", "export", "verify"):
        assert "give --trust theirs" in printed.err + printed.out
    if command[0] == "diff":
        assert "model.depth" in printed.out


def test_a_package_that_is_named_is_imported(store, package, capsys):
    store({"config/resolved.yaml": THEIRS}, name="theirs")
    assert cli.main(["bundle", "theirs", "run.zip", "--trust", "theirs"]) == 0
    assert package.exists()
    with zipfile.ZipFile("run.zip") as content:
        assert {"code/theirs/components.py", "code/theirs/models.py"} <= {*content.namelist()}
    assert not trusts_components(["data", "other", "theirs.components.more"])
    assert trusts_components(["theirs"])
    wrong = stored(model={"kind": "net", "depth": 0})
    with pytest.raises(UserError, match="model.depth: received 0, expected a number above 0"):
        config.from_yaml(wrong, own_code=True)


def test_a_recorded_component_is_read_without_its_package(package):
    cfg = config.from_yaml(THEIRS)
    assert (cfg.model.kind, cfg.model.depth) == ("net", 3)
    assert config.from_yaml(THEIRS) == cfg
    assert config.from_yaml(config.to_yaml(cfg)) == cfg
    assert apply_overrides(THEIRS, ["model.depth=4"]).config.model.depth == 4
    assert user_code.components_of(cfg) == ["theirs.components"]
    assert not package.exists()
    with pytest.raises(UserError, match="give --trust theirs"):
        check_trusted(cfg, ["data"])


def test_any_value_of_a_recorded_dataset_may_be_a_file(package):
    text = stored(model={"kind": "net"}, dataset={"kind": "net", "table": "a.csv"})
    assert paths(config.from_yaml(text).dataset)["table"] == "a.csv"


@pytest.mark.parametrize("key", ["params", "target", "layouts", "class"])
def test_a_key_that_no_component_has_is_refused(package, key):
    with pytest.raises(UserError, match="that no component has"):
        config.from_yaml(stored(model={"kind": "net", key: 1}))


def test_without_own_code_nothing_imports_the_package(package):
    with without_own_code():
        load_own()
        config.from_yaml(THEIRS, own_code=True)
    assert not package.exists()
    assert "net" not in {kind.kind for kind in GROUPS["model"]}
