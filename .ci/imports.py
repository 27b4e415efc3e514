"""Imports every module of the installed samerun and composes a config, without extras."""

import importlib
import pkgutil
from pathlib import Path

import samerun
from samerun import config

assert not Path(samerun.__file__).is_relative_to(Path(__file__).parents[1] / "src")
modules = [module.name for module in pkgutil.walk_packages(samerun.__path__, "samerun.")]
for name in modules:
    if not name.endswith("__main__"):
        importlib.import_module(name)
config.compose([])
print(f"imported {len(modules)} modules of samerun {samerun.__version__}")
