"""What Hydra keeps private, in the one file that may use it, and in its version.

That anything is remembered between two compositions must never be seen.
"""

import ast
import copy
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.utils import get_class
from omegaconf import OmegaConf
from omegaconf.base import Box
from omegaconf.basecontainer import BaseContainer

import samerun
from samerun.config import hydra_internals
from samerun.config.checkpoint import Trial
from samerun.config.composition import compose, compose_with_hydra
from samerun.config.schema import register
from samerun.errors import UserError

SOURCE = Path(samerun.__file__).parent
HEAD = "# @package _global_\n# What: x\n# Source: y\n"


def with_own(*overrides):
    """Returns the config with `own/` on the search path, as `--config-dir own` does."""
    path = f"file://{SOURCE.parents[1] / 'experiments'},file://{Path('own').absolute()}"
    return compose([f"hydra.searchpath=[{path}]", *overrides]).config


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of config files of the user's own, in which no file counts as just changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hydra_internals, "_SETTLED_NS", 0)
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    return tmp_path / "own" / "experiment"


@pytest.fixture
def remembered():
    """What is remembered, empty before the test."""
    register()
    hydra_internals._composed.clear()
    hydra_internals._loaded.clear()
    return hydra_internals._composed


def is_private(dotted):
    return any(part.startswith("_") and not part.endswith("__") for part in dotted.split("."))


def private_names(text):
    """Yields the private names of Hydra that a module imports, reads, sets or spells out."""
    tree, of_hydra = ast.parse(text), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module, names = node.module or "", node.names
            found = [(f"{module}.{one.name}", one.asname or one.name) for one in names]
        elif isinstance(node, ast.Import):
            found = [(one.name, one.asname or one.name.partition(".")[0]) for one in node.names]
        else:
            continue
        for dotted, name in found:
            if dotted.partition(".")[0] == "hydra":
                of_hydra.add(name)
                yield from [dotted] if is_private(dotted) else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"hydra\._\w+", node.value)
        if isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            if re.split(r"\W", dotted, maxsplit=1)[0] in of_hydra and is_private(node.attr):
                yield dotted


USES = (
    "from hydra._internal import utils",
    "from hydra import _internal",
    "from hydra.core.plugins import _private",
    "import hydra._internal.utils as u",
    "import hydra\nhydra._internal",
    "import hydra as h\nh.core._x = 1",
    "from hydra.core.plugins import Plugins\nPlugins.instance()._initialize",
    "importlib.import_module('hydra._internal.utils')",
)


def test_no_other_file_uses_private_names_of_hydra():
    for use in USES:
        assert [*private_names(use)], use
    files = [
        path
        for folder in (SOURCE, SOURCE.parent / "hydra_plugins")
        for path in folder.rglob("*.py")
    ]
    assert len(files) > 100
    for path in sorted(files):
        text = path.read_text()
        if "hydra" in text and path.name != "hydra_internals.py":  # else it has no such name
            assert [*private_names(text)] == [], path


def test_the_names_are_those_of_the_pinned_version():
    assert hydra.__version__.startswith("1.3.")
    assert issubclass(get_class(hydra_internals.BASIC_LAUNCHER), Launcher)
    expected = {
        hydra_internals._load_file: "self config_path",
        hydra_internals._list_defaults: "repo config_name overrides prepend_hydra skip_missing",
        hydra_internals._merge_defaults: "self defaults repo",
        hydra_internals._map_choices: "overrides defaults_list self_added",
        hydra_internals._find_mode: "self config_name overrides",
    }
    for function, parameters in expected.items():
        assert list(inspect.signature(function).parameters) == parameters.split()
        assert function.__module__.startswith("hydra._internal")
    register()
    assert ConfigRepository.load_config is hydra_internals._load_config
    assert defaults_list._create_defaults_list is hydra_internals._create_defaults_list
    assert defaults_list._create_interpolation_map is hydra_internals._create_interpolation_map
    assert ConfigLoaderImpl._compose_config_from_defaults_list is hydra_internals._compose
    assert Box._re_parent is hydra_internals._set_parents
    for function, used in (
        (BaseContainer._merge_with, "self._re_parent()"),
        (defaults_list.create_defaults_list, "_create_defaults_list("),
        (defaults_list._create_defaults_tree_impl, "_create_interpolation_map("),
        (ConfigLoaderImpl._load_configuration_impl, "self._compose_config_from_defaults_list("),
        (CachingConfigRepository.__init__, "copy.deepcopy(delegate)"),
        (CachingConfigRepository.load_config, 'f"config_path={config_path}"'),
        (ConfigStore.load, "ret.node = copy.deepcopy(ret.node)"),
    ):
        assert used in inspect.getsource(function)


LINES = [
    ["experiment=digits_cnn", "sweep=optuna", "seed=3"],
    ["model=mlp", "dataset=diabetes", "training.epochs=3", "~debug"],
    ["model=mlp", "dataset=diabetes", "+model.extra=1"],
    ["model=nope"],
    ["hydra/job_logging=default", "hydra.run.dir=x"],
]
COMPOSE = """
import sys, omegaconf
from samerun.config import composition, hydra_internals, schema
from samerun.errors import UserError
is_plain = sys.argv[1] == "plain"
if is_plain:
    hydra_internals.install = lambda: None
for line in {lines}:
    for time in range(1 if is_plain else 3):
        try:
            made, node = composition.compose_with_hydra([*line])
            whole = omegaconf.OmegaConf.to_yaml(node)
            text = repr((made.config, made.composed, made.resolved, whole))
        except UserError as error:
            text = str(error)
        assert time == 0 or text == before
        before = text
    print(text)
assert is_plain != bool(hydra_internals._composed)
"""


def test_what_is_composed_is_what_hydra_composes():
    code = COMPOSE.format(lines=LINES)
    plain, patched = (
        subprocess.run(
            [sys.executable, "-c", code, kind], capture_output=True, text=True, check=True
        ).stdout
        for kind in ("plain", "patched")
    )
    assert patched == plain
    assert len(plain) > 20_000


def test_the_same_options_are_merged_once(remembered, monkeypatch):
    merged = []
    merge = hydra_internals._merge_defaults

    def counting(*arguments):
        merged.append(arguments)
        return merge(*arguments)

    monkeypatch.setattr(hydra_internals, "_merge_defaults", counting)
    for epochs in range(1, 5):
        made = compose(["model=mlp", f"training.epochs={epochs}"])
        assert made.config.training.epochs == epochs
    assert len(merged) == 1
    assert compose(["model=cnn"]).config.model.kind == "cnn"
    assert len(merged) == 2


def test_a_change_to_a_composed_config_is_not_in_the_next_one(remembered):
    for _ in range(4):
        made, node = compose_with_hydra(["model=mlp"])
        assert made.config.training.epochs == node.training.epochs == 20
        assert node.hydra.run.dir.startswith("outputs")
        node.training.epochs, node.hydra.run.dir = 1, "elsewhere"


def test_a_copied_config_has_all_that_omegaconf_keeps_beside_a_value_and_shares_none_of_it():
    node = OmegaConf.create({"a": {"b": 1, "c": [1, "x"]}, "d": "${a.b}"})
    OmegaConf.set_readonly(node.a, True)
    OmegaConf.get_cache(node)["now"]["%Y"] = "2026"
    typed = OmegaConf.structured(Trial(study="s", storage="", number=1, run="r"))
    for kept in (node, node.a, node.a._get_node("b"), node.a.c, typed, typed._get_node("number")):
        copied = copy.deepcopy(kept)._metadata
        assert vars(copied) == vars(kept._metadata)
        assert type(copied) is type(kept._metadata)
        assert copied.flags is not kept._metadata.flags
        assert copied.resolver_cache is not kept._metadata.resolver_cache
        assert copied.resolver_cache.default_factory is dict
    for value in (None, True, 1, 1.5, "x", b"y", Path("z"), "${a.b}", "???"):
        holder = OmegaConf.create({"value": value})
        kept, copied = holder._get_node("value"), copy.deepcopy(holder)._get_node("value")
        assert (type(copied), copied._value()) == (type(kept), kept._value())
        assert copied._get_parent() is not kept._get_parent()
        assert vars(copied).keys() == vars(kept).keys()
    copied = copy.deepcopy(node)
    OmegaConf.get_cache(copied)["now"]["%Y"] = "2027"
    OmegaConf.set_readonly(copied.a, False)
    copied.a.b = 2
    assert (node.d, copied.d, OmegaConf.is_readonly(node.a)) == (1, 2, True)
    assert OmegaConf.get_cache(node)["now"]["%Y"] == "2026"


def nodes_of(node):
    """Yields each node below a config with the node that it is in."""
    content = node._content
    for below in content.values() if isinstance(content, dict) else content:
        yield below, node
        if OmegaConf.is_config(below) and isinstance(below._content, dict | list):
            yield from nodes_of(below)


def every_kind_of_node():
    given = {"a": {"b": [1, {"c": "x"}, None, []]}, "d": None, "e": "${a.b}", "f": "???"}
    return OmegaConf.create({**given, "g": Path("x"), "h": {}, 1: {"i": True}})


def test_a_copy_without_some_keys_is_the_one_that_omegaconf_makes():
    for node in (compose_with_hydra(["sweep=optuna"])[1], every_kind_of_node()):
        kept = [str(key) for key in node if key not in ("hydra", "a")]
        expected = OmegaConf.masked_copy(node, kept)
        copied = hydra_internals.copy_without(node, ("hydra", "a"))
        assert OmegaConf.to_yaml(copied) == OmegaConf.to_yaml(expected)
        assert vars(copied._metadata) == vars(expected._metadata)
        pairs = [*zip(nodes_of(copied), nodes_of(expected), strict=True)]
        assert len(pairs) >= 5
        for (one, parent), (other, _) in pairs:
            assert (type(one), vars(one._metadata)) == (type(other), vars(other._metadata))
            assert one._get_parent() is parent
            assert one._get_flag("struct") == other._get_flag("struct")
        assert not {id(one) for one, _ in nodes_of(copied)} & {id(one) for one, _ in nodes_of(node)}


def test_content_that_is_moved_is_what_a_copy_would_have():
    other = every_kind_of_node()
    del other[1]  # a key that is no text
    for node in (compose_with_hydra(["sweep=optuna"])[1], other):
        expected = hydra_internals.copy_without(node, ())
        moved = hydra_internals.without_type(node)
        assert OmegaConf.to_yaml(moved) == OmegaConf.to_yaml(expected)
        assert vars(moved._metadata) == vars(expected._metadata)
        for (one, parent), (copied, _) in zip(nodes_of(moved), nodes_of(expected), strict=True):
            assert (type(one), vars(one._metadata)) == (type(copied), vars(copied._metadata))
            assert one._get_parent() is parent


def test_after_a_merge_every_node_knows_where_it_is_and_what_is_read_only():
    node = every_kind_of_node()
    OmegaConf.set_readonly(node, True)
    assert all(OmegaConf.is_readonly(below) for below, _ in nodes_of(node) if below is not None)
    OmegaConf.set_readonly(node, False)
    OmegaConf.update(node, "a", {"b": [3, {"c": 4}], "z": {"y": 5}}, merge=True)
    node.merge_with({"h": {"new": {"er": 1}}})
    assert len([*nodes_of(node)]) >= 15
    for below, parent in nodes_of(node):
        assert below._get_parent() is parent
        assert not below._get_flag("readonly")
    assert node.h.new._get_full_key("er") == "h.new.er"
    assert node.a.b[1]._get_full_key("c") == "a.b[1].c"


def test_the_time_in_the_name_of_a_folder_is_not_remembered(remembered):
    folders = {compose_with_hydra(["model=mlp"])[1].hydra.run.dir for _ in range(4)}
    assert len(folders) == 4


def test_a_file_that_changes_between_two_compositions_is_read_again(own, remembered):
    for seed in (3, 4, 5):  # of the same size
        (own / "mine.yaml").write_text(f"{HEAD}seed: {seed}\n")
        assert [with_own("experiment=mine").seed for _ in range(2)] == [seed, seed]


def test_a_file_that_has_just_changed_is_not_remembered(own, remembered):
    file = own / "mine.yaml"
    file.write_text(f"{HEAD}seed: 3\n")
    in_an_hour = file.stat().st_mtime_ns + 3600 * 10**9  # and so it never becomes an old one
    os.utime(file, ns=(in_an_hour, in_an_hour))
    assert with_own("experiment=mine").seed == 3
    assert not remembered


def test_a_changed_file_with_the_size_and_the_time_of_the_old_one_is_read_again(own, remembered):
    file = own / "mine.yaml"
    file.write_text(f"{HEAD}seed: 3\n")
    before = file.stat()
    assert [with_own("experiment=mine").seed for _ in range(3)] == [3, 3, 3]
    file.write_text(f"{HEAD}seed: 4\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert with_own("experiment=mine").seed == 4


def test_a_file_that_appears_and_disappears_is_seen(own, remembered):
    for _ in range(2):
        with pytest.raises(UserError, match="mine"):
            with_own("experiment=mine")
        (own / "mine.yaml").write_text(f"{HEAD}seed: 3\n")
        assert [with_own("experiment=mine").seed for _ in range(2)] == [3, 3]
        (own / "mine.yaml").unlink()


def test_a_defaults_list_that_depends_on_the_environment_is_read_again(
    own, remembered, monkeypatch
):
    (own / "mine.yaml").write_text(HEAD + "defaults:\n  - part: ${oc.env:CHOSEN}\n")
    (own / "part").mkdir()
    for name, seed in (("a", 1), ("b", 2)):
        (own / "part" / f"{name}.yaml").write_text(f"{HEAD}seed: {seed}\n")
    for name, seed in (("a", 1), ("a", 1), ("b", 2)):
        monkeypatch.setenv("CHOSEN", name)
        assert with_own("experiment=mine").seed == seed


def test_a_schema_that_is_registered_later_is_seen(own, remembered):
    (own / "mine.yaml").write_text(HEAD + "defaults:\n  - /given\n")
    store = ConfigStore.instance()
    try:
        for seed in (3, 4):
            store.store(name="given", node={"seed": seed}, package="_global_")
            assert [with_own("experiment=mine").seed for _ in range(2)] == [seed, seed]
    finally:
        del store.repo["given.yaml"]


def test_the_number_of_remembered_compositions_is_limited(remembered, monkeypatch):
    monkeypatch.setattr(hydra_internals, "_MOST_COMPOSED", 2)
    monkeypatch.setattr(hydra_internals, "_MOST_LOADED", 30)
    for option in ("adam", "sgd", "lion", "adam"):
        assert compose([f"optimizer={option}"]).config.optimizer.kind == option
        assert 1 <= len(remembered) <= 2
        assert len(hydra_internals._loaded) <= 30
