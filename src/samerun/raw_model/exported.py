"""Models in the formats of other programs, run by the runtime of each format; on raw input too."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .encoded import Array
from .model import DESCRIPTION, RawModel

PREPROCESSING = "preprocessing.json"
"""File that describes the network's own input and output, beside an exported model."""
FLEX = b"Flex"
"""Begins the names of TensorFlow's operations in a TensorFlow Lite file, which phones lack."""

Run = Callable[[Array], Any]
"""Returns the outputs of a batch."""


def load_export(folder: str | Path | None = None) -> RawModel:
    """Loads what `samerun export` wrote, as a model of raw input.

    Args:
        folder: the exported folder; by default the one that this package is in.

    Raises:
        FileNotFoundError: it holds no exported model.
    """
    place = Path(__file__).parents[1] if folder is None else Path(folder)
    files = [place / name for name in RUNTIMES if (place / name).exists()]
    if not files:
        raise FileNotFoundError(f"{place} holds none of {', '.join(RUNTIMES)}")
    given = json.loads((place / PREPROCESSING).read_text("utf-8"))["input"]
    description = json.loads((place / DESCRIPTION).read_text("utf-8"))
    return RawModel(description, _Network(runtime(files[0]), given))


def runtime(file: Path) -> Run:
    """Returns the function that runs an exported model; each runtime raises its own errors.

    Args:
        file: the model, under its name in `RUNTIMES`.
    """
    return RUNTIMES[file.name](file)


class _Network:
    """An exported model with the methods by which `RawModel` asks a Keras model.

    Args:
        run: returns the outputs of a batch.
        given: type and shape of its input.
    """

    def __init__(self, run: Run, given: Mapping[str, Any]) -> None:
        self._run = run
        self._dtype = given["dtype"]
        self.input_shape = tuple(given["shape"])

    def predict_on_batch(self, x: Array) -> Array:
        return np.asarray(self._run(np.asarray(x, self._dtype)))


def _keras(file: Path) -> Run:
    import keras

    model = keras.saving.load_model(file, compile=False, safe_mode=True)
    return lambda x: model(x, training=False)


def _saved_model(file: Path) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(file))
    return lambda x: loaded.serve(x)  # the lambda keeps `loaded`, which owns the weights


def _onnx(file: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda x: session.run(None, {given.name: x})[0]


def _tflite(file: Path) -> Run:
    import tensorflow as tf

    if FLEX in file.read_bytes():
        raise ValueError("it needs operations that TensorFlow Lite does not have")
    interpreter = tf.lite.Interpreter(model_path=str(file), num_threads=os.cpu_count())
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    is_one = given["shape_signature"][0] == 1
    interpreter.allocate_tensors()

    def run(x: Array) -> Any:
        if is_one and len(x) != 1:
            return np.concatenate([run(x[at : at + 1]) for at in range(len(x))])
        interpreter.resize_tensor_input(given["index"], x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], x.astype(given["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return run


def _openvino(file: Path) -> Run:
    openvino = import_openvino()
    # Processors with bfloat16 would use that otherwise, and differ in the third digit.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(file), "CPU", exact)
    return lambda x: compiled(x)[0]


def import_openvino() -> Any:
    """Imports OpenVINO without its telemetry, which is sent when it is imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


RUNTIMES: Mapping[str, Callable[[Path], Run]] = {
    "model.keras": _keras,
    "saved_model": _saved_model,
    "model.onnx": _onnx,
    "model.tflite": _tflite,
    "model.xml": _openvino,
}
"""How an exported model is loaded, by the name of its file or folder."""
