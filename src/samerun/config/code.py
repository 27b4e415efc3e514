"""A user's own functions, found by the name that the config in use gives them.

Code never runs because data, a stored run or a file asks for it: a function is imported only
because a config names it. Whoever takes a config from somebody else takes the name with it, and has
to trust it as they would trust a script.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from samerun.errors import UserError


@contextmanager
def working_folder_first() -> Iterator[None]:
    """Lets Python look for modules in the working folder first, as it does for a script."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    importlib.invalidate_caches()  # the module may be younger than the last look at its folder
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def cause(error: BaseException) -> str:
    """Says in one line what was raised, and where."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    said = " ".join(str(error).split()).rstrip(".")
    where = f"{os.path.basename(frame.filename)}, line {frame.lineno}"
    return f"{type(error).__name__}{': ' if said else ''}{said} ({where})"


def function(key: str, target: str) -> Callable[..., Any]:
    """Imports the function that a config names.

    Args:
        key: the config's key, for messages.
        target: `package.module:function`.

    Raises:
        UserError: not of that form, no such module or function, or importing it fails.
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
                f"{key}: {target}: there is no module {error.name}: it was looked for in "
                f"{os.getcwd()} and among the installed packages."
            ) from error
        raise UserError(f"{key}: {target}: importing it raised {cause(error)}.") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{key}: {target}: importing it raised {cause(error)}.") from error
    for part in name.split("."):
        if not hasattr(found, part):
            file = getattr(found, "__file__", None) or "built in"
            raise UserError(f"{key}: {target}: {module_name} ({file}) has no {name}.")
        found = getattr(found, part)
    if not callable(found):
        kind = type(found).__name__
        raise UserError(f"{key}: {target}: is of type {kind}, expected a function.")
    return found  # type: ignore[no-any-return]
