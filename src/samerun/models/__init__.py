"""Models: each is a function of its config and of the `DataSpec`."""

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
"""The builder of each kind of model."""


def inference(model: keras.Model) -> keras.Model:
    """Returns the model to export, made of plain Keras classes and loadable without samerun."""
    return model.inference if isinstance(model, TeacherForced) else model


def build(cfg: Model, spec: DataSpec) -> keras.Model:
    """Returns the model of a config, built for the shape of the data but not compiled.

    Weights and dropout draw their seeds from Keras's global generator: the same
    `keras.utils.set_random_seed` right before gives the same weights and the same dropout masks.
    Layers have fixed names, so nothing depends on what the process built before.

    Args:
        cfg: config of the model; its class selects the builder.
        spec: description of the data. Inputs are `(batch, *spec.input_shape)`; see `head` for the
            outputs.
    """
    return BUILDERS.get(type(cfg), custom.custom)(cfg, spec)
