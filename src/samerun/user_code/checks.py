"""What can be known of the user's own functions without running them, in milliseconds.

The format of the name, the module, its syntax, the function and the names of its arguments. What
cannot be known, such as names that a module makes while it is imported, is accepted here.
"""

import ast
import importlib.machinery
import importlib.util
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from samerun.config.own import working_folder_first
from samerun.config.root import Config
from samerun.errors import UserError, listed, nearest
from samerun.user_code.targets import own_functions, split, typed

_MOST_NAMES = 8  # of a message
_MAKES_NAMES = {"globals", "vars", "locals", "exec", "eval", "setattr"}
_MADE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Call)
_LITERALS = {ast.List: "list", ast.Tuple: "tuple", ast.Dict: "dict", ast.Set: "set"}


def check_functions(cfg: Config) -> None:
    """Checks every function of the user's own that a config names, without running any of it.

    Raises:
        UserError: the first that is wrong; see `check_source`.
    """
    for function in own_functions(cfg):
        check_source(function.key, function.target, function.params_key, function.params)


def check_source(
    key: str, target: str, params_key: str = "", params: Mapping[str, Any] | None = None
) -> None:
    """Checks a function of the user's own by its source.

    Args:
        key: the config's key, for messages.
        target: `package.module:function`.
        params_key: the key of its keyword arguments.
        params: its keyword arguments.

    Raises:
        UserError: the name is not valid; there is no such module; it is not valid Python; it has no
            such function, or imports it from another package; or the function has no argument of
            that name.
    """
    module, name = split(key, target)
    file = _find(key, target, module)
    if file is None:
        return
    tree = _parse(f"{key}: {target}", file)
    first = name.partition(".")[0]
    bound = _bindings(tree)
    if first not in bound:
        if _may_be_made(tree) or (file.name == "__init__.py" and _is_beside(file, first)):
            return
        raise UserError(
            f"{key}: {target}: {module} ({file}) has no {first}, expected one of "
            f"{_functions(bound)}.{_suggest(key, module, first, bound)}"
        )
    nodes = bound[first]
    for node in nodes:
        if source := _other_package(node, first, module):
            raise not_of(key, target, f"it is imported from {source} there")
    if all(kinds := [_literal(node) for node in nodes]):
        raise UserError(
            f"{key}: {target}: received {kinds[-1]}, expected a function, such as "
            f"{_functions({n: b for n, b in bound.items() if n != first})}."
        )
    if first == name and len(nodes) == 1 and isinstance(nodes[0], ast.FunctionDef):
        _check_arguments(nodes[0], params_key, params or {})


def _other_package(node: ast.AST, name: str, module: str) -> str:
    """Returns the module that an import binds a name to, or takes it from; empty if it is own."""
    if isinstance(node, ast.Import):
        names = {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
        return names.get(name, "")
    if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
        return ""
    return "" if _top(node.module) == _top(module) else node.module


def _top(module: str) -> str:
    return module.partition(".")[0]


def check_belongs(key: str, target: str, module: ModuleType, found: object) -> None:
    """Checks that an imported object is the user's own, not one that its module has imported.

    A stored config could otherwise name `my_code:os.system` wherever `my_code` is trusted and
    imports `os`. An object of another package's class, such as a `functools.partial`, is own if the
    module's source makes it under this name.

    Args:
        key: the config's key, for messages.
        target: `package.module:function`.
        module: the imported module.
        found: what has this name there.

    Raises:
        UserError: it belongs to another package.
    """
    name = target.partition(":")[2]
    home = getattr(found, "__module__", None)
    if isinstance(home, str) and _top(home) == _top(module.__name__):
        return
    file = Path(getattr(module, "__file__", None) or "")
    made = _bindings(_parse(f"{key}: {target}", file)).get(name) if file.suffix == ".py" else None
    if not made or not all(isinstance(node, _MADE) for node in made):
        what = f"it belongs to {home}" if isinstance(home, str) else "it is not defined there"
        raise not_of(key, target, what)


def not_of(key: str, target: str, what: str) -> UserError:
    """Returns the error for an object that does not belong to the package that a target names."""
    module = target.partition(":")[0]
    return UserError(
        f"{key}: {target}: {what}, expected a function or a class that {_top(module)} defines: "
        f"name the module that defines it, or write a function in {module} that calls it."
    )


def _find(key: str, target: str, module: str) -> Path | None:
    """Returns the source file of a module, `None` if it may exist without one.

    Raises:
        UserError: there is no such module.
    """
    top, *rest = module.split(".")
    with working_folder_first():
        try:
            spec = importlib.util.find_spec(top)
            for number, part in enumerate(rest):
                if spec is None or spec.submodule_search_locations is None:
                    break
                parent = ".".join([top, *rest[:number]])
                places = list(spec.submodule_search_locations)
                spec = importlib.machinery.PathFinder.find_spec(f"{parent}.{part}", places)
        except (ValueError, KeyError, ImportError):  # __main__, or a package without __init__.py
            return None
        else:
            missing = spec is None or spec.name != module
    if missing:
        raise _no_module(key, target, module)
    assert spec is not None
    file = Path(spec.origin) if spec.has_location and spec.origin else None
    return file if file is not None and file.suffix == ".py" and file.is_file() else None


def _no_module(key: str, target: str, module: str) -> UserError:
    """Returns the error for a module that does not exist; a file of a similar name is proposed."""
    here = Path.cwd()
    folder = here.joinpath(*module.split(".")[:-1])
    prefix = module.rpartition(".")[0]
    names = sorted(file.stem for file in folder.glob("*.py")) if folder.is_dir() else []
    known = [f"{prefix}.{name}" if prefix else name for name in names if name.isidentifier()]
    found = re.search(r"'(.+)'", nearest(module, known))
    function = target.partition(":")[2]
    act = (
        f"did you mean {typed(key, f'{found[1]}:{function}')}?"
        if found
        else f"write {'/'.join(module.split('.'))}.py there, or give another file's name as in "
        f"{typed(key, f'my_code:{function}')}."
    )
    return UserError(
        f"{key}: {target}: there is no module {module} in {here} or in the installed packages: "
        f"{act}"
    )


def _parse(where: str, file: Path) -> ast.Module:
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(file.read_bytes())
    except OSError as error:
        raise UserError(f"{where}: {file} cannot be read ({error.strerror}).") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UserError(
            f"{where}: {file}{line}: received invalid Python ({what}), expected a module: correct "
            f"it, and check it with python -m py_compile {file.name}."
        ) from error


def _bindings(tree: ast.Module) -> dict[str, list[ast.AST]]:
    """Returns what each name at the top level of a module is bound to."""
    found: dict[str, list[ast.AST]] = {}
    for name, node in _bound(tree.body):
        found.setdefault(name, []).append(node)
    return found


def _bound(body: Sequence[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            if node.value is None:
                continue
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                value = node.value if isinstance(target, ast.Name) else node
                for inner in ast.walk(target):
                    if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                        yield inner.id, value
        else:  # if, try, with, for, while, match: whatever they may bind
            yield from _in_block(node)


def _in_block(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id, node
        elif isinstance(inner, ast.stmt):
            yield from _bound([inner])
        else:
            yield from _in_block(inner)


def _literal(node: ast.AST) -> str:
    """Returns the type of a value that is written out, an empty string for any other."""
    if isinstance(node, ast.Constant):
        return type(node.value).__name__
    return _LITERALS.get(type(node), "")


def _may_be_made(tree: ast.Module) -> bool:
    """Whether a module may have names that its source does not show."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return True
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            return True
        if isinstance(node, ast.Name) and node.id in _MAKES_NAMES:
            return True
        if isinstance(node, ast.Global):
            return True
    return False


def _is_beside(file: Path, name: str) -> bool:
    """Whether a name in a package is a module of it."""
    return (file.parent / f"{name}.py").is_file() or (file.parent / name).is_dir()


def _functions(bound: Mapping[str, Sequence[ast.AST]]) -> str:
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = [n for n, nodes in bound.items() if isinstance(nodes[-1], kinds) and n[0] != "_"]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{listed(names[:_MOST_NAMES]) or 'its functions, and it has none'}{more}"


def _suggest(key: str, module: str, name: str, bound: Mapping[str, Sequence[ast.AST]]) -> str:
    found = re.search(r"'(.+)'", nearest(name, bound))
    return f" Did you mean {typed(key, f'{module}:{found[1]}')}?" if found else ""


def _check_arguments(node: ast.FunctionDef, params_key: str, params: Mapping[str, Any]) -> None:
    arguments = node.args
    if arguments.kwarg is not None or node.decorator_list:
        return
    names = [argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)]
    for name in params:
        if str(name) not in names:
            raise UserError(
                f"{params_key}: received '{name}', but {node.name} has no argument of this name, "
                f"expected {listed(names) or 'none'}.{nearest(str(name), names)}"
            )
