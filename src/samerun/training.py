"""THE flow: one config, one run, top to bottom."""

import hashlib
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from samerun import callbacks, data, evaluation, logbook, models, objectives, optim, throughput
from samerun.config import Config, DataSpec, check
from samerun.determinism import make_deterministic, start_afresh
from samerun.screen import ProgressBar
from samerun.tracking import Run


class Diverged(RuntimeError):
    """Training met a value that is not finite; the run is worth nothing."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run came to.

    Args:
        run_id: its ID in the tracking store.
        run_name: its name there.
        folder: the run's own folder.
        metrics: final values by logged name, such as `test/accuracy`, from the weights that were
            kept.
        history: one value an epoch for each logged name.
        best_epoch: number, from 1, of the epoch whose weights were kept.
        weights_digest: SHA-256 of the final weights.
        sentence: the headline in words.
        objective: the best value of `training.early_stopping.monitor`; what a sweep goes by.
        model: the trained model, not compiled.
    """

    run_id: str
    run_name: str
    folder: Path
    metrics: dict[str, float]
    history: dict[str, list[float]]
    best_epoch: int
    weights_digest: str
    sentence: str
    objective: float
    model: keras.Model


def train(cfg: Config, run: Run, out: Console) -> Result:
    """Trains and evaluates one model and writes everything about it to the run.

    Args:
        cfg: a checked config.
        run: where to write.
        out: where to show progress.

    Raises:
        UserError: the data is not what the config needs.
        Diverged: the loss or a metric became NaN or infinite.
    """
    began = time.perf_counter()
    make_deterministic(cfg.training)
    dataset = data.build(cfg.dataset, cfg.seed)
    check(cfg, dataset.spec)

    steps = throughput.steps_per_execution(
        cfg.training,
        dataset.train,
        steps_per_epoch=dataset.steps_per_epoch,
        compiled=partial(compiled, cfg, dataset.spec, dataset.steps_per_epoch),
    )
    model = compiled(cfg, dataset.spec, dataset.steps_per_epoch, steps)
    logbook.describe_data(run, cfg, dataset)
    logbook.describe_model(run, cfg, model, dataset.steps_per_epoch)

    made = callbacks.build(cfg, run, set_epoch=dataset.set_epoch, num_train=dataset.spec.num_train)
    fit(model, cfg, dataset, made, out)
    if made["nan_guard"].found:
        raise Diverged(f"diverged: {made['nan_guard'].found}")

    split = "test" if dataset.spec.num_test else "validation"
    with dataset.reading():
        final = evaluation.evaluate(
            model,
            getattr(dataset, split),
            dataset.spec,
            cfg.evaluation,
            baseline_labels=dataset.labels("train"),
            baseline_predictions=dataset.baseline_predictions(split),
            to_units=dataset.to_units,
        )
    history = made["recorder"].history
    result = Result(
        run_id=run.id,
        run_name=run.name,
        folder=run.folder,
        metrics={f"{split}/{name}": value for name, value in final.metrics.items()},
        history=history,
        best_epoch=made["early_stopping"].best_epoch + 1,
        weights_digest=digest_of_weights(model),
        sentence=final.sentence(split),
        objective=float(made["early_stopping"].best),
        model=uncompiled(model, cfg, dataset.spec),
    )
    logbook.write_results(run, cfg, dataset, final, result, time.perf_counter() - began)
    return result


def compiled(cfg: Config, spec: DataSpec, steps_per_epoch: int, steps: int) -> keras.Model:
    """Builds a model from the seed, with its optimizer, loss and metrics.

    Args:
        cfg: the config.
        spec: the data it is for.
        steps_per_epoch: training steps an epoch, for the schedule.
        steps: steps for one execution.
    """
    start_afresh(cfg.seed)
    model = models.build(cfg.model, spec)
    model.compile(
        optimizer=optim.build(cfg.optimizer, cfg.schedule, steps_per_epoch, cfg.training.epochs),
        loss=objectives.loss(cfg, spec),
        metrics=objectives.metrics(cfg, spec),
        jit_compile=cfg.training.jit_compile,
        steps_per_execution=steps,
    )
    return model


def fit(
    model: keras.Model, cfg: Config, dataset: data.Data, made: dict[str, Any], out: Console
) -> None:
    """Fits the model with the callbacks and a progress bar that is taken away in any case."""
    bar = ProgressBar(cfg.training.epochs, dataset.steps_per_epoch, out, callbacks.logged_name)
    try:
        with dataset.reading():
            model.fit(
                dataset.train,
                validation_data=dataset.validation,
                epochs=cfg.training.epochs,
                callbacks=[*made.values(), bar],
                class_weight=objectives.class_weights(cfg, dataset.class_counts().tolist()),
                shuffle=False,  # the pipeline orders the data by (seed, epoch)
                verbose=0,
            )
    finally:
        bar.close()


def uncompiled(model: keras.Model, cfg: Config, spec: DataSpec) -> keras.Model:
    """Returns the same network without optimizer, loss and metrics: what goes out of the door."""
    copy = models.build(cfg.model, spec)
    copy.set_weights(model.get_weights())
    return models.inference(copy)


def digest_of_weights(model: keras.Model) -> str:
    """Returns the SHA-256, in hex, of all weights in order: their shapes and their bytes."""
    total = hashlib.sha256()
    for weight in model.get_weights():
        total.update(f"{weight.dtype} {weight.shape}\n".encode())
        total.update(weight.tobytes())
    return total.hexdigest()
