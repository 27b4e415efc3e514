"""The formats in which a Keras model is exported, and how a file of each is run again.

Keras writes them all. What else a format needs is imported here only, when it is asked for.
"""

import contextlib
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from samerun.errors import UserError, first_line, listed
from samerun.process import quiet

_FLEX = b"Flex"
"""Begins the names of TensorFlow's operations in a TensorFlow Lite file, which phones lack."""

Run = Callable[[NDArray[Any]], Any]
"""Returns the outputs of a batch."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of an exported model.

    Args:
        file: name of what is written: a file, or a folder.
        load: loads what was written.
        modules: what has to be installed besides TensorFlow, by the name that is imported.
    """

    file: str
    load: Callable[[Path], Run]
    modules: tuple[str, ...] = ()


@final
class Exported:
    """An exported model, with the methods by which `evaluation.evaluate` asks a Keras model.

    Args:
        run: returns the outputs of a batch.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def predict(self, dataset: Iterable[Any], verbose: int = 0) -> NDArray[Any]:
        """Returns the outputs for all batches of (features, labels)."""
        return np.concatenate([self.predict_on_batch(batch[0]) for batch in dataset])

    def predict_on_batch(self, features: Any) -> NDArray[Any]:
        """Returns the outputs for a batch of features.

        Raises:
            UserError: one is NaN. No run records that, so it is a fault of the format.
        """
        made = np.asarray(self._run(np.asarray(features)))
        if np.isnan(made).any():
            raise UserError(
                "The exported model predicts NaN where the run predicted numbers, so it is not "
                "kept: give another --format."
            )
        return made


def check_installed(name: str) -> None:
    """Checks that the packages of a format are installed, without importing them.

    Raises:
        UserError: one is not.
    """
    modules = FORMATS[name].modules
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(
            f"--format {name} needs {listed(missing)}, which is not installed: "
            "pip install 'samerun[export]'"
        )


def write(model: Any, name: str, target: Path, *, quantize: bool) -> None:
    """Writes a Keras model in a format.

    Args:
        model: the Keras model.
        name: of the format.
        target: the file or folder to write.
        quantize: weights as 8-bit integers; of `tflite` only.

    Raises:
        UserError: Keras cannot export this model in this format.
    """
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")  # about the insides of the converters
        try:
            _write(model, name, target, quantize=quantize)
            return
        except Exception as error:  # each converter raises its own
            reason = _reason(error)
    raise UserError(
        f"--format {name}: Keras cannot export this model in this format ({reason}): give --format "
        f"{'keras' if name == 'saved_model' else 'saved_model'}, which can hold every model."
    )


def _write(model: Any, name: str, target: Path, *, quantize: bool) -> None:
    if name == "keras":
        model.save(target)
    elif name == "tflite":
        _write_tflite(model, target, quantize=quantize)
    elif name == "openvino":
        _import_openvino()
        with _level_of_root():
            model.export(str(target), "openvino", verbose=False, input_signature=_inputs(model))
    else:
        export = "onnx" if name == "onnx" else "tf_saved_model"
        model.export(str(target), export, verbose=False, input_signature=_inputs(model))


def _inputs(model: Any, batch_size: int | None = None) -> list[Any]:
    import tensorflow as tf

    (given,) = model.inputs
    return [tf.TensorSpec((batch_size, *given.shape[1:]), given.dtype, name=given.name)]


def _write_tflite(model: Any, target: Path, *, quantize: bool) -> None:
    """With any number of examples, a recurrent layer needs operations that a phone lacks."""
    import tensorflow as tf

    options = {"optimizations": [tf.lite.Optimize.DEFAULT]} if quantize else {}
    for batch_size in (None, 1):
        signature = _inputs(model, batch_size)
        model.export(str(target), "litert", verbose=False, input_signature=signature, **options)
        if _FLEX not in target.read_bytes():
            return


@contextlib.contextmanager
def _level_of_root() -> Iterator[None]:
    """Restores the level of the root logger, which OpenVINO's converter sets to ERROR."""
    before = logging.root.level
    try:
        yield
    finally:
        logging.root.setLevel(before)


def _import_openvino() -> Any:
    """Imports OpenVINO without its telemetry, which is sent when it is imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def load(name: str, file: Path) -> Exported:
    """Returns an exported model that was read from its file.

    Args:
        name: of the format.
        file: what `write` wrote.

    Raises:
        UserError: it cannot be loaded again.
    """
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        try:
            return Exported(FORMATS[name].load(file))
        except Exception as error:
            reason = _reason(error)
    raise UserError(
        f"--format {name}: what Keras exports of this model cannot be run ({reason}): give "
        "--format saved_model, which can hold every model."
    )


def _reason(error: Exception) -> str:
    """Returns the first sentence of what a converter says."""
    if type(error).__name__ == "OpConversionFailure":  # it says in which line of OpenVINO
        return "it has operations that OpenVINO does not have, such as the loop of a GRU"
    return first_line(error).rstrip(".:")[:160]


def _load_keras(file: Path) -> Run:
    import keras

    model = keras.saving.load_model(file, compile=False, safe_mode=True)
    return lambda x: model(x, training=False)


def _load_saved_model(file: Path) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(file))
    return lambda x: loaded.serve(x)  # the lambda keeps `loaded`, which owns the weights


def _load_onnx(file: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda x: session.run(None, {given.name: x})[0]


def _load_tflite(file: Path) -> Run:
    import tensorflow as tf

    if _FLEX in file.read_bytes():
        raise ValueError("it needs operations that TensorFlow Lite does not have")
    interpreter = tf.lite.Interpreter(model_path=str(file), num_threads=os.cpu_count())
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    is_one = given["shape_signature"][0] == 1
    interpreter.allocate_tensors()

    def run(x: NDArray[Any]) -> Any:
        if is_one and len(x) != 1:
            return np.concatenate([run(x[at : at + 1]) for at in range(len(x))])
        interpreter.resize_tensor_input(given["index"], x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], x.astype(given["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return run


def _load_openvino(file: Path) -> Run:
    openvino = _import_openvino()
    # Processors with bfloat16 would use that otherwise, and differ in the third digit.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(file), "CPU", exact)
    return lambda x: compiled(x)[0]


FORMATS = {
    "keras": Format(file="model.keras", load=_load_keras),
    "saved_model": Format(file="saved_model", load=_load_saved_model),
    "onnx": Format(
        file="model.onnx",
        load=_load_onnx,
        modules=("tf2onnx", "onnxruntime"),
    ),
    "tflite": Format(file="model.tflite", load=_load_tflite),
    "openvino": Format(file="model.xml", load=_load_openvino, modules=("openvino",)),
}
"""The formats of `samerun export`, by name."""
