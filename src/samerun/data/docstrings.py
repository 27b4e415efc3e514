"""Docstrings of Python's standard library, read from its sources without importing it."""

import ast
import re
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from samerun.errors import UserError

PACKAGES = (
    "asyncio",
    "email",
    "http",
    "importlib",
    "logging",
    "multiprocessing",
    "unittest",
    "xml",
)
"""Packages of every CPython since 3.11 that have roughly 100 docstrings or more."""
PAIR = ("asyncio", "email")
MASK = "package"
"""Replaces the name of any of the packages, which would reveal the label."""

_NUM_WORDS = 5  # a shorter one, such as "Return self.", says little about its package
_NAMES = re.compile("|".join(PACKAGES), re.IGNORECASE)
_DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def packages(binary: bool) -> tuple[str, ...]:
    """Returns the packages that are the classes."""
    return PAIR if binary else PACKAGES


def _sources(package: str) -> Iterator[Path]:
    """The package's own files except tests, sorted, so the file system does not matter."""
    root = Path(sysconfig.get_paths()["stdlib"], package)
    for path in sorted(root.rglob("*.py")):
        if not {"test", "tests"} & set(path.relative_to(root).parts):
            yield path


def _mask(docstring: str) -> str:
    """One line, with the names of all packages replaced, also within other words."""
    return _NAMES.sub(MASK, " ".join(docstring.split()))


@cache
def _texts(package: str) -> tuple[str, ...]:
    texts = []
    for path in _sources(package):
        for node in ast.walk(ast.parse(path.read_bytes())):
            found = ast.get_docstring(node) if isinstance(node, _DEFINITIONS) else None
            text = _mask(found) if found else ""
            if len(text.split()) >= _NUM_WORDS:
                texts.append(text)
    if not texts:
        raise UserError(
            "dataset=python_docstrings: this Python lacks the source files of its standard "
            f"library ('{package}' has none): use a Python with sources, such as python.org's."
        )
    return tuple(dict.fromkeys(texts))


def docstrings(names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Returns each docstring once, with the index of its package in `names`.

    Docstrings that occur in several packages are left out: their label would be ambiguous.

    Args:
        names: packages of the standard library.

    Raises:
        UserError: this Python lacks the sources of its standard library.
    """
    owners: dict[str, set[int]] = defaultdict(set)
    for label, name in enumerate(names):
        for text in _texts(name):
            owners[text].add(label)
    return [(text, min(labels)) for text, labels in owners.items() if len(labels) == 1]
