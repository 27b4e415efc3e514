"""The loss that training minimizes, the metrics, and the weights of classes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from samerun.config import Config, DataSpec, Task
from samerun.config.checks import loss_of, metrics_of, mixup_of
from samerun.config.training import Loss, Metric, is_own
from samerun.losses import custom
from samerun.user_code import OwnFunction, own_functions

PADDING = 0
"""The token that pads short texts; as a target it is ignored."""


@keras.saving.register_keras_serializable(package="samerun")
class OneHot(keras.losses.Loss):  # type: ignore[misc]
    """A loss between distributions, for labels that are integers or, after mix-up, distributions.

    Args:
        inner: the loss of targets and predictions of shape (..., num_classes).
        num_classes: how many classes there are.
    """

    def __init__(self, inner: keras.losses.Loss, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**{"name": inner.name, **kwargs})
        self.inner = inner
        self.num_classes = num_classes

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example.

        Args:
            y_true: integer labels, shape (...,) or (..., 1), or the share of each class, of the
                shape of the predictions.
            y_pred: predictions, shape (..., num_classes).
        """
        if _is_mixed(y_true, y_pred):
            return self.inner.call(y_true, y_pred)
        labels = keras.ops.reshape(y_true, keras.ops.shape(y_pred)[:-1])
        targets = keras.ops.one_hot(keras.ops.cast(labels, "int32"), self.num_classes)
        return self.inner.call(targets, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        inner = keras.losses.serialize(self.inner)
        return {**super().get_config(), "inner": inner, "num_classes": self.num_classes}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "OneHot":
        """Returns the loss that `get_config` described."""
        return cls(**{**config, "inner": keras.losses.deserialize(config["inner"])})


def _is_mixed(y_true: Any, y_pred: Any) -> bool:
    """Whether labels are shares of classes, of which there are at least three: two have one output.

    Training labels are, under mix-up, and those of the other splits are not.
    """
    return len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == y_pred.shape[-1] > 1


@keras.saving.register_keras_serializable(package="samerun")
class OfMainClass(keras.metrics.Metric):  # type: ignore[misc]
    """A metric of classes, for labels that mix-up may have mixed: the class of the larger share.

    Args:
        inner: the metric of labels that are integers.
    """

    def __init__(self, inner: keras.metrics.Metric, **kwargs: Any) -> None:
        super().__init__(**{"name": inner.name, **kwargs})
        self.inner = inner

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            y_true: labels, or the share of each class, or of the second one of two.
            y_pred: predictions.
            sample_weight: weight of each example.
        """
        if _is_mixed(y_true, y_pred):
            labels = keras.ops.argmax(y_true, axis=-1)
        else:  # integers stay what they are
            labels = keras.ops.round(keras.ops.cast(y_true, "float32"))
        self.inner.update_state(labels, y_pred, sample_weight)

    def result(self) -> Any:
        """Returns the metric of what was added since the last reset."""
        return self.inner.result()

    def reset_state(self) -> None:
        """Forgets what was added."""
        self.inner.reset_state()

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "inner": keras.metrics.serialize(self.inner)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "OfMainClass":
        """Returns the metric that `get_config` described."""
        return cls(**{**config, "inner": keras.metrics.deserialize(config["inner"])})


def _categorical(cfg: Config, spec: DataSpec) -> keras.losses.Loss:
    if spec.task is Task.language_model:  # its mean excludes padding
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PADDING)
    smoothing = cfg.training.label_smoothing
    if not smoothing and not mixup_of(cfg):
        return keras.losses.SparseCategoricalCrossentropy()
    inner = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    return OneHot(inner, spec.num_outputs)


def _categorical_focal(cfg: Config, spec: DataSpec) -> keras.losses.Loss:
    smoothing = cfg.training.label_smoothing
    inner = keras.losses.CategoricalFocalCrossentropy(label_smoothing=smoothing)
    return OneHot(inner, spec.num_outputs)


def _binary(cfg: Config, spec: DataSpec) -> keras.losses.Loss:
    return keras.losses.BinaryCrossentropy(label_smoothing=cfg.training.label_smoothing)


def _binary_focal(cfg: Config, spec: DataSpec) -> keras.losses.Loss:
    return keras.losses.BinaryFocalCrossentropy(label_smoothing=cfg.training.label_smoothing)


LOSS_BUILDERS: dict[Loss, Callable[[Config, DataSpec], keras.losses.Loss]] = {
    Loss.categorical_crossentropy: _categorical,
    Loss.categorical_focal_crossentropy: _categorical_focal,
    Loss.binary_crossentropy: _binary,
    Loss.binary_focal_crossentropy: _binary_focal,
    Loss.mean_squared_error: lambda cfg, spec: keras.losses.MeanSquaredError(),
    Loss.mean_absolute_error: lambda cfg, spec: keras.losses.MeanAbsoluteError(),
    Loss.huber: lambda cfg, spec: keras.losses.Huber(),
    Loss.log_cosh: lambda cfg, spec: keras.losses.LogCosh(),
}
"""How each loss is built. Values without a config key are Keras's: focal losses have gamma 2 (and
alpha 0.25 with several classes; Lin et al., 2017), Huber's delta is 1."""


@keras.saving.register_keras_serializable(package="samerun")
class TokenAccuracy(keras.metrics.Mean):  # type: ignore[misc]
    """Share of the tokens that were the most likely ones; without padding."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            y_true: true tokens, (batch, length).
            y_pred: logits, (batch, length, vocabulary).
            sample_weight: weight of each token, of a shape that broadcasts to (batch, length).
        """
        hits = keras.ops.equal(keras.ops.argmax(y_pred, axis=-1), keras.ops.cast(y_true, "int32"))
        super().update_state(hits, _token_weights(y_true, sample_weight))


@keras.saving.register_keras_serializable(package="samerun")
class Perplexity(keras.metrics.Mean):  # type: ignore[misc]
    """exp of the mean log loss of the tokens (Jelinek et al., 1977); without padding.

    1 is certainty; a model that knows nothing has the size of the vocabulary.
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            y_true: true tokens, (batch, length).
            y_pred: logits, (batch, length, vocabulary).
            sample_weight: weight of each token, of a shape that broadcasts to (batch, length).
        """
        losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        super().update_state(losses, _token_weights(y_true, sample_weight))

    def result(self) -> Any:
        """Returns the perplexity of what was added since the last reset."""
        return keras.ops.exp(super().result())


def _token_weights(y_true: Any, sample_weight: Any) -> Any:
    counts = keras.ops.cast(keras.ops.not_equal(y_true, PADDING), "float32")
    return counts if sample_weight is None else counts * sample_weight


def _accuracy(spec: DataSpec) -> keras.metrics.Metric:
    if spec.task is Task.language_model:
        return TokenAccuracy(name="accuracy")
    if spec.task is Task.binary:
        return keras.metrics.BinaryAccuracy(name="accuracy")
    return keras.metrics.SparseCategoricalAccuracy(name="accuracy")


METRIC_BUILDERS: dict[Metric, Callable[[DataSpec], keras.metrics.Metric]] = {
    Metric.accuracy: _accuracy,
    Metric.top_3_accuracy: lambda spec: keras.metrics.SparseTopKCategoricalAccuracy(
        k=3, name="top_3_accuracy"
    ),
    Metric.auc: lambda spec: keras.metrics.AUC(name="auc"),
    Metric.precision: lambda spec: keras.metrics.Precision(name="precision"),
    Metric.recall: lambda spec: keras.metrics.Recall(name="recall"),
    Metric.mean_absolute_error: lambda spec: keras.metrics.MeanAbsoluteError(
        name="mean_absolute_error"
    ),
    Metric.root_mean_squared_error: lambda spec: keras.metrics.RootMeanSquaredError(
        name="root_mean_squared_error"
    ),
    Metric.r2: lambda spec: keras.metrics.R2Score(name="r2"),
    Metric.perplexity: lambda spec: Perplexity(name="perplexity"),
}
"""How each metric is built; Keras logs it under the config's name."""


def loss(cfg: Config, spec: DataSpec) -> keras.losses.Loss:
    """Returns the loss of a run; labels of classes are integers, or after mix-up their shares.

    Args:
        cfg: `training.loss` and `training.label_smoothing`.
        spec: the task, which chooses the loss where the config says `auto`.
    """
    name = loss_of(cfg, spec.task)
    if is_own(name):
        return custom.loss(_own(cfg)[name])
    return LOSS_BUILDERS[Loss(name)](cfg, spec)


def metrics(cfg: Config, spec: DataSpec) -> list[keras.metrics.Metric]:
    """Returns the metrics of a run, named as in the config, in its order."""
    own = _own(cfg)
    built = [
        custom.metric(own[name]) if is_own(name) else METRIC_BUILDERS[Metric(name)](spec)
        for name in metrics_of(cfg, spec.task)
    ]
    return [OfMainClass(metric) for metric in built] if mixup_of(cfg) else built


def _own(cfg: Config) -> dict[str, OwnFunction]:
    """Returns the user's own loss and metrics by their names in the config."""
    parts = ("training.loss", "training.metrics[")
    return {own.written: own for own in own_functions(cfg) if own.key.startswith(parts)}


def check_own(cfg: Config, spec: DataSpec) -> None:
    """Calls the user's own loss and metrics once, on a batch of the right shape.

    Raises:
        UserError: see `custom.check_loss` and `custom.check_metric`.
    """
    for own in _own(cfg).values():
        if own.key == "training.loss":
            custom.check_loss(own, custom.loss(own), spec)
        else:
            custom.check_metric(own, custom.metric(own), spec)


def measure_own(cfg: Config, model: keras.Model, split: Iterable[Any]) -> dict[str, float]:
    """Returns the user's own metrics of a trained model on a split, by name.

    Args:
        cfg: `training.metrics`.
        model: the model.
        split: batches of (features, targets).
    """
    own = [name for name in cfg.training.metrics if is_own(name)]
    if not own:
        return {}
    made = [custom.metric(_own(cfg)[name]) for name in own]
    for features, targets in split:
        outputs = model.predict_on_batch(features)
        for metric in made:
            metric.update_state(targets, outputs)
    return {metric.name: float(metric.result()) for metric in made}


def class_weights(cfg: Config, counts: Sequence[int]) -> dict[int, float] | None:
    """Returns the weight of each class in the loss, or `None` where all weigh the same.

    Balanced weights are n / (num_classes · count) (King and Zeng, 2001): their mean over the
    examples is 1. A class without examples has no weight and does not count.

    Args:
        cfg: `training.class_weights` and `training.balance_classes`.
        counts: training examples of each class, in the order of the labels.
    """
    if not cfg.training.balance_classes:
        return dict(enumerate(cfg.training.class_weights)) or None
    present = {label: int(count) for label, count in enumerate(counts) if count}
    total = sum(present.values())
    return {label: total / (len(present) * count) for label, count in present.items()}
