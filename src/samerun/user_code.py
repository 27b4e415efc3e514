"""Imports the user's own functions, and finds the files that they consist of.

Data, stored runs and files never cause code to run: a function is only imported because a config
names it. A config from elsewhere has to be trusted like a script.
"""

import ast
import importlib
import importlib.machinery
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samerun.config.datasets.images import CustomDataset
from samerun.config.models.custom import CustomModel
from samerun.config.root import Config
from samerun.errors import UserError

_CUSTOM = (CustomModel, CustomDataset)

_MOST_FILES = 500  # more files are not an experiment's own code, but a library


@contextmanager
def working_folder_first() -> Iterator[None]:
    """Makes Python search the working directory first for modules, as it does for a script."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    importlib.invalidate_caches()  # the module may be newer than the cached content of its folder
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def describe_cause(error: BaseException) -> str:
    """Returns what was raised, and where, in one line."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(str(error).split()).rstrip(".")
    where = f"{os.path.basename(frame.filename)}, line {frame.lineno}"
    return f"{type(error).__name__}{': ' if message else ''}{message} ({where})"


def import_function(key: str, target: str) -> Callable[..., Any]:
    """Imports a function by the name given in a config.

    Args:
        key: the config's key, for messages.
        target: `package.module:function`.

    Raises:
        UserError: the name is not valid, there is no such function, or importing it fails.
    """
    module_name, colon, name = target.partition(":")
    dotted = [*module_name.split("."), *name.split(".")]
    if not colon or not all(part.isidentifier() for part in dotted):
        raise UserError(
            f"{key}: received '{target}', expected package.module:function, such as my_code:build."
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(
                f"{key}: {target}: there is no module {error.name} in "
                f"{os.getcwd()} or in the installed packages."
            ) from error
        raise UserError(f"{key}: {target}: importing it raised {describe_cause(error)}.") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{key}: {target}: importing it raised {describe_cause(error)}.") from error
    for part in name.split("."):
        if not hasattr(found, part):
            file = getattr(found, "__file__", None) or "built in"
            raise UserError(f"{key}: {target}: {module_name} ({file}) has no {name}.")
        found = getattr(found, part)
    if not callable(found):
        kind = type(found).__name__
        raise UserError(f"{key}: {target}: received {kind}, expected a function.")
    return found  # type: ignore[no-any-return]


def targets(cfg: Config) -> dict[str, str]:
    """Returns the names of the user's own functions, such as `my_code:build`, by config key."""
    parts = (("model.target", cfg.model), ("dataset.target", cfg.dataset))
    return {key: part.target for key, part in parts if isinstance(part, _CUSTOM)}


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
    spec = importlib.machinery.PathFinder.find_spec(top, [str(folder), *sys.path])
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
