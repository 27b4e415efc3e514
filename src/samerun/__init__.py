"""samerun: the same run, every time.

From Python, `samerun.train(["model=cnn", "training.epochs=2"])` and
`samerun.sweep(["sweep=optuna", "model.dropout=interval(0,0.6)"])` do what the command line does.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Result", "UserError", "sweep", "train"]


def __getattr__(name: str) -> Any:
    """Imports the public names when they are first used: `import samerun` stays quick."""
    if name == "train":
        from samerun.launch import train

        return train
    if name == "sweep":
        from samerun.sweeper.run import sweep

        return sweep
    if name == "Result":
        from samerun.result import Result

        return Result
    if name == "UserError":
        from samerun.errors import UserError

        return UserError
    raise AttributeError(f"module 'samerun' has no attribute '{name}'")


def __dir__() -> list[str]:
    """Returns the public names, which are not imported yet."""
    return [*__all__, "__version__"]
