"""The comparison of several runs as plain values, for JSON."""

import math
from collections.abc import Iterator
from typing import Any

from samerun.report.compare.predictions import ConfusionChange, Disagreement
from samerun.report.compare.reading import Compared
from samerun.report.compare.verdict import Verdict
from samerun.report.differences import TITLES, plain_number


def as_dict(made: Compared) -> dict[str, Any]:
    """Returns the comparison as plain values; lists have one entry per run, in their order.

    Args:
        made: the comparison.
    """
    plain: dict[str, Any] = {
        "runs": [
            {"label": label, "id": run.id, "name": run.name, "status": run.status}
            for label, run in zip(made.labels, made.runs, strict=True)
        ],
        "verdict": _verdict(made.verdict),
        "only_setting": made.only_setting.what if made.only_setting else None,
    }
    for part in TITLES:
        plain[part] = [
            {"what": row.what, "values": row.values, "details": row.details, "state": row.state}
            for row in made.found.of(part)
        ]
    plain["hunks"] = made.found.hunks
    plain["metrics"] = {
        name: list(map(plain_number, values))
        for name, values in made.found.different_metrics.items()
    }
    plain["curves"] = {
        overlay.metric: [
            {str(step): plain_number(value) for step, value in sorted(curve.items())}
            for curve in overlay.curves
        ]
        for overlay in made.overlays
    }
    return plain | {"predictions": _predictions(made)}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    ranking = verdict.ranking
    tests = []
    if ranking is not None:
        corrected = zip(verdict.candidates[1:], ranking.comparisons, ranking.p_values, strict=True)
        tests = [
            {
                "first": verdict.candidates[0].label,
                "second": other.label,
                "test": one.test,
                "difference": one.difference,
                "low": plain_number(one.low),
                "high": plain_number(one.high),
                "p_value": plain_number(one.p_value),
                "corrected_p_value": plain_number(p_value),
                "is_real": not math.isnan(p_value) and p_value <= ranking.alpha,
                "num_pairs": one.num_pairs,
            }
            for other, one, p_value in corrected
        ]
    return {
        "metric": verdict.metric,
        "best": verdict.best.label if verdict.best else None,
        "sentence": verdict.sentences()[0],
        "order": [candidate.label for candidate in verdict.candidates],
        "tests": tests,
    }


def _predictions(made: Compared) -> dict[str, Any]:
    found = made.predictions
    return {
        "notes": found.notes,
        "num_examples": found.stored[0].num_examples if found.stored else None,
        "num_disagreements": found.num_disagreements,
        "disagreements": [_disagreement(made, one) for one in found.disagreements],
        "confusion": [_confusion(made, change) for change in found.confusions],
    }


def _disagreement(made: Compared, one: Disagreement) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "index": one.index,
        "predictions": [
            {
                "predicted": prediction.text,
                "truth": prediction.truth,
                "probability": prediction.confidence,
                "error": prediction.error,
            }
            for prediction in one.predictions
        ],
    }
    example = made.examples.get(one.index)
    return plain | ({"text": example.text} if example and example.text else {})


def _confusion(made: Compared, change: ConfusionChange) -> dict[str, Any]:
    return {
        "first": made.labels[change.first],
        "second": made.labels[change.second],
        "cells": list(_cells(change)),
    }


def _cells(change: ConfusionChange) -> Iterator[dict[str, Any]]:
    for truth, predicted, difference in change.cells():
        yield {"truth": truth, "predicted": predicted, "difference": difference}
