"""The one definition of what is secret, used by everything that writes.

A secret is recognized in three ways: by its key (`api_key`, `MY_TOKEN`), by its
own form (a password in an address, a private key, a GitHub token), and because this process has
seen it under such a key, in its environment or in the config of a run.
"""

import contextlib
import functools
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, cast, final

from samerun.escaping import for_screen

HIDDEN = "***"
"""Replaces a secret in what is written."""

_SHORTEST_KNOWN = 8
# Shorter values, and purely alphabetic ones, are too often ordinary words to be replaced in texts.

_PARTS: tuple[str, ...] = (
    "secret",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "apikey",
    "accesskey",
)
_PARTS += ("privatekey", "authkey", "signingkey", "encryptionkey", "accountkey", "servicekey")
_PARTS += ("dbpass", "sslkey", "sessionid")
_WORDS = frozenset({"pwd", "authorization", "bearer", "cookie", "jwt", "pat"})
_OF_MODELS = frozenset(
    re.findall(
        r"\w+",
        """num max min mean sample samples per total new next pad padding cls class sep mask unk
        unknown oov bos eos sos start end begin stop special image text word sub id ids type types
        pattern regex count counts length level limit size dim embedding embeddings index indices
        position positions vocabulary vocab dropout loss accuracy rate budget memory""",
    )
)
_FOR_ACCESS = frozenset({"api", "auth", "access", "refresh", "session", "bearer", "bot", "user"})
# `max_tokens` and `cls_token` are settings of a model, `api_tokens` and `hub_token` are not.


@functools.lru_cache(maxsize=4096)
def is_secret_key(key: str) -> bool:
    """Whether the value under a key is a secret.

    Args:
        key: the name of a setting, tag or variable; every part of a dotted name counts.
    """
    return any(_is_secret_name(part) for part in re.split(r"[./]", key))


def _is_secret_name(name: str) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    parts = [word for word in re.split(r"[^a-z0-9]+", words.lower()) if word]
    together = "".join(parts)
    if any(part in together for part in _PARTS) or not _WORDS.isdisjoint(parts):
        return True
    others = {word.removesuffix("tokens").removesuffix("token") for word in parts}
    if not _OF_MODELS.isdisjoint(others):
        return False
    if any(word.endswith("token") for word in parts):
        return True
    return any(word.endswith("tokens") for word in parts) and not _FOR_ACCESS.isdisjoint(others)


_known: set[str] = set()


def remember(value: object) -> None:
    """Replaces a secret everywhere this process writes it from now on.

    Args:
        value: the secret; one that is too short or too ordinary to be replaced is ignored.
    """
    if isinstance(value, str) and _is_telling(value):
        _known.add(value)


def _is_telling(value: str) -> bool:
    return len(value) >= _SHORTEST_KNOWN and not value.isalpha() and HIDDEN not in value


@functools.lru_cache(maxsize=1024)
def _names_a_place(name: str, value: str) -> bool:
    """Whether a variable, such as AWS_SHARED_CREDENTIALS_FILE, is the location of a secret."""
    if name.upper().endswith(("_FILE", "_PATH", "_DIR", "_HOME", "_SOCK")):
        return True
    try:
        return value.startswith(("/", "~", ".")) and Path(value).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


_of_environment: tuple[object, frozenset[str]] = (None, frozenset())
"""The variables of the environment when it was last searched, and the secrets among them."""


def _known_secrets() -> list[str]:
    """The longest first, so that no secret leaves the end of another one."""
    global _of_environment
    # Comparing the variables as they are stored takes a hundredth of the time of reading them.
    stored = getattr(os.environ, "_data", None)
    before, secrets = _of_environment
    if stored is None or stored != before:
        before = dict(stored) if isinstance(stored, dict) else None
        secrets = frozenset(
            value
            for name, value in os.environ.items()
            if name not in ("PWD", "OLDPWD")
            and is_secret_key(name)
            and _is_telling(value)
            and not _names_a_place(name, value)
        )
        _of_environment = (before, secrets)
    return sorted(_known | secrets, key=len, reverse=True)


TOKENS = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        (?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}              # AWS
        |gh[pousr]_[A-Za-z0-9_]{36,}|github_pat_[A-Za-z0-9_]{22,}     # GitHub
        |gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent)-[A-Za-z0-9_\-]{20,} # GitLab
        |xox[abposre]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}        # Slack
        |hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,}                 # Hugging Face
        |sk-(?:[A-Za-z]+-)*[A-Za-z0-9_\-]{20,}                        # OpenAI, Anthropic
        |(?:sk|rk)_live_[0-9a-zA-Z]{24,}                              # Stripe
        |AIza[0-9A-Za-z_\-]{35}|ya29\.[0-9A-Za-z_\-]{20,}             # Google
        |npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{50,}|dapi[0-9a-f]{32}
        |eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]* # JSON Web Token
    )""",
    re.VERBOSE,
)
"""Tokens that are recognized by their form."""

_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----).*?"
    r"(?:(-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----)|\Z)",
    re.DOTALL,
)
_HEADER = re.compile(
    r"(authorization[\"']?\s*[:=]\s*[\"']?)(?:(bearer|basic|token|digest)\s+)?[^\s\"',]+", re.I
)
_BEARER = re.compile(
    r"\b(bearer|basic)(\s+)(?=[A-Za-z0-9._~+/-]*[0-9=])[A-Za-z0-9._~+/-]{12,}=*", re.I
)
_VALUE = r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|\{[^}\n]*\}"""
_ASSIGNED = re.compile(rf"([A-Za-z_][\w.\-]*)(=|\s+=\s+(?=['\"]))({_VALUE}|[^\s&;,'\"()\[\]{{}}]+)")
_ENCODED = re.compile(
    r"(?:(?<=3B)|(?<=26)|(?<!\w))([A-Za-z_][\w.\-]*)(%(?:25)*3D)"
    r"(%(?:25)*7B.*?%(?:25)*7D|(?:(?!%(?:25)*3B|[&'\"])\S)+)",
    re.IGNORECASE,
)
_JSON_KEY = re.compile(
    r"""(["'])([\w.\-]+)(\1\s*:\s*)('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|[\w.+\-]+)"""
)
_YAML_LINE = re.compile(r"^(\s*(?:- +)?)([A-Za-z_][\w.\-]*)(: +)(\S.*)$", re.MULTILINE)
_INNER_KEY = re.compile(rf"([\w.\-]+)(\s*:\s*)({_VALUE}|[^,{{}}\[\]]+)")

_WHOLE = re.compile(r"([A-Za-z][\w+.\-]*)://[^\n]*\Z")
_WITH_PASSWORD = re.compile(
    r"""([A-Za-z][\w+.\-]*://)          # scheme
        ([^/@:\s'"?#]*):                # user
        ((?:[^\s'"]|\ (?!\S*://))*)@      # password
    """,
    re.VERBOSE,
)
_TO_LAST_AT = re.compile(r"([A-Za-z][\w+.\-]*://)([^/@:\s?#]*):([^\n]*)@")
_USER_ONLY = re.compile(r"(https?://)[^\s/'\"?#:]+:?@", re.I)
_HOST_AND_PORT = re.compile(r"(?:localhost|[\w-]*\.[\w.-]+|\[[0-9a-fA-F:.]+\])\Z")


def redact(text: str) -> str:
    """Returns a text with `***` in place of every secret in it.

    Passwords in addresses, tokens given as an address's user, parameters of addresses and
    connection strings with a secret's name, authorization headers, private keys, and tokens of
    well-known form.

    Args:
        text: any text: an address, a message, a file. Redacting a redacted text changes nothing.
    """
    for secret in _known_secrets():
        text = text.replace(secret, HIDDEN)
    pattern = _TO_LAST_AT if _WHOLE.match(text) else _WITH_PASSWORD
    text = pattern.sub(_without_password, text) if "://" in text else text
    text = _USER_ONLY.sub(rf"\1{HIDDEN}@", text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(lambda m: f"{m[1]}{HIDDEN}{m[2] or ''}", text)
    text = _HEADER.sub(lambda m: m[1] + (f"{m[2]} " if m[2] else "") + HIDDEN, text)
    text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
    text = _ASSIGNED.sub(_without_value, text)
    text = _ENCODED.sub(_without_value, text)
    text = _JSON_KEY.sub(
        lambda m: f'{m[1]}{m[2]}{m[3]}"{HIDDEN}"' if _hides(m[2], m[4].strip("'\"")) else m[0], text
    )
    text = _YAML_LINE.sub(
        lambda m: f"{m[1]}{m[2]}{m[3]}'{HIDDEN}'" if _hides(m[2], m[4].strip("'\"")) else m[0], text
    )
    return TOKENS.sub(HIDDEN, text)


def _without_password(match: re.Match[str]) -> str:
    scheme, user, password = match.groups()
    is_http = scheme.lower().startswith("http")
    if is_http and _HOST_AND_PORT.match(user) and re.match(r"\d+(/|\s|\Z)", password):
        return match[0]  # http://host.name:80/path@version
    if not password:
        return f"{scheme}{HIDDEN}@" if is_http and user else match[0]
    return f"{scheme}{user}:{HIDDEN}@"


def _without_value(match: re.Match[str]) -> str:
    name, sign, value = match.groups()
    if _PINNED.fullmatch(sign + value):
        return match[0]
    return f"{name}{sign}{HIDDEN}" if _hides(name, value) else match[0]


_PINNED = re.compile(r"==\d+(\.\d+)+(\.?(a|b|rc|post|dev)\d+)*")
# `python-jwt==4.1.0` is a requirement: a diff of a list of requirements is not changed.


def _hides(key: str, value: object) -> bool:
    """Whether a value must not be written under its key; empty and boolean ones may be."""
    if value is None or isinstance(value, bool) or value in ("", HIDDEN, "null", "true", "false"):
        return False
    if isinstance(value, str) and re.fullmatch(r"\$\{[^,{}]*\}|\?\?\?", value):
        return False  # ${oc.env:API_TOKEN} is the location of the secret, not the secret
    if not is_secret_key(key):
        return False
    return not isinstance(value, str) or value.removeprefix("=") != _installed_version(key)


@functools.lru_cache(maxsize=1024)
def _installed_version(name: str) -> str | None:
    """Returns the version of a distribution, such as `SecretStorage`, `None` if it is not one."""
    from importlib import metadata  # with `email`, for every command: 0.02 s

    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def redact_value(key: str, value: Any) -> Any:
    """Returns a value as it may be written under its key.

    Args:
        key: the name of a setting, tag or parameter.
        value: plain values, lists and mappings; keys inside it are checked as well.
    """
    if _hides(key, value):
        for secret in _leaves(value):
            remember(secret)
        return HIDDEN
    if isinstance(value, Mapping):
        return {name: redact_value(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value("", inner) for inner in value]
    if not isinstance(value, str):
        return value
    is_override = "\n" not in value and re.match(r"[+~]*[\w./@\-]+=", value)
    return redact_override(value) if is_override else redact(value)


def _leaves(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list | tuple):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [value]


def without_secrets(values: Any) -> Any:
    """Returns plain values with `***` for those under a secret key, and all others unchanged.

    Args:
        values: mappings, lists and plain values.
    """
    if isinstance(values, Mapping):
        return {
            key: HIDDEN if _hides(str(key), inner) else without_secrets(inner)
            for key, inner in values.items()
        }
    if isinstance(values, list | tuple):
        return [without_secrets(inner) for inner in values]
    return values


def redact_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a mapping, nested ones included, as it may be written.

    Args:
        values: names and plain values.
    """
    return {str(key): redact_value(str(key), value) for key, value in values.items()}


def redact_override(override: str) -> str:
    """Returns an override such as `+tracking.tags.api_token=…` as it may be written.

    Args:
        override: one argument of the command line.
    """
    key, sign, value = override.partition("=")
    if not sign or "://" in key or re.search(r"[\s'\"]", key):
        return redact(override)
    name = key.lstrip("+~").partition("@")[0]
    plain = value.strip().strip("'\"")
    if _hides(name, plain):
        remember(plain)
        return f"{key}={HIDDEN}"
    if value.lstrip().startswith(("{", "[")):
        value = _INNER_KEY.sub(_without_inner_value, value)
    return f"{key}={redact(value)}"


def _without_inner_value(match: re.Match[str]) -> str:
    name, sign, value = match.groups()
    if not _hides(name, value.strip("'\" ")):
        return match[0]
    remember(value.strip("'\" "))
    return f"{name}{sign}{HIDDEN}"


def hidden_keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Returns the dotted names of all values that were not recorded because they are secret.

    Args:
        values: a mapping as `redact_mapping` returns it.
        prefix: of every name.
    """
    found = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += hidden_keys(value, f"{prefix}{key}.")
        elif isinstance(value, str) and HIDDEN in value:
            found.append(f"{prefix}{key}")
    return found


_PASSWORD_OF_0_1 = re.compile(r"(?<=://)([^/@:\s]*):([^/@\s]+)@")


def is_redacted_form(stored: str, address: str) -> bool:
    """Whether a redacted address is that of a complete one.

    Args:
        stored: as recorded by this version or by 0.1.0, which recognized fewer secrets.
        address: with its secrets.
    """
    forms = {address, redact(address), _PASSWORD_OF_0_1.sub(rf"\1:{HIDDEN}@", address)}
    forms |= {redact(form) for form in forms}
    return stored.rstrip("/") in {form.rstrip("/") for form in forms}


@final
class _SafeStream:
    """Standard error without secrets: Hydra itself writes a failed run's overrides to it.

    Args:
        stream: the stream to write to.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redact(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard_output() -> None:
    """Hides secrets in log records, uncaught errors and everything on standard error.

    Control characters, which a terminal would execute, are replaced in log records as well.

    For processes of samerun's own, not for a program that only imports it.
    """
    make = logging.getLogRecordFactory()

    def safe(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        with contextlib.suppress(Exception):  # logging reports a wrong format
            message = record.getMessage()
            safe_message = for_screen(redact(message))
            if safe_message != message:
                record.msg, record.args = safe_message, None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return record

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))

    logging.setLogRecordFactory(safe)
    sys.excepthook = show
    sys.stderr = cast("Any", _SafeStream(sys.stderr))
