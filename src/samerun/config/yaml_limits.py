"""Limits on what a YAML file may become when its aliases are expanded.

Ten lines of aliases of aliases are ten million values, and OmegaConf copies every one of them.
PyYAML knows no limit; OmegaConf 2.4 brings one (10,000 nodes), and this file can go with it.
"""

import functools
from typing import Any

import yaml
from omegaconf import _utils as omegaconf_yaml

MOST_NODES = 10_000
"""Keys and values of a file that has aliases, all aliases expanded."""
MOST_LEVELS = 50
"""Levels of lists and mappings inside each other."""


class TooLarge(yaml.composer.ComposerError):
    """A YAML file that would become more than it may."""


@functools.cache
def install() -> None:
    """Makes OmegaConf, and so Hydra, refuse such files whenever it reads one."""
    make_loader = getattr(omegaconf_yaml, "get_yaml_loader", None)
    if make_loader is None:
        return  # OmegaConf 2.4, which has a limit of its own

    def get_yaml_loader() -> Any:
        return type("LimitedLoader", (_Limits, make_loader()), {})

    omegaconf_yaml.get_yaml_loader = get_yaml_loader


class _Limits:
    """Goes before a loader of PyYAML's: what is composed is counted before it is made."""

    _level = 0
    _has_alias = False

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Composes a value and what is in it; an alias is not copied yet."""
        self._has_alias |= self.check_event(yaml.AliasEvent)  # type: ignore[attr-defined]
        self._level += 1
        if self._level > MOST_LEVELS:
            mark = self.peek_event().start_mark  # type: ignore[attr-defined]
            raise _too_large(f"more than {MOST_LEVELS} levels inside each other", mark)
        node = super().compose_node(parent, index)  # type: ignore[misc]
        self._level -= 1
        return node

    def compose_document(self) -> Any:
        """Composes a document and counts what it will become."""
        node = super().compose_document()  # type: ignore[misc]
        if self._has_alias:
            _num_nodes(node, {})
        return node


def _num_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Returns how many keys and values a node becomes; each is visited once.

    Args:
        node: of a composed document.
        known: the numbers of the nodes that were counted, by identity; 0 while one is counted.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = 0
        parts = node.value
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_num_nodes(part, known) for part in parts)
    elif not known[id(node)]:
        raise _too_large("an alias of what it is in itself", node.start_mark)
    if known[id(node)] > MOST_NODES:
        what = f"aliases that stand for more than {MOST_NODES} keys and values"
        raise _too_large(what, node.start_mark)
    return known[id(node)]


def _too_large(what: str, mark: Any) -> TooLarge:
    return TooLarge(None, None, what, mark)
