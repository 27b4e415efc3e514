"""The user's own functions as optimizer and as schedule."""

import math
from typing import Any

import keras

from samerun import user_code
from samerun.errors import UserError
from samerun.user_code import describe_cause, import_function, working_folder_first


def optimizer(
    *,
    target: str,
    params: dict[str, Any],
    learning_rate: Any,
    key: str = "optimizer.target",
    **shared: Any,
) -> keras.optimizers.Optimizer:
    """Returns the optimizer that the user's function makes.

    Args:
        target: `package.module:function`.
        params: its keyword arguments.
        learning_rate: a float or a Keras schedule, which the optimizer has to use.
        key: what names the function, for messages.
        shared: the options of all optimizers; those that are set are passed, and checked.

    Raises:
        UserError: the function does not exist, raises, returns something else, or ignores the
            learning rate or an option.
    """
    where = f"{key}: {target}"
    given = {
        name: value
        for name, value in shared.items()
        if name != "name" and value is not None and value is not False
    }
    if not shared["use_ema"]:
        del given["ema_momentum"]
    with working_folder_first():
        function = import_function(key, target)
        try:
            made = function(learning_rate, **given, **params)
        except (Exception, SystemExit) as error:
            raise UserError(f"{where}: raised {describe_cause(error)}.") from error
    if not isinstance(made, keras.optimizers.Optimizer):
        kind = type(made).__name__
        raise UserError(f"{where}: returned a {kind}, expected a keras.optimizers.Optimizer.")
    used = made._learning_rate
    is_used = used is learning_rate
    if not callable(learning_rate) and isinstance(used, keras.Variable):
        value = keras.ops.convert_to_numpy(used)
        is_used = bool(value == value.dtype.type(learning_rate))
    if not is_used:
        raise UserError(
            f"{where}: ignores its argument learning_rate, expected an optimizer that uses it as "
            "it is: schedule and optimizer.learning_rate would have no effect."
        )
    ignored = [name for name, value in given.items() if getattr(made, name, None) != value]
    if ignored:
        raise UserError(
            f"{where}: ignores optimizer.{ignored[0]}={given[ignored[0]]}: accept **options and "
            "pass them on to the Keras optimizer."
        )
    return made


def factors(cfg: Any, positions: list[float], epochs: float) -> list[float]:
    """Returns the values of the user's function.

    Args:
        cfg: a `CustomSchedule`, or a component of the user's own.
        positions: epochs since the end of the warm-up, one for each step.
        epochs: where training ends, counted from there too.

    Raises:
        UserError: it does not exist, raises, or returns something that is no finite number from 0.
    """
    key = user_code.where("schedule", cfg)
    where = f"{key}: {cfg.target}"
    values = []
    with working_folder_first():
        function = import_function(key, cfg.target)
        for epoch in positions:
            try:
                returned = function(epoch, epochs, **cfg.params)
            except (Exception, SystemExit) as error:
                raise UserError(
                    f"{where}: raised {describe_cause(error)}, for epoch {epoch:g} of {epochs:g}."
                ) from error
            try:
                value = math.nan if isinstance(returned, str) else float(returned)
            except (TypeError, ValueError):
                value = math.nan
            if not (math.isfinite(value) and value >= 0):
                is_number = isinstance(returned, int | float)
                shown = f"{returned}" if is_number else f"a {type(returned).__name__}"
                raise UserError(
                    f"{where}: returned {shown} for epoch {epoch:g} of {epochs:g}, expected a "
                    "finite number that is not negative."
                )
            values.append(value)
    if not any(values):
        raise UserError(f"{where}: returned 0 for every step, expected a learning rate above 0.")
    return values
