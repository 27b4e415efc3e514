"""A loss and metrics of the user's own, as Keras defines them: functions or classes."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from samerun.config import DataSpec, Task
from samerun.errors import UserError
from samerun.user_code import OwnFunction, describe_cause, import_function, working_folder_first

_BATCH = 4


class OwnLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss that is a function of targets and predictions.

    Args:
        function: returns the loss of each example, or a scalar.
        name: of the loss.
    """

    def __init__(self, function: Callable[[Any, Any], Any], name: str) -> None:
        super().__init__(name=name)
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example, or a scalar.

        Args:
            y_true: targets.
            y_pred: predictions.
        """
        return self.function(y_true, y_pred)


def loss(own: OwnFunction) -> keras.losses.Loss:
    """Returns a user's own loss.

    Args:
        own: names `f(y_true, y_pred, **params)`, or a subclass of `keras.losses.Loss`.

    Raises:
        UserError: it does not exist, or cannot be constructed.
    """
    with working_folder_first():
        found = import_function(own.key, own.target)
    if isinstance(found, type):
        return _constructed(own, found, keras.losses.Loss, own.params)
    return OwnLoss(functools.partial(found, **own.params), own.name)


def metric(own: OwnFunction) -> keras.metrics.Metric:
    """Returns a user's own metric, under the name of its function.

    Args:
        own: names `f(y_true, y_pred, **params)`, whose values are averaged, or a subclass of
            `keras.metrics.Metric`.

    Raises:
        UserError: it does not exist, or cannot be constructed.
    """
    with working_folder_first():
        found = import_function(own.key, own.target)
    if isinstance(found, type):
        return _constructed(own, found, keras.metrics.Metric, {**own.params, "name": own.name})
    return keras.metrics.MeanMetricWrapper(functools.partial(found, **own.params), name=own.name)


def _constructed(own: OwnFunction, found: Any, base: type, arguments: Any) -> Any:
    name = f"keras.{base.__module__.split('.')[-2]}.{base.__name__}"
    if not issubclass(found, base):
        raise UserError(
            f"{own.key}: {own.target}: received the class {found.__name__}, expected a function "
            f"f(y_true, y_pred), or a subclass of {name}."
        )
    try:
        return found(**arguments)
    except (Exception, SystemExit) as error:
        raise UserError(f"{own.key}: {own.target}: raised {describe_cause(error)}.") from error


def check_loss(own: OwnFunction, made: keras.losses.Loss, spec: DataSpec) -> None:
    """Calls a loss once, on a batch of the right shape and in a graph, as training does.

    Raises:
        UserError: it raises, or returns something else than finite numbers with a gradient.
    """
    where = f"{own.key}: {own.target}"
    y_true, y_pred = example_batch(spec)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(targets: Any, outputs: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            each = tf.convert_to_tensor(made.call(targets, outputs))
            total = made(targets, outputs)
        return each, total, tape.gradient(total, outputs)

    try:
        batch = (tf.constant(y_true), tf.constant(y_pred))
        # Traced here: TensorFlow warns of a function that each call traces, as each loss does.
        each, total, gradient = step.get_concrete_function(*batch)(*batch)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{where}: raised {describe_cause(error)}, on targets of shape {y_true.shape} and "
            f"predictions of shape {y_pred.shape}."
        ) from error
    shape = tuple(each.shape)
    if shape not in [y_pred.shape[:n] for n in range(y_pred.ndim + 1)]:
        raise UserError(
            f"{where}: returned the shape {shape} for {_BATCH} examples, expected ({_BATCH},): the "
            "loss of each example."
        )
    if not np.isfinite(total.numpy()):
        raise UserError(f"{where}: returned {float(total)}, expected a finite number.")
    if gradient is None or not np.isfinite(tf.convert_to_tensor(gradient).numpy()).all():
        problem = "no gradient" if gradient is None else "a gradient that is not finite"
        raise UserError(
            f"{where}: has {problem} with respect to the predictions, expected one that training "
            "can follow: use keras.ops that are differentiable."
        )


def check_metric(own: OwnFunction, made: keras.metrics.Metric, spec: DataSpec) -> None:
    """Calls a metric once, on a batch of the right shape and in a graph, as training does.

    Raises:
        UserError: it raises, or its value is not a finite number.
    """
    where = f"{own.key}: {own.target}"
    y_true, y_pred = example_batch(spec)
    try:
        step = tf.function(lambda y, p: made.update_state(y, p), autograph=False)
        batch = (tf.constant(y_true), tf.constant(y_pred))
        step.get_concrete_function(*batch)(*batch)
        value = np.asarray(keras.ops.convert_to_numpy(made.result()))
        made.reset_state()
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{where}: raised {describe_cause(error)}, on targets of shape {y_true.shape} and "
            f"predictions of shape {y_pred.shape}."
        ) from error
    if value.shape != () or not np.isfinite(value):
        shown = str(value.tolist())[:40] if value.shape == () else f"the shape {value.shape}"
        raise UserError(f"{where}: returned {shown}, expected one finite number.")


def example_batch(spec: DataSpec) -> tuple[Any, Any]:
    """Returns targets and predictions of the shapes and types that training has."""
    random = np.random.default_rng(0)
    if spec.task is Task.language_model:
        length, size = spec.input_shape[0], spec.num_outputs
        y_pred = random.normal(size=(_BATCH, length, size)).astype(np.float32)
        return random.integers(1, size, (_BATCH, length)).astype(np.int32), y_pred
    outputs = random.uniform(0.1, 0.9, (_BATCH, spec.num_outputs)).astype(np.float32)
    if spec.task is Task.multiclass:
        labels = (np.arange(_BATCH) % spec.num_outputs).astype(np.int32)
        return labels, outputs / outputs.sum(axis=1, keepdims=True)
    if spec.task is Task.binary:
        return (np.arange(_BATCH) % 2).astype(np.float32)[:, None], outputs
    return random.normal(size=outputs.shape).astype(np.float32), outputs
