"""The user's own components that are part of a group: a loss, metrics, callbacks, augmentation.

`training` names its components, as in `training.loss=focal`, and has their options in its `params`:
`training.params.focal.gamma=3`. An augmentation is an option of `dataset/augmentation`. In plain
values, a component is a mapping with its name as `kind`.
"""

import copy
import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from samerun.config import own, project
from samerun.config.datasets.base import Augmentation
from samerun.config.fields import added_fields, check_ranges
from samerun.config.root import Config
from samerun.config.schema import (
    PARTS,
    compose_alone,
    load_own,
    may_import_own,
    place_of,
    schema_of,
)
from samerun.config.training import name_of
from samerun.errors import UserError, listed

_AUGMENTATION = "dataset/augmentation"
_INTERPOLATION = re.compile(r"(\\*)\$\{")


def fill(node: DictConfig) -> DictConfig:
    """Returns a config in which the components that `training` names have all of their options.

    An option that the config does not give has its value in the component's file.

    Args:
        node: a composed config; it is not changed.
    """
    chosen = {name: group for group, name in _named(node) if _is_option(group, name)}
    params = OmegaConf.select(node, "training.params")
    given: Mapping[Any, Any] = params if isinstance(params, DictConfig) else {}
    done = {str(name) for name, values in given.items() if _kind_of(values) == name}
    if done == chosen.keys():
        return node
    node = copy.deepcopy(node)
    for name in chosen.keys() - done:
        values = {"kind": name, **_values_of(chosen[name], name)}
        with open_dict(node.training.params):
            node.training.params[name] = _merged(values, given.get(name))
    # Options of a component that another one replaced; a function's own argument may be `kind`.
    for name in done - {name_of(name) for _, name in _named(node)}:
        with open_dict(node.training.params):
            del node.training.params[name]
    return node


def _named(node: Any) -> Iterator[tuple[str, str]]:
    """Yields the group of each name that `training` has, and the name.

    Values of another type are left out: the schema refuses them.
    """
    for group, key in own.NAMED.items():
        names = OmegaConf.select(node, key, throw_on_missing=False)
        several = names if isinstance(names, list | ListConfig) else [names]
        yield from ((group, name) for name in several if isinstance(name, str))


def _is_option(group: str, name: str) -> bool:
    return name.isidentifier() and name in project.own_options(group)


def _kind_of(values: Any) -> Any:
    return values.get("kind") if isinstance(values, Mapping) else None


def _values_of(group: str, name: str) -> dict[str, Any]:
    node = compose_alone(f"{group}/{name}").get(group)
    values = OmegaConf.to_container(node, resolve=False, enum_to_str=True) if node else {}
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _merged(values: dict[str, Any], given: Any) -> Any:
    if given is None or not isinstance(given, Mapping):
        return values if given is None else given
    return OmegaConf.merge(OmegaConf.create(values), given, {"kind": values["kind"]})


def has_parts(plain: Any) -> bool:
    """Whether plain values of a config have a component in them."""
    return isinstance(plain, dict) and any(_components(plain))


def _components(plain: Mapping[Any, Any]) -> Iterator[tuple[str, str, dict[Any, Any]]]:
    """Yields group, name and values of each component."""
    dataset, training = (plain.get(key) for key in ("dataset", "training"))
    values = dataset.get("augmentation") if isinstance(dataset, dict) else None
    if isinstance(values, dict) and "kind" in values:
        yield _AUGMENTATION, str(values["kind"]), values
    params = training.get("params") if isinstance(training, dict) else None
    for group, name in _named(OmegaConf.create({"training": training})) if params else ():
        values = params.get(name) if isinstance(params, dict) else None
        if isinstance(values, dict) and values.get("kind") == name:
            yield group, name, values


def take_out(plain: dict[Any, Any]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Splits the plain values of a config into those without components, and the components.

    Args:
        plain: all keys of a config; they are not changed.

    Returns:
        The rest, and an object of its class for each component, by the key of its options.

    Raises:
        UserError: there is no such component, or a value is out of range.
    """
    found: dict[str, Any] = {}
    rest = plain
    for group, name, values in _components(plain):
        place = place_of(group, name)
        found.setdefault(place, _typed(group, name, place, values))
        if group == _AUGMENTATION:
            names = {field.name for field in dataclasses.fields(Augmentation)}
            kept = {key: value for key, value in values.items() if key in names}
            rest = rest | {"dataset": rest["dataset"] | {"augmentation": kept}}
        else:
            params = {key: one for key, one in rest["training"]["params"].items() if key != name}
            rest = rest | {"training": rest["training"] | {"params": params}}
    return rest, found


def _typed(group: str, name: str, place: str, values: dict[Any, Any]) -> Any:
    if name not in {kind.kind for kind in PARTS[group]}:
        load_own()
    kinds = {kind.kind: kind for kind in PARTS[group]}
    made = kinds.get(name) or (None if may_import_own() else own.unread(group, values))
    if made is None:
        some = listed(kinds) or "a component, and this folder has none"
        raise UserError(f"{place}.kind: received '{name}', expected {some}.")
    typed = OmegaConf.create(_below(place, copy.deepcopy(schema_of(made))))
    plain = escape_interpolations({**added_fields(made), **values})
    merged = OmegaConf.unsafe_merge(typed, _below(place, plain))  # errors contain the full key
    component = OmegaConf.to_object(OmegaConf.select(merged, place))
    check_ranges(component, f"{place}.")
    return component


def put_in(cfg: Config, components: Mapping[str, Any]) -> Config:
    """Returns a config with its components.

    Args:
        cfg: the config without them.
        components: as of `take_out`.
    """
    augmentation = components.get(place_of(_AUGMENTATION, ""))
    if augmentation is not None:
        cfg = _with(cfg, "dataset", augmentation=augmentation)
    start = place_of("loss", "")
    params = {
        place.removeprefix(start): component
        for place, component in components.items()
        if place.startswith(start)
    }
    return _with(cfg, "training", params=cfg.training.params | params) if params else cfg


def _with(cfg: Config, group: str, **values: Any) -> Config:
    changed: dict[str, Any] = {group: dataclasses.replace(getattr(cfg, group), **values)}
    return dataclasses.replace(cfg, **changed)


def escape_interpolations(value: Any) -> Any:
    """Returns plain values in which every `${` is escaped for OmegaConf."""
    if isinstance(value, dict):
        return {key: escape_interpolations(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escape_interpolations(item) for item in value]
    if isinstance(value, str):
        return _INTERPOLATION.sub(lambda found: found[1] * 2 + r"\${", value)
    return value


def _below(place: str, value: Any) -> Any:
    for name in reversed(place.split(".")):
        value = {name: value}
    return value
