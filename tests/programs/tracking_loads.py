"""Loads a stored model as someone would who has never heard of samerun, and prints a prediction."""

import importlib.abc
import json
import sys


class Without(importlib.abc.MetaPathFinder):
    """Makes samerun impossible to import, as where it is not installed."""

    def find_spec(self, fullname, path, target=None):
        if fullname.partition(".")[0] == "samerun":
            raise ModuleNotFoundError(fullname)


sys.meta_path.insert(0, Without())

import mlflow  # noqa: E402
import numpy as np  # noqa: E402

mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(f"runs:/{sys.argv[2]}/model")
example = model.input_example
if not hasattr(example, "columns"):
    example = np.asarray(example, dtype="float32")
answer = model.predict(example)
print(json.dumps(answer.to_dict("list") if hasattr(answer, "columns") else answer.tolist()))
