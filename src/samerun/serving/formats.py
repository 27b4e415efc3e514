"""The formats in which a Keras model is exported, and how a file of each is run again.

Keras writes them all. What else a format needs is imported here only, when it is asked for.
"""

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from samerun.errors import UserError, first_line, listed
from samerun.process import quiet
from samerun.raw_model import FLEX, Run, import_openvino, runtime


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of an exported model.

    Args:
        file: name of what is written: a file, or a folder.
        packages: what runs it.
        modules: what has to be installed besides TensorFlow, by the name that is imported.
    """

    file: str
    packages: tuple[str, ...]
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
        import_openvino()
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
        if FLEX not in target.read_bytes():
            return


@contextlib.contextmanager
def _level_of_root() -> Iterator[None]:
    """Restores the level of the root logger, which OpenVINO's converter sets to ERROR."""
    before = logging.root.level
    try:
        yield
    finally:
        logging.root.setLevel(before)


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
            return Exported(runtime(file))
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


FORMATS = {
    "keras": Format(file="model.keras", packages=("tensorflow", "keras")),
    "saved_model": Format(file="saved_model", packages=("tensorflow",)),
    "onnx": Format(
        file="model.onnx",
        packages=("onnxruntime",),
        modules=("tf2onnx", "onnxruntime"),
    ),
    "tflite": Format(file="model.tflite", packages=("tensorflow",)),
    "openvino": Format(file="model.xml", packages=("openvino",), modules=("openvino",)),
}
"""The formats of `samerun export`, by name."""
