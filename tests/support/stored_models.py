"""Runs with a stored model of raw input, without training: random weights answer as well."""

import json
from pathlib import Path

import numpy as np

from samerun import config, data, models, tracking
from samerun import tags as tag


def store_model(*overrides, network=None, tags=()):
    """Stores a run in the working folder's store whose model has random weights.

    Args:
        overrides: of the config.
        network: replaces the model that the config builds.
        tags: more tags.

    Returns:
        ID of the run, its dataset and its network.
    """
    import keras

    composed = config.compose(list(overrides))
    cfg = composed.config
    dataset = data.build(cfg.dataset, seed=0)
    keras.utils.set_random_seed(3)
    model = network or models.inference(models.build(cfg.model, dataset.spec))
    description = data.raw_input(cfg.dataset, dataset)
    raw = tracking.RawInput(description, data.raw_columns(description, dataset, "train", range(2)))
    example = dataset.preprocessing(dataset.examples("train", range(2)))
    number = len(list(Path("outputs").glob("*"))) + 1 if Path("outputs").exists() else 1
    with tracking.open_run(cfg, Path("outputs", str(number))) as run:
        run.set_tags({tag.MODEL: cfg.model.kind, tag.TASK: dataset.spec.task.value, **dict(tags)})
        run.log_text(config.to_yaml(cfg), "config/resolved.yaml")
        preprocessing = json.dumps(dataset.preprocessing.as_dict())
        run.log_text(preprocessing, "data/preprocessing.json")
        names = "".join(f"{name},0,0,0,0\n" for name in dataset.spec.class_names)
        if names:
            run.log_text(f"class,a,b,c,d\n{names}", "evaluation/per_class.csv")
        run.log_model(model, np.asarray(example), raw)
        assert run.flush()
    return run.id, dataset, model


def model_folder(run_id):
    """The folder of a run's model in the store."""
    files = Path("mlruns").rglob("MLmodel")
    (file,) = [file for file in files if f"run_id: {run_id}" in file.read_text()]
    return file.parent
