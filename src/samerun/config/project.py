"""The user's own project: its folders with config files, and what `pyproject.toml` says of it.

The folders `conf` and `experiments` of the working folder are found by themselves; the table
`[tool.samerun]` of its `pyproject.toml` may name others. Only the working folder counts: a file in
a folder above it may be another person's.
"""

import contextlib
import functools
import re
import tomllib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samerun.errors import UserError, first_line, listed, nearest
from samerun.folders import package_folder

if TYPE_CHECKING:
    from hydra.core.config_search_path import ConfigSearchPath

PROVIDER = "samerun project"
"""What Hydra calls the user's own folders in its search path."""
FOLDERS = ("conf", "experiments")
"""The folders that are found by themselves."""

_FILE = "pyproject.toml"
_KEYS = ("config_folders", "package", "verify", "verify_key")
_VERDICTS = ("EXACT", "CLOSE")
_MOST_BYTES = 1_000_000
_FLAGS = ("--config-dir", "-cd")
_GROUP = re.compile(r"\w[\w-]*(/\w[\w-]*)*")

_given: ContextVar[tuple[Path, ...]] = ContextVar("config_dirs", default=())


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The table `[tool.samerun]`.

    Args:
        config_folders: folders with config files, relative to the working folder; those that come
            first are searched first. `None`: the default, which need not exist.
        package: the Python package with the project's own components; empty if it has none.
        verify: the runs and bundles that `samerun verify` reproduces, each with the verdict that
            is enough.
        verify_key: file of public SSH keys, one of which has to have signed each of these bundles;
            empty: no signature is asked for.
    """

    config_folders: tuple[str, ...] | None = None
    package: str = ""
    verify: tuple[tuple[str, str], ...] = ()
    verify_key: str = ""


def extend(search_path: "ConfigSearchPath") -> None:
    """Puts the user's folders in front of samerun's config files, and its experiments behind them.

    Args:
        search_path: Hydra's; that of another program stays as it is.
    """
    from hydra.core.config_search_path import SearchPathQuery

    conf, main = package_folder("conf"), SearchPathQuery(provider="main")
    paths = {entry.path for entry in search_path.get_path() if entry.provider == "main"}
    if not {str(conf), f"file://{conf}"} & paths:
        return
    search_path.append("samerun", f"file://{package_folder('experiments')}")
    for folder in config_folders():
        search_path.prepend(PROVIDER, f"file://{folder}", anchor=main)


def settings() -> Settings:
    """Returns the table `[tool.samerun]` of the working folder's `pyproject.toml`.

    Raises:
        UserError: the file is too large or not valid TOML, or a setting is not valid.
    """
    file = Path.cwd() / _FILE
    try:
        state = file.stat()
    except OSError:
        return Settings()
    return _read(file, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _read(file: Path, _mtime_ns: int, size: int) -> Settings:
    if size > _MOST_BYTES:
        raise UserError(
            f"{_FILE}: received a file of {size} bytes, expected at most {_MOST_BYTES}: make it "
            "smaller."
        )
    try:
        tools = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
    except OSError:
        return Settings()
    except (ValueError, RecursionError) as error:
        raise UserError(f"{_FILE}: invalid TOML ({first_line(error).rstrip('.')}).") from error
    if not isinstance(tools, dict):
        raise UserError(f"{_FILE}: tool: expected a table, such as [tool.samerun].")
    table = tools.get("samerun", {})
    if not isinstance(table, dict):
        raise UserError(f"{_FILE}: tool.samerun: expected a table: [tool.samerun].")
    for key in table:
        if key not in _KEYS:
            raise UserError(
                f"{_FILE}: tool.samerun.{key}: there is no such setting, expected one of "
                f"{listed(_KEYS)}.{nearest(str(key), _KEYS)}"
            )
    return Settings(
        config_folders=_folders_of(table),
        package=_package_of(table),
        verify=_verify_of(table),
        verify_key=_verify_key_of(table),
    )


def _verify_of(table: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    named = table.get("verify", [])
    listed_ = [{"run": one} if isinstance(one, str) else one for one in _as_list(named)]
    for one in listed_:
        is_table = isinstance(one, dict) and {"run"} <= one.keys() <= {"run", "verdict"}
        is_run = is_table and isinstance(one["run"], str) and one["run"]
        if not is_run or one.get("verdict", _VERDICTS[0]) not in _VERDICTS:
            raise UserError(
                f"{_FILE}: tool.samerun.verify: expected a list of runs and bundles, such as "
                '["first.zip", {run = "1a2b3c4d", verdict = "CLOSE"}].'
            )
    return tuple((one["run"], one.get("verdict", _VERDICTS[0])) for one in listed_)


def _verify_key_of(table: dict[str, Any]) -> str:
    key = table.get("verify_key")
    if key is None:
        return ""
    if not isinstance(key, str) or not key:  # an empty name would ask for no signature
        raise UserError(
            f"{_FILE}: tool.samerun.verify_key: expected a file of public SSH keys, such as "
            '"keys.pub".'
        )
    return key


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _folders_of(table: dict[str, Any]) -> tuple[str, ...] | None:
    named = table.get("config_folders")
    if named is None:
        return None
    if not isinstance(named, list) or not all(isinstance(one, str) and one for one in named):
        raise UserError(
            f"{_FILE}: tool.samerun.config_folders: expected a list of folders, such as "
            '["conf", "experiments"].'
        )
    return tuple(named)


def _package_of(table: dict[str, Any]) -> str:
    package = table.get("package", "")
    is_name = isinstance(package, str) and all(part.isidentifier() for part in package.split("."))
    if package and not is_name:
        raise UserError(
            f"{_FILE}: tool.samerun.package: received '{package}', expected the name of a Python "
            "package, such as my_project."
        )
    return str(package)


def source_folder() -> Path:
    """Returns where the project's package is: `src/` of the working folder, or the folder itself.

    Raises:
        UserError: the working folder's `pyproject.toml` is not valid.
    """
    here, package = Path.cwd(), settings().package
    below = here / "src"
    return below if package and below.joinpath(*package.split(".")).is_dir() else here


def config_folders() -> tuple[Path, ...]:
    """Returns the user's own folders with config files, the one that is searched first first.

    Those of `--config-dir` come before those of the project. What comes with samerun is not among
    them, also in samerun's own checkout.

    Raises:
        UserError: a folder that `pyproject.toml` names does not exist.
    """
    named = settings().config_folders
    here = Path.cwd()
    found = [*_given.get()]
    for name in FOLDERS if named is None else named:
        folder = here / name
        if folder.is_dir():
            found.append(folder)
        elif named is not None:
            raise UserError(
                f"{_FILE}: tool.samerun.config_folders: there is no folder '{name}' in {here}."
            )
    builtin = {package_folder(name).resolve() for name in FOLDERS}
    once: dict[Path, Path] = {}
    for folder in found:
        once.setdefault(folder.resolve(), folder)
    return tuple(folder for real, folder in once.items() if real not in builtin)


def own_options(group: str) -> list[str]:
    """Returns the options of a group in the user's own folders.

    Args:
        group: such as `dataset/augmentation`.
    """
    if not _GROUP.fullmatch(group):
        return []
    pattern = "**/*.yaml" if group in ("experiment", "sweep", "debug") else "*.yaml"
    names = set()
    for folder in config_folders():
        place = folder / group
        for file in place.glob(pattern):
            names.add(file.relative_to(place).with_suffix("").as_posix())
    return sorted(names)


def needs_file(group: str, name: str) -> str:
    """Returns a sentence about the file of an own component; empty without a package of them.

    Args:
        group: such as `model` or `loss`.
        name: of the option that does not exist.
    """
    if not settings().package or not _GROUP.fullmatch(name):
        return ""
    folder = (settings().config_folders or FOLDERS)[:1]
    return f" A class of your own needs the file {'/'.join([*folder, group, name])}.yaml."


def split_config_dirs(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns arguments without `--config-dir FOLDER`, and these folders.

    Raises:
        UserError: the flag has no folder.
    """
    rest, folders = [], []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        name, equals, value = argument.partition("=")
        if name not in _FLAGS:
            rest.append(argument)
        elif equals or waiting:
            folders.append(value if equals else waiting.pop(0))
        else:
            raise UserError(f"{name}: received nothing, expected a folder with config files.")
    return rest, folders


@contextlib.contextmanager
def with_config_dirs(folders: Sequence[str]) -> Iterator[None]:
    """Adds folders to the user's own ones, in front of them, as `--config-dir` does.

    Raises:
        UserError: there is no such folder.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError(f"--config-dir: there is no folder '{folder}'.")
    token = _given.set((*(Path(folder).absolute() for folder in folders), *_given.get()))
    try:
        yield
    finally:
        _given.reset(token)
