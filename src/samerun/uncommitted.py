"""Uncommitted changes at the start of a run, as a patch without secrets.

Of new files only sources are recorded. A file whose name suggests secrets, or in which
detect-secrets finds one, is left out completely, since a patch with gaps cannot be applied.
"""

import functools
import importlib
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from samerun import git
from samerun.escaping import one_line
from samerun.redaction import TOKENS, is_secret_key

_LARGEST_FILE = 1_000_000
_MOST_BYTES = 10_000_000
_MOST_NEW_FILES = 500
# More than this is data, or an environment that git does not ignore.

_LONGEST_LINE = 20_000
_MOST_NAMES = 20
# Of a folder with more files that are left out only the folder is named.

_SOURCES = {".py", ".pyi", ".pyx", ".ipynb", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".json"}
_SOURCES |= {".md", ".rst", ".txt", ".sh", ".sql", ".r", ".jl", ".c", ".cc", ".cpp", ".cu", ".h"}
_SOURCE_NAMES = {"makefile", "dockerfile", ".gitignore", ".gitattributes"}
_PRIVATE = (
    *(".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.ppk"),
    *("*.keystore", "*.kdbx", "*.gpg", "*.asc", ".netrc", "_netrc", ".pypirc", ".npmrc", ".pgpass"),
    *(".git-credentials", ".htpasswd", ".dockercfg", "kubeconfig*", "*.kubeconfig", ".ssh", ".aws"),
    *(".azure", ".kube", ".gnupg", "credentials*", "secrets*", "service_account*", "*.tfstate*"),
)

_NEW_FILE = ("diff", "--no-index", "--no-color", "--no-ext-diff", "--no-textconv")

MAY_HOLD_SECRETS = "may hold secrets"
HOLDS_SECRETS = "seems to hold a secret"
TOO_LARGE, NO_SOURCE, BINARY, LINK = "is too large", "is no source", "is binary", "is a link"


@dataclass(frozen=True, kw_only=True)
class Uncommitted:
    """Changes from the commit to the working tree.

    Args:
        patch: for `git apply`; empty if there are no changes.
        left_out: files that are not in it, and why.
    """

    patch: str
    left_out: dict[str, str]


def collect(top: Path) -> Uncommitted:
    """Collects the uncommitted changes.

    Args:
        top: the folder of the checkout.
    """
    left_out: dict[str, str] = {}
    parts = list(_changed(top, left_out))
    names = git.output(top, "ls-files", "--others", "--exclude-standard", "-z") or ""
    recorded: list[str] = []
    size = sum(map(len, parts))
    for name in filter(None, names.split("\0")):
        reason = _why_not_new(top / name, name)
        if reason is None and (len(recorded) >= _MOST_NEW_FILES or size > _MOST_BYTES):
            reason = TOO_LARGE
        if reason is None:
            part = git.output(top, *_NEW_FILE, "/dev/null", name) or ""
            reason = _why_not(name, part)
            if reason is None:
                parts += [part, "\n"]
                size += len(part)
                recorded.append(name)
        if reason is not None:
            left_out[name] = reason
    return Uncommitted(patch="".join(parts), left_out=_by_folder(left_out, recorded))


def _changed(top: Path, left_out: dict[str, str]) -> Iterator[str]:
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    patch = git.output(top, "diff", "HEAD", *options, "--src-prefix=a/", "--dst-prefix=b/") or ""
    for part in re.split(r"^(?=diff --git )", patch, flags=re.MULTILINE):
        if not part.startswith("diff --git "):
            continue
        name = _name_of(part)
        reason = _why_not(name, part)
        if reason is None:
            yield part if part.endswith("\n") else f"{part}\n"
        else:
            left_out[name] = reason


def _name_of(part: str) -> str:
    both = part.partition("\n")[0].removeprefix("diff --git ")
    first = both[: (len(both) - 1) // 2]  # without renames both halves are equal
    return first.strip('"').removeprefix("a/")


def is_private(name: str) -> bool:
    """Whether a file's name, or that of a folder it is in, suggests that it holds secrets.

    Args:
        name: a path inside the checkout.
    """
    for part in PurePosixPath(name.lower()).parts:
        stem = part.partition(".")[0] or part
        if any(fnmatch(part, pattern) for pattern in _PRIVATE) or is_secret_key(stem):
            return True
        if part.startswith("id_") and part.removesuffix(".pub").count(".") == 0:
            return True  # id_rsa, id_ed25519
    return False


def _why_not_new(path: Path, name: str) -> str | None:
    """Returns why a new file is not recorded, as far as that is known without reading it."""
    if is_private(name):
        return MAY_HOLD_SECRETS
    if path.suffix.lower() not in _SOURCES and path.name.lower() not in _SOURCE_NAMES:
        return NO_SOURCE
    try:
        status = path.lstat()
    except OSError:  # it was removed, or must not be read
        return NO_SOURCE
    if not stat.S_ISREG(status.st_mode):
        return LINK if stat.S_ISLNK(status.st_mode) else NO_SOURCE
    return TOO_LARGE if status.st_size > _LARGEST_FILE else None


def _why_not(name: str, part: str) -> str | None:
    """Returns why a file's part of the patch is not recorded."""
    if is_private(name):
        return MAY_HOLD_SECRETS
    if re.search(r"^(Binary files .* differ|GIT binary patch)$", part, re.MULTILINE):
        return BINARY
    if len(part) > 2 * _LARGEST_FILE:
        return TOO_LARGE
    hunks = part.partition("\n@@ ")[2].splitlines()
    lines = [line[1:] for line in hunks if line[:1] in ("+", "-", " ")]
    return HOLDS_SECRETS if holds_secret(name, lines) else None


def holds_secret(name: str, lines: list[str]) -> bool:
    """Whether detect-secrets or `redaction` finds a secret in a file.

    Nothing is sent anywhere: detect-secrets verifies its findings only on request.

    Args:
        name: the file's name, which determines its format.
        lines: its lines.
    """
    check = _scanner()
    is_source = name.endswith((".py", ".pyi", ".ipynb"))
    for line in lines:
        if len(line) > _LONGEST_LINE:
            return True  # cannot be searched in reasonable time
        if not _WORTH_A_LOOK.search(line):
            continue
        plain = line.replace('\\"', '"') if name.endswith(".ipynb") else line
        if check(name, plain) or _has_token(plain, is_source):
            return True
    return False


_WORTH_A_LOOK = re.compile(
    r"(?i)key|pass|pwd|secret|token|contrase|credential|auth|://|begin|putty|[\w\-+/=.]{20,}"
)
# Lines in which no detector can find anything are skipped: that is four times as fast.

_QUOTED = re.compile(r"""([A-Za-z_][\w.\-]*)["']?\]?\s*[:=]\s*["']([^"'\s]{8,})["']""")
_PLAIN = re.compile(
    r"""^\s*(?:export\s+|-\s+)?([A-Za-z_][\w.\-]*)\s*[:=]\s*([^"'\s{}$<\[(]{8,})\s*$"""
)


def _has_token(line: str, is_source: bool) -> bool:
    """Finds what detect-secrets does not know: `hf_token = "…"`, and newer kinds of token."""
    patterns = (_QUOTED,) if is_source else (_QUOTED, _PLAIN)
    for pattern in patterns:
        for match in pattern.finditer(line):
            if is_secret_key(match[1]) and re.search(r"\d", match[2]):
                return True
    return bool(TOKENS.search(line))


_DETECTORS = {
    "artifactory": "ArtifactoryDetector",
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "basic_auth": "BasicAuthDetector",
    "cloudant": "CloudantDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "jwt": "JwtTokenDetector",
    "keyword": "KeywordDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "private_key": "PrivateKeyDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
# Modules and classes of detect_secrets.plugins. Not the detectors of high entropy: they report
# every quoted SHA-256.


@functools.cache
def _scanner() -> Callable[[str, str], bool]:
    """Returns a function that runs detect-secrets's plugins on a line; loading takes 0.25 s."""
    from detect_secrets.filters import heuristic

    plugins = [
        getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)()
        for module, name in _DETECTORS.items()
    ]
    harmless = (
        heuristic.is_templated_secret,
        heuristic.is_prefixed_with_dollar_sign,
        heuristic.is_not_alphanumeric_string,
        heuristic.is_sequential_string,
        heuristic.is_potential_uuid,
    )

    def check(name: str, line: str) -> bool:
        for plugin in plugins:
            for found in plugin.analyze_line(filename=name, line=line):
                secret = found.secret_value or ""
                if any(is_harmless(secret) for is_harmless in harmless) or secret.startswith("***"):
                    continue
                is_by_name = plugin.secret_type == "Secret Keyword"
                if is_by_name and (heuristic.is_indirect_reference(line) or _is_code(secret)):
                    continue
                return True
        return False

    return check


def _is_code(secret: str) -> bool:
    """Whether the value of `password=` is an expression or an ordinary word."""
    return secret.isalpha() or bool(re.search(r"[(){}\[\]$<>|]", secret)) or " " in secret.strip()


def _by_folder(left_out: dict[str, str], recorded: list[str]) -> dict[str, str]:
    """Reports a folder with many files that are no sources once."""
    used = {str(PurePosixPath(name).parent) for name in recorded}
    of_folder: dict[tuple[str, str], list[str]] = {}
    for name, reason in left_out.items():
        of_folder.setdefault((str(PurePosixPath(name).parent), reason), []).append(name)
    short: dict[str, str] = {}
    for (folder, reason), names in of_folder.items():
        if len(names) > _MOST_NAMES and folder not in used and folder != ".":
            short[f"{folder}/"] = f"{len(names)} files: {reason}"
        else:
            short |= dict.fromkeys(names, reason)
    return short


def sentence(left_out: Mapping[str, str]) -> str:
    """Returns one line about sources that are missing in the recorded changes, and why.

    Args:
        left_out: files and why they are left out; data files are not mentioned.

    Returns:
        The line; empty if nothing is missing.
    """
    left_out = {
        one_line(name): one_line(reason)
        for name, reason in left_out.items()
        if not reason.endswith((NO_SOURCE, BINARY))
    }
    if not left_out:
        return ""
    first = sorted(left_out.items(), key=lambda item: ("secret" not in item[1], item[0]))
    named = [f"{name} ({reason})" for name, reason in first[:5]]
    more = f" and {len(first) - 5} more" if len(first) > 5 else ""
    return f"Not in the recorded changes: {', '.join(named)}{more}"
