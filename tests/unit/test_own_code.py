"""The user's own files behind a function that a config names, found without running them."""

import sys

import pytest

from samerun import config
from samerun.provenance import distributions_of
from samerun.user_code import files_of, imports_of, targets


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blocks").mkdir()
    texts = {
        "my_code.py": "import os\nimport keras\nfrom blocks import dense\nraise SystemExit",
        "blocks/__init__.py": "from .depth import deep",
        "blocks/dense.py": "from . import wide",
        "blocks/depth.py": "import numpy",
        "blocks/wide.py": "",
        "blocks/unused.py": "",
        "other.py": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_module_and_what_it_imports_from_beside_it_are_found(mine):
    expected = ["blocks/__init__.py", "blocks/dense.py", "blocks/depth.py", "blocks/wide.py"]
    assert list(files_of(["my_code:build"])) == [*expected, "my_code.py"]
    assert "my_code" not in sys.modules


def test_the_packages_it_imports_are_named(mine):
    imported = imports_of(["my_code:build"])
    assert distributions_of(imported) == ["keras", "numpy"]


def test_what_is_installed_or_not_there_or_no_python_has_no_files(mine):
    assert files_of(["keras.layers:Dense", "nothing.there:f", "os:system"]) == {}
    (mine / "broken.py").write_text("def (")
    assert list(files_of(["broken:f"])) == ["broken.py"]


def test_a_config_without_functions_of_its_own_names_none():
    assert targets(config.compose([]).config) == {}
    overrides = ["model=custom", "model.target=my_code:build"]
    assert targets(config.compose(overrides).config) == {"model.target": "my_code:build"}
