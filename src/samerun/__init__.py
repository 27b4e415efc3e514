"""samerun: the same run, every time.

From Python, `samerun.train(["model=cnn", "training.epochs=2"])` does what the command line does.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["UserError", "train"]


def __getattr__(name: str) -> Any:
    """Imports the public names when they are first used: `import samerun` stays quick."""
    if name == "train":
        from samerun.launch import train

        return train
    if name == "UserError":
        from samerun.errors import UserError

        return UserError
    raise AttributeError(f"module 'samerun' has no attribute '{name}'")
