"""Components of the user's own package: config classes with a function each, typed like samerun's.

`[tool.samerun] package = "mine"` in the working folder's `pyproject.toml` names the package; its
module `mine.components` holds the classes. It is imported when a config chooses one of them, never
because a stored run says so, and never for Tab completion.
"""

import contextlib
import dataclasses
import functools
import importlib
import importlib.machinery
import keyword
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import yaml

from samerun.config import project, yaml_limits
from samerun.config.datasets.base import (
    Augmentation,
    Dataset,
    HeldOut,
    Pictures,
    RandomSplit,
    Scaled,
)
from samerun.config.fields import config
from samerun.config.models.base import Model, Regularized
from samerun.config.optimizers import Optimizer
from samerun.config.schedules import Schedule
from samerun.errors import UserError, listed

T = TypeVar("T")

_MODULE = "components"
_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
NAMED = {"loss": "training.loss", "metric": "training.metrics", "callback": "training.callbacks"}
"""The groups whose components are named by a key of `training`, with options in its `params`."""
RESERVED = ("target", "params")
"""What a component has besides its fields."""


@config
class ArrayDataset(Dataset, RandomSplit, HeldOut, Scaled, Pictures):
    """What a dataset of your own has: arrays that a function returns, split by samerun."""


@config
class ImageAugmentation(Augmentation):
    """What an augmentation of your own has: samerun's own changes, which come before it.

    Args:
        kind: name of the option; fixed by the class.
    """

    kind: str

    @property
    def is_active(self) -> bool:
        """Whether any image is changed."""
        return True


@config
class Loss:
    """What a loss of your own has.

    Args:
        kind: what `training.loss` names it by; fixed by the class.
    """

    kind: str


@config
class Metric:
    """What a metric of your own has.

    Args:
        kind: what `training.metrics` names it by, and its name where it is logged.
    """

    kind: str


@config
class Callback:
    """What a callback of your own has.

    Args:
        kind: what `training.callbacks` names it by; fixed by the class.
    """

    kind: str


BASES: dict[str, type[Any]] = {
    "model": Model,
    "dataset": ArrayDataset,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "dataset/augmentation": ImageAugmentation,
    "loss": Loss,
    "metric": Metric,
    "callback": Callback,
}
"""The base class of each group's own components."""


def component(target: str) -> Callable[[type[T]], type[T]]:
    """Makes a class the config of a component, built by a function.

    The function takes what that of `model=custom` and its like take (`spec`, `learning_rate`,
    `epoch` and `epochs`, `y_true` and `y_pred`, or nothing for a dataset or a callback), an
    augmentation `image` and `seed`, and the class's own fields by name.

    Args:
        target: `package.module:function`; the module is imported when the component is built.
    """

    def declare(cls: type[T]) -> type[T]:
        made: Any = config(cls)
        group = group_of(made)
        if group is None:
            raise TypeError(f"{cls.__name__} has none of these base classes: {_names()}")
        own = {field.name for field in dataclasses.fields(made)}
        taken = [name for name in RESERVED if name in own]
        if taken:
            raise TypeError(
                f"{cls.__name__}: received a field called {taken[0]}, which samerun uses itself, "
                "expected another name"
            )
        if not isinstance(getattr(made, "kind", ""), str):
            raise TypeError(
                f"{cls.__name__}: received {made.kind!r} as its kind, expected text, as in "
                f'kind: str = "mine"'
            )
        shared = {field.name for field in dataclasses.fields(BASES[group])}
        names = [field.name for field in dataclasses.fields(made) if field.name not in shared]
        made.target = target
        made.params = property(lambda self: {name: getattr(self, name) for name in names})
        found: type[T] = made
        return found

    return declare


def declaring_module() -> str:
    """Returns the module with the components of the working folder; empty without a package."""
    package = project.settings().package
    return f"{package}.{_MODULE}" if package else ""


def is_component(part: object) -> bool:
    """Whether a part of a config is one of the user's own components."""
    return isinstance(getattr(type(part), "target", None), str)


def group_of(kind: type[Any]) -> str | None:
    """Returns the group of a component's class; `None` if it belongs to none."""
    return next((group for group, base in BASES.items() if issubclass(kind, base)), None)


def placeholder(group: str, name: str) -> type[Any]:
    """Returns a class with the keys that an option's file has, without importing the package.

    Args:
        group: of the option.
        name: of the option.
    """
    files = [folder / group / f"{name}.yaml" for folder in project.config_folders()]
    file = next(file for file in files if file.is_file())
    try:
        node: Any = yaml.load(file.read_bytes(), Loader=yaml_limits.loader())
    except (yaml.YAMLError, ValueError, RecursionError):
        node = None  # composing the option says what is wrong
    bases = (BASES[group], *((Regularized,) if group == "model" else ()))
    known = {field.name for base in bases for field in dataclasses.fields(base)}
    given = node if isinstance(node, dict) else {}
    keys = [key for key in given if str(key).isidentifier() and key not in {*known, "defaults"}]
    fields = [(str(key), Any, dataclasses.field(default=None)) for key in keys]
    return dataclasses.make_dataclass("Own", fields, bases=bases, kw_only=True)


def unread(group: str, values: Mapping[Any, Any]) -> type[Any] | None:
    """Returns a class for a recorded component of the user's own, without importing the package.

    It is a component of the module that declares it, so that nothing builds it without trust.

    Args:
        group: of the component.
        values: its recorded values; they are kept as they are.

    Returns:
        The class; `None` where the working folder names no package, or no component has such keys.
    """
    module = declaring_module()
    kind, keys = values.get("kind"), (*values, values.get("kind"))
    if not module or not all(isinstance(key, str) and _NAME.fullmatch(key) for key in keys):
        return None
    return _unread(module, group, str(kind), tuple(values))


@functools.lru_cache(maxsize=64)
def _unread(module: str, group: str, kind: str, keys: tuple[str, ...]) -> type[Any]:
    base = BASES[group]
    known = {field.name for field in dataclasses.fields(base)}
    names = [key for key in keys if key not in known]
    if any(hasattr(base, name) or name in RESERVED or keyword.iskeyword(name) for name in names):
        raise UserError(f"{group}: received a key of {group}={kind} that no component has.")
    # Which of the values are files is unknown, as for the arguments of a function.
    fields: list[Any] = [
        ("kind", str, dataclasses.field(default=kind)),
        *((name, Any, dataclasses.field(default=None, metadata={"path": True})) for name in names),
    ]
    made: Any = dataclasses.make_dataclass("Unread", fields, bases=(base,), kw_only=True)
    made.__module__ = module
    made.target = f"{module}:{kind}"
    made.params = property(lambda self: {name: getattr(self, name) for name in names})
    found: type[Any] = made
    return found


def _sharing(group: str) -> tuple[str, ...]:
    """Returns the groups whose components have different names: three share `training.params`."""
    return tuple(NAMED) if group in NAMED else (group,)


def _names() -> str:
    return listed(base.__name__ for base in BASES.values())


_loaded: dict[tuple[Path, str], tuple[ModuleType, dict[str, tuple[type[Any], ...]]]] = {}


def load(builtin: dict[str, set[str]]) -> dict[str, tuple[type[Any], ...]]:
    """Imports the components of the working folder's package, once in a process.

    Args:
        builtin: the kinds of each group that come with samerun.

    Returns:
        The classes of each group; empty without a package.

    Raises:
        UserError: the package cannot be imported, or what it holds is not as expected.
    """
    module = declaring_module()
    if not module:
        return {}
    key = (Path.cwd(), module)
    _remove_added()
    with _first([str(project.source_folder())]):
        _forget_another(module)
        if key not in _loaded or sys.modules.get(module) is not _loaded[key][0]:
            made = _import(module)
            _loaded[key] = made, _classes(made, builtin)
    _keep_importable(project.source_folder())
    return _loaded[key][1]


def _forget_another(module: str) -> None:
    """Forgets the package of this name that an earlier working folder of this process had."""
    top = module.partition(".")[0]
    loaded = {name: sys.modules[name] for name in sys.modules if f"{name}.".startswith(f"{top}.")}
    files = [str(file) for one in loaded.values() if (file := getattr(one, "__file__", None))]
    spec = importlib.machinery.PathFinder.find_spec(top)
    here = [Path(place).resolve() for place in (spec and spec.submodule_search_locations) or ()]
    if here and all(
        any(Path(file).resolve().is_relative_to(one) for one in here) for file in files
    ):
        return
    if here or any(Path(file).is_relative_to(one) for file in files for one in _folders):
        for name in loaded:
            del sys.modules[name]


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and name.startswith(str(error.name)):
            raise UserError(
                f"pyproject.toml: tool.samerun.package: there is no module {name} in "
                f"{project.source_folder()} or in the installed packages: write "
                f"{name.replace('.', '/')}.py there."
            ) from error
        raise UserError(f"{name}: importing it raised {describe_cause(error)}.") from error


_folders: set[Path] = set()
_added: list[str] = []


def _keep_importable(folder: Path) -> None:
    """Puts the project's source folder on the path, where workers find it too.

    It comes last: a file of the project called `statistics.py` must not replace Python's for the
    libraries that are imported later.
    """
    _folders.add(folder)
    if str(folder) not in sys.path:
        _added.append(str(folder))
        sys.path.append(str(folder))
    importlib.invalidate_caches()


def _classes(module: ModuleType, builtin: dict[str, set[str]]) -> dict[str, tuple[type[Any], ...]]:
    found: dict[str, tuple[type[Any], ...]] = {}
    for name, kind in vars(module).items():
        if not isinstance(kind, type) or not isinstance(kind.__dict__.get("target"), str):
            continue
        group = str(group_of(kind))
        where = f"{module.__name__}: {name}"
        chosen = getattr(kind, "kind", None)
        if not isinstance(chosen, str) or not chosen.isidentifier():
            raise UserError(f'{where}: expected a name of its own, such as kind: str = "mine".')
        others = {other.kind for each in _sharing(group) for other in found.get(each, ())}
        if chosen in builtin[group] | others:
            raise UserError(f"{where}: there is another {group}={chosen}: give it another kind.")
        found[group] = (*found.get(group, ()), kind)
    return found


@contextlib.contextmanager
def working_folder_first() -> Iterator[None]:
    """Makes Python search the working folder first for modules, as it does for a script.

    With a package of your own, its source folder comes next.
    """
    with _first(list(dict.fromkeys([os.getcwd(), str(project.source_folder())]))):
        yield


def _remove_added() -> None:
    for before in _added:
        with contextlib.suppress(ValueError):
            sys.path.remove(before)
    _added.clear()


@contextlib.contextmanager
def _first(folders: list[str]) -> Iterator[None]:
    sys.path[:0] = folders
    importlib.invalidate_caches()  # the module may be newer than the cached content of its folder
    try:
        yield
    finally:
        for folder in folders:
            if folder in sys.path:
                sys.path.remove(folder)


def describe_cause(error: BaseException) -> str:
    """Returns what was raised, and where, in one line."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(str(error).split()).rstrip(".")
    where = f"{os.path.basename(frame.filename)}, line {frame.lineno}"
    return f"{type(error).__name__}{': ' if message else ''}{message} ({where})"
