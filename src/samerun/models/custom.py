"""A user's own function as a model."""

from collections.abc import Sequence

import keras
import numpy as np

from samerun.config import CustomModel, DataSpec, Layout, Task, UserError
from samerun.config.code import cause, function, working_folder_first


def custom(cfg: CustomModel, spec: DataSpec) -> keras.Model:
    """Returns what the user's function makes of the description of the data.

    A model that is not built yet is built by the call that checks it, subclassed ones too.

    Raises:
        UserError: no such function, one that raises, one that returns something else, or a model
            that cannot take the data or whose output does not fit the task.
    """
    where = f"model.target: {cfg.target}"
    with working_folder_first():
        build = function("model.target", cfg.target)
        try:
            model = build(spec, **cfg.params)
        except (Exception, SystemExit) as error:
            raise UserError(f"{where}: raised {cause(error)}.") from error
    if not isinstance(model, keras.Model):
        kind = type(model).__name__
        raise UserError(f"{where}: returned a {kind}, expected a keras.Model.")
    _check_output(model, spec, where)
    return model


def _check_output(model: keras.Model, spec: DataSpec, where: str) -> None:
    """Calls the model on two examples, since not every model can tell its shapes in advance."""
    dtype = np.int32 if spec.layout is Layout.tokens else np.float32
    try:
        output = model(np.zeros((2, *spec.input_shape), dtype))
    except Exception as error:
        raise UserError(
            f"{where}: its model cannot take {spec.layout} data of shape "
            f"{_of_batch(spec.input_shape)}: {cause(error)}."
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


def _of_batch(shape: Sequence[int]) -> str:
    return f"({', '.join(['batch', *map(str, shape)])})"
