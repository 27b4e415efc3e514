"""Figures of an evaluated language model."""

import math

import numpy as np
from matplotlib.figure import Figure

from samerun.evaluation import LanguageModelReport
from samerun.plots.style import BLUE, GRAY, ORANGE, SMALL, describe, histogram, panels


def token_losses(report: LanguageModelReport) -> Figure:
    """Draws the loss over the position in the text, and how it differs between texts.

    The line on the left falls for a model that uses the preceding tokens; the baseline uses
    none.

    Args:
        report: an evaluated language model.
    """
    figure, (left, right) = panels(1, 2, 8.8, 3.6)
    positions = np.arange(1, len(report.by_position) + 1)
    marker = "o" if len(positions) <= 30 else "none"
    left.plot(
        positions,
        report.by_position / math.log(2),
        color=BLUE,
        marker=marker,
        ms=3.5,
        label="model",
    )
    if report.baseline_by_position is not None:
        left.plot(
            positions,
            report.baseline_by_position / math.log(2),
            color=ORANGE,
            linewidth=1.2,
            label=f"{report.baseline} baseline",
        )
        left.legend(fontsize=SMALL, frameon=False)
    left.set_ylim(bottom=0)
    describe(left, "position in the text (tokens)", "bits per token")
    of_texts = report.errors[report.num_tokens > 0] / math.log(2)
    histogram(right, of_texts, min(40, max(8, round(1.5 * len(of_texts) ** 0.5))))
    mean = report.metrics["bits_per_token"]
    right.axvline(mean, color=GRAY, linestyle=":", linewidth=1.2)
    describe(right, "bits per token of a text", "texts", f"{mean:.3f} bits over all tokens")
    return figure
