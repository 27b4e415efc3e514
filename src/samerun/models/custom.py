"""The user's own function as a model."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from samerun import user_code
from samerun.config import DataSpec, Layout, Task
from samerun.config.models import Model
from samerun.config.models.custom import CustomModel
from samerun.errors import UserError
from samerun.user_code import describe_cause, import_function, working_folder_first

_NUM_PROBES = 8
_WIDTH = 10.0  # standard deviation of the probes: a linear output is in [0, 1] once in 25 times
_ROUNDING = 1e-2  # bfloat16 keeps 8 bits: a sum of probabilities is off by 4e-3


def custom(cfg: Any, spec: DataSpec) -> keras.Model:
    """Returns the model that the user's function builds for this `DataSpec`.

    A model that is not built yet, subclassed models included, is built by the call that checks it.

    Args:
        cfg: a `CustomModel`, or a component of the user's own.
        spec: description of the data.

    Raises:
        UserError: the function does not exist, raises or returns something else; or the model does
            not accept the data, or the shape, dtype or values of its output do not fit the task
            (see `_check_numbers` for what cannot be detected).
    """
    key = user_code.where("model", cfg)
    where = f"{key}: {cfg.target}"
    with working_folder_first():
        build = import_function(key, cfg.target)
        try:
            model = build(spec, **cfg.params)
        except (Exception, SystemExit) as error:
            raise UserError(f"{where}: raised {describe_cause(error)}.") from error
    if not isinstance(model, keras.Model):
        kind = type(model).__name__
        raise UserError(f"{where}: returned a {kind}, expected a keras.Model.")
    _check_output(model, spec, where)
    _check_numbers(model, spec, where)
    return model


def _check_output(model: keras.Model, spec: DataSpec, where: str) -> None:
    """Calls the model on two examples, because not every model knows its shapes in advance."""
    dtype = np.int32 if spec.layout is Layout.tokens else np.float32
    try:
        output = model(np.zeros((2, *spec.input_shape), dtype))
    except Exception as error:
        raise UserError(
            f"{where}: its model does not accept {spec.layout} data of shape "
            f"{_of_batch(spec.input_shape)}: {describe_cause(error)}."
        ) from error
    if not keras.ops.is_tensor(output):
        kind = type(output).__name__
        raise UserError(f"{where}: its model returns a {kind}, expected one output tensor.")
    positions = spec.input_shape if spec.task is Task.language_model else ()
    expected = (*positions, spec.num_outputs)
    if tuple(output.shape) != (2, *expected):
        raise UserError(
            f"{where}: its output has shape {_of_batch(output.shape[1:])}, expected "
            f"{_of_batch(expected)} for the {spec.task} task: end with samerun.models.head(spec), "
            "or with a layer of spec.num_outputs units, after a Flatten if there are more axes."
        )
    given = keras.backend.standardize_dtype(output.dtype)
    if given != "float32":
        raise UserError(
            f"{where}: its output is {given}, expected float32, for an accurate loss: "
            'pass dtype="float32" to the last layer.'
        )


def _check_numbers(model: keras.Model, spec: DataSpec, where: str) -> None:
    """Checks whether the output consists of probabilities or logits, as the loss expects.

    Inputs from a wide normal distribution drive an unbounded output far out of [0, 1]. Not
    detected are: for `binary`, outputs of a text model that happen to lie in [0, 1] (an untrained
    embedding keeps them near 0), and an activation within [0, 1] that is not a probability, such
    as a clipped ReLU; for `language_model`, any values that are not a softmax; and every model
    that does not accept such inputs or returns NaN for them.
    """
    random = np.random.default_rng(0)
    shape = (_NUM_PROBES, *spec.input_shape)
    probes = random.normal(scale=_WIDTH, size=shape).astype(np.float32)
    if spec.layout is Layout.tokens:
        probes = random.integers(0, spec.vocabulary_size, shape).astype(np.int32)
    try:
        output = keras.ops.convert_to_numpy(model(probes))
    except Exception:  # such as a table column that the model uses as an index
        return
    rows = output.reshape(-1, output.shape[-1]).astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) and (wrong := _mismatch(rows, spec.task)):
        raise UserError(f"{where}: {wrong}.")


def _mismatch(rows: NDArray[np.float64], task: Task) -> str:
    """Returns the mismatch between the output and what the task expects, or an empty string."""
    is_share = bool(((rows >= 0) & (rows <= 1 + _ROUNDING)).all())
    sum_is_1 = np.allclose(rows.sum(axis=1), 1, rtol=0, atol=_ROUNDING)
    or_end = "end with samerun.models.head(spec), or with"
    if task is Task.multiclass and not (is_share and sum_is_1):
        return (
            "its output is not a probability for each class, expected non-negative numbers with "
            f"sum 1 for the multiclass task: {or_end} the softmax activation"
        )
    if task is Task.binary and not is_share:
        return (
            "its output is not a probability, expected a number between 0 and 1 for the binary "
            f"task: {or_end} the sigmoid activation"
        )
    if task is Task.language_model and is_share and sum_is_1:
        return (
            "its output is a probability for each token, expected logits (the loss applies the "
            f"softmax) for the language_model task: {or_end} a layer without activation"
        )
    return ""


def _of_batch(shape: Sequence[int]) -> str:
    return f"({', '.join(['batch', *map(str, shape)])})"


BUILDERS: dict[type[Model], Callable[[Any, DataSpec], keras.Model]] = {
    CustomModel: custom,
}
