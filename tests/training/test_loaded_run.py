"""A trained run, used from Python: its model, its reproduction."""

import json

import numpy as np

import samerun
from samerun.cli import main

QUICK = ["model=mlp", "model.units=[4]", "dataset.limit=100", "training.epochs=1"]


def test_a_trained_run_is_loaded_resumed_and_reproduced_from_python(project, capsys):
    result = samerun.train([*QUICK, "tracking.tensorboard=false", "tracking.log_figures=false"])
    run = samerun.load_run("latest")
    assert run.id == result.run_id
    assert run.metrics["test/accuracy"] == result.metrics["test/accuracy"]
    for loaded, trained in zip(
        run.keras_model.get_weights(), result.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(loaded, trained)
    images = np.random.default_rng(0).integers(0, 17, (3, 8, 8)).astype(np.uint8)
    answers = run.model.predict(list(images))
    np.save("images.npy", images)
    assert main(["predict", run.id, "images.npy", "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()[-3:]]
    assert [str(label) for label in answers["label"]] == [str(one["label"]) for one in printed]
    assert [one["probability"] for one in printed] == [*answers["probability"]]
    probabilities = run.predictions["probabilities"]
    assert probabilities.shape == (len(run.predictions["truth"]), 10)
    assert samerun.resume(run.id) is None
    assert samerun.reproduce(run.id) == "EXACT"
    assert len(samerun.runs()) == 2
