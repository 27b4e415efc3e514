"""Config classes of training, evaluation and tracking; the values live in `conf/`."""

from enum import StrEnum

from samerun.config.fields import above, at_least, between, config, fraction
from samerun.config.spec import Task


class Loss(StrEnum):
    """What training makes small, by its Keras name."""

    auto = "auto"
    """The usual one for the task: `LOSSES[task][0]`."""
    categorical_crossentropy = "categorical_crossentropy"
    categorical_focal_crossentropy = "categorical_focal_crossentropy"
    binary_crossentropy = "binary_crossentropy"
    binary_focal_crossentropy = "binary_focal_crossentropy"
    mean_squared_error = "mean_squared_error"
    mean_absolute_error = "mean_absolute_error"
    huber = "huber"
    log_cosh = "log_cosh"


class Metric(StrEnum):
    """What is measured every epoch besides the loss, by its Keras name."""

    accuracy = "accuracy"
    top_3_accuracy = "top_3_accuracy"
    auc = "auc"
    precision = "precision"
    recall = "recall"
    mean_absolute_error = "mean_absolute_error"
    root_mean_squared_error = "root_mean_squared_error"
    r2 = "r2"
    perplexity = "perplexity"


class Precision(StrEnum):
    """Keras's dtype policy: what layers compute in; variables stay float32."""

    float32 = "float32"
    mixed_float16 = "mixed_float16"
    mixed_bfloat16 = "mixed_bfloat16"


LOSSES: dict[Task, tuple[Loss, ...]] = {
    Task.multiclass: (Loss.categorical_crossentropy, Loss.categorical_focal_crossentropy),
    Task.binary: (Loss.binary_crossentropy, Loss.binary_focal_crossentropy),
    Task.regression: (
        Loss.mean_squared_error,
        Loss.mean_absolute_error,
        Loss.huber,
        Loss.log_cosh,
    ),
    Task.forecast: (Loss.mean_squared_error, Loss.mean_absolute_error, Loss.huber, Loss.log_cosh),
    Task.language_model: (Loss.categorical_crossentropy,),
}
"""The losses that fit a task, the default one first."""

METRICS: dict[Task, tuple[Metric, ...]] = {
    Task.multiclass: (Metric.accuracy, Metric.top_3_accuracy),
    Task.binary: (Metric.accuracy, Metric.auc, Metric.precision, Metric.recall),
    Task.regression: (Metric.mean_absolute_error, Metric.root_mean_squared_error, Metric.r2),
    Task.forecast: (Metric.mean_absolute_error, Metric.root_mean_squared_error),
    Task.language_model: (Metric.accuracy, Metric.perplexity),
}
"""The metrics that fit a task, the default one first."""


@config
class EarlyStopping:
    """When to stop, and which epoch's weights to keep.

    Args:
        monitor: the metric that decides, by its logged name, such as `validation/loss`. Losses,
            errors, perplexities and bits per token should fall, all others should rise.
        patience_epochs: epochs without improvement before training stops; `null` never stops early.
        min_delta: smallest change that counts as an improvement.
        restore_best: end with the weights of the best epoch, not of the last.
    """

    monitor: str
    patience_epochs: int | None = above(0)
    min_delta: float = at_least(0)
    restore_best: bool


@config
class Training:
    """How the model is fitted.

    Args:
        epochs: passes over the training split.
        loss: what is made small; `auto` goes by the task.
        metrics: measured every epoch; empty goes by the task.
        label_smoothing: share of a label spread over all classes (Szegedy et al., 2016).
        class_weights: weight of each class in the loss, in the order of the labels; empty: equal.
        balance_classes: weigh each class by the inverse of its frequency in the training split.
        precision: dtype policy.
        jit_compile: compile the step with XLA; Keras switches it off under `deterministic`.
        steps_per_execution: steps for one call into TensorFlow, or `auto`: measured before long
            runs, 1 in short ones. Text, since OmegaConf 2.3 fails on a nested `int | str` field.
        deterministic: bit for bit the same run again on the same kind of machine.
        intra_op_threads: threads inside one operation. Part of a run's identity: convolution
            gradients are summed in another order with another number.
        inter_op_threads: operations run side by side.
        early_stopping: when to stop, and which epoch's weights to keep.
    """

    epochs: int = above(0)
    loss: Loss
    metrics: list[Metric]
    label_smoothing: float = fraction()
    class_weights: list[float] = at_least(0)
    balance_classes: bool
    precision: Precision
    jit_compile: bool
    steps_per_execution: str
    deterministic: bool
    intra_op_threads: int = above(0)
    inter_op_threads: int = above(0)
    early_stopping: EarlyStopping


@config
class Evaluation:
    """What is looked at after training.

    Args:
        sample_tokens: how many tokens a language model writes for each sample text.
        worst_examples: how many of the worst mistakes to show: the most confident wrong classes,
            the largest errors, the least expected texts.
        bootstrap_samples: how often the examples are drawn again for the 95 % intervals.
    """

    sample_tokens: int = at_least(0)
    worst_examples: int = at_least(0)
    bootstrap_samples: int = at_least(100)


class IfExists(StrEnum):
    """What to do when the same run, by its fingerprint, is in the store already."""

    rerun = "rerun"
    """Train again."""
    skip = "skip"
    """Name the finished run and do nothing."""
    resume = "resume"
    """Go on with the one that did not finish; name the one that did."""


@config
class Tracking:
    """Where a run is written down, and how much of it.

    Args:
        uri: MLflow tracking URI; `null` takes `MLFLOW_TRACKING_URI` from the environment, or else
            `sqlite:///mlflow.db` in the working folder, which is MLflow's own default.
        experiment: MLflow experiment; made if there is none of that name.
        run_name: `null` makes one that says what differs.
        tags: tags of your own.
        log_every_steps: log the training loss every so many steps, `null` for epochs only.
        log_figures: draw the figures in `plots/`.
        log_model: store the trained model in MLflow's format.
        tensorboard: write TensorBoard event files: scalars, histograms, graph, HParams, mistakes.
        if_exists: what to do when the same run is in the store already.
        profile_steps: first and last training step to trace for TensorBoard's profiler; empty for
            none.
        patience_seconds: how long the end of a run waits for the tracking store at most, and its
            beginning for a locked database; what is not delivered by then stays in the run's folder
            for `samerun sync`.
    """

    uri: str | None
    experiment: str
    run_name: str | None
    tags: dict[str, str]
    log_every_steps: int | None = above(0)
    log_figures: bool
    log_model: bool
    tensorboard: bool
    if_exists: IfExists
    profile_steps: list[int] = above(0)
    patience_seconds: float = between(0, 86_400, default=30.0)
