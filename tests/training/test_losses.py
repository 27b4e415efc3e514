import dataclasses
import functools

import keras
import numpy as np
import pytest

from samerun import losses
from samerun.config import Config, DataSpec, Layout, Task, compose
from samerun.config.training import LOSSES, METRICS, Loss, Metric, should_rise
from support.tables import mostly_slow

TASKS = [Task.multiclass, Task.binary, Task.regression, Task.forecast]


def make_spec(task: Task, num_outputs: int | None = None) -> DataSpec:
    sizes = {Task.multiclass: 4, Task.binary: 1, Task.regression: 1, Task.forecast: 3}
    return DataSpec(
        task=task,
        layout=Layout.table,
        input_shape=(3,),
        num_outputs=num_outputs or sizes[task],
        num_train=6,
        num_validation=0,
        num_test=0,
    )


@functools.cache
def default() -> Config:
    return compose().config


def config_of(**training: object) -> Config:
    cfg = default()
    return dataclasses.replace(cfg, training=dataclasses.replace(cfg.training, **training))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return powers / powers.sum(axis=-1, keepdims=True)


def predicted(task: Task, num_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Six targets and predictions a model of the task could give."""
    draw = np.random.default_rng(1)
    values = draw.normal(size=(6, num_outputs)).astype(np.float32)
    if task is Task.multiclass:
        return np.array([0, 1, 2, 3, 0, 1]) % num_outputs, softmax(values)
    if task is Task.binary:
        return np.array([[0], [1], [1], [0], [1], [0]]), 1 / (1 + np.exp(-values))
    return draw.normal(size=(6, num_outputs)).astype(np.float32), values


Y, P = predicted(Task.multiclass, 4)
ONE_HOT = np.eye(4)[Y]
B, Q = predicted(Task.binary, 1)
R, S = predicted(Task.regression, 1)
E = R.astype(np.float64) - S

BY_HAND = {
    Loss.categorical_crossentropy: -np.log(P[np.arange(6), Y]).mean(),
    Loss.categorical_focal_crossentropy: (
        -0.25 * (1 - P[np.arange(6), Y]) ** 2 * np.log(P[np.arange(6), Y])
    ).mean(),
    Loss.binary_crossentropy: -np.log(np.where(B, Q, 1 - Q)).mean(),
    Loss.binary_focal_crossentropy: (
        -((1 - np.where(B, Q, 1 - Q)) ** 2) * np.log(np.where(B, Q, 1 - Q))
    ).mean(),
    Loss.mean_squared_error: np.square(E).mean(),
    Loss.mean_absolute_error: np.abs(E).mean(),
    Loss.huber: np.where(np.abs(E) <= 1, E**2 / 2, np.abs(E) - 0.5).mean(),
    Loss.log_cosh: np.log(np.cosh(E)).mean(),
}


@pytest.mark.parametrize(
    ("task", "name"),
    [
        pytest.param(task, name, id=f"{task}-{name}")
        for task in (Task.multiclass, Task.binary, Task.regression)
        for name in LOSSES[task]
    ],
)
def test_a_loss_equals_its_formula(task, name):
    made = losses.loss(config_of(loss=name), make_spec(task))
    targets, outputs = predicted(task, make_spec(task).num_outputs)
    assert float(made(targets, outputs)) == pytest.approx(float(BY_HAND[name]), rel=1e-5)


def test_every_loss_and_metric_has_a_builder():
    assert set(losses.LOSS_BUILDERS) == set(Loss) - {Loss.auto}
    assert set(losses.METRIC_BUILDERS) == set(Metric)


@pytest.mark.parametrize("task", TASKS)
def test_auto_is_the_usual_loss_and_metric_of_the_task(task):
    spec = make_spec(task)
    cfg = config_of(loss=Loss.auto, metrics=[])
    named = config_of(loss=LOSSES[task][0])
    targets, outputs = predicted(task, spec.num_outputs)
    assert float(losses.loss(cfg, spec)(targets, outputs)) == float(
        losses.loss(named, spec)(targets, outputs)
    )
    assert [metric.name for metric in losses.metrics(cfg, spec)] == [METRICS[task][0]]


def test_plain_classification_uses_keras_own_sparse_loss():
    made = losses.loss(config_of(loss=Loss.auto), make_spec(Task.multiclass))
    assert type(made) is keras.losses.SparseCategoricalCrossentropy


@pytest.mark.parametrize("labels", [Y, Y[:, None]], ids=["flat", "column"])
def test_label_smoothing_spreads_a_share_over_all_classes(labels):
    made = losses.loss(config_of(label_smoothing=0.2), make_spec(Task.multiclass))
    smoothed = ONE_HOT * 0.8 + 0.2 / 4
    expected = -(smoothed * np.log(P)).sum(axis=1).mean()
    assert float(made(labels, P)) == pytest.approx(float(expected), rel=1e-5)


def test_label_smoothing_of_a_binary_label_moves_it_towards_a_half():
    made = losses.loss(config_of(label_smoothing=0.2), make_spec(Task.binary))
    smoothed = B * 0.8 + 0.1
    expected = -(smoothed * np.log(Q) + (1 - smoothed) * np.log(1 - Q)).mean()
    assert float(made(B, Q)) == pytest.approx(float(expected), rel=1e-5)


TEXT = DataSpec(
    task=Task.language_model,
    layout=Layout.tokens,
    input_shape=(3,),
    num_outputs=5,
    vocabulary_size=5,
    num_train=4,
    num_validation=0,
    num_test=0,
)
LOGITS = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32)


def token_losses(tokens: np.ndarray) -> np.ndarray:
    """Log losses of the tokens that are no padding."""
    right = np.take_along_axis(softmax(LOGITS), tokens[..., None], axis=-1)[..., 0]
    return -np.log(right[tokens != 0])


TOKENS = pytest.mark.parametrize(
    "tokens",
    [
        pytest.param([[1, 2, 3], [4, 1, 2], [3, 4, 1], [1, 1, 4]], id="full"),
        pytest.param([[1, 2, 3], [4, 0, 0], [0, 0, 1], [1, 0, 4]], id="padded"),
        pytest.param([[0, 0, 0], [4, 1, 2], [3, 0, 0], [0, 0, 0]], id="two-texts-empty"),
    ],
)


@TOKENS
def test_the_loss_of_a_language_model_is_the_mean_over_the_tokens_without_padding(tokens):
    made = losses.loss(config_of(), TEXT)
    expected = token_losses(np.array(tokens)).mean()
    assert float(made(np.array(tokens), LOGITS)) == pytest.approx(float(expected), rel=1e-5)


@TOKENS
def test_metrics_of_a_language_model_count_tokens_over_all_batches(tokens):
    """Batches of one and three texts, which hold different shares of padding."""
    targets = np.array(tokens)
    accuracy, perplexity = losses.metrics(
        config_of(metrics=[Metric.accuracy, Metric.perplexity]), TEXT
    )
    for metric in (accuracy, perplexity):
        for part in (slice(0, 1), slice(1, 4)):
            metric.update_state(targets[part], LOGITS[part])
    hits = (LOGITS.argmax(-1) == targets)[targets != 0]
    assert float(accuracy.result()) == pytest.approx(hits.mean(), rel=1e-5)
    expected = np.exp(token_losses(targets).mean())
    assert float(perplexity.result()) == pytest.approx(float(expected), rel=1e-5)


def test_a_batch_of_padding_only_has_no_loss():
    made = losses.loss(config_of(), TEXT)
    assert float(made(np.zeros((4, 3), np.int32), LOGITS)) == 0.0


def test_perplexity_should_fall():
    assert not should_rise("validation/perplexity")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", LOSSES[Task.multiclass])
def test_a_loss_survives_serialization(name, smoothing):
    cfg = config_of(loss=name, label_smoothing=smoothing)
    made = losses.loss(cfg, make_spec(Task.multiclass))
    again = keras.losses.deserialize(keras.losses.serialize(made))
    assert float(again(Y, P)) == float(made(Y, P))


def test_example_weights_weigh_the_one_hot_loss():
    made = losses.loss(config_of(label_smoothing=0.1), make_spec(Task.multiclass))
    weights = np.array([2, 0, 0, 0, 0, 0], np.float32)
    alone = float(made(Y[:1], P[:1]))
    assert float(made(Y, P, sample_weight=weights)) == pytest.approx(2 * alone / 6, rel=1e-5)


@pytest.mark.parametrize("task", mostly_slow(TASKS, Task.binary))
def test_every_metric_is_logged_under_its_own_name(task):
    spec = make_spec(task)
    cfg = config_of(metrics=list(METRICS[task]))
    targets, outputs = predicted(task, spec.num_outputs)
    model = keras.Sequential([keras.Input((spec.num_outputs,)), keras.layers.Identity()])
    model.compile(loss=losses.loss(cfg, spec), metrics=losses.metrics(cfg, spec))
    logs = model.evaluate(outputs, targets, verbose=0, return_dict=True)
    assert set(logs) == {"loss", *(metric.value for metric in METRICS[task])}
    assert all(np.isfinite(value) for value in logs.values())


@pytest.mark.parametrize(
    ("task", "name", "expected"),
    [
        pytest.param(
            Task.multiclass, Metric.accuracy, (P.argmax(1) == Y).mean(), id="accuracy-of-classes"
        ),
        pytest.param(
            Task.multiclass,
            Metric.top_3_accuracy,
            (P.argmin(1) != Y).mean(),
            id="top-3-of-four-classes",
        ),
        pytest.param(
            Task.binary, Metric.accuracy, ((Q > 0.5) == B).mean(), id="accuracy-of-one-output"
        ),
        pytest.param(Task.binary, Metric.recall, (Q > 0.5)[B == 1].mean(), id="recall"),
        pytest.param(Task.regression, Metric.mean_absolute_error, np.abs(E).mean(), id="mae"),
        pytest.param(
            Task.regression, Metric.root_mean_squared_error, np.sqrt((E**2).mean()), id="rmse"
        ),
        pytest.param(
            Task.regression, Metric.r2, 1 - (E**2).sum() / ((R - R.mean()) ** 2).sum(), id="r2"
        ),
    ],
)
def test_a_metric_equals_its_formula(task, name, expected):
    spec = make_spec(task)
    (metric,) = losses.metrics(config_of(metrics=[name]), spec)
    metric.update_state(*predicted(task, spec.num_outputs))
    assert float(metric.result()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("training", "counts", "expected"),
    [
        pytest.param({}, [5, 5], None, id="none-asked-for"),
        pytest.param({"class_weights": [1.0, 2.5]}, [9, 1], {0: 1.0, 1: 2.5}, id="explicit"),
        pytest.param(
            {"balance_classes": True},
            [6, 3, 1],
            {0: 10 / 18, 1: 10 / 9, 2: 10 / 3},
            id="n-over-k-count",
        ),
        pytest.param({"balance_classes": True}, [4, 4], {0: 1.0, 1: 1.0}, id="already-balanced"),
        pytest.param(
            {"balance_classes": True}, [3, 0, 1], {0: 4 / 6, 2: 4 / 2}, id="class-without-examples"
        ),
    ],
)
def test_class_weights(training, counts, expected):
    assert losses.class_weights(config_of(**training), counts) == (
        expected if expected is None else pytest.approx(expected)
    )


def test_balanced_weights_equal_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.repeat([0, 1, 2], [7, 2, 11])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weights = losses.class_weights(config_of(balance_classes=True), np.bincount(labels))
    assert list(weights.values()) == pytest.approx(expected)
