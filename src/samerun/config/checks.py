"""Checks of a config that involve several fields, or the dataset."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from samerun.config.checkpoint import AfterSuccess
from samerun.config.datasets.base import Pictures
from samerun.config.own import NAMED, is_component
from samerun.config.project import needs_file, own_options
from samerun.config.root import Config
from samerun.config.schema import GROUPS
from samerun.config.spec import DataSpec, Layout, Task
from samerun.config.suggestions import as_hint, correct, metric_name
from samerun.config.training import LOSSES, METRICS, Loss, Metric, is_own, name_of
from samerun.errors import UserError, listed, nearest


def loss_of(cfg: Config, task: Task) -> str:
    """Returns the loss of a run: the given one, or the default of the task."""
    return LOSSES[task][0] if cfg.training.loss == Loss.auto else cfg.training.loss


def metrics_of(cfg: Config, task: Task) -> tuple[str, ...]:
    """Returns the metrics of a run: the given ones, or the default of the task."""
    return tuple(cfg.training.metrics) or METRICS[task][:1]


def mixup_of(cfg: Config) -> float:
    """Returns `dataset.augmentation.mixup`: above 0, a training label is shares of two classes."""
    return cfg.dataset.augmentation.mixup if isinstance(cfg.dataset, Pictures) else 0.0


def epoch_metrics(cfg: Config, spec: DataSpec) -> tuple[str, ...]:
    """Returns the names under which every epoch is logged, such as `validation/accuracy`."""
    splits = ["train"] + (["validation"] if spec.num_validation else [])
    names = ["loss", *map(name_of, metrics_of(cfg, spec.task))]
    return tuple(f"{split}/{name}" for split in splits for name in names)


def check_names(cfg: Config) -> None:
    """Checks the names of the loss, the metrics and the callbacks, without the data.

    Raises:
        UserError: one that does not exist, or that is given twice.
    """
    training = cfg.training
    _check_known("loss", [training.loss], tuple(Loss), training.params)
    _check_known("metric", training.metrics, tuple(Metric), training.params)
    _check_known("callback", training.callbacks, (), training.params)
    own = [*training.callbacks, *filter(is_own, [training.loss, *training.metrics])]
    functions = [name_of(name) for name in own]
    for name, values in training.params.items():
        if is_component(values) and functions.count(name) > 1:
            raise UserError(
                f"training: received {listed(own)}, expected names that differ, since one has its "
                f"options in training.params.{name}: rename one {name}."
            )
        if name not in functions or not (isinstance(values, dict) or is_component(values)):
            raise UserError(
                f"training.params: received '{name}', expected the arguments of one of "
                f"{listed(functions) or 'your own functions, and there are none'}, as in "
                f"+training.params.{functions[0] if functions else 'my_loss'}.weight=2."
                f"{nearest(name, functions) or as_hint(_choosing(name))}"
            )


def _choosing(name: str) -> str:
    """Returns what to type to choose a component of this name; empty if there is none."""
    groups = [group for group in NAMED if name in own_options(group)]
    lines = [f"{NAMED[one]}={name if one == 'loss' else f'[{name}]'}" for one in groups]
    return lines[0] if lines else ""


def check_keys(node: object, where: str = "") -> None:
    """Checks that mappings inside values of any type have text as keys, as they are recorded.

    Args:
        node: a config, or a part of one.
        where: its key.

    Raises:
        UserError: a key is a number, say.
    """
    inner: Iterable[tuple[Any, Any]] = ()
    if dataclasses.is_dataclass(node):
        inner = vars(node).items()
    elif isinstance(node, dict):
        inner = node.items()
    elif isinstance(node, list):
        inner = enumerate(node)
    for key, value in inner:
        if isinstance(node, dict) and not isinstance(key, str):
            raise UserError(
                f"{where}: received {key!r} as a key of a mapping, expected text, such as 'first'."
            )
        below = f"[{key}]" if isinstance(node, list) else f".{key}"
        check_keys(value, f"{where}{below}".removeprefix("."))


def _check_known(
    group: str, names: Sequence[str], known: Sequence[str], params: Mapping[str, Any]
) -> None:
    key = NAMED[group]
    for name in names:
        if not isinstance(name, str):  # OmegaConf lets a mapping be an entry of a list of texts
            raise UserError(f"{key}: received {name!r}, expected a name, such as my_code:f.")
        if ":" not in name and name not in known and not is_component(params.get(name)):
            given = f"{key}={'my_code:f' if group == 'loss' else '[my_code:f]'}"
            typed = names[0] if group == "loss" else f"[{','.join(names)}]"
            hint = as_hint(correct(key, typed, {})) or needs_file(group, name)
            possible = [*known, *own_options(group)]
            some = f"one of {listed(possible)}, or " if possible else ""
            raise UserError(
                f"{key}: received '{name}', expected {some}a function of your own as in "
                f"{given}.{hint}"
            )
    logged = [name_of(name) for name in names]
    twice = [n for n in logged if logged.count(n) > 1 or (group == "metric" and n == "loss")]
    if twice:
        raise UserError(
            f"{key}: received {listed(names)}, expected names that differ from each other "
            f"and from loss: rename one {twice[0]}."
        )


def _check_itself(cfg: Config) -> None:
    training = cfg.training
    steps = training.steps_per_execution
    if steps != "auto" and not (steps.isdecimal() and int(steps)):
        raise UserError(
            f"training.steps_per_execution: received '{steps}', expected an integer or 'auto'."
        )
    if training.class_weights and training.balance_classes:
        raise UserError(
            "training.class_weights and training.balance_classes=true both weight the classes: "
            "use one of them."
        )
    optimizer = cfg.optimizer
    clips = [n for n in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(optimizer, n)]
    if len(clips) > 1:
        raise UserError(f"optimizer: received {' and '.join(clips)}, expected only one of them.")
    if getattr(optimizer, "nesterov", False) and not getattr(optimizer, "momentum", 1):
        raise UserError(
            "optimizer.nesterov: received true with momentum 0, expected a momentum above 0, "
            "such as optimizer.momentum=0.9."
        )
    if cfg.schedule.warmup_epochs >= training.epochs:
        raise UserError(
            f"schedule.warmup_epochs: received {cfg.schedule.warmup_epochs:g}, expected less than "
            f"training.epochs ({training.epochs})."
        )
    after = cfg.checkpoint.after_success
    if after is AfterSuccess.best and not cfg.checkpoint.keep_best:
        raise UserError(
            "checkpoint.after_success: received best with checkpoint.keep_best=false, expected "
            "checkpoint.keep_best=true."
        )
    boundaries = getattr(cfg.schedule, "boundaries_epochs", [])
    if list(boundaries) != sorted(set(boundaries)):
        raise UserError(
            f"schedule.boundaries_epochs: received {list(boundaries)}, expected ascending numbers."
        )
    profile = cfg.tracking.profile_steps
    if profile and (len(profile) != 2 or profile[0] > profile[1]):
        raise UserError(
            f"tracking.profile_steps: received {list(profile)}, expected [first,last], "
            "such as [10,20]."
        )


def _check_against_data(cfg: Config, spec: DataSpec) -> None:
    refusal = type(cfg.model).refusal(spec)
    if refusal:
        # An image of some datasets can be read as a sequence of rows.
        is_sequence = hasattr(cfg.dataset, "view") and Layout.sequence in cfg.model.layouts
        rows = "dataset.view=rows" if is_sequence and spec.layout is Layout.image else ""
        able = listed(kind.kind for kind in GROUPS["model"] if kind.refusal(spec) is None)
        raise UserError(
            f"model={cfg.model.kind} cannot take dataset={cfg.dataset.kind}: {refusal}. "
            f"Models that can: {able}.{as_hint(rows)}"
        )
    misfit = cfg.model.misfit(spec)
    if misfit:
        raise UserError(misfit)
    if spec.num_train < cfg.dataset.batch_size:
        raise UserError(
            f"dataset.batch_size: received {cfg.dataset.batch_size}, expected at most the "
            f"{spec.num_train} training examples of {cfg.dataset.kind}."
        )
    augmentation = getattr(cfg.dataset, "augmentation", None)
    if augmentation and augmentation.is_active and spec.layout is not Layout.image:
        raise UserError(
            f"dataset.augmentation changes images, but {cfg.dataset.kind} is {spec.layout} data: "
            "use dataset/augmentation=none."
        )


def _check_mixup(cfg: Config, spec: DataSpec) -> None:
    if not mixup_of(cfg):
        return
    received = f"dataset.augmentation.mixup: received {mixup_of(cfg):g}"
    if is_own(cfg.training.loss):
        raise UserError(
            f"{received}, but a loss of your own ({cfg.training.loss}) takes labels, not shares of "
            "classes: use dataset.augmentation.mixup=0."
        )
    if not spec.is_classification:
        raise UserError(
            f"{received}, but {cfg.dataset.kind} has no classes whose labels could be mixed: "
            "use dataset.augmentation.mixup=0."
        )
    training = cfg.training
    if training.class_weights or training.balance_classes:
        weights = "balance_classes" if training.balance_classes else "class_weights"
        raise UserError(
            f"{received} together with training.{weights}, but a mixed example has no one class "
            "to weight: use dataset.augmentation.mixup=0 or equal weights."
        )


def _check_monitor(cfg: Config, spec: DataSpec) -> None:
    monitor = cfg.training.early_stopping.monitor
    if monitor.startswith("validation/") and not spec.num_validation:
        raise UserError(
            f"training.early_stopping.monitor: received '{monitor}', but the validation split is "
            "empty: set dataset.validation_fraction above 0 or monitor train/loss."
        )
    known = epoch_metrics(cfg, spec)
    if monitor not in known:
        meant = metric_name(monitor, known)
        line = f"training.early_stopping.monitor={meant}" if meant else ""
        raise UserError(
            f"training.early_stopping.monitor: received '{monitor}', expected one of "
            f"{listed(known)}.{as_hint(line)}"
        )


def _check_task(cfg: Config, spec: DataSpec) -> None:
    training, task = cfg.training, spec.task
    loss = loss_of(cfg, task)
    if not is_own(loss) and loss not in LOSSES[task]:
        raise UserError(
            f"training.loss: received '{training.loss}', expected one that fits the {task} task of "
            f"{cfg.dataset.kind}: {listed(LOSSES[task])}."
            f"{as_hint(f'training.loss={LOSSES[task][0]}')}"
        )
    for metric in training.metrics:
        if not is_own(metric) and metric not in METRICS[task]:
            raise UserError(
                f"training.metrics: received '{metric}', expected ones that fit the {task} task of "
                f"{cfg.dataset.kind}: {listed(METRICS[task])}."
                f"{as_hint(f'training.metrics=[{METRICS[task][0]}]')}"
            )
    if Metric.top_3_accuracy in training.metrics and spec.num_outputs < 3:
        raise UserError(
            f"training.metrics: received 'top_3_accuracy', expected at least 3 classes, and "
            f"{cfg.dataset.kind} has {spec.num_outputs}: use accuracy."
        )
    labeled = spec.is_classification
    if (training.class_weights or training.balance_classes) and not labeled:
        raise UserError(
            f"training: class weights require classes, but {cfg.dataset.kind} has none."
        )
    given, num_classes = len(training.class_weights), len(spec.class_names)
    if given not in (0, num_classes):
        raise UserError(
            f"training.class_weights: received {given} weights, expected one for each of the "
            f"{num_classes} classes of {cfg.dataset.kind}."
        )
    if training.label_smoothing and is_own(loss):
        raise UserError(
            f"training.label_smoothing: received {training.label_smoothing:g}, which "
            f"training.loss={loss} would ignore: set it to 0, and smooth in the function."
        )
    if training.label_smoothing and not labeled:
        raise UserError(
            f"training.label_smoothing: received {training.label_smoothing:g}, but "
            f"{cfg.dataset.kind} has no classes to spread a label over: set it to 0."
        )


def check(cfg: Config, spec: DataSpec) -> None:
    """Checks a config against its dataset.

    Raises:
        UserError: a setting does not fit.
    """
    _check_itself(cfg)
    _check_against_data(cfg, spec)
    _check_task(cfg, spec)
    _check_mixup(cfg, spec)
    _check_monitor(cfg, spec)
