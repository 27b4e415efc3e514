"""The config of a run: typed and checked before TensorFlow is imported.

This package exports what nearly every module needs; import everything else from the file that
defines it, as in `from samerun.config.models.images import Cnn`. What composes is imported when it
is first used: it takes Hydra, and commands that look at runs compose nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from samerun.config.root import Config, as_dict, fingerprint, flatten, parameters
from samerun.config.spec import DataSpec, Layout, Task

if TYPE_CHECKING:
    from samerun.config.checks import check
    from samerun.config.composition import Composition, compose, parse
    from samerun.config.stored import from_yaml, to_yaml
else:
    _PLACES = {
        "check": ".checks",
        **dict.fromkeys(("Composition", "compose", "parse"), ".composition"),
        **dict.fromkeys(("from_yaml", "to_yaml"), ".stored"),
    }

    def __getattr__(name: str) -> Any:
        """Imports what composes when it is first used."""
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_PLACES[name], __name__), name)


__all__ = [
    "Composition",
    "Config",
    "DataSpec",
    "Layout",
    "Task",
    "as_dict",
    "check",
    "compose",
    "fingerprint",
    "flatten",
    "from_yaml",
    "parameters",
    "parse",
    "to_yaml",
]
