"""Models: each a function of its config and of the data's description."""

from collections.abc import Callable
from typing import Any

import keras

from samerun.config import DataSpec
from samerun.config.models import Model
from samerun.models import custom, forecaster, images, sequences, video
from samerun.models.forecaster import TeacherForced
from samerun.models.head import head
from samerun.models.sampling import sample

BUILDERS: dict[type[Model], Callable[[Any, DataSpec], keras.Model]] = {
    **images.BUILDERS,
    **sequences.BUILDERS,
    **forecaster.BUILDERS,
    **video.BUILDERS,
    **custom.BUILDERS,
}
"""How each kind of model is built."""


def inference(model: keras.Model) -> keras.Model:
    """Returns the model as it goes out of the door: of Keras's own classes, loadable anywhere."""
    return model.inference if isinstance(model, TeacherForced) else model


def build(cfg: Model, spec: DataSpec) -> keras.Model:
    """Returns the model a config describes, built for the shape of the data but not compiled.

    Weights and dropout draw their seeds from Keras's global generator: the same
    `keras.utils.set_random_seed` right before gives the same weights and the same dropout masks.
    Layers have fixed names, so that nothing depends on what was built before in the process.

    Args:
        cfg: config of the model; its class chooses the builder.
        spec: what the data look like. Inputs are `(batch, *spec.input_shape)`; `head` says what the
            outputs are.
    """
    return BUILDERS[type(cfg)](cfg, spec)
