"""The user's own files behind a function that a config names, found without running them."""

import re
import sys
import time

import pytest

from samerun import config
from samerun.cli import main
from samerun.config.paths import paths
from samerun.errors import UserError
from samerun.provenance import distributions_of
from samerun.replay.trust import check_trusted
from samerun.user_code import (
    check_source,
    files_of,
    import_function,
    imports_of,
    targets,
    working_folder_first,
)


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


SOURCE = """
import keras
from os import path as place
try:
    import torch
except ImportError:
    torch = None

def build(spec, width=64):
    return keras.Sequential()

class Net:
    pass

other = build
table = 3
"""
WRONG = {
    "a file": ("my_own.py:build", "without .py: give {key}=my_own:build."),
    "a path": ("./my_own.py:build", "give {key}=my_own:build."),
    "a path in a folder": ("nets/my_own.py:build", "give {key}=nets.my_own:build."),
    "a dot": ("my_own.build", "received 'my_own.build', expected package.module:function"),
    "a dot put right": ("my_own.build", "give {key}=my_own:build."),
    "two colons": ("my_own::build", "give {key}=my_own:build."),
    "a call": ("'my_own:build()'", "give {key}=my_own:build."),
    "no module": ("build", "such as {key}=my_code:f."),
    "a hyphen": ("'my-own:build'", "received 'my-own:build', expected package.module:function"),
    "a missing file": ("nowhere:build", "there is no module nowhere in"),
    "a slip in the file": ("my_onw:build", "did you mean {key}=my_own:build?"),
    "a module of a module": ("my_own.nets:build", "there is no module my_own.nets in"),
    "invalid syntax": ("broken:build", "broken.py, line 2: received invalid Python ("),
    "a file of bytes": ("noise:build", "noise.py: received invalid Python ("),
    "a missing function": ("my_own:make", "has no make, expected one of build, Net."),
    "a slip in the function": ("my_own:buidl", "Did you mean {key}=my_own:build?"),
    "a module it imports": ("my_own:keras.ops.sum", "imported from keras there, expected a fun"),
    "one it may import": ("my_own:torch.load", "imported from torch there, expected a function or"),
    "a name it imports": ("my_own:place.join", "imported from os there, expected a function or a"),
    "no function": ("my_own:table", "received int, expected a function, such as build"),
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_own.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("import keras\ndef build(:\n")
    (tmp_path / "noise.py").write_bytes(b"\x00\xff")
    return tmp_path


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_name_is_one_sentence_and_nothing_is_imported(own, case):
    target, sentence = WRONG[case]
    before = set(sys.modules)
    with pytest.raises(UserError) as caught:
        check_source("model.target", target.strip("'"))
    assert str(caught.value).startswith("model.target: ")
    assert sentence.format(key="model.target") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not {"my_own", "broken", "noise"} & (set(sys.modules) - before)


KEYS = {
    "model.target": ["model=custom"],
    "dataset.target": ["dataset=custom"],
    "optimizer.target": ["optimizer=custom"],
    "schedule.target": ["schedule=custom"],
    "training.loss": [],
    "training.metrics[0]": [],
    "training.callbacks[0]": [],
}
"""Every key that takes a function of your own, and the overrides that it needs."""


@pytest.mark.parametrize("key", KEYS)
def test_every_function_is_checked_before_anything_is_written(own, capsys, key):
    word = f"{key.removesuffix('[0]')}=my_own:buidl"
    word = re.sub("=(.*)", r"=[\1]", word) if "[0]" in key else word
    assert main(["train", *KEYS[key], word]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"samerun: {key}: my_own:buidl: my_own ({own}/my_own.py) has no buidl,")
    typed = "my_own:build" if "[0]" in key else f"{key}=my_own:build"
    assert line.endswith(f"Did you mean {typed}?")
    assert not list(own.glob("outputs"))


@pytest.mark.parametrize("name", ["build", "Net", "other", "Net.make"])
def test_what_the_source_may_have_is_accepted(own, name):
    check_source("model.target", f"my_own:{name}")


def test_names_that_a_module_makes_are_accepted(own):
    (own / "makes.py").write_text("globals()['build'] = print")
    (own / "passes.py").write_text("from my_own import *")
    for target in ("makes:build", "passes:build", "os:system", "math:sin", "numpy:zeros"):
        check_source("model.target", target)


def test_an_argument_that_the_function_lacks_is_named(own, capsys):
    overrides = ["model=custom", "model.target=my_own:build", "+model.params.widht=3"]
    assert main(["train", *overrides]) == 2
    expected = "received 'widht', but build has no argument of this name, expected spec, width."
    assert f"model.params: {expected} Did you mean 'width'?" in capsys.readouterr().err


NAMES = {
    "an unknown loss": (["training.loss=hubber"], "Did you mean `training.loss=huber`?"),
    "a loss without a module": (["training.loss=mine"], "as in training.loss=my_code:f."),
    "a metric without a module": (
        ["training.metrics=[mine]"],
        "training.metrics=[my_code:f]",
    ),
    "a callback without a module": (
        ["training.callbacks=[Mine]"],
        "training.callbacks=[my_code:f]",
    ),
    "two metrics of one name": (["training.metrics=[a:f,b:f]"], "rename one f."),
    "a metric named loss": (["training.metrics=[a:loss]"], "rename one loss."),
    "arguments of no function": (["+training.params.f.x=1"], "and there are none"),
    "arguments of another": (
        ["training.loss=a:pinball", "+training.params.pinbal.x=1"],
        "as in +training.params.pinball.weight=2. Did you mean 'pinball'?",
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_loss_metric_or_callback_that_does_not_exist_is_one_sentence(case):
    overrides, sentence = NAMES[case]
    with pytest.raises(UserError) as caught:
        config.compose(overrides)
    assert sentence in str(caught.value)


WORDS = [
    *("optimizer=custom", "optimizer.target=evil:a", "+optimizer.params.file=/etc/passwd"),
    *("schedule=custom", "schedule.target=evil:b"),
    *("training.loss=evil:c", "+training.params.c.file=/etc/passwd"),
    *("training.metrics=[evil:d]", "training.callbacks=[evil:e]"),
]


def test_no_function_of_a_stored_config_is_trusted():
    cfg = config.compose(WORDS).config
    keys = ["optimizer.target", "schedule.target", "training.loss"]
    assert [*targets(cfg)] == [*keys, "training.metrics[0]", "training.callbacks[0]"]
    assert {*paths(cfg)} >= {"optimizer.params.file", "training.params.c.file"}
    for key, target in targets(cfg).items():
        others = [one for one in targets(cfg).values() if one != target]
        with pytest.raises(UserError, match=f"^{re.escape(key)}: .* --trust evil"):
            check_trusted(cfg, [*others, "data"])
    check_trusted(cfg, ["evil"])


def test_configs_and_fingerprints_from_before_these_keys_are_the_same():
    cfg = config.compose([]).config
    text = config.to_yaml(cfg)
    older = "".join(
        line
        for line in text.splitlines(keepends=True)
        if line.strip() not in ("callbacks: []", "params: {}")
    )
    assert older.count("\n") == text.count("\n") - 2
    assert config.from_yaml(older) == cfg
    assert config.fingerprint(config.from_yaml(older)) == config.fingerprint(cfg)


REACH = """
import os
import functools
from os import *
from subprocess import Popen as start
from .inner import gather, hidden, os as again, shell

run = os.system
held = {"run": os.system}
here = functools.partial(print, "x")
build = lambda: 1

def elsewhere(function):
    function.__module__ = "elsewhere"
    return function

@elsewhere
def decorated():
    pass
decorated.note = 1

class Net(dict):
    pass
"""
INNER = """
import os
from os import system as hidden
shell = os.popen

def gather():
    return 2
"""


@pytest.fixture
def reach(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reach").mkdir()
    (tmp_path / "reach/__init__.py").write_text(REACH)
    (tmp_path / "reach/inner.py").write_text(INNER)
    yield tmp_path
    for name in ("reach", "reach.inner"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "name",
    [
        *("os.system", "start", "again.system", "inner.os.system", "inner.gather"),
        *("run", "system", "hidden", "shell", "held.get", "Net.fromkeys", "Net.mro"),
        *("build.__globals__.get", "build.__class__", "here.func", "gather.__call__"),
    ],
)
def test_a_target_reaches_nothing_that_its_module_imports(reach, name):
    with working_folder_first(), pytest.raises(UserError) as caught:
        import_function("model.target", f"reach:{name}")
    assert "expected a function or a class that reach defines" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["build", "here", "decorated", "Net", "gather"])
def test_what_a_module_makes_or_takes_from_its_package_is_its_own(reach, name):
    with working_folder_first():
        assert callable(import_function("model.target", f"reach:{name}"))
    check_source("model.target", f"reach:{name}")


def test_it_takes_a_tenth_of_a_second(own):
    begun = time.process_time()
    with pytest.raises(UserError):
        check_source("model.target", "mlflow.tracking:Clint")
    assert time.process_time() - begun < 0.1
