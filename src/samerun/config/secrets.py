"""Keeps secrets out of recorded configs, and asks for them when a recorded run is used."""

from pathlib import Path
from typing import Any

from omegaconf import Container, DictConfig, OmegaConf

from samerun.config import quick_yaml
from samerun.config.root import Config, as_dict
from samerun.errors import UserError
from samerun.files import write_atomic
from samerun.redaction import hidden_keys, redact_mapping, redact_value


def safe_yaml(node: DictConfig | str) -> str:
    """Returns a mapping as YAML, with its interpolations, and with `***` for secrets.

    Args:
        node: any mapping that Hydra composed or wrote, or its YAML.
    """
    mapping = OmegaConf.create(node) if isinstance(node, str) else node
    return quick_yaml.dump(safe_mapping(mapping))


def safe_mapping(node: Container) -> dict[str, Any]:
    """Returns a mapping as plain values, with its interpolations, and with `***` for secrets."""
    plain = OmegaConf.to_container(node, resolve=False, enum_to_str=True)
    assert isinstance(plain, dict)
    return redact_mapping({str(key): value for key, value in plain.items()})


def check_secrets_given(cfg: Config) -> None:
    """Checks that no secret that training needs is missing, since secrets are not recorded.

    Tags and the tracking URI are ignored: they do not affect training.

    Args:
        cfg: the config of a stored run, with overrides applied.

    Raises:
        UserError: a secret is missing.
    """
    plain = as_dict(cfg)
    for part in ("tracking", "trial"):
        del plain[part]
    missing = hidden_keys(plain)
    if missing:
        raise UserError(
            f"{missing[0]}: is a secret, and secrets are not recorded: add "
            f"{missing[0]}=VALUE, or {missing[0]}='${{oc.env:NAME}}' to read it from an "
            "environment variable."
        )


def hide_secrets(file: Path) -> None:
    """Replaces the secrets in one of Hydra's YAML files by `***`.

    Args:
        file: such as `.hydra/config.yaml`.
    """
    text = file.read_text(encoding="utf-8")
    plain: Any = quick_yaml.load(text)
    if plain is None:
        plain = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    safe = redact_value("", plain)
    if safe != plain:
        write_atomic(file, OmegaConf.to_yaml(OmegaConf.create(safe)))
