"""Learning curves of several runs in one panel: as pictures, and as lines of blocks on a screen."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from samerun import tracking
from samerun.report.sparkline import sparkline
from samerun.tracking import StoredRun

_WIDTH = 40  # characters of a line of blocks
_MOST_POINTS = 2_000  # of a curve in a picture

Curve = Mapping[int, float]


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """One metric of several runs over their epochs.

    Args:
        metric: its logged name.
        curves: value by epoch of each run; empty for a run without the metric.
    """

    metric: str
    curves: tuple[Curve, ...]


def read(runs: Sequence[StoredRun], headline: str) -> list[Overlay]:
    """Reads the curves of the headline and of the losses, as far as any run has them.

    Args:
        runs: the runs.
        headline: name of the main metric, such as `test/accuracy`.
    """
    main = headline.partition("/")[2] or "accuracy"
    wanted = [f"validation/{main}", "validation/loss", "train/loss"]
    there = {name for run in runs for name in run.metrics}
    metrics = [name for name in wanted if name in there]
    histories = [
        tracking.metric_histories(run, keys=[name for name in metrics if name in run.metrics])
        for run in runs
    ]
    overlays = [
        Overlay(metric=name, curves=tuple(found.get(name, {}) for found in histories))
        for name in metrics
    ]
    return [overlay for overlay in overlays if max(map(len, overlay.curves)) > 1]


def lines(overlay: Overlay) -> Iterator[tuple[str, str]]:
    """Yields each run's curve as blocks, on the scale of all, and its range in numbers."""
    scale = [value for curve in overlay.curves for value in curve.values()]
    longest = max(max(curve, default=1) for curve in overlay.curves)
    for curve in overlay.curves:
        ordered = [curve[step] for step in sorted(curve)]
        width = max(1, round(_WIDTH * max(curve, default=1) / longest)) if longest > _WIDTH else 0
        ends = f"{ordered[0]:.4g} → {ordered[-1]:.4g}" if ordered else "–"
        yield sparkline(ordered, width or len(ordered), scale=scale), ends


def pictures(overlays: Sequence[Overlay], labels: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yields each metric's name and its picture, a PNG.

    Args:
        overlays: what to draw.
        labels: short label of each run.
    """
    from samerun import plots  # Matplotlib takes 1 s to import

    with tempfile.TemporaryDirectory(prefix="samerun-") as folder:
        for overlay in overlays:
            thinned = [_thinned(curve) for curve in overlay.curves]
            curves = dict(zip(labels, thinned, strict=True))
            file = Path(folder, "curves.png")
            plots.save(plots.overlaid_curves(curves, overlay.metric), file)
            yield overlay.metric, file.read_bytes()


def _thinned(curve: Curve) -> dict[int, float]:
    steps = sorted(curve)
    return {step: curve[step] for step in steps[:: -(-len(steps) // _MOST_POINTS) or 1]}
