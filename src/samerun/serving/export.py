"""The model of a recorded run in a format of another program, compared with what the run predicted.

The exported file is loaded again and asked for the test examples. An export whose answers are not
those that the run recorded is not kept.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samerun import __version__, data, evaluation, raw_model, tracking
from samerun import tags as tag
from samerun.config.paths import paths
from samerun.config.stored import apply_overrides
from samerun.data import Data
from samerun.errors import UserError, listed
from samerun.evaluation import ClassificationReport, LanguageModelReport, RegressionReport, Report
from samerun.process import quiet
from samerun.replay import foreign, predictions, recorded
from samerun.replay.predictions import Predictions
from samerun.replay.recorded import RecordedRun
from samerun.replay.trust import check_trusted, trusts_components
from samerun.serving import export_folder, formats, logged
from samerun.serving.export_folder import MANIFEST, PREPROCESSING, REQUIREMENTS
from samerun.serving.formats import FORMATS, Exported
from samerun.serving.stored_model import described
from samerun.statistics import Comparison
from samerun.tracking import LoggedModel, StoredRun

TOLERANCE = 1e-4
_STORED = "data/preprocessing.json"
_MOST_BYTES = 100_000_000


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """What is to be exported.

    Args:
        recorded: the run.
        model: its model in the store.
        stored: what it predicted for its test examples.
        format: name of the format.
        quantize: weights as 8-bit integers.
        folder: where to.
        tolerance: largest difference to the stored predictions, see `Export.difference`.
        trusted: what the user trusts.
    """

    recorded: RecordedRun
    model: LoggedModel
    stored: Predictions
    format: str
    quantize: bool
    folder: Path
    tolerance: float
    trusted: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Export:
    """An export that was written.

    Args:
        file: what was written: the model.
        num_bytes: its size.
        input: type and shape of what it expects, as text.
        output: type, shape and meaning of what it returns, as text.
        how: how raw data becomes that input, as text.
        raw: the package beside the model that takes raw data, or the reason why there is none.
        can_take_raw: whether there is one.
        num_examples: how many it was compared on.
        split: of these examples.
        difference: largest difference to the stored predictions: of probabilities, or of numbers
            or losses divided by the largest stored one.
        score: its main metric, as text.
        cost: the difference that quantization makes, and whether it may be chance; else `None`.
    """

    file: Path
    num_bytes: int
    input: str
    output: str
    how: str
    raw: str
    can_take_raw: bool
    num_examples: int
    split: str
    difference: float
    score: str
    cost: Comparison | None


def prepare(
    run: StoredRun,
    name: str,
    *,
    folder: Path | None = None,
    quantize: bool = False,
    tolerance: float = TOLERANCE,
    changes: Sequence[str] = (),
    trusted: Sequence[str] = (),
) -> ExportPlan:
    """Checks everything about an export that can be checked without TensorFlow.

    Args:
        run: the stored run.
        name: of the format.
        folder: where to; `None`: `exports/` in the working folder.
        quantize: weights as 8-bit integers; of `tflite` only.
        tolerance: largest difference to the stored predictions.
        changes: where the data of the run is now, such as `dataset.path=moved.csv`.
        trusted: modules that its config may import, and `data`.

    Raises:
        UserError: the run has no model or predictions, a package is missing, or the folder is
            not free.
    """
    if quantize and name != "tflite":
        raise UserError(
            f"--quantize: received with --format {name}, expected with --format tflite: the other "
            "formats have quantizers of their own."
        )
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise UserError(f"--tolerance: received {tolerance}, expected a number above 0.")
    formats.check_installed(name)
    ending = "-quantized" if quantize else ""
    target = folder or Path("exports", f"{run.id[:8]}-{name}{ending}")
    export_folder.check_target(target, name)
    found = _with_paths(recorded.read(run, trusted=trusted), changes, trusted)
    check_trusted(found.cfg, trusted)
    foreign.check_paths(run, found.cfg, changes, trusted)
    stored = predictions.read(run)
    model = tracking.find_model(run)
    logged.keras_file(run, model)
    return ExportPlan(
        recorded=found,
        model=model,
        stored=stored,
        format=name,
        quantize=quantize,
        folder=target,
        tolerance=tolerance,
        trusted=tuple(trusted),
    )


def export(plan: ExportPlan) -> Export:
    """Exports a model, loads it again, and compares its predictions with the stored ones.

    Raises:
        UserError: the data here is not that of the run, Keras cannot export the model, or the
            predictions differ; nothing is left behind.
    """
    with quiet():
        import tensorflow  # noqa: F401
    cfg, run = plan.recorded.cfg, plan.recorded.run
    dataset = data.build(cfg.dataset, cfg.seed)
    _check_data(plan, dataset)
    model = logged.load(run, cfg, plan.model, plan.trusted)
    logged.check_shapes(run, model)
    one = FORMATS[plan.format]
    with export_folder.replacing(plan.folder) as folder:
        formats.write(model, plan.format, folder / one.file, quantize=plan.quantize)
        report = _evaluated(formats.load(plan.format, folder / one.file), plan, dataset)
        difference = _difference(plan.stored, report)
        _check_finite(plan, difference)
        if not plan.quantize:
            _check_difference(plan, difference)
        content, num_bytes = _preprocessing(plan, dataset, model), export_folder.size_of(folder)
        _write_json(folder / PREPROCESSING, content)
        raw, can_take_raw = _add_raw_input(plan, model, folder)
        made = Export(
            file=plan.folder / one.file,
            num_bytes=num_bytes,
            input=_shaped(content["input"]),
            output=f"{_shaped(content['output'])}: {content['output']['meaning']}",
            how=content["input"]["meaning"],
            raw=raw,
            can_take_raw=can_take_raw,
            num_examples=plan.stored.num_examples,
            split=plan.stored.split,
            difference=difference,
            score=report.sentence(plan.stored.split),
            cost=_cost(plan.stored, report) if plan.quantize else None,
        )
        _write_json(folder / MANIFEST, _manifest(plan, made, export_folder.names_in(folder)))
    return made


def _with_paths(found: RecordedRun, changes: Sequence[str], trusted: Sequence[str]) -> RecordedRun:
    """Returns a run whose config names the places where its data is now."""
    keys = [f"dataset.{key}" for key in paths(found.cfg.dataset)]
    for change in changes:
        if change.partition("=")[0] not in keys:
            expected = f"{keys[0]}=… with" if keys else "no change of"
            raise UserError(
                f"samerun export: received '{change}', expected {expected} the data of the run."
            )
    if not changes:
        return found
    own_code = trusts_components(trusted)
    changed = apply_overrides(found.resolved, changes, own_code=own_code).config
    return dataclasses.replace(found, cfg=changed)


def _check_data(plan: ExportPlan, dataset: Data) -> None:
    """Checks that the data here is the run's: its predictions are compared example by example."""
    there, here = foreign.recorded_digests(plan.recorded.run), dataset.fingerprint
    differing = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
    if differing:
        raise UserError(
            f"Run {plan.recorded.run.id[:8]}: the {listed(differing)} split of the data here is "
            "not the one that it was trained with, so the export cannot be compared with its "
            "predictions: restore that data, or say where it is now: dataset.path=…"
        )


def _evaluated(exported: Exported, plan: ExportPlan, dataset: Data) -> Report:
    """Evaluates the exported model as training evaluated the original one."""
    with dataset.reading():
        return evaluation.evaluate(
            exported,
            getattr(dataset, plan.stored.split),
            dataset.spec,
            dataclasses.replace(plan.recorded.cfg.evaluation, worst_examples=0),
            to_units=dataset.to_units,
        )


def _predicted(report: Report) -> NDArray[np.float64]:
    """Returns what is compared: probabilities, numbers, or the log loss of each text."""
    if isinstance(report, ClassificationReport):
        return np.asarray(report.probabilities, np.float64)
    if isinstance(report, RegressionReport):
        return np.asarray(report.predicted, np.float64)
    assert isinstance(report, LanguageModelReport)
    return np.asarray(report.sums, np.float64)


def _difference(stored: Predictions, report: Report) -> float:
    now = _predicted(report)
    if stored.probabilities is not None:
        then, scale = stored.probabilities, 1.0
    else:
        then = stored.errors if stored.predicted is None else stored.predicted
        scale = float(np.abs(then).max()) or 1.0
    if now.shape != then.shape:
        raise UserError(
            f"Run {stored.run.id[:8]}: the exported model returns {now.shape}, the run recorded "
            f"{then.shape}: it is not kept."
        )
    return float(np.abs(now - then).max()) / scale


def _check_finite(plan: ExportPlan, difference: float) -> None:
    """Checks that there is a difference: a number that is not finite has none to any other."""
    if not math.isfinite(difference):
        raise UserError(
            f"--format {plan.format}: the exported model predicts numbers that are not finite "
            f"where run {plan.recorded.run.id[:8]} predicted finite ones, so it is not kept: give "
            "another --format."
        )


def _check_difference(plan: ExportPlan, difference: float) -> None:
    if difference <= plan.tolerance:
        return
    raise UserError(
        f"--format {plan.format}: the exported model differs from what run "
        f"{plan.recorded.run.id[:8]} predicted by up to {difference:.2g}, more than the tolerance "
        f"of {plan.tolerance:g}, so it is not kept: --tolerance {2 * difference:.1g} accepts it."
    )


def _cost(stored: Predictions, report: Report) -> Comparison:
    """Returns the paired test of the exported model against the run, by the same examples."""
    now, errors, correct = _predicted(report), stored.errors, None
    if stored.correct is not None:
        correct = now.argmax(axis=1) == stored.truth
    elif stored.truth is not None:
        errors = np.abs(stored.truth - now).mean(axis=1)
    else:
        errors = now
    return predictions.paired(dataclasses.replace(stored, errors=errors, correct=correct), stored)


def _preprocessing(plan: ExportPlan, dataset: Data, model: Any) -> dict[str, Any]:
    """Returns what is between raw data and the model, on both of its sides."""
    spec, run = dataset.spec, plan.recorded.run
    text = tracking.read_artifact(run, _STORED, most_bytes=_MOST_BYTES).decode("utf-8", "replace")
    try:
        stored = json.loads(text)
        meaning = _MEANINGS[stored["kind"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"Run {run.id}: its {_STORED} is not JSON of samerun's.") from error
    (given,), (made,) = model.inputs, model.outputs
    scaling = dataset.target_scaling
    return {
        "input": {
            "dtype": str(given.dtype),
            "shape": list(given.shape),
            "layout": spec.layout.value,
            "meaning": meaning,
            "features": list(spec.feature_names),
            "preprocessing": stored,
        },
        "output": {
            "dtype": str(made.dtype),
            "shape": list(made.shape),
            "task": spec.task.value,
            "meaning": _meaning_of_output(dataset),
            "classes": list(spec.class_names),
            "scaling": None if scaling is None else scaling.as_dict(),
            "unit": dataset.unit,
        },
    }


def _add_raw_input(plan: ExportPlan, model: Any, folder: Path) -> tuple[str, bool]:
    """Writes what makes the export a model of raw data, for whoever does not have samerun.

    Returns:
        The name of the package to import, or why there is none; and whether there is one.
    """
    try:
        description = described(plan.recorded.run, plan.model, model)
    except UserError as error:  # recorded by an earlier version, which stored too little
        return str(error), False
    _write_json(folder / raw_model.DESCRIPTION, description)
    needed = tracking.pinned(FORMATS[plan.format].packages, description)
    (folder / REQUIREMENTS).write_text("\n".join([*needed, ""]), encoding="utf-8")
    return tracking.copy_code(folder), True


_MEANINGS = {
    "scaling": "(x - offset) / scale, with the numbers that were fitted to the training split",
    "tokenization": "IDs of tokens by the vocabulary, cut and padded with 0 to one length",
    "table": "numbers as (x - offset) / scale, then one 0 or 1 for each category",
}
"""How raw data becomes the input, by the kind of preprocessing."""


def _meaning_of_output(dataset: Data) -> str:
    spec = dataset.spec
    if spec.task == "multiclass":
        return "probability of each class"
    if spec.task == "binary":
        return "probability of the second class"
    if spec.task == "language_model":
        return "logits of the next token at each position"
    scaled = "scaled numbers: y * scale + offset is in the target's unit"
    return scaled if dataset.target_scaling else "numbers in the target's unit"


def _shaped(described: dict[str, Any]) -> str:
    shape = ", ".join("any" if length is None else str(length) for length in described["shape"])
    return f"{described['dtype']} ({shape})"


def _manifest(plan: ExportPlan, made: Export, names: Sequence[str]) -> dict[str, Any]:
    return {
        "run": plan.recorded.run.id,
        "format": plan.format,
        "quantized": plan.quantize,
        "largest_difference": made.difference,
        "num_examples": made.num_examples,
        "weights": plan.recorded.run.tags.get(tag.WEIGHTS, ""),
        "samerun": __version__,
        "files": list(names),
    }


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
