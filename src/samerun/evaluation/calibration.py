"""Calibration: is a classifier right as often as its confidence claims?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NUM_BINS = 15  # as in Guo et al. (2017), so that figures can be compared


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Confidence against truth, in bins of equal width over the predicted class's probability.

    Args:
        edges: (bins + 1,) edges from 0 to 1.
        confidence: (bins,) mean probability of the predicted class; NaN in an empty bin.
        accuracy: (bins,) share of correct predictions; NaN in an empty bin.
        low: (bins,) lower end of the accuracy's 95 % interval; NaN in an empty bin.
        high: (bins,) its upper end.
        counts: (bins,) examples.
    """

    edges: Floats
    confidence: Floats
    accuracy: Floats
    low: Floats
    high: Floats
    counts: NDArray[np.int64]


def _wilson(shares: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Returns the 95 % score interval of shares (Wilson, 1927): valid for few examples too."""
    z = 1.959964
    center = (shares + z**2 / (2 * counts)) / (1 + z**2 / counts)
    half = z / (1 + z**2 / counts) * np.sqrt(shares * (1 - shares) / counts + (z / counts / 2) ** 2)
    # A share of 1 is in its interval, which rounding would end at 1 - 1e-16.
    return np.minimum(np.maximum(center - half, 0), shares), np.maximum(center + half, shares)


def calibrate(confidence: Floats, is_right: NDArray[np.bool_]) -> Calibration:
    """Sorts predictions into bins by their confidence.

    Args:
        confidence: (examples,) probability of the predicted class.
        is_right: (examples,) whether it was the true one.
    """
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    filled = np.where(counts > 0, counts, np.nan)
    accuracy = np.bincount(bins, is_right, NUM_BINS) / filled
    low, high = _wilson(accuracy, filled)
    return Calibration(
        edges=np.linspace(0, 1, NUM_BINS + 1),
        confidence=np.bincount(bins, confidence, NUM_BINS) / filled,
        accuracy=accuracy,
        low=low,
        high=high,
        counts=counts,
    )


def expected_calibration_error(bins: Calibration) -> float:
    """Returns the mean distance between confidence and accuracy, weighted by the bins' sizes.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), equation 3.
    """
    distance = np.abs(bins.confidence - bins.accuracy)
    return float(np.nansum(distance * bins.counts) / bins.counts.sum())
