"""Config objects made directly from plain values that have the types of their fields.

OmegaConf merges a config into its schema value by value, which takes 30 ms, most of the time of a
composition. It is needed where a value has to be converted or refused; most configs, and all
recorded ones, have the values that it would return.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

from samerun.config.root import Config
from samerun.config.schema import GROUPS, follow_folder

_Make = Callable[[Any], Any]
_T = TypeVar("_T")


def build_config(plain: Mapping[Any, Any]) -> Config | None:
    """Returns the config with these values, `None` if one does not have the type of its field.

    Args:
        plain: all keys of the config with plain values, without interpolations.
    """
    follow_folder()
    return build_object(Config, plain)


def build_object(kind: type[_T], plain: Any) -> _T | None:
    """Returns an object of a config class, `None` if a value does not have the type of its field.

    Args:
        kind: the class.
        plain: all its keys with plain values, without interpolations.
    """
    try:
        made: _T = _object(kind, plain)
    except (TypeError, OverflowError):
        return None  # to be converted or refused, which OmegaConf does
    return made


def _object(kind: Any, plain: Any) -> Any:
    makers = _makers(kind)
    if type(plain) is not dict or plain.keys() != makers.keys():
        raise TypeError
    return kind(**{name: make(plain[name]) for name, make in makers.items()})


@functools.cache
def _makers(kind: Any) -> dict[str, _Make]:
    """Returns what makes the value of each field of a config class."""
    return {
        field.name: functools.partial(_option, field.name)
        if kind is Config and field.name in GROUPS
        else _maker(field.type)
        for field in dataclasses.fields(kind)
    }


def _option(group: str, plain: Any) -> Any:
    name = plain.get("kind") if type(plain) is dict else None
    for kind in GROUPS[group]:
        if kind.kind == name:
            return _object(kind, plain)
    raise TypeError


def _maker(field_type: Any) -> _Make:
    arguments = typing.get_args(field_type)
    origin = typing.get_origin(field_type)
    if origin is types.UnionType:
        inner = [one for one in arguments if one is not types.NoneType]
        if len(inner) != 1:
            raise TypeError
        return functools.partial(_optional, _maker(inner[0]))
    if origin is list:
        return functools.partial(_list, _maker(arguments[0]))
    if field_type in (list, dict) or (origin is dict and arguments[0] is not str):
        raise TypeError  # OmegaConf converts the items, or the keys
    if origin is dict:
        return functools.partial(_dict, _maker(arguments[1]))
    if field_type is Any:
        return _any
    if field_type is float:
        return _float
    if hasattr(field_type, "__dataclass_fields__"):
        return functools.partial(_object, field_type)
    if issubclass(field_type, Enum):
        return functools.partial(_member, field_type)
    return functools.partial(_exactly, field_type)


def _exactly(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind or (kind is str and ("${" in value or value == "???")):
        raise TypeError
    return value


def _float(value: Any) -> float:
    if type(value) not in (float, int):
        raise TypeError
    return float(value)


def _member(kind: type[Enum], value: Any) -> Enum:
    if type(value) is not str or value not in kind.__members__:
        raise TypeError
    return kind[value]


def _optional(make: _Make, value: Any) -> Any:
    return None if value is None else make(value)


def _list(make: _Make, value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError
    return [make(item) for item in value]


def _dict(make: _Make, value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise TypeError
    return {_exactly(str, key): make(item) for key, item in value.items()}


def _any(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float):
        return value
    if type(value) is list:
        return _list(_any, value)
    return _dict(_any, value) if type(value) is dict else _exactly(str, value)
