"""A stored config with words of the command line on top of it."""

from collections.abc import Iterator, Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from samerun.config.composition import Composition, compose, literal, parse
from samerun.config.messages import translated
from samerun.config.older import completed
from samerun.config.overrides import Override, parse_overrides
from samerun.config.root import Config, as_dict, flatten
from samerun.config.schema import options
from samerun.errors import UserError, nearest

_WHOLES = ("experiment", "sweep", "debug")


def changed(stored: str, words: Sequence[str] = ()) -> Composition:
    """Returns a stored config with changes such as `training.epochs=20` or `schedule=constant`.

    Args:
        stored: YAML that `to_yaml` wrote; every value in it counts, whatever the defaults are now.
        words: overrides of the command line, in Hydra's grammar.

    Raises:
        UserError: a word that is not understood, or a config that is none.
    """
    try:
        node = stored_node(stored)
        if not isinstance(node, DictConfig):
            raise UserError("The stored config is not a mapping: expected what samerun writes.")
        node = completed(node)
        for override in parse_overrides(words):
            _change(node, override)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise translated(error) from error
    return parse(node, words)


def _change(node: DictConfig, override: Override) -> None:
    key, value, word = override.path, override.value, str(override)
    if override.is_sweep or override.prefix == "~" or "@" in override.key:
        raise UserError(f"'{word}' cannot be changed in a stored run: expected KEY=VALUE.")
    if override.top in (*_WHOLES, "hydra", "trial"):
        raise UserError(
            f"'{word}' cannot be changed in a stored run: expected single keys such as "
            "training.epochs=20, or one group such as schedule=constant."
        )
    known = [*_keys(OmegaConf.to_container(node))]
    if key not in known and not override.prefix:
        raise UserError(f"{key}: there is no such key in the stored run.{nearest(key, known)}")
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
    """Returns the keys of the leaves that differ, sorted."""
    one, other = flatten(first), flatten(second)
    return sorted(key for key in {*one, *other} if one.get(key) != other.get(key))


def to_yaml(cfg: Config) -> str:
    """Returns a config as YAML that `parse` reads back to an equal config."""
    return OmegaConf.to_yaml(OmegaConf.create(as_dict(cfg)))


def from_yaml(text: str) -> Config:
    """Reads a config that `to_yaml` wrote.

    Raises:
        UserError: it is not such a config.
    """
    try:
        node = stored_node(text)
    except (YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise UserError(
            f"The stored config is not valid ({reason}): expected what `to_yaml` writes."
        ) from error
    if not isinstance(node, DictConfig):
        raise UserError("The stored config is not a mapping: expected what `to_yaml` writes.")
    return parse(completed(node)).config


def stored_node(text: str) -> Any:
    """Returns the YAML of a stored config as a node in which nothing is an interpolation.

    Every value in it is final. A `${oc.env:NAME}` in a config from elsewhere would otherwise
    publish a variable of this machine's environment.
    """
    return OmegaConf.create(literal(OmegaConf.to_container(OmegaConf.create(text), resolve=False)))
