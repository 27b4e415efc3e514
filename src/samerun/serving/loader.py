"""How MLflow's scoring server loads a model that `samerun serve` wrote for it."""

import json
from pathlib import Path
from typing import Any

from samerun import raw_model
from samerun.serving import logged

FUNCTIONS = "functions.json"
"""File of the model with the user's own functions, which `--trust` allowed, by config key."""


def _load_pyfunc(path: str) -> Any:
    """Loads a model of raw input, after the modules with the user's own classes."""
    logged.import_own(json.loads(Path(path, FUNCTIONS).read_text("utf-8")))
    return raw_model._load_pyfunc(path)
