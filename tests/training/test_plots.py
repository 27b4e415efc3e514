"""What the figures contain, that they are the same each time, and that nothing leaks."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from samerun import plots
from samerun.config import Layout
from samerun.evaluation.classification import report_classification
from samerun.evaluation.regression import report_regression
from support.tables import mostly_slow

HISTORY = {
    "train/loss": [1.0, 0.5, 0.3, 0.2],
    "validation/loss": [1.1, 0.6, 0.5, 0.7],
    "train/accuracy": [0.5, 0.7, 0.8, 0.9],
    "validation/accuracy": [0.5, 0.6, 0.7, 0.75],
    "learning_rate": [0.1, 0.01, 0.001, 0.0001],
    "epoch_seconds": [1.0, 1.0, 1.0, 1.0],
}


def classified(num_classes=3, num_examples=60, sharpness=2.0, names=None):
    random = np.random.default_rng(num_classes)
    labels = random.integers(0, num_classes, num_examples)
    scores = random.normal(size=(num_examples, num_classes))
    scores[np.arange(num_examples), labels] += sharpness
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    names = names or [f"class {n}" for n in range(num_classes)]
    return report_classification(labels, probabilities, names, 4)


def regressed(num_examples=50, num_outputs=1, is_forecast=False):
    random = np.random.default_rng(0)
    truth = np.cumsum(random.normal(size=(num_examples, num_outputs)), axis=0)
    predicted = truth + random.normal(0, 0.3, truth.shape)
    return report_regression(truth, predicted, 3, is_forecast=is_forecast)


def shown(axes):
    """The panels that are switched on."""
    return [panel for panel in axes if panel.axison]


def all_texts(figure):
    return [text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_text()]


def drawn(figure, tmp_path, name="figure.png"):
    plots.save(figure, tmp_path / name)
    return (tmp_path / name).read_bytes()


def test_learning_curves_have_a_panel_a_metric_and_one_for_the_rate():
    figure = plots.learning_curves(HISTORY)
    panels = shown(figure.axes)
    assert [panel.get_ylabel() for panel in panels] == ["loss", "accuracy", "learning rate"]
    assert all(panel.get_xlabel() == "epoch" for panel in panels)
    lines = {line.get_label(): line for line in panels[0].get_lines()}
    assert lines["train"].get_ydata().tolist() == HISTORY["train/loss"]
    assert lines["validation"].get_xdata().tolist() == [1, 2, 3, 4]
    assert lines["train"].get_color() != lines["validation"].get_color()
    assert panels[2].get_yscale() == "log"
    assert panels[0].get_yscale() == "linear"


@pytest.mark.parametrize(
    ("monitor", "marks"),
    [
        pytest.param(None, ["best here: epoch 3", "best here: epoch 4"], id="each-its-own"),
        pytest.param("validation/loss", ["best validation/loss: epoch 3"] * 2, id="one-for-all"),
        pytest.param("elsewhere", ["best here: epoch 3", "best here: epoch 4"], id="unknown"),
    ],
)
def test_the_best_epoch_is_marked(monitor, marks):
    figure = plots.learning_curves(HISTORY, monitor)
    assert [word for word in all_texts(figure) if word.startswith("best")] == marks


@pytest.mark.parametrize(
    "history",
    mostly_slow(
        [
            pytest.param({"train/loss": [0.5]}, id="one-epoch-no-validation"),
            pytest.param(
                {"train/loss": [np.nan, np.nan], "validation/loss": [1, np.inf]}, id="nan"
            ),
            pytest.param({"learning_rate": [0.0, 0.0]}, id="rate-of-zero"),
            pytest.param({"train/loss": [1000.0, 0.001]}, id="many-decades"),
        ],
        "nan",
    ),
)
def test_odd_histories_are_drawn(history, tmp_path):
    assert drawn(plots.learning_curves(history), tmp_path).startswith(b"\x89PNG")


def test_a_schedule_is_drawn_over_epochs():
    figure = plots.schedule_curve(np.linspace(1e-3, 5e-4, 120), steps_per_epoch=40)
    (panel,) = figure.axes
    (line,) = panel.get_lines()
    assert line.get_xdata()[-1] == pytest.approx(119 / 40)
    assert panel.get_xlim() == (0, 3)
    assert panel.get_xlabel() == "epochs (of 40 steps)"
    assert panel.get_ylabel() == "learning rate"


@pytest.mark.parametrize("num_classes", mostly_slow([2, 10, 25, 26, 100], 26))
def test_a_confusion_matrix_counts_where_numbers_fit(num_classes, tmp_path):
    report = classified(num_classes, 400)
    figure = plots.confusion_matrix(report)
    panel = figure.axes[0]
    counts = [int(text.get_text()) for text in panel.texts]
    assert sum(counts) == (400 if num_classes <= 25 else 0)
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("predicted class", "true class")
    width, height = figure.get_size_inches()
    assert 4 <= height <= width <= 10
    drawn(figure, tmp_path)
    boxes = [label.get_window_extent() for label in panel.get_yticklabels()]
    overlaps = [low.y1 > high.y0 + 1 for high, low in zip(boxes, boxes[1:], strict=False)]
    assert not any(overlaps)


def test_color_in_a_confusion_matrix_is_the_share_of_the_true_class():
    labels = np.array([0, 0, 0, 0, 1])
    report = report_classification(labels, np.eye(3)[[0, 0, 0, 1, 1]], ["a", "b", "c"], 4)
    figure = plots.confusion_matrix(report)
    shares = figure.axes[0].images[0].get_array()
    assert shares[:2].tolist() == [[0.75, 0.25, 0], [0, 1, 0]]
    assert shares.mask[2].all()  # no examples of c: no color
    assert len(figure.axes[0].texts) == 6  # zeros are written among few classes, not in row c


def test_roc_curves_name_each_class_and_show_chance():
    report = classified(4, 200, sharpness=4)
    figure = plots.roc_curves(report)
    assert len(figure.axes) == 2  # the upper corner is enlarged: all areas are large
    whole = figure.axes[0]
    assert (whole.get_xlabel(), whole.get_ylabel()) == ("false positive rate", "true positive rate")
    assert len(whole.get_lines()) == 5
    assert "chance" in all_texts(figure)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [f"class {n} ({report.roc[n].area:.3f})" for n in range(4)]
    styles = {(line.get_color(), line.get_linestyle()) for line in whole.get_lines()}
    assert len(styles) == 5


def test_precision_recall_curves_are_steps_and_bad_models_have_no_corner():
    figure = plots.precision_recall_curves(classified(3, 60, sharpness=0.3))
    (panel,) = figure.axes
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("recall", "precision")
    assert {line.get_drawstyle() for line in panel.get_lines()} == {"steps-post"}


def test_of_many_classes_only_the_worst_curves_are_named():
    report = classified(30, 900)
    figure = plots.roc_curves(report)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    lowest = sorted(report.roc, key=lambda label: report.roc[label].area)[:5]
    assert [word.rsplit(" (", 1)[0] for word in legend[:-1]] == [f"class {n}" for n in lowest]
    assert legend[-1] == "the other 25"


def test_two_classes_have_one_curve():
    report = classified(2, 100, names=["no", "yes"])
    for figure in (plots.roc_curves(report), plots.precision_recall_curves(report)):
        (entry,) = figure.legends[0].get_texts()
        assert entry.get_text().startswith("yes (")


def test_calibration_shows_bins_with_their_intervals_and_sizes():
    report = classified(3, 200)
    figure = plots.calibration(report)
    upper, lower = figure.axes
    assert upper.get_ylabel() == "accuracy"
    assert lower.get_xlabel() == "confidence (probability of the predicted class)"
    assert sum(bar.get_height() for bar in lower.patches) == 200
    points = upper.containers[0].lines[0]
    assert len(points.get_xdata()) == (report.calibration.counts > 0).sum()
    error = report.metrics["expected_calibration_error"]
    assert f"expected calibration error {error:.3f}" in all_texts(figure)


@pytest.mark.parametrize(
    ("shape", "dtype", "scale"),
    mostly_slow(
        [
            pytest.param((8, 8), np.float64, 16, id="digits-without-channel"),
            pytest.param((8, 8, 1), np.uint8, 255, id="gray-bytes"),
            pytest.param((8, 8, 2), np.float32, 1, id="two-channels"),
            pytest.param((8, 8, 3), np.uint8, 255, id="color-bytes"),
            pytest.param((8, 8, 4), np.int32, 16, id="four-channels"),
        ],
        "two-channels",
    ),
)
def test_mistakes_are_pictures_with_captions(shape, dtype, scale):
    report = classified(3, 80, sharpness=0.5)
    random = np.random.default_rng(0)
    images = (random.random((len(report.worst), *shape)) * scale).astype(dtype)
    figure = plots.mistakes(report, images)
    panels = [panel for panel in figure.axes if panel.images]
    assert len(panels) == len(report.worst) == 4
    first = report.worst[0]
    caption = (
        f"true class {first.label}\npredicted class {first.predicted} ({first.confidence:.2f})"
    )
    assert panels[0].get_title() == caption
    for panel in panels:
        values = panel.images[0].get_array()
        assert values.min() >= 0
        assert values.max() <= 1
    total = int(report.errors.sum())
    assert f"the 4 most confident of {total} mistakes in 80 examples" in all_texts(figure)


def test_pictures_are_scaled_together_so_that_a_dark_one_stays_dark():
    report = classified(3, 80, sharpness=0.5)
    images = np.stack([np.full((4, 4), value) for value in (0, 64, 128, 255)])
    values = [panel.images[0].get_array()[0, 0] for panel in plots.mistakes(report, images).axes]
    assert values == pytest.approx([0, 64 / 255, 128 / 255, 1])


def test_a_figure_without_mistakes_says_so(tmp_path):
    report = report_classification([0, 1], np.eye(2), ["a", "b"], 4)
    figure = plots.mistakes(report, np.zeros((0, 4, 4)))
    assert "no mistakes in 2 examples" in all_texts(figure)
    assert drawn(figure, tmp_path)


def test_predictions_are_drawn_against_the_truth_with_units():
    report = regressed()
    figure = plots.predicted_against_truth(report, unit="US$")
    (panel,) = figure.axes
    assert (panel.get_xlabel(), panel.get_ylabel()) == (r"truth (US\$)", r"prediction (US\$)")
    points, diagonal = panel.get_lines()
    assert np.array_equal(points.get_xdata(), report.truth[:, 0])
    assert np.array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert panel.get_xlim() == panel.get_ylim()


@pytest.mark.parametrize(
    ("num_outputs", "is_forecast", "numbers"),
    mostly_slow(
        [
            pytest.param(3, False, [1, 2, 3], id="outputs"),
            pytest.param(5, True, [1, 2, 3, 4, 5], id="steps"),
            pytest.param(9, True, [1, 3, 4, 6, 7, 9], id="too-many"),
        ],
        "too-many",
    ),
)
def test_up_to_six_outputs_have_a_panel_each(num_outputs, is_forecast, numbers, tmp_path):
    report = regressed(num_outputs=num_outputs, is_forecast=is_forecast)
    figure = plots.predicted_against_truth(report)
    kind = "step" if is_forecast else "output"
    shown = [axes for axes in figure.axes if axes.get_lines()]
    assert [axes.get_title(loc="left") for axes in shown] == [
        f"{kind} {number} of {num_outputs}" for number in numbers
    ]
    for axes, number in zip(shown, numbers, strict=True):
        assert np.array_equal(axes.get_lines()[0].get_xdata(), report.truth[:, number - 1])
    assert ("6 of 9 steps" in all_texts(figure)) == (num_outputs == 9)
    assert drawn(figure, tmp_path)


@pytest.mark.parametrize(
    ("report", "counted"),
    [
        pytest.param(regressed(), "examples", id="one"),
        pytest.param(regressed(num_outputs=5), "examples × outputs", id="outputs"),
        pytest.param(regressed(num_outputs=5, is_forecast=True), "examples × steps", id="steps"),
        pytest.param(regressed(2000, 5, is_forecast=True), "examples × steps", id="cells"),
    ],
)
def test_residuals_state_what_they_count(report, counted):
    figure = plots.residuals(report)
    assert figure.axes[1].get_ylabel() == counted
    assert all(bar.get_ylabel() == counted for bar in figure.axes[2:])
    (outline,) = figure.axes[1].patches
    assert outline.get_data().values.sum() == report.truth.size


def test_many_points_become_counts(tmp_path):
    figure = plots.predicted_against_truth(regressed(4000))
    panel, bar = figure.axes
    assert bar.get_ylabel() == "examples"
    assert panel.collections[0].get_array().sum() == 4000
    assert drawn(figure, tmp_path)


def test_residuals_are_truth_minus_prediction():
    report = regressed()
    figure = plots.residuals(report)
    left, right = figure.axes
    assert np.allclose(left.get_lines()[0].get_ydata(), report.truth[:, 0] - report.predicted[:, 0])
    (outline,) = right.patches
    assert outline.get_data().values.sum() == 50
    assert "residual = truth - prediction" in all_texts(figure)


@pytest.mark.parametrize(
    ("num_examples", "num_panels"),
    [pytest.param(150, 1, id="short"), pytest.param(500, 2, id="long-with-its-end-enlarged")],
)
def test_a_forecast_is_drawn_over_time(num_examples, num_panels, tmp_path):
    report = regressed(num_examples, is_forecast=True)
    figure = plots.forecast_over_time(report)
    assert len(figure.axes) == num_panels
    assert figure.axes[-1].get_xlabel() == "time step in the split"
    truth, forecast = figure.axes[0].get_lines()
    assert (truth.get_label(), forecast.get_label()) == ("truth", "forecast")
    assert len(figure.axes[-1].get_lines()[0].get_xdata()) == (150 if num_panels == 1 else 100)


def test_a_forecast_can_be_drawn_over_dates(tmp_path):
    days = np.datetime64("2008-01-01") + np.arange(50)
    figure = plots.forecast_over_time(regressed(is_forecast=True), times=days)
    drawn(figure, tmp_path)
    assert figure.axes[0].get_xlabel() == "time"
    assert any(word.startswith("2008") for word in all_texts(figure))


def test_weights_have_a_histogram_a_variable_up_to_24():
    weights = {f"model/layer_{n}/kernel": np.arange(50.0) for n in range(30)}
    figure = plots.weight_histograms(weights)
    titles = [panel.get_title(loc="left") for panel in shown(figure.axes)]
    assert len(titles) == 24
    assert titles[0] == "model/layer_0/kernel"
    assert titles[-1] == "model/layer_29/kernel"
    assert "value of the weights (24 of 30 variables)" in all_texts(figure)


def test_weights_that_are_not_finite_are_counted(tmp_path):
    values = {"a": np.array([1.0, np.nan, np.inf]), "b": np.array([np.nan])}
    figure = plots.weight_histograms(values)
    assert {"a (2 not finite)", "b (1 not finite)"} <= set(all_texts(figure))
    assert drawn(figure, tmp_path)


def test_names_are_shown_as_they_are_and_shortened(tmp_path):
    names = ["$x^2$ \\alpha", "_hidden", "a name that is far too long to show"]
    report = classified(3, 60, names=names)
    figure = plots.roc_curves(report)
    drawn(figure, tmp_path)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(legend) == 3
    assert legend[0].startswith(r"\$x^2\$")
    assert legend[2].startswith("a name that is fa… (")
    for draw in (plots.confusion_matrix, plots.precision_recall_curves):
        assert drawn(draw(report), tmp_path)


def test_other_names_can_be_shown():
    figure = plots.confusion_matrix(classified(2), class_names=["Katze", "Hund"])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["Katze", "Hund"]


CLASSIFIED = {"confusion_matrix", "calibration", "roc", "precision_recall"}


@pytest.mark.parametrize(
    ("report", "options", "names"),
    mostly_slow(
        [
            pytest.param(None, {}, set(), id="nothing"),
            pytest.param(classified(), {"layout": Layout.image}, CLASSIFIED, id="no-pictures"),
            pytest.param(
                classified(),
                {"examples": lambda at: np.zeros((len(at), 4, 4, 1)), "layout": Layout.image},
                CLASSIFIED | {"mistakes"},
                id="images",
            ),
            pytest.param(
                classified(),
                {"examples": lambda at: np.zeros((len(at), 4)), "layout": Layout.table},
                CLASSIFIED,
                id="table",
            ),
            pytest.param(
                report_classification([1, 1], np.eye(2), ["a", "b"], 0),
                {},
                {"confusion_matrix", "calibration"},
                id="one-class-only",
            ),
            pytest.param(
                regressed(), {}, {"predicted_against_truth", "residuals"}, id="regression"
            ),
            pytest.param(
                regressed(is_forecast=True),
                {},
                {"predicted_against_truth", "residuals", "forecast"},
                id="forecast",
            ),
        ],
        "images",
        "forecast",
    ),
)
def test_all_that_fits_a_run_is_drawn(report, options, names, tmp_path):
    figures = plots.draw(report, plots.EvaluatedSplit(**options))
    assert set(figures) == names
    check_drawn(figures, tmp_path)


def test_a_training_without_a_report_is_drawn(tmp_path):
    figures = plots.draw(history=HISTORY, weights={"kernel": np.ones(3)})
    figures["schedule"] = plots.schedule_curve(np.ones(3), 1)
    assert set(figures) == {"learning_curves", "schedule", "weights"}
    check_drawn(figures, tmp_path)


def check_drawn(figures, tmp_path):
    for name, figure in figures.items():
        assert drawn(figure, tmp_path, f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert abs(picture.width - figure.get_figwidth() * 150) < 1
            assert not {"Software", "Creation Time"} & set(picture.info)
            assert picture.convert("L").getextrema()[0] < 100  # something dark was drawn


def test_only_the_pictures_that_are_shown_are_asked_for():
    report = classified()
    asked = []

    def examples(indices):
        asked.extend(indices)
        return np.zeros((len(indices), 4, 4, 1))

    plots.draw(report, plots.EvaluatedSplit(examples=examples, layout=Layout.image))
    assert asked == [mistake.index for mistake in report.worst]


def test_the_same_values_give_the_same_bytes(tmp_path):
    def everything(name):
        folder = tmp_path / name
        folder.mkdir()
        figures = {
            "curves": plots.learning_curves(HISTORY),
            "confusion": plots.confusion_matrix(classified(4)),
            "residuals": plots.residuals(regressed()),
        }
        return {key: drawn(figure, folder, f"{key}.png") for key, figure in figures.items()}

    once = everything("once")
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(everything, ["a", "b"]))
    assert again == [once] * 2


def test_settings_and_pyplot_are_left_alone(tmp_path):
    before = dict(mpl.rcParams)
    for name, figure in plots.draw(classified(), history=HISTORY).items():
        drawn(figure, tmp_path, f"{name}.png")
    assert dict(mpl.rcParams) == before
    code = (
        "import sys; from samerun import plots; "
        "plots.save(plots.learning_curves({'train/loss': [1.0, 0.5]}), sys.argv[1]); "
        "print([n for n in ('matplotlib.pyplot', 'tensorflow', 'keras') if n in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "fresh.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def test_the_weights_of_a_table_have_a_row_for_each_feature_and_a_column_for_each_unit():
    kernel = np.array([[0.5, -2.0], [0.0, -0.04], [1.0, 0.25]])
    figure = plots.draw(first_kernel=(["size", "town=Aachen", "town=Bonn"], kernel))
    (axes, _) = figure["feature_weights"].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "size",
        "town=Aachen",
        "town=Bonn",
    ]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2"]
    assert texts_of(axes) == ["0.5", "-2.0", "0.0", "0.0", "1.0", "0.2"]
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array(), kernel)
    assert image.get_clim() == (-2.0, 2.0)  # 0 is white


def test_of_a_wide_table_the_features_with_the_largest_weights_are_drawn():
    kernel = np.full((40, 100), 0.1)
    kernel[35:] = 5.0
    names = [f"column {number}" for number in range(40)]
    (axes, _) = plots.draw(first_kernel=(names, kernel))["feature_weights"].axes
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert len(shown) == 30
    assert shown[-5:] == names[35:]
    assert axes.get_title(loc="left") == "30 of 40 features, 64 of 100 units"
    assert texts_of(axes) == []
