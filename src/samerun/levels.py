"""The modules of the package: their levels, and which of them a result depends on.

Imports only point to lower levels; the architecture test holds the package to that. A comparison of
two runs lists changed files of modules that compute before those that start, store or show runs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Module:
    """A module or subpackage of `samerun`.

    Args:
        level: it imports modules of lower levels only.
        computes: the result of a run may depend on its code.
    """

    level: int
    computes: bool


MODULES = {
    "amounts": Module(0, computes=False),
    "command_line": Module(0, computes=False),
    "deferred": Module(0, computes=False),
    "levels": Module(0, computes=False),
    "tags": Module(0, computes=False),
    "escaping": Module(0, computes=False),
    "files": Module(0, computes=False),
    "folders": Module(0, computes=False),
    "git": Module(0, computes=False),
    "privacy": Module(0, computes=False),
    "raw_model": Module(0, computes=True),
    "stopwatch": Module(0, computes=False),
    "tensorboard": Module(0, computes=False),
    "redaction": Module(1, computes=False),
    "result": Module(1, computes=False),
    "errors": Module(2, computes=False),
    "uncommitted": Module(2, computes=False),
    "archives": Module(3, computes=True),
    "config": Module(3, computes=True),
    "process": Module(3, computes=False),
    "provenance": Module(3, computes=False),
    "user_code": Module(4, computes=True),
    "components": Module(4, computes=True),
    "experiments": Module(4, computes=False),
    "checkpoints": Module(4, computes=True),
    "console": Module(4, computes=False),
    "csv_header": Module(4, computes=True),
    "search": Module(4, computes=False),
    "tracking": Module(4, computes=False),
    "determinism": Module(5, computes=True),
    "losses": Module(5, computes=True),
    "optim": Module(5, computes=True),
    "data": Module(5, computes=True),
    "models": Module(5, computes=True),
    "evaluation": Module(5, computes=True),
    "steps_per_execution": Module(5, computes=True),
    "identity": Module(5, computes=False),
    "retention": Module(5, computes=False),
    "statistics": Module(5, computes=False),
    "callbacks": Module(6, computes=True),
    "plots": Module(6, computes=False),
    "origin": Module(6, computes=False),
    "logbook": Module(7, computes=False),
    "training": Module(8, computes=True),
    "replay": Module(9, computes=False),
    "testing": Module(9, computes=False),
    "launch": Module(10, computes=False),
    "report": Module(10, computes=False),
    "serving": Module(10, computes=False),
    "python_api": Module(11, computes=False),
    "sweeper": Module(11, computes=False),
    "cli": Module(12, computes=False),
    "__init__": Module(13, computes=False),
    "__main__": Module(13, computes=False),
}


def computes(path: str) -> bool:
    """Whether a result may depend on a source file.

    Args:
        path: below the package, such as `models/cnn.py`. A module that is not in the table, such
            as one that an older version had, may compute.
    """
    module = MODULES.get(path.partition("/")[0].removesuffix(".py"))
    return module is None or module.computes
