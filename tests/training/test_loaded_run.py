"""A trained run, used from Python: its model, its reproduction."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import samerun

QUICK = ["model=mlp", "model.units=[4]", "dataset.limit=100", "training.epochs=1"]


def test_a_trained_run_is_loaded_resumed_and_reproduced_from_python(project):
    result = samerun.train([*QUICK, "tracking.tensorboard=false", "tracking.log_figures=false"])
    run = samerun.load_run("latest")
    assert run.id == result.run_id
    assert run.metrics["test/accuracy"] == result.metrics["test/accuracy"]
    for loaded, trained in zip(run.model.get_weights(), result.model.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, trained)
    probabilities = run.predictions["probabilities"]
    assert probabilities.shape == (len(run.predictions["truth"]), 10)
    images = load_digits().images[:9].astype(np.uint8)
    answers = run.predict(images)
    expected = run.model.predict(images[..., None].astype(np.float32) / 16, verbose=0)
    assert answers["label"].astype(int).tolist() == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(answers["probability"], expected.max(axis=1), rtol=1e-5)
    with pytest.raises(samerun.UserError, match=r"predict: Row 0: .* expected integers"):
        run.predict(images.astype(float))
    assert samerun.resume(run.id) is None
    assert samerun.reproduce(run.id) == "EXACT"
    assert len(samerun.runs()) == 2
