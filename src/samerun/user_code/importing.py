"""Imports the user's own functions.

Data, stored runs and files never cause code to run: a function is only imported because a config
names it. A config from elsewhere has to be trusted like a script.
"""

import importlib
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from samerun.config.own import describe_cause
from samerun.errors import UserError
from samerun.user_code.checks import check_belongs, not_of
from samerun.user_code.targets import split


def import_function(key: str, target: str) -> Callable[..., Any]:
    """Imports a function by the name given in a config.

    Args:
        key: the config's key, for messages.
        target: `package.module:function`.

    Raises:
        UserError: the name is not valid, there is no such function, importing it fails, or it
            belongs to another package, which the module has only imported.
    """
    module_name, name = split(key, target)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(
                f"{key}: {target}: there is no module {error.name} in "
                f"{os.getcwd()} or in the installed packages."
            ) from error
        raise UserError(f"{key}: {target}: importing it raised {describe_cause(error)}.") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{key}: {target}: importing it raised {describe_cause(error)}.") from error
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            file = getattr(found, "__file__", None) or "built in"
            raise UserError(f"{key}: {target}: {module_name} ({file}) has no {name}.")
        found = getattr(found, part)
        if isinstance(found, ModuleType):
            raise not_of(key, target, f"{part} is a module there")
    if not callable(found):
        kind = type(found).__name__
        raise UserError(f"{key}: {target}: received {kind}, expected a function.")
    check_belongs(key, target, module, found)
    return found  # type: ignore[no-any-return]
