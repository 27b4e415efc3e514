"""Stored configs: reading, writing, and overrides on top of them."""

from collections.abc import Iterator, Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from samerun.config import quick_yaml
from samerun.config.composition import (
    Composition,
    checked,
    compose,
    parse,
)
from samerun.config.direct import build_config
from samerun.config.messages import translate
from samerun.config.older import add_missing_keys
from samerun.config.overrides import Override, parse_overrides
from samerun.config.parts import escape_interpolations, has_parts
from samerun.config.root import Config, as_dict, flatten
from samerun.config.schema import GROUPS, importing_own, options
from samerun.config.suggestions import as_hint, correct
from samerun.errors import UserError
from samerun.redaction import redact_mapping

_WHOLES = ("experiment", "sweep", "debug")


def apply_overrides(
    stored: str, overrides: Sequence[str] = (), *, own_code: bool = False
) -> Composition:
    """Applies overrides such as `training.epochs=20` or `schedule=constant` to a stored config.

    Args:
        stored: YAML that `to_yaml` wrote; today's defaults do not change it.
        overrides: in Hydra's grammar.
        own_code: as for `from_yaml`.

    Raises:
        UserError: an override or the stored config is not valid.
    """
    try:
        node = stored_node(stored)
        if not isinstance(node, DictConfig):
            raise UserError("The stored config is not a mapping.")
        node = add_missing_keys(node)
        for override in parse_overrides(overrides):
            _change(node, override)
    except (HydraException, OmegaConfBaseException, ValueError, OverflowError) as error:
        raise translate(error) from error
    with importing_own(own_code):
        return parse(node, overrides)


def _change(node: DictConfig, override: Override) -> None:
    key, value = override.path, override.value
    if override.is_sweep or override.prefix == "~" or "@" in override.key:
        raise UserError(f"{override}: does not apply to a stored run, expected KEY=VALUE.")
    if override.top in (*_WHOLES, "hydra", "trial"):
        raise UserError(
            f"{override}: does not apply to a stored run, expected single keys such as "
            "training.epochs=20, or one group such as schedule=constant."
        )
    known = [*_keys(OmegaConf.to_container(node))]
    if key not in known and not override.prefix:
        kinds = {group: str(node[group].kind) for group in GROUPS if group in node}
        line = correct(key, str(override).partition("=")[2], kinds)
        raise UserError(f"{key}: there is no such key in the stored run.{as_hint(line)}")
    if isinstance(value, str) and options(override.key):
        chosen = OmegaConf.create(as_dict(compose([override.text]).config))
        value = OmegaConf.select(chosen, key)
    OmegaConf.update(node, key, value, merge=False, force_add=True)


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    for name, value in node.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")


def differing_keys(first: Config, second: Config) -> list[str]:
    """Returns the sorted keys whose values differ."""
    one, other = flatten(first), flatten(second)
    return sorted(key for key in {*one, *other} if one.get(key) != other.get(key))


def to_yaml(cfg: Config) -> str:
    """Returns a config as YAML that `parse` reads back to an equal config."""
    return quick_yaml.dump(as_dict(cfg))


def from_yaml(text: str, *, own_code: bool = False) -> Config:
    """Reads a config that `to_yaml` wrote.

    Args:
        text: the config, which another person may have written.
        own_code: whether the user's own package may be imported for a component of it. Otherwise,
            the component is represented by its values, whose types are not checked.

    Raises:
        UserError: it is not a valid config.
    """
    plain = quick_yaml.load(text)
    cfg = None if plain is None or has_parts(plain) else build_config(plain)
    if cfg is not None:
        redact_mapping(as_dict(cfg))  # so that its secrets are known
        return checked(cfg)
    try:
        node = stored_node(text)
    except (YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise UserError(f"The stored config is not valid: {reason}.") from error
    if not isinstance(node, DictConfig):
        raise UserError("The stored config is not a mapping.")
    with importing_own(own_code):
        return parse(add_missing_keys(node)).config


def stored_node(text: str) -> Any:
    """Returns the YAML of a stored config as a node without interpolations.

    All its values are final. Otherwise, a `${oc.env:NAME}` in a config from elsewhere would publish
    an environment variable of this machine.
    """
    plain: Any = quick_yaml.load(text) if "${" not in text else None
    if plain is None:
        plain = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    return OmegaConf.create(escape_interpolations(plain))
