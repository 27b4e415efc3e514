"""A trained run, used from Python: its model, its reproduction."""

import numpy as np
import pytest

import samerun

QUICK = ["model=mlp", "model.units=[4]", "dataset.limit=100", "training.epochs=1"]


@pytest.mark.slow
def test_a_trained_run_is_loaded_resumed_and_reproduced_from_python(project):
    result = samerun.train([*QUICK, "tracking.tensorboard=false", "tracking.log_figures=false"])
    run = samerun.load_run("latest")
    assert run.id == result.run_id
    assert run.metrics["test/accuracy"] == result.metrics["test/accuracy"]
    for loaded, trained in zip(run.model.get_weights(), result.model.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, trained)
    probabilities = run.predictions["probabilities"]
    assert probabilities.shape == (len(run.predictions["truth"]), 10)
    assert run.predict([np.zeros((8, 8), int)])["label"].tolist()[0] in "0123456789"
    with pytest.raises(samerun.UserError, match="expected integers from 0 to 16"):
        run.predict([np.full((8, 8), 0.5)])
    assert samerun.resume(run.id) is None
    assert samerun.reproduce(run.id) == "EXACT"
    assert len(samerun.runs()) == 2
