"""samerun: the same run, every time.

From Python, `samerun.train(["model=cnn", "training.epochs=2"])` and
`samerun.sweep(["sweep=optuna", "model.dropout=interval(0,0.6)"])` do what the command line does,
as do `samerun.resume("ID")` and `samerun.reproduce("ID")`. `samerun.runs()` lists recorded runs,
`samerun.load_run("ID")` reads one, and `samerun.compose([...])` checks a config without training.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "LoadedRun",
    "Result",
    "UserError",
    "compose",
    "load_run",
    "reproduce",
    "resume",
    "runs",
    "sweep",
    "train",
]

_PLACES = {
    "train": ".launch",
    "sweep": ".sweeper.run",
    "Result": ".result",
    "UserError": ".errors",
    **dict.fromkeys(
        ("LoadedRun", "compose", "load_run", "reproduce", "resume", "runs"), ".python_api"
    ),
}


def __getattr__(name: str) -> Any:
    """Imports the public names when they are first used: `import samerun` stays quick."""
    if name not in _PLACES:
        raise AttributeError(f"module 'samerun' has no attribute '{name}'")
    return getattr(importlib.import_module(_PLACES[name], "samerun"), name)


def __dir__() -> list[str]:
    """Returns the public names, which are not imported yet."""
    return [*__all__, "__version__"]
