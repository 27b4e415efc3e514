"""The feed-forward network."""

import keras

from samerun.config import DataSpec
from samerun.config.models import Mlp
from samerun.models.head import head
from samerun.models.hidden import dense_layers


def mlp(cfg: Mlp, spec: DataSpec) -> keras.Model:
    """Returns a feed-forward network: flatten, dense layers with dropout after each, output.

    Penalties (`l1`, `l2`) are on the kernels of the hidden layers, not on the output's.
    """
    flatten = [keras.layers.Flatten(name="flatten")] if len(spec.input_shape) > 1 else []
    layers = [*flatten, *dense_layers(cfg, cfg.units), head(spec)]
    return keras.Sequential([keras.Input(spec.input_shape, name="input"), *layers], name="mlp")
