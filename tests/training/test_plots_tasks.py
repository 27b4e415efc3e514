"""Figures of texts, films, forecasts and several runs, and words in any script."""

import shutil

import numpy as np
import pytest
from matplotlib import font_manager, get_data_path
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from samerun import plots
from samerun.config import Layout
from samerun.errors import UserError
from samerun.evaluation.classification import report_classification
from samerun.evaluation.language import report_language_model
from samerun.evaluation.regression import report_regression
from samerun.plots import fonts
from support.tables import mostly_slow


def classified(num_classes=2, num_examples=60, names=None, worst=4):
    random = np.random.default_rng(num_classes)
    labels = random.integers(0, num_classes, num_examples)
    scores = random.normal(size=(num_examples, num_classes))
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    names = names or [f"class {n}" for n in range(num_classes)]
    return report_classification(labels, probabilities, names, worst)


class Echo:
    def predict_on_batch(self, features):
        return features


def language(num_texts=30, baseline=True):
    random = np.random.default_rng(0)
    targets = random.integers(1, 6, (num_texts, 12))
    logits = random.normal(size=(*targets.shape, 6))
    return report_language_model(
        Echo(), [(logits, targets)], 3, baseline_labels=targets if baseline else None
    )


def forecast(horizon=3, num_examples=250, baseline=True):
    series = np.cumsum(np.random.default_rng(0).normal(size=num_examples + horizon))
    windows = np.lib.stride_tricks.sliding_window_view(series, horizon + 1)
    today = windows[:, :1] if baseline else None
    return report_regression(
        windows[:, 1:], windows[:, 1:] + 0.5, 3, is_forecast=True, baseline_predictions=today
    )


def all_texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def drawn(figure, tmp_path, name="figure.png"):
    plots.save(figure, tmp_path / name)
    return (tmp_path / name).read_bytes()


def inside(figure):
    """Whether all titles, names of axes, legends and free text lie on the paper, once drawn."""
    box, named = figure.bbox, [*figure.texts, *figure.legends]
    for panel in figure.axes:
        named += [panel.title, panel._left_title, panel.xaxis.label, panel.yaxis.label]
        named += [*panel.texts, *filter(None, [panel.get_legend()])]
    parts = [part.get_window_extent() for part in named if part.get_visible()]
    return all(
        part.x0 >= box.x0 and part.x1 <= box.x1 and part.y0 >= box.y0 and part.y1 <= box.y1
        for part in parts
        if part.width
    )


def test_text_mistakes_show_the_words_and_what_was_wrong(tmp_path):
    report = classified()
    sources = ["short", "two\nlines  apart", "long " * 400, ""]
    figure = plots.text_mistakes(report, sources)
    drawn(figure, tmp_path)
    texts = all_texts(figure)
    first = report.worst[0]
    assert (
        f"true class {first.label}, predicted class {first.predicted} ({first.confidence:.2f})"
        in texts
    )
    assert "short" in texts
    assert "two lines apart" in texts
    assert "(empty)" in texts
    long = [line for line in texts if line.startswith("long")]
    assert len(long) == 3
    assert long[-1].endswith("…")
    assert f"the 4 most confident of {int(report.errors.sum())} mistakes in 60 examples" in texts
    assert inside(figure)


def test_lines_of_text_mistakes_are_monospaced_and_apart(tmp_path):
    figure = plots.text_mistakes(classified(), ["W" * 2000] * 4)
    drawn(figure, tmp_path)
    lines = [text for text in figure.texts if text.get_text().startswith("WW")]
    assert {text.get_fontfamily()[0] for text in lines} == {fonts.MONOSPACED}
    assert inside(figure)
    boxes = [text.get_window_extent() for text in figure.texts[1:]]
    tops = sorted({round(box.y1) for box in boxes}, reverse=True)
    assert all(high - low > 10 for high, low in zip(tops, tops[1:], strict=False))


def test_the_least_expected_texts_of_a_language_model_are_shown():
    report = language()
    texts = all_texts(plots.text_mistakes(report, ["one", "two", "three"]))
    assert "the 3 least probable of 30 texts" in texts
    hard = report.worst[0]
    assert f"example {hard.index}: log loss {hard.log_loss:.2f} per token (12 tokens)" in texts
    assert texts.index("one") < texts.index("two") < texts.index("three")


@pytest.mark.parametrize("num_frames", mostly_slow([1, 3, 40], 40))
@pytest.mark.parametrize("channels", mostly_slow([1, 3], 3))
def test_films_are_strips_of_frames_in_the_order_of_time(num_frames, channels, tmp_path):
    report = classified()
    films = np.zeros((4, num_frames, 6, 20, channels), np.uint8)
    films += np.linspace(0, 250, num_frames, dtype=np.uint8)[None, :, None, None, None]
    figure = plots.video_mistakes(report, films)
    panels = [panel for panel in figure.axes if panel.images]
    assert len(panels) == 4
    strip = panels[0].images[0].get_array()
    shown = min(5, num_frames)
    assert strip.shape[:2] == (6, shown * 21)
    frames = strip[0, ::21] if channels == 1 else strip[0, ::21, 0]
    assert frames.tolist() == pytest.approx(np.linspace(0, 1, shown).tolist(), abs=0.02)
    assert strip[0, 20].max() == 1  # a white gap after each
    assert drawn(figure, tmp_path)
    assert inside(figure)


def test_token_losses_are_drawn_over_the_position_in_bits(tmp_path):
    report = language()
    figure = plots.token_losses(report)
    left, right = figure.axes
    model, baseline = left.get_lines()
    assert model.get_ydata() == pytest.approx(report.by_position / np.log(2))
    assert baseline.get_ydata() == pytest.approx(report.baseline_by_position / np.log(2))
    (outline,) = right.patches
    assert outline.get_data().values.sum() == 30
    assert (left.get_xlabel(), left.get_ylabel()) == (
        "position in the text (tokens)",
        "bits per token",
    )
    assert "unigram baseline" in all_texts(figure)
    assert drawn(figure, tmp_path)


def test_without_a_baseline_there_is_one_line_a_figure():
    assert len(plots.token_losses(language(baseline=False)).axes[0].get_lines()) == 1
    assert len(plots.error_by_step(forecast(baseline=False)).axes[0].get_lines()) == 1


@pytest.mark.parametrize(
    "errors",
    mostly_slow(
        [
            pytest.param(np.zeros(9), id="all-zero"),
            pytest.param(np.full(9, 3.0), id="all-equal"),
            pytest.param(3 + 1e-15 * np.arange(9), id="equal-but-for-rounding"),
            pytest.param(1e-30 * np.arange(9), id="tiny"),
        ],
        "tiny",
    ),
)
def test_errors_that_hardly_differ_have_a_histogram(errors, tmp_path):
    report = report_regression(errors, np.zeros(9), 1)
    figure = plots.residuals(report)
    (outline,) = figure.axes[1].patches
    assert outline.get_data().values.sum() == 9
    assert drawn(figure, tmp_path)


def test_the_error_of_each_step_ahead_is_drawn_beside_the_baseline():
    report = forecast(horizon=3)
    (panel,) = plots.error_by_step(report, unit="°C").axes
    model, baseline = panel.get_lines()
    assert model.get_ydata() == pytest.approx([0.5, 0.5, 0.5])
    expected = [report.metrics[f"baseline_step_{n}_mean_absolute_error"] for n in (1, 2, 3)]
    assert baseline.get_ydata() == pytest.approx(expected)
    assert panel.get_ylabel() == "mean absolute error (°C)"


@pytest.mark.parametrize(
    ("report", "options", "names"),
    mostly_slow(
        [
            pytest.param(
                forecast(3),
                {"times": np.datetime64("2004-08-19") + np.arange(250), "unit": "$"},
                {"predicted_against_truth", "residuals", "forecast", "error_by_step"},
                id="forecast-of-three-steps",
            ),
            pytest.param(
                forecast(1),
                {"times": np.arange(250.0)},
                {"predicted_against_truth", "residuals", "forecast"},
                id="forecast-of-one-step",
            ),
            pytest.param(language(), {"layout": Layout.tokens}, {"token_losses"}, id="no-words"),
            pytest.param(
                language(),
                {"layout": Layout.tokens, "texts": lambda at: ["words"] * len(at)},
                {"token_losses", "mistakes"},
                id="language-model",
            ),
        ],
        "forecast-of-three-steps",
        "language-model",
    ),
)
def test_all_that_fits_the_task_is_drawn(report, options, names, tmp_path):
    figures = plots.draw(report, plots.EvaluatedSplit(**options))
    assert set(figures) == names
    for name, figure in figures.items():
        assert drawn(figure, tmp_path, f"{name}.png")
        assert inside(figure)


@pytest.mark.parametrize(
    ("layout", "word"),
    [
        pytest.param(Layout.tokens, "some words", id="tokens-as-text"),
        pytest.param(Layout.video, None, id="video-as-strips"),
        pytest.param(Layout.image, None, id="images"),
        pytest.param(Layout.sequence, "", id="not-drawn"),
    ],
)
def test_the_layout_decides_how_mistakes_are_drawn(layout, word):
    report = classified()
    asked = []

    def texts(indices):
        asked.append(list(indices))
        return ["some words"] * len(indices)

    def examples(indices):
        shape = (4, 8, 8, 1) if layout is Layout.video else (8, 8, 1)
        return np.zeros((len(indices), *shape))

    figures = plots.draw(
        report, plots.EvaluatedSplit(examples=examples, texts=texts, layout=layout)
    )
    if word == "":
        assert "mistakes" not in figures
    elif word is None:
        assert len([panel for panel in figures["mistakes"].axes if panel.images]) == 4
        assert not asked
    else:
        assert word in all_texts(figures["mistakes"])
        assert asked == [[mistake.index for mistake in report.worst]]


def histories(number):
    return {
        f"run_{n}_of_a_sweep_with_a_long_name_{n}": {
            "validation/loss": [1.0, 0.5 + n / 100, 0.6 + n / 100],
            "validation/accuracy": [0.1, 0.9 - n / 100, 0.8],
        }
        for n in range(number)
    }


@pytest.mark.parametrize(
    "metric", mostly_slow(["validation/loss", "validation/accuracy"], "validation/accuracy")
)
def test_runs_are_compared_with_the_best_first(metric, tmp_path):
    shuffled = dict(sorted(histories(4).items(), key=lambda item: hash(item[0])))
    figure = plots.compare_curves(shuffled, metric)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [entry.split("_")[1] for entry in legend] == ["0", "1", "2", "3"]
    best = 0.51 if metric.endswith("loss") else 0.89
    assert "".join(legend[1].split()) == f"run_1_of_a_sweep_with_a_long_name_1({best}at2)"
    assert figure.axes[0].get_ylabel() == metric
    assert drawn(figure, tmp_path)
    assert inside(figure)


def test_of_many_runs_ten_are_named_and_all_are_drawn():
    figure = plots.compare_curves(histories(14), "validation/loss")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(legend) == 11
    assert legend[-1] == "the other 4"
    lines = figure.axes[0].get_lines()
    assert len(lines) == 14
    styles = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(styles) == 11


def test_runs_that_diverged_or_lack_the_metric_do_not_stop_the_others(tmp_path):
    runs = {
        "bad": {"validation/loss": [np.nan]},
        "other": {"train/loss": [1.0]},
        "empty": {"validation/loss": []},
        "good": {"validation/loss": [0.5]},
    }
    figure = plots.compare_curves(runs, "validation/loss")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["good (0.5 at 1)", "bad (never finite)"]
    assert drawn(figure, tmp_path)


def test_a_metric_that_no_run_has_is_one_clear_sentence():
    with pytest.raises(UserError, match=r"'validation/auc', expected validation/accuracy, valid"):
        plots.compare_curves(histories(2), "validation/auc")


@pytest.fixture
def no_other_fonts(monkeypatch):
    """A machine that has matplotlib's fonts only."""
    monkeypatch.setattr(fonts, "_elsewhere", dict)


CHINESE = ["猫", "狗", "一个很长很长很长很长很长很长很长很长的名字"]


def test_names_without_glyphs_are_distinguished_by_number(no_other_fonts):
    assert fonts.plain_names([*CHINESE, "cat"]) == ["0: □", "1: □", "2: □□□…", "cat"]


@pytest.mark.parametrize(
    "names",
    mostly_slow(
        [
            pytest.param(CHINESE, id="chinese"),
            pytest.param(["नमस्ते", "日本語", "한국어"], id="hindi-japanese-korean"),
            pytest.param(["🐈", "e\u0301", "tab\tand\nline"], id="emoji-marks-and-white-space"),
            pytest.param(["\ud800", "\x00", ""], id="no-letters-at-all"),
        ],
        "no-letters-at-all",
    ),
)
def test_names_in_any_script_draw_without_a_warning(names, no_other_fonts, tmp_path):
    report = classified(3, names=names)
    split = plots.EvaluatedSplit(
        examples=lambda at: np.zeros((len(at), 4, 4, 1)), layout=Layout.image
    )
    figures = plots.draw(report, split)
    figures["texts"] = plots.text_mistakes(report, [name * 500 for name in names] + ["x"])
    figures["runs"] = plots.compare_curves(
        {name: {"train/loss": [1.0]} for name in names}, "train/loss"
    )
    figures["weights"] = plots.weight_histograms({name: np.ones(3) for name in names})
    figures["unit"] = plots.residuals(forecast(), unit=names[0])
    for name, figure in figures.items():
        assert drawn(figure, tmp_path, f"{name}.png")


def test_a_text_without_glyphs_is_marked(no_other_fonts):
    texts = all_texts(
        plots.text_mistakes(classified(), ["看了这部电影。" * 40, "half 看", "a", "b"])
    )
    assert "(no font on this machine has these characters)" in texts
    assert "half □" in texts


def test_another_font_is_found_for_letters_that_the_own_one_lacks(tmp_path):
    # A font that comes with matplotlib stands in for one that a user installed.
    bundled = f"{get_data_path()}/fonts/ttf/STIXGeneral.ttf"
    path = tmp_path / "installed.ttf"
    shutil.copy(bundled, path)
    foreign = sorted(set(FT2Font(bundled).get_charmap()) - fonts._own())
    letters = [chr(code) for code in foreign if chr(code).isalpha()][:3]
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(path)
    fonts._elsewhere.cache_clear()
    try:
        assert {fonts._elsewhere()[ord(letter)] for letter in letters} == {"STIXGeneral"}
        assert fonts.plain_names(letters) == letters
        figure = plots.confusion_matrix(classified(3, names=letters))
        assert drawn(figure, tmp_path)
        labels = figure.axes[0].get_xticklabels()
        assert [label.get_text() for label in labels] == letters
        assert labels[0].get_fontfamily()[-1] == "STIXGeneral"
    finally:
        font_manager.fontManager.ttflist[:] = before
        fonts._elsewhere.cache_clear()


def test_latin_letters_never_open_other_fonts(monkeypatch, tmp_path):
    monkeypatch.setattr(fonts, "_elsewhere", lambda: pytest.fail("opened all fonts"))
    report = classified(3, names=["café", "Ελλάδα", "Привет"])
    assert drawn(plots.confusion_matrix(report), tmp_path)
