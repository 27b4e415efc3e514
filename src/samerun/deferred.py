"""Modules that Keras and MLflow import at once and a run hardly ever uses: run at first use.

Keras imports scikit-learn for its wrappers and pyplot for its galleries, MLflow imports FastAPI for
the addresses of a gateway. In a process of samerun's own these modules are made as usual, but their
code runs when something of theirs is first asked for. See decision 57.
"""

import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any, final

MODULES = ("keras.visualization", "keras.src.visualization", "keras.wrappers", "mlflow.gateway")


def defer_modules() -> None:
    """Defers these modules in this process, but for those that are imported already."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@final
class _Finder(MetaPathFinder):
    """Finds those modules where Python finds them, and defers their code."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in MODULES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Deferred(spec.loader.name, spec.loader.path)
        return spec


@final
class _Deferred(SourceFileLoader):
    """Runs a module's code at the first request for an attribute that it lacks."""

    def exec_module(self, module: ModuleType) -> None:
        lock, is_running = threading.RLock(), False

        def at_first_use(name: str) -> Any:
            nonlocal is_running
            # Who looks through all modules, such as `inspect`, asks for names of this kind.
            is_asked = name == "__all__" or not name.startswith("__")
            with lock:  # another thread waits for all of the module
                waits = vars(module).get("__getattr__") is at_first_use
                if not is_asked or is_running:
                    raise AttributeError(f"module '{module.__name__}' has no attribute '{name}'")
                if waits:
                    is_running = True
                    try:
                        super(_Deferred, self).exec_module(module)
                    finally:
                        is_running = False
                    if vars(module).get("__getattr__") is at_first_use:
                        del vars(module)["__getattr__"]
            return getattr(module, name)

        vars(module)["__getattr__"] = at_first_use
