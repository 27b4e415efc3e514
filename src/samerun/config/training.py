"""Config classes of training, evaluation and tracking; the values are in `conf/`."""

from enum import StrEnum
from typing import Any

from samerun.config.fields import (
    a_path,
    above,
    at_least,
    between,
    config,
    fraction,
    proper_fraction,
)
from samerun.config.spec import Task


class Loss(StrEnum):
    """The loss function, by its Keras name."""

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
    """A metric that is computed every epoch, by its Keras name."""

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
    """Keras's dtype policy: the compute dtype of layers; variables stay float32."""

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

_OF_KERAS = frozenset(map(str, (*Loss, *Metric)))


def is_own(name: str) -> bool:
    """Whether a loss or a metric is the user's own: `package.module:function` or a component."""
    return name not in _OF_KERAS


def name_of(name: str) -> str:
    """Returns the name under which a metric is logged: of a user's own function that of it."""
    return name.rpartition(":")[2].rpartition(".")[2]


def should_rise(metric: str) -> bool:
    """Whether a metric of this name is maximized.

    Losses, errors, perplexities and bits per token are minimized, all others are maximized.
    """
    return not metric.endswith(("loss", "error", "perplexity", "bits_per_token"))


class OnNan(StrEnum):
    """What to do when the loss or a metric is NaN or infinite."""

    fail = "fail"
    """The run fails."""
    restore_and_lower_lr = "restore_and_lower_lr"
    """Restore the state after the last good epoch and lower the learning rate."""


class OnMemory(StrEnum):
    """What to do when memory runs out."""

    fail = "fail"
    """The run fails."""
    halve_batch = "halve_batch"
    """In the first epoch, restart with half the batch size; later, the run fails."""


@config
class EarlyStopping:
    """When to stop training, and which epoch's weights to keep.

    Args:
        monitor: logged name of the metric to monitor, such as `validation/loss`. Losses, errors,
            perplexities and bits per token are minimized, all others are maximized.
        patience_epochs: epochs without improvement before training stops; `null`: no early
            stopping.
        min_delta: minimum change that counts as an improvement.
        restore_best: restore the weights of the best epoch at the end.
    """

    monitor: str
    patience_epochs: int | None = above(0)
    min_delta: float = at_least(0)
    restore_best: bool


@config
class Training:
    """How the model is trained.

    Args:
        epochs: number of epochs.
        loss: loss function: `auto`, chosen by the task; a `Loss`; or a user's own: a component, or
            a function or class as `package.module:function`, see `is_own`.
        metrics: metrics to compute every epoch: each a `Metric`, or a user's own; empty: chosen by
            the task.
        callbacks: a user's own components, functions or classes that return a Keras callback.
        params: keyword arguments of the user's own loss, metrics and callbacks, by the name of the
            function; of a component its config class, by its kind.
        label_smoothing: fraction of each label spread over all classes (Szegedy et al., 2016).
        class_weights: weight of each class in the loss, in label order; empty: equal weights.
        balance_classes: weight each class by its inverse frequency in the training split.
        precision: dtype policy.
        jit_compile: compile the training step with XLA; Keras disables it if `deterministic`.
        steps_per_execution: training steps per TensorFlow call, or `auto`: 1, and up to 20 after
            the first epoch if that pays. A string, since OmegaConf 2.3 fails on a nested
            `int | str` field.
        deterministic: bit-identical results on the same kind of machine.
        intra_op_threads: threads within one operation. Part of a run's identity: their number
            determines the order in which convolution gradients are summed.
        inter_op_threads: operations that run in parallel.
        early_stopping: when to stop, and which epoch's weights to keep.
        on_nan: what to do when the loss or a metric is NaN or infinite.
        on_memory: what to do when memory runs out in the first epoch.
        max_retries: maximum number of retries of each of the two kinds; then the run fails.
        retry_learning_rate_factor: factor by which each retry of `restore_and_lower_lr` multiplies
            the learning rate of any schedule.
    """

    epochs: int = above(0)
    loss: str
    metrics: list[str]
    callbacks: list[str]
    params: dict[str, Any] = a_path()
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
    on_nan: OnNan
    on_memory: OnMemory
    max_retries: int = above(0)
    retry_learning_rate_factor: float = proper_fraction()


@config
class Evaluation:
    """What is evaluated after training.

    Args:
        sample_tokens: tokens that a language model generates for each sample text.
        worst_examples: number of worst predictions to show: the most confident wrong classes, the
            largest errors, the texts with the highest loss.
        bootstrap_samples: number of bootstrap samples for 95 % confidence intervals.
    """

    sample_tokens: int = at_least(0)
    worst_examples: int = at_least(0)
    bootstrap_samples: int = at_least(100)


class IfExists(StrEnum):
    """What to do if the same run, by its fingerprint, is already in the store."""

    rerun = "rerun"
    """Train it again."""
    skip = "skip"
    """Print the finished run and train nothing."""
    resume = "resume"
    """Resume the unfinished run, or print the finished one."""


@config
class Tracking:
    """Where a run is recorded, and how much of it.

    Args:
        uri: MLflow tracking URI; `null`: `MLFLOW_TRACKING_URI` from the environment, or
            `sqlite:///mlflow.db` in the working directory, which is MLflow's default.
        experiment: MLflow experiment; created if it does not exist. The default is
            `MLFLOW_EXPERIMENT_NAME` from the environment, else `samerun`.
        run_name: name of the run; `null`: made of what differs from the defaults.
        tags: additional tags.
        log_every_steps: log the training loss every n steps; `null`: per epoch only.
        log_figures: draw the figures in `plots/`.
        log_seconds: print at the end of the run where its time went, and store it.
        log_model: store the trained model in MLflow's format.
        tensorboard: write TensorBoard event files: scalars, histograms, graph, HParams, mistakes.
        if_exists: what to do if the same run is already in the store.
        profile_steps: first and last training step to trace for TensorBoard's profiler; empty: no
            profiling.
        patience_seconds: maximum wait for the tracking store at the end of a run, and for a locked
            database at its start; what is not delivered by then stays in the run's folder for
            `samerun sync`.
    """

    uri: str | None
    experiment: str
    run_name: str | None
    tags: dict[str, str]
    log_every_steps: int | None = above(0)
    log_figures: bool
    log_seconds: bool
    log_model: bool
    tensorboard: bool
    if_exists: IfExists
    profile_steps: list[int] = above(0)
    patience_seconds: float = between(0, 86_400)
