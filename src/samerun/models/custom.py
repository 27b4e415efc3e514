"""A user's own function as a model."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from samerun.config import DataSpec, Layout, Task
from samerun.config.models import Model
from samerun.config.models.custom import CustomModel
from samerun.errors import UserError
from samerun.user_code import describe_cause, import_function, working_folder_first

_NUM_PROBES = 8
_WIDTH = 10.0  # of what the inputs are drawn from: a linear output is in [0, 1] once in 25 times
_ROUNDING = 1e-2  # bfloat16 keeps 8 bits: a sum of probabilities is off by 4e-3


def custom(cfg: CustomModel, spec: DataSpec) -> keras.Model:
    """Returns what the user's function makes of the description of the data.

    A model that is not built yet is built by the call that checks it, subclassed ones too.

    Raises:
        UserError: no such function, one that raises, one that returns something else, or a model
            that cannot take the data or whose output does not fit the task: its shape, its dtype or
            what its numbers are (`_check_numbers` says what of that cannot be noticed).
    """
    where = f"model.target: {cfg.target}"
    with working_folder_first():
        build = import_function("model.target", cfg.target)
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
    """Calls the model on two examples, since not every model can tell its shapes in advance."""
    dtype = np.int32 if spec.layout is Layout.tokens else np.float32
    try:
        output = model(np.zeros((2, *spec.input_shape), dtype))
    except Exception as error:
        raise UserError(
            f"{where}: its model cannot take {spec.layout} data of shape "
            f"{_of_batch(spec.input_shape)}: {describe_cause(error)}."
        ) from error
    if not keras.ops.is_tensor(output):
        kind = type(output).__name__
        raise UserError(f"{where}: its model gives a {kind}, expected one output.")
    positions = spec.input_shape if spec.task is Task.language_model else ()
    expected = (*positions, spec.num_outputs)
    if tuple(output.shape) != (2, *expected):
        raise UserError(
            f"{where}: its output has shape {_of_batch(output.shape[1:])}, expected "
            f"{_of_batch(expected)} for the {spec.task} task: end with samerun.models.head(spec), "
            "or with a layer of spec.num_outputs units, after a Flatten where there are more axes."
        )
    given = keras.backend.standardize_dtype(output.dtype)
    if given != "float32":
        raise UserError(
            f"{where}: its output is {given}, expected float32, in which the loss is exact enough: "
            'give the last layer dtype="float32".'
        )


def _check_numbers(model: keras.Model, spec: DataSpec, where: str) -> None:
    """Looks whether the output is made of probabilities or logits, as the loss takes them.

    Numbers out of a wide normal distribution drive an output that nothing holds back far out of
    [0, 1]. Not noticed are: for `binary`, numbers of a text's model that all lie in [0, 1] by
    chance (an untrained embedding keeps them near 0), and an activation that keeps to [0, 1]
    without being a probability, such as a clipped ReLU; for `language_model`, any numbers that are
    no softmax; and every model that cannot take such inputs or answers them with NaN.
    """
    random = np.random.default_rng(0)
    shape = (_NUM_PROBES, *spec.input_shape)
    probes = random.normal(scale=_WIDTH, size=shape).astype(np.float32)
    if spec.layout is Layout.tokens:
        probes = random.integers(0, spec.vocabulary_size, shape).astype(np.int32)
    try:
        output = keras.ops.convert_to_numpy(model(probes))
    except Exception:  # such as a column of a table that the model takes for an index
        return
    rows = output.reshape(-1, output.shape[-1]).astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) and (wrong := _wrong_numbers(rows, spec.task)):
        raise UserError(f"{where}: {wrong}.")


def _wrong_numbers(rows: NDArray[np.float64], task: Task) -> str:
    """Returns what the numbers of an output are instead of what they should be, if they are not."""
    is_share = bool(((rows >= 0) & (rows <= 1 + _ROUNDING)).all())
    sum_is_1 = np.allclose(rows.sum(axis=1), 1, rtol=0, atol=_ROUNDING)
    or_end = "end with samerun.models.head(spec), or with"
    if task is Task.multiclass and not (is_share and sum_is_1):
        return (
            "its output is no probability of each class, expected numbers of 0 or more whose sum "
            f"is 1, for the multiclass task: {or_end} the softmax activation"
        )
    if task is Task.binary and not is_share:
        return (
            "its output is no probability, expected a number between 0 and 1, for the binary task: "
            f"{or_end} the sigmoid activation"
        )
    if task is Task.language_model and is_share and sum_is_1:
        return (
            "its output is a probability of each token, expected logits, of which the loss takes "
            f"the softmax, for the language_model task: {or_end} a layer without activation"
        )
    return ""


def _of_batch(shape: Sequence[int]) -> str:
    return f"({', '.join(['batch', *map(str, shape)])})"


BUILDERS: dict[type[Model], Callable[[Any, DataSpec], keras.Model]] = {
    CustomModel: custom,
}
