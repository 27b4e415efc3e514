"""The docstrings of Python's standard library, read from its sources; nothing is imported."""

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
"""Packages of every CPython since 3.11 with about a hundred docstrings or more."""
PAIR = ("asyncio", "email")
MASK = "package"
"""Stands for the name of any of the packages, which would give the answer away."""

_NUM_WORDS = 5  # a shorter one, such as "Return self.", says little about where it stands
_NAMES = re.compile("|".join(PACKAGES), re.IGNORECASE)
_DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def packages(binary: bool) -> tuple[str, ...]:
    """Returns the packages to be told apart."""
    return PAIR if binary else PACKAGES


def _sources(package: str) -> Iterator[Path]:
    """The package's own files, in an order that no file system decides, without its tests."""
    root = Path(sysconfig.get_paths()["stdlib"], package)
    for path in sorted(root.rglob("*.py")):
        if not {"test", "tests"} & set(path.relative_to(root).parts):
            yield path


def _masked(docstring: str) -> str:
    """One line, with the names of all packages replaced, also inside other words."""
    return _NAMES.sub(MASK, " ".join(docstring.split()))


@cache
def _texts(package: str) -> tuple[str, ...]:
    texts = []
    for path in _sources(package):
        for node in ast.walk(ast.parse(path.read_bytes())):
            found = ast.get_docstring(node) if isinstance(node, _DEFINITIONS) else None
            text = _masked(found) if found else ""
            if len(text.split()) >= _NUM_WORDS:
                texts.append(text)
    if not texts:
        raise UserError(
            "dataset=python_docstrings: this Python comes without the source files of its standard "
            f"library ('{package}' has none): use one that has them, such as python.org's."
        )
    return tuple(dict.fromkeys(texts))


def docstrings(names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Returns every docstring once, with the place of its package in `names`.

    One that stands in several packages is left out: no answer would be right.

    Args:
        names: packages of the standard library.

    Raises:
        UserError: this Python comes without its sources.
    """
    owners: dict[str, set[int]] = defaultdict(set)
    for label, name in enumerate(names):
        for text in _texts(name):
            owners[text].add(label)
    return [(text, min(labels)) for text, labels in owners.items() if len(labels) == 1]
