"""Packages of your own: each working folder has its own, and Python's modules stay Python's."""

import importlib
import sys

import pytest

from samerun import errors
from samerun.config import own
from samerun.config.composition import compose
from samerun.config.schema import load_own
from samerun.user_code import import_function

CLASS = """
from samerun.components import Model, above, component

@component("twin.models:net")
class Net(Model):
    kind: str = "net"
    {field}
"""
OPTION = "defaults: [/schema/model/net@_here_, _self_]\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Makes a working folder with a package `twin` and enters it."""
    path, modules = list(sys.path), set(sys.modules)

    def make(name, field="depth: int = 3", option="depth: 3\n", more=""):
        here = tmp_path / name
        (here / "twin").mkdir(parents=True)
        (here / "conf/model").mkdir(parents=True)
        (here / "pyproject.toml").write_text('[tool.samerun]\npackage = "twin"\n')
        (here / "twin/components.py").write_text(CLASS.format(field=field) + more)
        (here / "twin/models.py").write_text(f"def net(spec):\n    return {name!r}\n")
        (here / "conf/model/net.yaml").write_text(OPTION + option)
        monkeypatch.chdir(here)
        return here

    yield make
    sys.path[:] = path
    for name in {*sys.modules} - modules:
        if name.partition(".")[0] in ("twin", "statistics"):
            del sys.modules[name]


@pytest.mark.parametrize("is_regular", [True, False])
def test_two_folders_with_a_package_of_one_name_keep_their_own(folder, monkeypatch, is_regular):
    first = folder("a")
    if is_regular:
        (first / "twin/__init__.py").write_text("")
    assert compose(["model=net"]).config.model.depth == 3
    assert import_function("model", "twin.models:net")(None) == "a"
    second = folder("b", "width: int = 5", "width: 5\n")
    if is_regular:
        (second / "twin/__init__.py").write_text("")
    assert compose(["model=net"]).config.model.width == 5
    assert import_function("model", "twin.models:net")(None) == "b"
    monkeypatch.chdir(first)
    assert compose(["model=net"]).config.model.depth == 3
    assert import_function("model", "twin.models:net")(None) == "a"


def test_a_folder_without_the_package_does_not_take_anothers(folder):
    folder("a")
    compose(["model=net"])
    (folder("b") / "twin/components.py").unlink()
    with pytest.raises(errors.UserError, match="there is no module twin.components"):
        compose(["model=net"])


def test_a_file_of_the_project_does_not_replace_a_module_of_python(folder, monkeypatch):
    here = folder("a")
    (here / "statistics.py").write_text("raise ImportError('not the one of Python')\n")
    monkeypatch.delitem(sys.modules, "statistics", raising=False)
    compose(["model=net"])
    assert importlib.import_module("statistics").mean([1, 3]) == 2
    assert sys.path.index(str(here)) == len(sys.path) - 1


def test_an_entry_of_the_users_own_path_stays(folder, monkeypatch):
    here = folder("a")
    sys.path.insert(0, str(here))
    compose(["model=net"])
    folder("b")
    compose(["model=net"])
    assert str(here) in sys.path


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("params: int = 3", "received a field called params"),
        ("target: str = 'x'", "received a field called target"),
        ("kind: int = 3", "received 3 as its kind, expected text"),
    ],
)
def test_a_field_that_samerun_uses_itself_is_refused(folder, field, message):
    folder("a", field)
    with pytest.raises(errors.UserError, match=message):
        load_own()


@pytest.mark.parametrize(
    "text", ["", "[1, 2]\n", "3\n", "a: [\n", "a: &a [*a]\n", "x: " + "[" * 90]
)
def test_completion_bears_an_option_that_is_no_mapping(folder, text):
    (folder("a") / "conf/model/net.yaml").write_text(text)
    assert own.placeholder("model", "net").__name__ == "Own"


def test_a_mapping_whose_keys_are_numbers_is_refused_since_it_is_recorded_with_text(folder):
    here = folder(
        "a",
        "depth: int | str = 3\n    table: dict[int, str] = field(default_factory=dict)\n"
        "    level: dict[Level, int] = field(default_factory=dict)\n"
        "    some: list = field(default_factory=list)",
        "depth: '3'\ntable: {1: a}\nlevel: {low: 1}\nsome: [1]\n",
    )
    file = here / "twin/components.py"
    start = (
        "from dataclasses import field\nfrom enum import Enum\nclass Level(Enum):\n    low = 1\n"
    )
    file.write_text(start + file.read_text())
    with pytest.raises(errors.UserError, match=r"model.table: received 1 as a key"):
        compose(["model=net"])
