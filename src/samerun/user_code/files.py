"""The files that the user's own code consists of."""

import ast
import importlib.machinery
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from samerun.config.project import source_folder

_MOST_FILES = 500  # more files are not an experiment's own code, but a library


def files_of(names: Sequence[str], folder: Path | None = None) -> dict[str, Path]:
    """Returns the source files of functions: their modules and their own imports.

    Best effort, from `import` statements: dynamic imports are not found. Installed packages are
    left out, since their versions are recorded.

    Args:
        names: such as `my_code:build`.
        folder: where modules are searched first; by default the working directory.

    Returns:
        The files, by their path relative to the folder or to the entry of `sys.path`.
    """
    found: dict[str, Path] = {}
    for _, root, file in _modules(names, folder or Path.cwd()):
        found.setdefault(file.relative_to(root).as_posix(), file)
    return dict(sorted(found.items()))


def imports_of(names: Sequence[str], folder: Path | None = None) -> set[str]:
    """Returns the top-level modules that the user's own code imports, without the standard library.

    Args:
        names: such as `my_code:build`.
        folder: where modules are searched first; by default the working directory.
    """
    tops: set[str] = set()
    for _, _, file in _modules(names, folder or Path.cwd()):
        tops |= {name.split(".")[0] for name in _imported(file, "")}
    return tops - set(sys.stdlib_module_names)


def _modules(names: Sequence[str], folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yields name, root folder and file of each module, the given ones first."""
    waiting = [name.partition(":")[0] for name in names]
    seen: set[str] = set()
    while waiting and len(seen) < _MOST_FILES:
        name = waiting.pop(0)
        place = None if name in seen else _locate(name, folder)
        seen.add(name)
        if place is None:
            continue
        root, file = place
        yield name, root, file
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        parents = [".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 1)]
        waiting += [*parents, *_imported(file, package)]


def _locate(name: str, folder: Path) -> tuple[Path, Path] | None:
    """Finds a module's root folder and source file as Python would, without importing packages."""
    top, *rest = name.split(".")
    spec = importlib.machinery.PathFinder.find_spec(
        top, [str(folder), str(source_folder()), *sys.path]
    )
    if spec is None or top in sys.stdlib_module_names:
        return None
    if spec.submodule_search_locations:
        place = Path(next(iter(spec.submodule_search_locations)))
        root, base = place.parent, place.joinpath(*rest)
    elif spec.origin:
        root = Path(spec.origin).parent
        base = root / top if not rest else root / "__nothing__"
    else:
        return None
    if _is_installed(root) or top == "samerun":
        return None
    candidates = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next(((root, file) for file in candidates if file.is_file()), None)


def _is_installed(root: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(root.parts)) or not os.access(
        root, os.R_OK
    )


def _imported(file: Path, package: str) -> Iterator[str]:
    """Yields the names that a file imports; a name in a module may be a module itself."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(
                [*(parts if node.level else []), *([node.module] if node.module else [])]
            )
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
