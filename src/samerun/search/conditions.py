"""Which keys a config has in which branch of a sweep, and their types there."""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from samerun.config.overrides import Override
from samerun.config.own import NAMED
from samerun.config.root import Config
from samerun.config.schema import GROUPS
from samerun.config.training import name_of
from samerun.search.grammar import FieldType

Compose = Callable[[Sequence[str]], Config]


class Branches:
    """The config classes of each branch of a sweep; composes a config where that is necessary.

    Args:
        compose: composes a config from overrides.
        fixed: the overrides that all branches share.
        groups: the groups that vary, with the options of each; `training.loss` and its like too, if
            the options of what they name are searched.
    """

    def __init__(
        self, compose: Compose, fixed: Sequence[Override], groups: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._compose = compose
        self._fixed = list(fixed)
        self.groups = groups
        self._known: dict[tuple[str, ...], Config] = {}

    def config(self, *overrides: str) -> Config:
        """Returns the config of a branch."""
        if overrides not in self._known:
            self._known[overrides] = self._compose([*(one.text for one in self._fixed), *overrides])
        return self._known[overrides]

    def chooser(self, key: str) -> str | None:
        """Returns the varied group that decides whether the key exists."""
        top = path_of(key)[0]
        if top in self.groups and key != top:
            return top
        for named in NAMED.values():
            if any(is_option_of(key, name) for name in self.groups.get(named, ())):
                return named
        return "experiment" if "experiment" in self.groups and top != "experiment" else None

    def field_types(self, key: str) -> dict[str, FieldType | None]:
        """Returns a key's type under each option of its chooser; `None` where it does not exist."""
        chooser, path = self.chooser(key), path_of(key)
        if chooser is not None and chooser in NAMED.values():
            return {
                name: _type_within(self.config(f"{chooser}={name}"), path)
                if is_option_of(key, name)
                else None
                for name in self.groups[chooser]
            }
        if path[:2] == ["training", "params"]:
            return {"": _type_within(self.config(), path)}
        if path[0] not in GROUPS or len(path) == 1:
            return {"": _field_type(Config, path)}
        kinds = {kind.kind: kind for kind in GROUPS[path[0]]}
        found = {}
        for option in self.groups[chooser] if chooser else ("",):
            selected = (f"{chooser}={option}",) if chooser else ()
            if chooser == path[0] and option in kinds:
                found[option] = _field_type(kinds[option], path[1:])
            else:
                found[option] = _type_within(self.config(*selected), path)
        return found

    def active_option(self, group: str) -> str | None:
        """Returns the option of a group that does not vary, if it is known."""
        for override in reversed(self._fixed):
            if override.key == group:
                return override.written
        if group == NAMED["loss"]:
            return self.config().training.loss
        node = getattr(self.config(), group, None)
        return getattr(node, "kind", None)


def is_option_of(key: str, named: str) -> bool:
    """Whether a key is an option of a loss, metric or callback, as `training.params.focal.gamma`.

    Args:
        key: as on the command line.
        named: a value of `training.loss` and its like: a name, or several in brackets.
    """
    path = path_of(key)
    names = [name_of(name.strip(" '\"")) for name in named.strip("[]").split(",")]
    return path[:2] == ["training", "params"] and len(path) > 2 and path[2] in names


def path_of(key: str) -> list[str]:
    """Returns the parts of a key or of the name of a group."""
    return key.partition("@")[0].replace("/", ".").split(".")


def _type_within(cfg: Config, path: Sequence[str]) -> FieldType | None:
    """Returns the type of a field in a config, also in a component of the user's own."""
    node: Any = cfg
    owner, rest = node, path
    for number, name in enumerate(path[:-1], start=1):
        node = node.get(name) if isinstance(node, dict) else getattr(node, name, None)
        if dataclasses.is_dataclass(node):
            owner, rest = node, path[number:]
    return _field_type(type(owner), rest)


def _field_type(kind: Any, path: Sequence[str]) -> FieldType | None:
    """Returns the type of the field at the end of a path; `None` if there is no such field."""
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    if path[0] not in fields:
        return None
    allowed = fields[path[0]].metadata.get("range")
    inner, rest = fields[path[0]].type, path[1:]
    if isinstance(inner, types.UnionType):
        inner = next(part for part in typing.get_args(inner) if part is not types.NoneType)
    if dataclasses.is_dataclass(inner):
        return _field_type(inner, rest) if rest else FieldType(kind="text")
    if rest and typing.get_origin(inner) is dict:
        return FieldType(kind="any")
    if rest and typing.get_origin(inner) is list and rest[0].isdecimal():
        inner, rest = typing.get_args(inner)[0], rest[1:]
    if rest:
        return None
    names: dict[Any, str] = {int: "int", float: "float", Any: "any"}
    return FieldType(kind=names.get(inner, "text"), allowed=allowed)


def merge_types(types_: Iterable[FieldType]) -> FieldType:
    """Returns the type of a key that has these types in different branches."""
    several = list(types_)
    kinds = {one.kind for one in several}
    if len(kinds) == 1:
        return several[0]
    return FieldType(kind="int" if kinds == {"int", "float"} else "any")
