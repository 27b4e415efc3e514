"""Reads and writes YAML of plain values as OmegaConf does, in a fraction of the time.

OmegaConf reads with PyYAML's parser, in Python: 15 ms for a run's config. libyaml's takes a tenth
and agrees with it on what a program wrote; what a person writes is left to OmegaConf. To write, it
first turns each value into a node, which takes longer than writing. It is imported when a text is
read or written.
"""

import functools
from collections.abc import Mapping
from typing import Any

import yaml

from samerun.config import yaml_limits

_UNEQUAL = ("!", "\t", "\ufeff")
"""Tags, tabs and byte order marks, which libyaml and PyYAML's own parser read differently."""


def load(text: str) -> dict[Any, Any] | None:
    """Returns a mapping as OmegaConf reads it, `None` if it has to decide what the text is.

    Args:
        text: YAML; interpolations in it stay text.
    """
    kind = _loader()
    if kind is None or any(mark in text for mark in _UNEQUAL):
        return None
    try:
        plain = yaml.load(text, Loader=kind)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return None  # OmegaConf says what is wrong, or reads it
    return plain if isinstance(plain, dict) and not _has_null_key(plain) else None


def _has_null_key(node: Any) -> bool:
    if isinstance(node, dict):
        return None in node or any(map(_has_null_key, node.values()))
    return isinstance(node, list) and any(map(_has_null_key, node))


def dump(plain: Mapping[str, Any]) -> str:
    """Returns a mapping as OmegaConf writes it.

    Args:
        plain: mappings, lists and plain values, none of them twice.
    """
    from omegaconf import _utils as omegaconf_yaml

    kind = omegaconf_yaml.get_omega_conf_dumper()
    text: str = yaml.dump(
        plain, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=kind
    )
    return text


@functools.cache
def _loader() -> Any:
    """Returns OmegaConf's loader with the events of libyaml; `None` where it is not installed."""
    from omegaconf import _utils as omegaconf_yaml

    yaml_limits.install()
    make = getattr(omegaconf_yaml, "get_yaml_loader", None)
    if make is None or not yaml.__with_libyaml__:
        return None
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    slow = make()

    def start(self: Any, stream: str) -> None:
        CParser.__init__(self, stream)
        yaml.composer.Composer.__init__(self)
        yaml.constructor.SafeConstructor.__init__(self)
        yaml.resolver.Resolver.__init__(self)

    # Of the parser in C only the events: it also composes, but without our limits.
    composing = ("check_node", "get_node", "get_single_node")
    methods = {name: getattr(slow, name) for name in composing}
    return type("QuickLoader", (CParser, slow), {"__init__": start, **methods})
