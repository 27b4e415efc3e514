"""Metrics against hand-made and scikit-learn's numbers, intervals against simulation, edges."""

import csv
import io
import math
import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from samerun import config, evaluation
from samerun.config.training import Evaluation
from samerun.errors import UserError
from samerun.evaluation.calibration import calibrate, expected_calibration_error
from samerun.evaluation.classification import report_classification
from samerun.evaluation.regression import report_regression

NAMES = ("cat", "dog", "emu")
HAND_LABELS = np.array([0, 0, 1, 1, 2])
HAND_PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3], [0.9, 0.05, 0.05]]
)


class Fixed:
    """Returns the given predictions, as a model would."""

    def __init__(self, outputs):
        self.outputs = np.asarray(outputs, np.float32)

    def predict(self, dataset, verbose):
        assert verbose == 0
        return self.outputs


def spec_of(task, num_outputs, class_names=()):
    return config.DataSpec(
        task=task,
        layout=config.Layout.table,
        input_shape=(2,),
        num_outputs=num_outputs,
        class_names=class_names,
        num_train=10,
        num_validation=0,
        num_test=10,
    )


def batches(labels, size=2):
    features = np.zeros((len(labels), 2), np.float32)
    return [
        (features[at : at + size], labels[at : at + size]) for at in range(0, len(labels), size)
    ]


def evaluate(outputs, labels, spec, worst_examples=5, **options):
    cfg = Evaluation(sample_tokens=0, worst_examples=worst_examples, bootstrap_samples=1000)
    return evaluation.evaluate(Fixed(outputs), batches(labels), spec, cfg, **options)


@pytest.fixture(scope="module")
def digits():
    """Probabilities of a real, imperfect model on real digits."""
    features, labels = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=300, C=0.001).fit(features[:600] / 16, labels[:600])
    return labels[600:], model.predict_proba(features[600:] / 16), labels[:600]


def test_a_small_case_matches_numbers_made_by_hand():
    report = report_classification(HAND_LABELS, HAND_PROBABILITIES, NAMES, 5)
    assert report.confusion.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert report.metrics["accuracy"] == pytest.approx(3 / 5)
    assert report.metrics["precision_macro"] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert report.metrics["recall_macro"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert report.metrics["f1_macro"] == pytest.approx((1 / 2 + 4 / 5 + 0) / 3)
    expected = -np.log([0.8, 0.2, 0.8, 0.4, 0.05]).mean()
    assert report.metrics["log_loss"] == pytest.approx(expected)
    assert [score.support for score in report.per_class] == [2, 2, 1]
    assert report.errors.tolist() == [0, 1, 0, 0, 1]


def test_the_most_confident_mistakes_come_first_and_no_more_than_asked_for():
    report = report_classification(HAND_LABELS, HAND_PROBABILITIES, NAMES, 5)
    assert report.worst == (
        evaluation.Mistake(index=4, label=2, predicted=0, confidence=0.9),
        evaluation.Mistake(index=1, label=0, predicted=1, confidence=0.7),
    )
    assert report_classification(HAND_LABELS, HAND_PROBABILITIES, NAMES, 1).worst == (
        report.worst[0],
    )


def test_many_classes_match_scikit_learn(digits):
    labels, probabilities, training = digits
    report = report_classification(labels, probabilities, [str(n) for n in range(10)], 5, training)
    predicted = probabilities.argmax(1)
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "precision_macro": reference.precision_score(labels, predicted, average="macro"),
        "recall_macro": reference.recall_score(labels, predicted, average="macro"),
        "f1_macro": reference.f1_score(labels, predicted, average="macro"),
        "auc_macro": reference.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "average_precision_macro": reference.average_precision_score(
            np.eye(10)[labels], probabilities, average="macro"
        ),
        "log_loss": reference.log_loss(labels, probabilities),
        "baseline_accuracy": np.mean(labels == np.bincount(training).argmax()),
    }
    assert {name: report.metrics[name] for name in expected} == pytest.approx(expected)
    assert set(report.metrics) - set(expected) == {
        "accuracy_low",
        "accuracy_high",
        "expected_calibration_error",
    }
    assert (report.confusion == reference.confusion_matrix(labels, predicted)).all()


@pytest.mark.parametrize("levels", [2, 5, 10_000])  # equal scores are one threshold
@pytest.mark.parametrize("num_examples", [2, 3, 200])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_curves_have_the_bits_of_scikit_learn(levels, num_examples, dtype):
    random = np.random.default_rng(0)
    scores = random.integers(1, levels, (num_examples, 3), endpoint=True)
    probabilities = (scores / scores.sum(1, keepdims=True)).astype(dtype)
    labels = np.arange(num_examples) % 3
    report = report_classification(labels, probabilities, ("a", "b", "c"), 0)
    assert set(report.roc) == set(report.precision_recall) == set(labels.tolist())
    for label, curve in report.roc.items():
        false, true, _ = reference.roc_curve(labels == label, probabilities[:, label])
        assert (curve.x.tobytes(), curve.y.tobytes()) == (false.tobytes(), true.tobytes())
        assert curve.area == reference.auc(false, true)
        precision, recall, _ = reference.precision_recall_curve(
            labels == label, probabilities[:, label], drop_intermediate=True
        )
        other = report.precision_recall[label]
        assert (other.x.tobytes(), other.y.tobytes()) == (recall.tobytes(), precision.tobytes())


def test_outputs_that_are_not_finite_are_no_probabilities():
    outputs = np.array([[0.5, 0.5], [np.nan, 0.5]])
    with pytest.raises(UserError, match="expected probabilities"):
        report_classification([0, 1], outputs, ("no", "yes"), 0)


def test_two_classes_match_scikit_learn(digits):
    labels = (digits[0] > 4).astype(np.float32)[:, None]
    predicted = digits[1][:, 5:].sum(1, keepdims=True)
    report = evaluate(predicted, labels, spec_of(config.Task.binary, 1, ("low", "high")))
    truth, sure = labels.ravel(), predicted.astype(np.float32).ravel()
    expected = {
        "accuracy": np.mean((sure > 0.5) == truth),
        "precision": reference.precision_score(truth, sure > 0.5),
        "recall": reference.recall_score(truth, sure > 0.5),
        "f1": reference.f1_score(truth, sure > 0.5),
        "auc": reference.roc_auc_score(truth, sure),
        "auc_macro": reference.roc_auc_score(truth, sure),
        "average_precision": reference.average_precision_score(truth, sure),
        "log_loss": reference.log_loss(truth, sure.astype(float)),
    }
    assert {name: report.metrics[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert report.probabilities.shape == (len(labels), 2)
    assert report.class_names == ("low", "high")


def test_a_probability_of_one_half_is_the_first_class_as_in_keras():
    report = report_classification([0, 1], np.array([[0.5], [0.5]]), ("no", "yes"), 0)
    assert report.predicted.tolist() == [0, 0]


def test_calibration_of_a_hand_made_case():
    bins = calibrate(np.array([0.95, 0.95, 0.95, 0.95, 0.5]), np.array([1, 1, 1, 0, 1], bool))
    assert bins.counts.sum() == 5
    assert bins.counts[14] == 4
    assert bins.accuracy[14] == pytest.approx(0.75)
    assert bins.confidence[14] == pytest.approx(0.95)
    assert math.isnan(bins.accuracy[0])
    assert expected_calibration_error(bins) == pytest.approx(0.8 * 0.2 + 0.2 * 0.5)
    assert bins.low[14] == pytest.approx(0.3006, abs=1e-4)  # Wilson's interval of 3 in 4
    assert bins.high[14] == pytest.approx(0.9544, abs=1e-4)


@pytest.mark.parametrize(
    ("confidence", "place"),
    [
        pytest.param(0.0, 0, id="zero-in-the-first-bin"),
        pytest.param(1.0, 14, id="one-in-the-last-bin"),
        pytest.param(0.5, 7, id="middle"),
    ],
)
def test_every_confidence_has_a_bin(confidence, place):
    assert calibrate(np.array([confidence]), np.array([True])).counts.argmax() == place


def test_a_share_is_in_its_interval_whatever_the_rounding():
    for number in range(1, 300):
        bins = calibrate(np.full(number, 0.9), np.ones(number, bool))
        assert bins.low[13] <= bins.accuracy[13] <= bins.high[13]


def test_the_interval_of_accuracy_has_its_nominal_coverage():
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        low, high = evaluation.share_interval(random.random(150) < 0.8)
        covered += low <= 0.8 <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_blocks_make_the_interval_of_a_time_series_as_wide_as_it_has_to_be():
    random = np.random.default_rng(2)
    covered = {1: 0, 12: 0}
    for _ in range(100):
        series = random.normal(size=600)
        for step in range(1, 600):
            series[step] += 0.8 * series[step - 1]
        for block_length in covered:
            low, high = evaluation.mean_interval(series, block_length)
            covered[block_length] += low <= 0 <= high
    assert covered[1] < 60
    assert covered[12] > 75


@pytest.mark.parametrize("block_length", [1, 3, 5])
def test_an_interval_is_the_same_each_time_and_around_the_mean(block_length):
    values = np.arange(10.0)
    low, high = evaluation.mean_interval(values, block_length)
    assert (low, high) == evaluation.mean_interval(values, block_length)
    assert 0 < low < 4.5 < high < 9


def test_resamples_in_chunks_cover_all_of_them(monkeypatch):
    values = np.random.default_rng(3).normal(size=500)
    whole = evaluation.mean_interval(values)
    monkeypatch.setattr("samerun.evaluation.report._CHUNK", 500 * 300)
    assert evaluation.mean_interval(values) == pytest.approx(whole, abs=0.02)


def test_no_mistakes_do_not_make_a_model_certain():
    report = report_classification([0, 1, 0, 1], np.eye(2)[[0, 1, 0, 1]], ("a", "b"), 5, [0, 1, 1])
    assert report.metrics["accuracy"] == 1
    assert report.metrics["accuracy_high"] == 1
    assert report.metrics["accuracy_low"] == pytest.approx(0.025 ** (1 / 4))
    assert report.worst == ()
    assert report.metrics["log_loss"] == pytest.approx(0, abs=2e-7)


def test_only_mistakes_do_not_make_a_model_hopeless():
    report = report_classification([0, 1, 0], np.eye(2)[[1, 0, 1]], ("a", "b"), 5)
    assert report.metrics["accuracy_low"] == 0
    assert report.metrics["accuracy_high"] == pytest.approx(1 - 0.025 ** (1 / 3))
    assert report.metrics["log_loss"] == pytest.approx(-math.log(1e-7))


def test_a_class_without_examples_is_left_out_of_the_averages():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    report = report_classification(labels, probabilities, NAMES, 5)
    absent = report.per_class[2]
    assert absent.support == 0
    assert absent.precision == 0  # it was predicted once, wrongly
    assert all(math.isnan(value) for value in (absent.recall, absent.f1, absent.auc))
    assert report.metrics["recall_macro"] == pytest.approx((0.5 + 1) / 2)
    assert set(report.roc) == set(report.precision_recall) == {0, 1}


def test_a_split_of_one_class_has_no_area_under_a_curve():
    report = report_classification([1, 1], np.array([[0.2, 0.8], [0.6, 0.4]]), ("a", "b"), 5)
    assert not report.roc
    assert "auc_macro" not in report.metrics
    assert report.metrics["accuracy"] == 0.5
    assert all(math.isfinite(value) for value in report.metrics.values())


def test_a_class_that_is_never_predicted_counts_as_zero():
    report = report_classification([0, 1], np.array([[0.9, 0.1], [0.6, 0.4]]), ("a", "b"), 5)
    assert (report.per_class[1].precision, report.per_class[1].f1) == (0, 0)


@pytest.mark.parametrize(
    ("right", "baseline", "overrides"),
    [
        pytest.param(95, 10, "test accuracy 0.950 (95 % 0.9", id="clearly"),
        pytest.param(52, 50, ", not clearly better than the majority baseline", id="within-error"),
        pytest.param(50, 60, ", NOT better than the majority baseline", id="worse"),
        pytest.param(50, 50, ", NOT better than the majority baseline 0.500", id="equal"),
    ],
)
def test_the_sentence_compares_the_model_with_the_baseline(right, baseline, overrides):
    labels = np.array([0] * baseline + [1] * (100 - baseline))
    predicted = labels.copy()
    wrong = np.random.default_rng(0).permutation(100)[: 100 - right]
    predicted[wrong] = 1 - predicted[wrong]
    report = report_classification(labels, np.eye(2)[predicted], ("a", "b"), 0, np.zeros(3))
    assert report.metrics["baseline_accuracy"] == baseline / 100
    assert overrides in report.sentence()
    assert ("better" in report.sentence()) is not report.beats_baseline
    assert report.sentence("validation").startswith("validation accuracy")


def test_without_training_labels_there_is_no_baseline():
    report = report_classification(HAND_LABELS, HAND_PROBABILITIES, NAMES, 5)
    assert report.beats_baseline is None
    assert "baseline" not in report.sentence()
    assert report.baseline == ""


def test_tables_have_one_row_a_class_and_read_back():
    labels, names = np.array([0, 0, 1]), ('a|"b', "c,d", "none")
    report = report_classification(labels, np.eye(3)[[0, 1, 1]], names, 5)
    rows = list(csv.DictReader(io.StringIO(evaluation.to_csv(report))))
    assert [row["class"] for row in rows] == list(names)
    assert [float(row["recall"]) for row in rows[:2]] == [0.5, 1.0]
    assert rows[2]["recall"] == ""
    assert rows[2]["support"] == "0"
    table = evaluation.as_markdown_table(report).splitlines()
    assert len(table) == 2 + len(names)
    assert table[2].startswith('| a\\|"b | 1.000 | 0.500 | 0.667 |')
    assert table[4].startswith("| none | – | – |")


def test_regression_matches_scikit_learn_and_its_baseline_is_the_training_mean():
    random = np.random.default_rng(0)
    truth = random.normal(3, 2, (80, 1))
    predicted = truth + random.normal(0, 0.5, truth.shape)
    training = random.normal(3, 2, (200, 1))
    spec = spec_of(config.Task.regression, 1)
    report = evaluate(predicted, truth, spec, baseline_labels=training)
    simple = np.abs(truth - training.mean()).mean()
    expected = {
        "mean_absolute_error": reference.mean_absolute_error(truth, predicted),
        "root_mean_squared_error": reference.root_mean_squared_error(truth, predicted),
        "r2": reference.r2_score(truth, predicted),
        "baseline_mean_absolute_error": simple,
        "baseline_root_mean_squared_error": np.sqrt(((truth - training.mean()) ** 2).mean()),
        "skill": 1 - np.abs(truth - predicted).mean() / simple,
    }
    assert {name: report.metrics[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    low, high = (report.metrics[f"mean_absolute_error_{end}"] for end in ("low", "high"))
    assert low < report.metrics["mean_absolute_error"] < high
    assert report.beats_baseline
    assert report.sentence().startswith("test mean absolute error 0.")
    assert np.allclose(report.residuals, truth - predicted, atol=1e-6)


def test_several_outputs_match_scikit_learn():
    random = np.random.default_rng(1)
    truth = random.normal(size=(50, 3))
    predicted = truth * 0.8
    report = evaluate(predicted, truth, spec_of(config.Task.regression, 3), worst_examples=2)
    assert report.metrics["r2"] == pytest.approx(reference.r2_score(truth, predicted), rel=1e-5)
    row, column = np.unravel_index(np.abs(truth - predicted).argmax(), truth.shape)
    first = report.worst[0]
    assert (first.index, first.output, first.truth) == (row, column, truth[row, column])
    assert len(report.worst) == 2
    assert report.errors.shape == (50,)


def test_a_forecast_is_held_against_tomorrow_equals_today():
    series = np.cumsum(np.random.default_rng(0).normal(size=301))
    today, tomorrow = series[:-1, None], series[1:, None]
    spec = spec_of(config.Task.forecast, 1)
    report = evaluate(today, tomorrow, spec, baseline_predictions=today)
    assert report.metrics["skill"] == pytest.approx(0, abs=1e-6)
    assert report.beats_baseline is False
    assert "better than the persistence baseline" in report.sentence()
    knowing = evaluate(
        tomorrow, tomorrow, spec, baseline_predictions=today, baseline_labels=tomorrow
    )
    assert knowing.baseline == "persistence"
    assert knowing.metrics["skill"] == pytest.approx(1, abs=1e-6)


def test_one_last_value_is_the_baseline_of_every_step_ahead():
    truth = np.array([[1.0, 2.0], [3.0, 5.0]])
    spec = spec_of(config.Task.forecast, 2)
    report = evaluate(truth, truth, spec, baseline_predictions=np.array([1.0, 3.0]))
    assert report.metrics["baseline_mean_absolute_error"] == pytest.approx((0 + 1 + 0 + 2) / 4)


def test_a_constant_truth_has_no_r2():
    report = report_regression(np.ones(4), np.full(4, 2.0), 1, baseline_labels=np.ones(3))
    assert "r2" not in report.metrics
    assert "skill" not in report.metrics  # the baseline is perfect
    assert report.metrics["mean_absolute_error"] == 1
    assert "NOT better than the mean baseline 0.000" in report.sentence()


def test_a_regression_has_no_table_of_classes():
    report = report_regression(np.arange(3.0), np.arange(3.0), 1)
    assert evaluation.to_csv(report) == evaluation.as_markdown_table(report) == ""


@pytest.mark.parametrize(
    ("outputs", "labels", "task", "num_outputs", "predicted"),
    [
        pytest.param([], [], "multiclass", 3, "split has no examples", id="empty-split"),
        pytest.param(
            [[np.nan, 1], [0, 1]], [0, 1], "multiclass", 2, "not finite for 1 of 2", id="nan"
        ),
        pytest.param([[2, 3], [0, 1]], [0, 1], "multiclass", 2, "end in a softmax", id="logits"),
        pytest.param([[-0.5], [1.2]], [0, 1], "binary", 1, "end in a softmax", id="no-sigmoid"),
        pytest.param([[0.5, 0.5]], [0], "multiclass", 3, "returns 2 numbers", id="too-few-classes"),
        pytest.param(
            [[1, 2]], [[1.0]], "regression", 1, "returns 2 numbers", id="too-many-numbers"
        ),
    ],
)
def test_what_cannot_be_evaluated_is_one_clear_sentence(
    outputs, labels, task, num_outputs, predicted
):
    spec = spec_of(config.Task(task), num_outputs)
    with pytest.raises(UserError, match=predicted) as caught:
        evaluate(np.asarray(outputs, float), np.asarray(labels), spec)
    assert "\n" not in str(caught.value)


def test_classes_without_names_are_called_by_their_labels():
    report = evaluate(np.eye(3), np.arange(3), spec_of(config.Task.multiclass, 3))
    assert report.class_names == ("0", "1", "2")
    binary = evaluate([[0.2]], np.array([[0.0]]), spec_of(config.Task.binary, 1))
    assert binary.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("values", "metric", "epoch"),
    [
        pytest.param([3, 1, 2], "validation/loss", 2, id="loss-falls"),
        pytest.param([3, 1, 4, 4], "validation/accuracy", 3, id="first-of-equals"),
        pytest.param([math.nan, 1, math.inf], "validation/accuracy", 2, id="not-finite"),
        pytest.param([math.nan], "train/loss", None, id="none"),
        pytest.param([], "train/loss", None, id="empty"),
    ],
)
def test_the_best_epoch(values, metric, epoch):
    assert evaluation.best_epoch(values, metric) == epoch


def test_a_keras_model_is_evaluated_on_a_tensorflow_data_set():
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    features = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    labels = (features[:, 0] > 0).astype(np.int32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    dataset = tf.data.Dataset.from_tensor_slices((features, labels)).batch(16)
    spec = spec_of(config.Task.multiclass, 2)
    report = evaluation.evaluate(
        model,
        dataset,
        spec,
        Evaluation(sample_tokens=0, worst_examples=3, bootstrap_samples=1000),
    )
    kernel, bias = (variable.numpy() for variable in model.trainable_variables)
    scores = np.exp(features @ kernel + bias)
    assert np.allclose(report.probabilities, scores / scores.sum(1, keepdims=True), atol=1e-5)
    assert (report.labels == labels).all()
    samples = evaluation.weight_samples(model)
    assert {name.split("/")[-1] for name in samples} == {"kernel", "bias"}
    assert sorted(len(values) for values in samples.values()) == [2, 8]
    thinned = evaluation.weight_samples(model, num_samples=3)
    first = next(iter(thinned.values()))
    assert first.tolist() == pytest.approx(kernel.ravel()[[0, 4, 7]].tolist())


def test_importing_the_evaluation_brings_nothing_heavy():
    code = (
        "import sys, samerun.evaluation; "
        "print([n for n in ('tensorflow', 'keras', 'matplotlib', 'sklearn', 'mlflow') "
        "if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_most_confused_classes_are_named_in_sentences_the_most_mistakes_first():
    labels = [0] * 4 + [1] * 8 + [2] * 2 + [3] * 5
    predicted = [0, 0, 1, 1] + [1] * 5 + [2] * 3 + [1, 2] + [0] + [3] * 4
    names = ["cat", "dog", "<b>fox</b>", "owl"]
    report = report_classification(np.array(labels), np.eye(4)[predicted], names, 0)
    sentences = [
        "3 of 8 examples of class dog (38 %) were classified as <b>fox</b>.",
        "2 of 4 examples of class cat (50 %) were classified as dog.",
        "1 of 2 examples of class <b>fox</b> (50 %) were classified as dog.",
    ]
    assert evaluation.confused_classes(report) == sentences
    page = evaluation.as_markdown(report)
    assert f"Most confused classes:\n\n- {sentences[0][:30]}" in page
    assert "<b>" not in page


def test_a_classifier_without_mistakes_confuses_nothing():
    report = report_classification(np.array([0, 1]), np.eye(2), ["a", "b"], 0)
    assert evaluation.confused_classes(report) == []
    assert "confused" not in evaluation.as_markdown(report)
