"""The only file that uses private names of Hydra; a test checks them against its version.

Hydra loads, copies and merges about forty files for each composition, most of them its own and none
of them changed since the last time. Here, what was loaded and merged is remembered, together with
what it was made from; a composition that chooses the same options of all groups receives a copy.
Whatever could change the result is compared each time: the files by their state on the disk, the
search path, the registered schemas. What depends on anything else is not remembered.
"""

import copy
import functools
import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra import version
from hydra._internal import defaults_list as hydra_defaults
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra._internal.core_plugins.importlib_resources_config_source import (
    ImportlibResourcesConfigSource,
)
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import (
    AnyNode,
    BooleanNode,
    Container,
    DictConfig,
    FloatNode,
    IntegerNode,
    ListConfig,
    Node,
    OmegaConf,
    StringNode,
    ValueNode,
)
from omegaconf.base import Box, Metadata

from samerun.config import project

__all__ = [
    "BASIC_LAUNCHER",
    "MULTIRUN",
    "Callbacks",
    "copy_without",
    "drop_schema",
    "get_args_parser",
    "install",
    "store_schema",
    "without_type",
]

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""`_target_` of the launcher that Hydra takes if none is chosen."""

_MOST_COMPOSED = 32
"""Number of remembered compositions, of 0.2 MB each."""
_MOST_LOADED = 500
"""Number of remembered files."""
_SETTLED_NS = 2_000_000_000
"""A file that changed less than that long ago may change again within the clock's resolution."""

_OF_HYDRA = "hydra._internal.core_plugins."

Stamp = tuple[Any, ...]


@dataclass
class _Composed:
    """What one choice of options led to.

    Args:
        stamps: where each file was found, and its state, by its name within the search path.
        defaults: the defaults list.
        tree: the same as a tree.
        overrides: what Hydra knows about the choices.
        config: what the list is merged to; `None` where it is not remembered.
    """

    stamps: dict[str, Stamp]
    defaults: list[Any]
    tree: Any
    overrides: dict[str, Any]
    config: DictConfig | None = None


_lock = threading.Lock()  # copying a node of OmegaConf changes it for a moment
_loaded: dict[Hashable, tuple[Stamp, ConfigResult]] = {}
_composed: OrderedDict[Hashable, _Composed] = OrderedDict()


_load_file = ConfigRepository.load_config
_list_defaults = hydra_defaults._create_defaults_list
_merge_defaults = ConfigLoaderImpl._compose_config_from_defaults_list
# Hydra 1.4 has none: it resolves interpolations elsewhere, so no defaults list is remembered there.
_map_choices: Any = getattr(hydra_defaults, "_create_interpolation_map", None)
_find_mode = Hydra.get_mode
MULTIRUN = "hydra.mode=MULTIRUN"
"""The override that Hydra adds for `-m`; with it, Hydra need not compose to know the mode."""


@functools.cache
def install() -> None:
    """Has Hydra remember what it loads and merges, for this process."""
    ConfigRepository.load_config = _load_config
    ConfigRepository.__deepcopy__ = _copy_repository
    values = (AnyNode, BooleanNode, FloatNode, IntegerNode, StringNode)
    copies: dict[Any, Any] = {Metadata: _copy_metadata, **dict.fromkeys(values, _copy_value)}
    copies |= dict.fromkeys((DictConfig, ListConfig), _copy_container)
    for kind, make_copy in copies.items():
        kind.__deepcopy__ = make_copy
    merging: Any = Box
    merging._re_parent = _set_parents
    hydra_defaults._create_defaults_list = _create_defaults_list
    if _map_choices is not None:
        hydra_defaults._create_interpolation_map = _create_interpolation_map
    ConfigLoaderImpl._compose_config_from_defaults_list = _compose
    Hydra.get_mode = _get_mode


class _Schema(ConfigNode):  # type: ignore[misc]
    """A registered schema whose node is made when it is first loaded."""

    def __init__(self, group: str, name: str, make: Callable[[], DictConfig]) -> None:
        self.name, self.group, self.package, self.provider = f"{name}.yaml", group, None, None
        self._make = make

    @property
    def node(self) -> DictConfig:
        """What is registered; `ConfigStore.load` returns a copy of it."""
        return self._make()

    @node.setter
    def node(self, loaded: DictConfig) -> None:
        self._make = lambda: loaded


def store_schema(group: str, name: str, make: Callable[[], DictConfig]) -> None:
    """Registers a schema as `ConfigStore.store` does, without making its node now.

    Args:
        group: its group, such as `schema/model`.
        name: its name.
        make: returns the node, the same one each time.
    """
    entries = ConfigStore.instance().repo
    for part in group.split("/"):
        entries = entries.setdefault(part, {})
    entries[f"{name}.yaml"] = _Schema(group, name, make)


def drop_schema(group: str, name: str) -> None:
    """Takes back what `store_schema` registered."""
    entries = ConfigStore.instance().repo
    for part in group.split("/"):
        entries = entries.get(part, {})
    entries.pop(f"{name}.yaml", None)


def _copy_repository(self: ConfigRepository, memo: Mapping[int, Any]) -> ConfigRepository:
    """Copies the list of sources; Hydra also copies the sources, and in them every schema."""
    copied = copy.copy(self)
    copied.sources = list(self.sources)
    return copied


def _copy_metadata(self: Metadata, memo: dict[int, Any]) -> Metadata:
    """Copies what OmegaConf keeps beside a value: names and types, which stay, and two dicts.

    `copy` takes it apart and puts it together again: half the time of copying a config.
    """
    copied = object.__new__(type(self))
    vars(copied).update(vars(self))
    copied.flags = None if self.flags is None else dict(self.flags)
    cache = self.resolver_cache
    copied.resolver_cache = copy.deepcopy(cache, memo) if cache else copy.copy(cache)
    return copied


def _copy_value(self: ValueNode, memo: dict[int, Any]) -> ValueNode:
    """Copies a value as OmegaConf does, which first makes a node without a value."""
    copied = object.__new__(type(self))
    own = {"_metadata": _copy_metadata(self._metadata, memo), "_flags_cache": None}
    vars(copied).update({**vars(self), **own})
    return copied


def _copy_container(self: Container, memo: dict[int, Any]) -> Container:
    """Copies a mapping or a list as OmegaConf does, which first makes one without content."""
    copied: Container = object.__new__(type(self))
    own = vars(self)
    content, cache = own["_content"], own["_flags_cache"]
    if isinstance(content, dict):
        content = {key: _copy_below(copied, node, memo) for key, node in content.items()}
    elif isinstance(content, list):
        content = [_copy_below(copied, node, memo) for node in content]
    own = {**own, "_content": content, "_flags_cache": None if cache is None else dict(cache)}
    vars(copied).update({**own, "_metadata": _copy_metadata(self._metadata, memo)})
    return copied


def _copy_below(parent: Container, node: Node, memo: dict[int, Any]) -> Node:
    """Copies a node of a container; other kinds than these copy their parent too."""
    own = vars(node)
    before, own["_parent"] = own["_parent"], None
    try:
        copied = copy.deepcopy(node, memo)
    finally:
        own["_parent"] = before
    vars(copied)["_parent"] = parent
    return copied


def copy_without(node: DictConfig, parts: Collection[str]) -> DictConfig:
    """Returns a copy without some keys, as `OmegaConf.masked_copy` does.

    It checks each value against the type of a key that has none.

    Args:
        node: a config; keys that are no text are left out.
        parts: the keys.
    """
    copied = DictConfig({})
    for key, value in node.items_ex(resolve=False):
        if not isinstance(key, str) or key in parts:
            continue
        if isinstance(value, Container):
            vars(copied)["_content"][key] = _copy_below(copied, value, {})
        else:
            copied[key] = value
    copied._re_parent()
    return copied


def without_type(node: DictConfig) -> DictConfig:
    """Returns the content of a config as one that has no type itself, as `copy_without` does.

    Args:
        node: a config that is not used any more: its content is moved, not copied.
    """
    moved = DictConfig({})
    for key, value in node.items_ex(resolve=False):
        if isinstance(value, Container):
            vars(moved)["_content"][key] = value
        else:
            moved[key] = value
    moved._re_parent()
    return moved


def _set_parents(self: Box) -> None:
    """Sets the parent of every node below this one, as OmegaConf does after each merge.

    It calls three functions for each of them; with forty merges into one config, this takes as long
    as the merging itself.
    """
    waiting = [self]
    while waiting:
        box = waiting.pop()
        content = vars(box)["_content"]
        if isinstance(content, dict):
            nodes: Iterable[Any] = content.values()
        elif isinstance(content, list):
            nodes = content
        else:  # a node within another one, or no value
            nodes = [content] if isinstance(content, Node) else ()
        for node in nodes:
            if node is not None:
                own = vars(node)
                own["_parent"], own["_flags_cache"] = box, None
                if "_content" in own:
                    waiting.append(node)


def _get_mode(
    self: Hydra, config_name: str | None, overrides: list[str], **parsed: Any
) -> RunMode | None:
    """Returns whether one job is requested or several; Hydra composes everything to find out."""
    modes = [override for override in overrides if override.startswith("hydra.mode=")]
    if modes[-1:] == [MULTIRUN]:
        return RunMode.MULTIRUN
    mode: RunMode | None = _find_mode(self, config_name, overrides, **parsed)
    return mode


def _load_config(self: ConfigRepository, config_path: str) -> ConfigResult | None:
    """Loads a file, or returns a copy of what it was when it has not changed since."""
    if any(source not in _places(self.sources, config_path) for source in self.sources):
        self = copy.copy(self)
        self.sources = _places(self.sources, config_path)
    stamp = _stamp(self.sources, config_path)
    if not stamp:
        return _load_file(self, config_path)
    key = (stamp[0], config_path, _registered() if stamp[0][0] == "structured" else None)
    with _lock:
        before = _loaded.get(key)
        if before is not None and before[0] == stamp:
            return _copy_result(before[1])
    result = _load_file(self, config_path)
    if result is not None and _stamp(self.sources, config_path) == stamp:
        with _lock:
            if len(_loaded) >= _MOST_LOADED:
                _loaded.clear()
            _loaded[key] = (stamp, _copy_result(result))
    return result


def _places(sources: Sequence[ConfigSource], config_path: str) -> list[ConfigSource]:
    """Returns where a file is searched: a `config.yaml` of the user's own does not replace ours."""
    is_primary = config_path.removesuffix(".yaml") == "config"
    return [one for one in sources if not is_primary or one.provider != project.PROVIDER]


def _copy_result(result: ConfigResult) -> ConfigResult:
    copied = copy.copy(result)
    copied.config = copy.deepcopy(result.config)
    return copied


def _create_defaults_list(
    repo: Any, config_name: str | None, overrides: Any, prepend_hydra: bool, skip_missing: bool
) -> tuple[list[Any], Any]:
    """Creates the defaults list, or returns the one that the same choices led to."""
    key = (
        tuple(_identity(source) for source in repo.get_sources()),
        _registered(),
        version.getbase(),
        (config_name, prepend_hydra, skip_missing),
        repr((overrides.override_choices, overrides.deletions)),
        repr([vars(default) for default in overrides.append_group_defaults]),
    )
    known = _composed.get(key)
    if known is not None and _is_current(known, repo):
        _composed.move_to_end(key)
        vars(overrides).update(known.overrides)
        return known.defaults, known.tree
    defaults, tree = _list_defaults(
        repo, config_name, overrides, prepend_hydra=prepend_hydra, skip_missing=skip_missing
    )
    stamps = _stamps(repo)
    if stamps is not None and not getattr(overrides, "has_interpolation", _map_choices is None):
        state = {name: kept for name, kept in vars(overrides).items() if name != "config_overrides"}
        _composed[key] = _Composed(stamps, defaults, tree, state)
        if len(_composed) > _MOST_COMPOSED:
            _composed.popitem(last=False)
    return defaults, tree


def _create_interpolation_map(
    overrides: Any, defaults_list: Sequence[Any], self_added: bool
) -> DictConfig | None:
    """Creates what interpolations of a defaults list refer to, if there are any.

    They may also refer to the environment, so such a list is not remembered.
    """
    if not any(not one.is_self() and one.is_interpolation() for one in defaults_list):
        return None
    overrides.has_interpolation = True
    choices: DictConfig = _map_choices(overrides, defaults_list, self_added)
    return choices


def _compose(self: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> DictConfig:
    """Merges a defaults list, or returns a copy of what the same one was merged to."""
    entry = next((one for one in [*_composed.values()] if one.defaults is defaults), None)
    if entry is None:
        merged: DictConfig = _merge_defaults(self, defaults, repo)
        return merged
    if entry.config is None:
        config: DictConfig = _merge_defaults(self, defaults, repo)
        # Of the resolvers whose values a config keeps, `now` alone may have another value in the
        # next one.
        if OmegaConf.get_cache(config).keys() <= {"now"}:
            entry.config = copy.deepcopy(config)
            OmegaConf.clear_cache(entry.config)
        return config
    with _lock:
        return copy.deepcopy(entry.config)


def _is_current(known: _Composed, repo: CachingConfigRepository) -> bool:
    sources = repo.get_sources()
    return all(_stamp(sources, path) == stamp for path, stamp in known.stamps.items())


def _stamps(repo: CachingConfigRepository) -> dict[str, Stamp] | None:
    """Returns the stamps of all files that were looked for; `None` if one cannot be remembered."""
    found = {}
    for name in repo.cache:
        path = name.removeprefix("config_path=")
        stamp = _stamp(repo.get_sources(), path)
        if stamp is None:
            return None
        found[path] = stamp
    return found


def _stamp(sources: Sequence[ConfigSource], config_path: str) -> Stamp | None:
    """Returns where a file is found, and its state there.

    Returns:
        `()` if it is found nowhere, and `None` if what it will be next time cannot be known.
    """
    name = ConfigSource._normalize_file_name(config_path)
    for source in _places(sources, config_path):
        # Not `isinstance`: Hydra imports its plugins a second time, as other classes.
        kind = source.scheme() if type(source).__module__.startswith(_OF_HYDRA) else None
        state: Stamp | None = None
        if kind == "file":
            state = _file_state(os.path.join(source.path, name))
        elif kind == "pkg":
            state = (0,) if _is_packaged(source.path, config_path) else ()
        elif kind == "structured":
            state = (0,) if source.is_config(config_path) else ()
        if state is None:
            return None
        if state:
            return (_identity(source), *state)
    return ()


def _file_state(path: str) -> Stamp | None:
    """Returns the state of a file, `()` if there is none, and `None` if it has just changed."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ()
    if not stat.S_ISREG(found.st_mode):
        return ()
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < _SETTLED_NS:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@functools.cache
def _is_packaged(package: str, config_path: str) -> bool:
    """Whether an installed package has a file; packages do not change while they are imported."""
    return bool(ImportlibResourcesConfigSource("", f"pkg://{package}").is_config(config_path))


def _identity(source: ConfigSource) -> tuple[str, str, str]:
    return source.scheme(), source.provider, source.path


_registrations: dict[Hashable, tuple[int, list[Any]]] = {}


def _registered() -> int:
    """Returns a number that stands for the schemas that are registered now."""
    nodes = list(_nodes(ConfigStore.instance().repo, ""))
    found = tuple((path, id(node)) for path, node in nodes)
    # The nodes are kept, so that no other one gets the ID of one that was replaced.
    return _registrations.setdefault(found, (len(_registrations), nodes))[0]


def _nodes(entries: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, entry in entries.items():
        if isinstance(entry, dict):
            yield from _nodes(entry, f"{path}{name}/")
        else:
            yield f"{path}{name}", entry
