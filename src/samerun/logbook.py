"""What a run records about itself: parameters, data, model, results and its description."""

import csv
import dataclasses
import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samerun import identity, optim, stopwatch, tensorboard
from samerun import tags as tag
from samerun.config import Config, Layout, Task, as_dict, flatten
from samerun.config.datasets.series import Series
from samerun.config.datasets.tables import TableCsv
from samerun.data import Data, raw_columns, raw_input
from samerun.errors import UserError
from samerun.escaping import markdown, one_line
from samerun.evaluation import (
    ClassificationReport,
    LanguageModelReport,
    RegressionReport,
    Report,
    as_markdown,
    confused_classes,
    feature_weights,
    mistakes_markdown,
    to_csv,
    weight_samples,
)
from samerun.models import sample
from samerun.origin import (
    describe_origin as describe_origin,  # callers of version 0.1.0 find it here
)
from samerun.process import quiet
from samerun.redaction import redact_mapping
from samerun.result import Result
from samerun.tracking import RawInput, Run

_log = logging.getLogger(__name__)


def describe_data(run: Run, cfg: Config, dataset: Data) -> None:
    """Writes the dataset's splits as inputs of the run, with digests of their complete content."""
    spec = dataset.spec
    sizes = {"train": spec.num_train, "validation": spec.num_validation, "test": spec.num_test}
    schema = {
        "input": f"{spec.layout} {list(spec.input_shape)}",
        "output": f"{spec.task} [{spec.num_outputs}]",
    }
    for split, digest in dataset.fingerprint.items():
        run.log_dataset(
            name=cfg.dataset.kind,
            split=split,
            digest=digest,
            num_examples=sizes[split],
            schema=schema,
            source=getattr(cfg.dataset, "path", cfg.dataset.kind),
        )
    whole = identity.of_run(cfg, dataset.fingerprint)
    tags = {tag.TASK: spec.task.value, tag.FINGERPRINT: whole}
    run.set_tags(tags | tag.digests_tag(dataset.fingerprint))
    run.log_text(json.dumps(dataset.preprocessing.as_dict(), indent=2), "data/preprocessing.json")


def describe_model(run: Run, cfg: Config, model: Any, steps_per_epoch: int) -> None:
    """Writes the model's summary and the values chosen where the config says `auto`."""
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=100)
    run.log_text("\n".join(lines) + "\n", "model_summary.txt")
    run.set_tags(
        {
            tag.NUM_PARAMETERS: str(model.count_params()),
            tag.JIT_COMPILE: str(bool(model.jit_compile)).lower(),
            tag.STEPS_PER_EXECUTION: str(model.steps_per_execution),
        }
    )
    if not cfg.tracking.log_figures:
        return
    rates = optim.curve(cfg.optimizer, cfg.schedule, steps_per_epoch, cfg.training.epochs)
    with stopwatch.part("figures"):
        with quiet():  # Matplotlib may report that it lists the fonts
            from samerun import plots  # 0.6 s, which a run without figures saves
        _log_figure(run, plots.schedule_curve(rates, steps_per_epoch), "plots/schedule.png")


def sentence(cfg: Config, dataset: Data, report: Report) -> str:
    """Returns the result in one sentence, with the column that is predicted and its unit."""
    split = "test" if dataset.spec.num_test else "validation"
    if not isinstance(report, RegressionReport):
        return report.sentence(split)
    target = cfg.dataset.target if isinstance(cfg.dataset, Series | TableCsv) else ""
    return report.sentence(split, target=one_line(target, 40), unit=dataset.unit)


def write_results(
    run: Run, cfg: Config, dataset: Data, report: Report, result: Result, seconds: float
) -> None:
    """Writes final metrics, tables, plots, TensorBoard's extras, the model and the description.

    Args:
        run: where to write.
        cfg: the config.
        dataset: the data, for figures of mistakes.
        report: evaluation of the final weights.
        result: what the run returns.
        seconds: how long the run has taken so far.
    """
    epochs = len(next(iter(result.history.values())))
    run.log_metrics({**result.metrics, **_at_best_epoch(result)}, step=epochs)
    run.set_tags({tag.WEIGHTS: result.weights_digest, tag.RESULT: result.sentence})
    run.log_text(_history_csv(result.history), "history.csv")
    run.log_text(_result_json(result), "result.json")
    run.log_text(as_markdown(report), "evaluation/metrics.md")
    _log_predictions(run, report)
    if isinstance(report, ClassificationReport):
        run.log_text(to_csv(report), "evaluation/per_class.csv")
    split = "test" if dataset.spec.num_test else "validation"
    mistakes = mistakes_markdown(report, _texts(dataset, split, report))
    if mistakes:
        run.log_text(mistakes, "evaluation/mistakes.md")
    with stopwatch.part("figures"):
        images = _draw(run, cfg, dataset, report, result) if cfg.tracking.log_figures else []
    if dataset.spec.task is Task.language_model:
        run.log_text(_samples(cfg, dataset, result.model), "evaluation/samples.md")
    if cfg.tracking.tensorboard:
        folder = run.folder / "tensorboard"
        tensorboard.write_hparams(folder, flatten(cfg), result.metrics)
        for path in images:
            tensorboard.write_image(folder, f"evaluation/{path.stem}", path)
        run.log_folder(folder, "tensorboard")
    if cfg.tracking.log_model:
        with stopwatch.part("model"):
            examples = dataset.examples("train", range(2))
            raw = _raw_input(cfg, dataset)
            run.log_model(result.model, dataset.preprocessing(examples), raw)
    run.describe(_page(cfg, report, result, epochs, seconds))


def write_seconds(run: Run, seconds: Mapping[str, float]) -> None:
    """Writes where the seconds of the run went, each part in a line."""
    lines = [f"{name},{value:.6f}" for name, value in seconds.items()]
    run.log_text("\n".join(["part,seconds", *lines, ""]), "seconds.csv")


def _raw_input(cfg: Config, dataset: Data) -> RawInput | None:
    """What the stored model knows about raw input; `None`, with a warning, if it takes none."""
    try:
        description = raw_input(cfg.dataset, dataset)
    except UserError as error:
        _log.warning("%s", error)
        return None
    return RawInput(description, raw_columns(description, dataset, "train", range(2)))


def _at_best_epoch(result: Result) -> dict[str, float]:
    """Returns the best epoch and its validation metrics: MLflow sorts by the last value only."""
    best = {
        name.replace("validation/", "validation/best/", 1): values[result.best_epoch - 1]
        for name, values in result.history.items()
        if name.startswith("validation/") and len(values) >= result.best_epoch
    }
    return {**best, "best_epoch": float(result.best_epoch)}


def _log_predictions(run: Run, report: Report) -> None:
    """Stores predictions and truth of each example, so that another run can be compared.

    A language model's logits would be gigabytes: the log loss of each text is stored.
    """
    stored: dict[str, Any] = {}
    if isinstance(report, ClassificationReport):
        truth = report.labels.astype(np.int32)
        stored = {"probabilities": report.probabilities, "truth": truth}
    elif isinstance(report, RegressionReport):
        stored = {"predicted": report.predicted, "truth": report.truth}
    elif isinstance(report, LanguageModelReport):
        stored = {"log_loss": report.sums, "num_tokens": report.num_tokens}
    target = run.folder / "evaluation" / "predictions.npz"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        np.savez(target, **{name: _smaller(values) for name, values in stored.items()})
    except OSError:  # tracking reports a full disk, which must not end the run
        return
    run.log_file(target, "evaluation")


def _smaller(values: Any) -> Any:
    """The float32 numbers that the model returned, where float64 adds nothing."""
    narrow = values.astype(np.float32)
    same = values.dtype == np.float64 and np.array_equal(narrow.astype(np.float64), values)
    return narrow if same else values


def _draw(run: Run, cfg: Config, dataset: Data, report: Report, result: Result) -> list[Path]:
    from samerun import plots

    split = "test" if dataset.spec.num_test else "validation"
    names = dataset.spec.feature_names
    kernel = feature_weights(result.model, len(names)) if names else None
    figures = plots.draw(
        report,
        plots.EvaluatedSplit(
            layout=dataset.spec.layout,
            class_names=dataset.spec.class_names,
            examples=lambda indices: dataset.examples(split, indices),
            texts=lambda indices: [dataset.text_of(split, i) or "" for i in indices],
            times=dataset.times(split),
            unit=dataset.unit,
        ),
        history=result.history,
        monitor=cfg.training.early_stopping.monitor,
        weights=weight_samples(result.model),
        first_kernel=None if kernel is None else (names, kernel),
    )
    return [_log_figure(run, figure, f"plots/{name}.png") for name, figure in figures.items()]


def _samples(cfg: Config, dataset: Data, model: Any) -> str:
    """Text that the model generates from the start of the validation split, in three ways."""
    vocabulary = dataset.vocabulary
    assert vocabulary is not None
    beginning = next(iter(dataset.validation or dataset.train))[0][0].numpy().tolist()
    lines = ["After:", "", *_quoted(vocabulary.decode(beginning))]
    for temperature, top_k in ((0.5, 0), (1.0, 0), (1.0, 10)):
        ids = sample(
            model,
            beginning,
            num_tokens=cfg.evaluation.sample_tokens,
            temperature=temperature,
            top_k=top_k,
            seed=cfg.seed,
        )
        lines += [f"### temperature {temperature}, top_k {top_k or 'all'}", ""]
        lines += _quoted(vocabulary.decode(ids))
    return "\n".join(lines)


def _quoted(text: str) -> list[str]:
    """Generated text as an indented code block: nothing in it is Markdown or HTML."""
    return [*(f"    {line}" for line in text.splitlines()), ""]


def _texts(dataset: Data, split: str, report: Report) -> list[str]:
    """The worst examples as text; empty where the dataset has no texts."""
    if dataset.spec.layout is not Layout.tokens:
        return []
    return [dataset.text_of(split, example.index) or "" for example in getattr(report, "worst", ())]


def _log_figure(run: Run, figure: Any, path: str) -> Path:
    from samerun import plots

    target = run.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    plots.save(figure, target)
    run.log_file(target, str(Path(path).parent))
    return target


def _history_csv(history: Mapping[str, Sequence[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
        writer.writerow([epoch, *(repr(value) for value in values)])
    return text.getvalue()


def _result_json(result: Result) -> str:
    """Returns a result as JSON, without its model, its history (`history.csv`), ID and folder."""
    names = [field.name for field in dataclasses.fields(result)]
    left_out = ("run_id", "run_name", "folder", "history", "model")
    plain = {name: getattr(result, name) for name in names if name not in left_out}
    return json.dumps(plain, indent=1) + "\n"


def _page(cfg: Config, report: Report, result: Result, epochs: int, seconds: float) -> str:
    """The run's description in Markdown, which the MLflow UI shows on its page."""
    rows = [
        ("model", cfg.model.kind, "model"),
        ("dataset", cfg.dataset.kind, "dataset"),
        ("optimizer", cfg.optimizer.kind, "optimizer"),
        ("schedule", cfg.schedule.kind, "schedule"),
    ]
    confused = confused_classes(report) if isinstance(report, ClassificationReport) else []
    plain = redact_mapping(as_dict(cfg))
    lines = [
        f"**{markdown(result.sentence)}**",
        "",
        f"{epochs} of {cfg.training.epochs} epochs in {seconds:.0f} s; weights of epoch "
        f"{result.best_epoch}; best {cfg.training.early_stopping.monitor} {result.objective:.4g}.",
        "",
        *(f"- {markdown(sentence)}" for sentence in confused),
        *([""] if confused else []),
        "| part | choice | settings |",
        "|---|---|---|",
    ]
    for name, kind, group in rows:
        settings = ", ".join(
            f"{key} {value}"
            for key, value in plain[group].items()
            if key != "kind" and value not in (None, False, [], {}) and not isinstance(value, dict)
        )
        lines.append(f"| {name} | `{kind}` | {markdown(settings)} |")
    lines += ["", f"Seed {cfg.seed} · weights `{result.weights_digest[:16]}`", ""]
    return "\n".join(lines)
