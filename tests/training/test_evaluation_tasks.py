"""Language models, numbers in their units, forecasts of several steps, tables of any report."""

import math

import numpy as np
import pytest

from samerun import config, evaluation
from samerun.config.training import Evaluation, should_rise
from samerun.errors import UserError
from samerun.evaluation.classification import report_classification
from samerun.evaluation.language import report_language_model, token_losses, unigram_losses
from samerun.evaluation.regression import report_regression

VOCABULARY = 5


class Echo:
    """A model of texts whose features are its logits; keeps no more than one batch."""

    def __init__(self):
        self.num_asked = []

    def predict_on_batch(self, features):
        self.num_asked.append(len(features))
        return np.asarray(features)


def texts(num_examples=40, length=6, seed=0, dtype=np.float32):
    """Logits that know something, and targets that end in padding, less or more of it."""
    random = np.random.default_rng(seed)
    targets = random.integers(1, VOCABULARY, (num_examples, length)).astype(np.int32)
    logits = random.normal(size=(num_examples, length, VOCABULARY))
    logits += 2 * np.eye(VOCABULARY)[targets]
    for row, kept in enumerate(random.integers(1, length + 1, num_examples)):
        targets[row, kept:] = 0
    return logits.astype(dtype), targets


def batches(logits, targets, size=16):
    return [
        (logits[at : at + size], targets[at : at + size]) for at in range(0, len(targets), size)
    ]


def reference_losses(logits, targets):
    """Log loss by the textbook formula; NaN at padding."""
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(-1, keepdims=True)
    of_truth = np.take_along_axis(probabilities, targets[..., None].astype(int), -1)[..., 0]
    return np.where(targets > 0, -np.log(of_truth), np.nan)


def spec_of(task, num_outputs=1):
    return config.DataSpec(
        task=task,
        layout=config.Layout.tokens,
        input_shape=(6,),
        num_outputs=num_outputs,
        num_train=10,
        num_validation=0,
        num_test=10,
        vocabulary_size=VOCABULARY,
    )


def test_a_language_model_matches_the_textbook_and_padding_does_not_count():
    logits, targets = texts()
    model = Echo()
    report = report_language_model(model, batches(logits, targets), 3)
    losses = reference_losses(logits, targets)
    mean = np.nanmean(losses)
    assert report.metrics["log_loss"] == pytest.approx(mean)
    assert report.metrics["perplexity"] == pytest.approx(math.exp(mean))
    assert report.metrics["bits_per_token"] == pytest.approx(mean / math.log(2))
    hits = (logits.argmax(-1) == targets)[targets > 0]
    assert report.metrics["accuracy"] == pytest.approx(hits.mean())
    assert report.num_tokens.tolist() == (targets > 0).sum(1).tolist()
    assert report.errors == pytest.approx(np.nanmean(losses, axis=1))
    assert report.by_position == pytest.approx(np.nanmean(losses, axis=0))
    assert model.num_asked == [16, 16, 8]  # one batch at a time
    assert report.num_examples == 40


def test_predictions_at_padding_change_nothing():
    logits, targets = texts()
    noisy = logits + 50 * (targets == 0)[..., None] * np.random.default_rng(9).normal(size=5)
    once = report_language_model(Echo(), batches(logits, targets), 3)
    again = report_language_model(Echo(), batches(noisy, targets), 3)
    assert once.metrics == again.metrics
    assert once.worst == again.worst


def test_the_least_expected_texts_come_first():
    logits, targets = texts()
    report = report_language_model(Echo(), batches(logits, targets), 4)
    means = np.nanmean(reference_losses(logits, targets), axis=1)
    order = np.argsort(-means)[:4]
    assert [text.index for text in report.worst] == order.tolist()
    assert [text.log_loss for text in report.worst] == pytest.approx(means[order].tolist())


def test_the_interval_of_perplexity_is_around_it_and_covers_the_truth():
    covered = 0
    true = reference_losses(*texts(6000, seed=99))
    expected = math.exp(np.nanmean(true))
    for seed in range(60):
        report = report_language_model(Echo(), batches(*texts(60, seed=seed)), 0, num_resamples=200)
        low, high = (report.metrics[f"perplexity_{end}"] for end in ("low", "high"))
        assert low < report.metrics["perplexity"] < high
        covered += low <= expected <= high
    assert covered >= 51  # 95 % of 60 are 57; fewer than 51 come once in a thousand times


def test_token_frequencies_are_the_baseline_of_a_language_model():
    training = np.array([[1, 1, 1, 2], [1, 2, 0, 0]])  # token 3 and 4 never, padding twice
    losses = unigram_losses(training, VOCABULARY)
    expected = [np.inf, *(-np.log(np.array([5, 3, 1, 1]) / 10))]
    assert losses.tolist() == pytest.approx(expected)
    targets = np.array([[1, 3], [2, 0]])
    logits = 9 * np.eye(VOCABULARY)[targets]
    report = report_language_model(Echo(), [(logits, targets)], 0, baseline_labels=training)
    mean = -np.log([0.5, 0.1, 0.3]).mean()
    assert report.metrics["baseline_perplexity"] == pytest.approx(math.exp(mean))
    assert report.metrics["baseline_accuracy"] == pytest.approx(1 / 3)
    assert report.baseline_by_position == pytest.approx([-np.log([0.5, 0.3]).mean(), -np.log(0.1)])
    assert report.beats_baseline
    assert report.sentence() == (
        f"test perplexity {report.metrics['perplexity']:.3f} (95 % "
        f"{report.metrics['perplexity_low']:.3f}-{report.metrics['perplexity_high']:.3f}), "
        f"unigram baseline {math.exp(mean):.3f}"
    )


def test_a_model_that_knows_nothing_is_not_better_than_token_frequencies():
    targets = np.array([[1, 1, 1, 2]] * 8)
    report = report_language_model(
        Echo(), [(np.zeros((8, 4, VOCABULARY)), targets)], 0, baseline_labels=targets
    )
    assert report.metrics["perplexity"] == pytest.approx(VOCABULARY)
    assert report.beats_baseline is False
    assert ", NOT better than the unigram baseline" in report.sentence()


def test_logits_of_half_precision_and_any_size_are_summed_safely(monkeypatch):
    monkeypatch.setattr("samerun.evaluation.language._CHUNK", 7)  # one position at a time
    targets = np.array([1, 2, 3])
    logits = np.array([[0, 60000, 0, 0, 0], [-60000, 0, 0, 0, 0], [5, 5, 5, 5, 5]], np.float16)
    losses, predicted = token_losses(logits, targets)
    assert losses == pytest.approx([0, math.log(4), math.log(5)])
    assert predicted.tolist() == [1, 1, 0]


def test_a_text_of_padding_only_has_no_error_and_is_never_the_worst():
    logits, targets = texts(4)
    targets[2] = 0
    report = report_language_model(Echo(), batches(logits, targets), 10)
    assert report.errors[2] == 0
    assert [text.index for text in report.worst if text.index == 2] == []
    assert len(report.worst) == 3


@pytest.mark.parametrize(
    ("logits", "targets", "predicted"),
    [
        pytest.param(np.zeros((2, 3, 5)), np.zeros((2, 3), int), "no tokens", id="padding-only"),
        pytest.param(np.zeros((2, 5)), np.ones((2, 3), int), r"\(batch, length, v", id="one-label"),
        pytest.param(np.zeros((2, 4, 5)), np.ones((2, 3), int), r"\(2, 4, 5\)", id="length"),
        pytest.param(np.full((1, 1, 5), np.nan), np.ones((1, 1), int), "not finite", id="nan"),
        pytest.param(np.zeros((1, 1, 5)), np.full((1, 1), 5), "tokens from 5 to 5", id="unknown"),
    ],
)
def test_what_is_no_language_model_is_one_clear_sentence(logits, targets, predicted):
    with pytest.raises(UserError, match=predicted) as caught:
        report_language_model(Echo(), [(logits, targets)], 0)
    assert "\n" not in str(caught.value)


def test_a_split_without_texts_is_one_clear_sentence():
    with pytest.raises(UserError, match="no tokens"):
        report_language_model(Echo(), [], 0)


def test_the_task_chooses_the_report_and_the_config_how_often_is_drawn():
    logits, targets = texts()
    spec = spec_of(config.Task.language_model)
    reports = [
        evaluation.evaluate(
            Echo(),
            batches(logits, targets),
            spec,
            Evaluation(sample_tokens=0, worst_examples=2, bootstrap_samples=number),
            baseline_labels=targets,
        )
        for number in (100, 1000)
    ]
    assert all(isinstance(report, evaluation.LanguageModelReport) for report in reports)
    assert all(len(report.worst) == 2 for report in reports)
    assert reports[0].metrics["perplexity_low"] != reports[1].metrics["perplexity_low"]
    direct = report_language_model(Echo(), batches(logits, targets), 2, num_resamples=100)
    assert reports[0].metrics["perplexity_low"] == direct.metrics["perplexity_low"]


def test_a_keras_language_model_is_evaluated_on_a_tensorflow_data_set():
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    tokens = np.random.default_rng(0).integers(1, 9, (21, 8)).astype(np.int32)
    model = keras.Sequential(
        [keras.Input((7,), dtype="int32"), keras.layers.Embedding(9, 4), keras.layers.Dense(9)]
    )
    model.compile(loss="mse", steps_per_execution=3)
    dataset = tf.data.Dataset.from_tensor_slices((tokens[:, :-1], tokens[:, 1:])).batch(8)
    spec = spec_of(config.Task.language_model)
    cfg = Evaluation(sample_tokens=0, worst_examples=1, bootstrap_samples=100)
    report = evaluation.evaluate(model, dataset, spec, cfg)
    logits = np.asarray(model(tokens[:, :-1]))
    expected = reference_losses(logits, tokens[:, 1:]).mean()
    assert report.metrics["log_loss"] == pytest.approx(expected, rel=1e-5)


class Fixed:
    """Returns the given predictions, as a model would."""

    def __init__(self, outputs):
        self.outputs = outputs

    def predict(self, dataset, verbose):
        return self.outputs


def test_numbers_are_measured_in_their_units():
    def to_units(values):
        assert values.shape == (30, 2)
        return np.asarray(values) * [10, 100] + [5, 7]

    random = np.random.default_rng(0)
    truth, predicted = random.normal(size=(2, 30, 2))
    training = to_units(random.normal(size=(30, 2)))
    report = evaluation.evaluate(
        Fixed(predicted),
        [(np.zeros(30), truth)],
        spec_of(config.Task.regression, 2),
        Evaluation(sample_tokens=0, worst_examples=1, bootstrap_samples=100),
        baseline_labels=training,
        to_units=to_units,
    )
    expected = np.abs(truth - predicted) * [10, 100]
    assert report.metrics["mean_absolute_error"] == pytest.approx(expected.mean())
    assert report.truth == pytest.approx(to_units(truth))
    simple = np.abs(to_units(truth) - training.mean(0)).mean()
    assert report.metrics["baseline_mean_absolute_error"] == pytest.approx(simple)
    assert abs(report.worst[0].residual) == pytest.approx(expected.max())


def test_too_many_numbers_are_refused_before_units_are_asked_for():
    with pytest.raises(UserError, match="returns 2 numbers per example, expected 1"):
        evaluation.evaluate(
            Fixed(np.zeros((3, 2))),
            [(np.zeros(3), np.zeros((3, 1)))],
            spec_of(config.Task.regression),
            Evaluation(sample_tokens=0, worst_examples=1, bootstrap_samples=100),
            to_units=lambda values: values.reshape(3, 1),
        )


def walk(num_examples=300, horizon=4, seed=0):
    """Windows of a random walk: the next values, and the last one that is known."""
    series = np.cumsum(np.random.default_rng(seed).normal(size=num_examples + horizon))
    windows = np.lib.stride_tricks.sliding_window_view(series, horizon + 1)
    return windows[:, 1:], windows[:, :1]


def test_each_step_ahead_has_its_error_beside_the_baseline():
    truth, today = walk(horizon=12)
    predicted = truth + np.arange(12)
    report = report_regression(truth, predicted, 0, is_forecast=True, baseline_predictions=today)
    names = [f"step_{step:02}_mean_absolute_error" for step in range(1, 13)]
    assert [report.metrics[name] for name in names] == pytest.approx(list(range(12)))
    assert not any(should_rise(name) for name in names)
    simple = np.abs(truth - today).mean(axis=0)
    assert [report.metrics[f"baseline_{name}"] for name in names] == pytest.approx(simple.tolist())
    assert report.metrics["mean_absolute_error"] == pytest.approx(np.mean(range(12)))


def test_one_step_ahead_or_independent_outputs_have_no_steps():
    truth, today = walk(horizon=1)
    one = report_regression(truth, today, 0, is_forecast=True, baseline_predictions=today)
    outputs = report_regression(*[walk()[0]] * 2, 0)
    assert not [name for report in (one, outputs) for name in report.metrics if "step" in name]


def test_a_forecast_that_only_repeats_today_is_reported_plainly():
    truth, today = walk(horizon=1)
    noise = np.random.default_rng(1).normal(size=today.shape)
    report = report_regression(
        truth, today + noise, 0, is_forecast=True, baseline_predictions=today
    )
    assert report.metrics["skill"] < 0
    assert ', NOT better than the persistence baseline ("tomorrow = today") ' in report.sentence()


def test_model_and_baseline_are_compared_on_the_same_days():
    # A fifth of what tomorrow brings is known: always better than today's value, on calm and wild
    # days alike. The error's own interval does not see that, since wild days make it wide.
    random = np.random.default_rng(3)
    today = np.zeros((150, 1))
    truth = random.normal(size=(150, 1)) * np.exp(random.normal(0, 1.5, (150, 1)))
    report = report_regression(
        truth, today + 0.2 * (truth - today), 0, is_forecast=True, baseline_predictions=today
    )
    metrics = report.metrics
    assert metrics["mean_absolute_error_high"] > metrics["baseline_mean_absolute_error"]
    assert metrics["skill"] == pytest.approx(0.2)
    assert metrics["skill_low"] == pytest.approx(0.2)
    assert report.beats_baseline
    assert "better" not in report.sentence()


def test_the_interval_of_skill_has_its_nominal_coverage():
    covered = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        truth = random.normal(size=80)
        report = report_regression(
            truth + random.normal(size=80), truth, 0, baseline_labels=np.zeros(3), num_resamples=200
        )
        # E|noise| / E|truth + noise| = 1 / sqrt(2)
        covered += report.metrics["skill_low"] <= 1 - 0.5**0.5 <= report.metrics["skill_high"]
    assert 86 <= covered <= 100


def test_blocks_longer_than_the_series_are_the_whole_series():
    truth, today = walk(num_examples=5, horizon=6)
    truth, today = truth[:4], today[:4]
    report = report_regression(truth, today + 0 * truth, 0, is_forecast=True)
    metrics = report.metrics
    assert metrics["mean_absolute_error_low"] == pytest.approx(metrics["mean_absolute_error"])


def test_metrics_are_a_table_with_the_headline_first():
    truth, today = walk()
    report = report_regression(truth, 0.9 * truth, 0, is_forecast=True, baseline_predictions=today)
    lines = evaluation.as_markdown(report).splitlines()
    assert lines[0] == "| metric | value | 95 % interval | persistence baseline |"
    assert lines[1] == "|---|---:|---:|---:|"
    assert lines[2].startswith("| **mean absolute error** | **")
    assert all(line.count("|") == 5 for line in lines)
    text = " ".join(lines)
    assert "baseline mean" not in text
    assert " low " not in text
    assert len([line for line in lines if line.startswith("| step ")]) == 4


def test_metrics_without_a_baseline_have_no_column_for_it():
    report = report_classification([0, 1], np.eye(2), ["a", "b"], 0)
    lines = evaluation.as_markdown(report).splitlines()
    assert lines[0] == "| metric | value | 95 % interval |"
    assert lines[2] == "| **accuracy** | **1.000** | 0.158 to 1.000 |"
    assert all(line.count("|") == 4 for line in lines)


def test_mistakes_are_a_table_with_their_texts():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    report = report_classification([1, 1, 0], probabilities, ["bad|sad", "good"], 5)
    texts = ["So *good*:\n a | `b` <br />", "word " * 100]
    lines = evaluation.mistakes_markdown(report, texts).splitlines()
    assert lines[:2] == [
        "| text | example | true | predicted | confidence |",
        "|---|---:|---:|---:|---:|",
    ]
    assert lines[2] == r"| So \*good\*: a \| \`b\` &lt;br /> | 0 | good | bad\|sad | 0.90 |"
    assert lines[3].startswith("| word word")
    assert "word… | 2 | bad" in lines[3]
    assert len(lines) == 4
    assert evaluation.mistakes_markdown(report).splitlines()[2] == r"| 0 | good | bad\|sad | 0.90 |"


def test_misses_and_hard_texts_are_tables_too():
    report = report_regression(np.array([1.0, 5.0]), np.array([1.5, 2.0]), 1)
    assert evaluation.mistakes_markdown(report).splitlines()[2] == (
        "| 1 | 1 | 5.000 | 2.000 | 3.000 |"
    )
    logits, targets = texts()
    hard = report_language_model(Echo(), batches(logits, targets), 2)
    lines = evaluation.mistakes_markdown(hard, ["one", "two"]).splitlines()
    assert lines[0] == "| text | example | tokens | log loss per token |"
    assert lines[2].startswith(f"| one | {hard.worst[0].index} | ")


def test_no_mistakes_are_no_table():
    report = report_classification([0, 1], np.eye(2), ["a", "b"], 5)
    assert evaluation.mistakes_markdown(report) == ""
