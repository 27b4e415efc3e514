"""Limits the size of YAML files after their aliases are expanded.

Ten lines of nested aliases expand to ten million values, and OmegaConf copies each of them.
PyYAML has no limit; OmegaConf 2.4 adds one (10,000 nodes), which makes this file obsolete.
"""

import functools
from typing import Any

import yaml

MOST_NODES = 10_000
"""Maximum number of keys and values of a file with aliases, after expansion."""
MOST_LEVELS = 50
"""Maximum nesting depth of lists and mappings."""


class TooLarge(yaml.composer.ComposerError):
    """A YAML file exceeds the limits."""


@functools.cache
def install() -> None:
    """Applies the limits to all files that OmegaConf, and so Hydra, reads."""
    from omegaconf import _utils as omegaconf_yaml

    make_loader = getattr(omegaconf_yaml, "get_yaml_loader", None)
    if make_loader is None:
        return  # OmegaConf 2.4, which has its own limit

    def get_yaml_loader() -> Any:
        return type("LimitedLoader", (_Limits, make_loader()), {})

    omegaconf_yaml.get_yaml_loader = get_yaml_loader


def loader() -> Any:
    """Returns a loader of plain values, for PyYAML, with these limits."""
    return type("PlainLoader", (_Limits, yaml.SafeLoader), {})


class _Limits:
    """Mixin for a PyYAML loader: counts nodes before values are constructed."""

    _level = 0
    _has_alias = False

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Composes a value and its content; aliases are not expanded yet."""
        self._has_alias |= self.check_event(yaml.AliasEvent)  # type: ignore[attr-defined]
        self._level += 1
        if self._level > MOST_LEVELS:
            mark = self.peek_event().start_mark  # type: ignore[attr-defined]
            raise _too_large(f"more than {MOST_LEVELS} nested levels", mark)
        node = super().compose_node(parent, index)  # type: ignore[misc]
        self._level -= 1
        return node

    def compose_document(self) -> Any:
        """Composes a document and counts its nodes after expansion."""
        node = super().compose_document()  # type: ignore[misc]
        if self._has_alias:
            _num_nodes(node, {})
        return node


def _num_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Returns the number of keys and values of a node after expansion; each is visited once.

    Args:
        node: of a composed document.
        known: counts of the visited nodes, by identity; 0 while a node is being counted.
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
        raise _too_large("an alias of one of its own parents", node.start_mark)
    if known[id(node)] > MOST_NODES:
        what = f"aliases that stand for more than {MOST_NODES} keys and values"
        raise _too_large(what, node.start_mark)
    return known[id(node)]


def _too_large(what: str, mark: Any) -> TooLarge:
    return TooLarge(None, None, what, mark)
