"""A user's own function as a data set.

Code never runs because data, a stored run or a file asks for it: the function is imported only
because `dataset.target` of the config in use names it. Whoever takes a config from somebody else
takes the name of the function with it, and has to trust it as they would trust a script.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from samerun.config import CustomDataset, UserError
from samerun.data import arrays
from samerun.data.outline import Array, Outline, Source


def _wrong(cfg: CustomDataset, sentence: str) -> UserError:
    return UserError(f"dataset.target: {cfg.target}: {sentence}")


@contextmanager
def _working_folder_first() -> Iterator[None]:
    """Lets Python look for modules in the working folder first, as it does for a script."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    importlib.invalidate_caches()  # the module may be younger than the last look at its folder
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _cause(error: BaseException) -> str:
    """Says in one line what was raised, and where."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    said = " ".join(str(error).split()).rstrip(".")
    where = f"{os.path.basename(frame.filename)}, line {frame.lineno}"
    return f"{type(error).__name__}{': ' if said else ''}{said} ({where})"


def _function(cfg: CustomDataset) -> Any:
    module_name, colon, name = cfg.target.partition(":")
    dotted = [*module_name.split("."), *name.split(".")]
    if not colon or not all(part.isidentifier() for part in dotted):
        raise UserError(
            f"dataset.target: received '{cfg.target}', expected package.module:function, such as "
            "my_data:load."
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise _wrong(
                cfg,
                f"there is no module {error.name}: it was looked for in {os.getcwd()} and among "
                "the installed packages.",
            ) from error
        raise _wrong(cfg, f"importing it raised {_cause(error)}.") from error
    except (Exception, SystemExit) as error:
        raise _wrong(cfg, f"importing it raised {_cause(error)}.") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise _wrong(cfg, f"{module_name} ({_file(found)}) has no {name}.")
        found = getattr(found, part)
    if not callable(found):
        raise _wrong(cfg, f"is of type {type(found).__name__}, expected a function.")
    return found


def _file(module: Any) -> str:
    return getattr(module, "__file__", None) or "built in"


def _arrays(cfg: CustomDataset) -> dict[str, Array]:
    """Calls the function; what it returns is only known to be arrays under the right names."""
    with _working_folder_first():
        function = _function(cfg)
        try:
            returned = function(**cfg.params)
        except (Exception, SystemExit) as error:
            raise _wrong(cfg, f"raised {_cause(error)}.") from error
    expected = f"expected a dict of NumPy arrays {' '.join(arrays.OFFICIAL)}, or x y"
    if not isinstance(returned, Mapping):
        raise _wrong(cfg, f"returned a {type(returned).__name__}, {expected}.")
    names = arrays.names_of(f"dataset.target: {cfg.target}", {str(name) for name in returned})
    for name in names:
        if not isinstance(returned[name], np.ndarray):
            raise _wrong(cfg, f"returned {name} as a {type(returned[name]).__name__}, {expected}.")
    # TensorFlow takes this machine's byte order only.
    found = {name: returned[name] for name in names}
    return {n: a.astype(a.dtype.newbyteorder("="), copy=False) for n, a in found.items()}


def _outline(cfg: CustomDataset, found: dict[str, Array]) -> Outline:
    where = f"dataset.target: {cfg.target}"
    headers = [arrays.Header(name, array.shape, array.dtype) for name, array in found.items()]
    arrays.check(where, headers)
    targets = list(found.values())[1::2]
    are_labels = arrays.are_labels(headers[1])
    labels = [arrays.as_labels(y) for y in targets] if are_labels else []
    return arrays.outline(cfg, where, headers, labels)


def outline_custom(cfg: CustomDataset) -> Outline:
    """Returns what the function's arrays hold; the function is called for it.

    So a function is called more than once in a run, and should be quick or keep what it made:
    `functools.cache` above it is enough.

    Raises:
        UserError: no such function, one that raises, or not the arrays that are expected.
    """
    return _outline(cfg, _arrays(cfg))


def load_custom(cfg: CustomDataset) -> Source:
    """Calls the function and takes its arrays.

    Raises:
        UserError: as `outline_custom`, or a value that is not finite.
    """
    found = _arrays(cfg)
    return arrays.source(f"dataset.target: {cfg.target}", _outline(cfg, found), found)
