"""A user's model whose epochs take EPOCH_SECONDS of waiting, where the environment has them.

A run that a test ends in its midst cannot come to its end before, however late the test is.
"""

import os
import time

import keras

from samerun.models import head


class Slow(keras.Model):
    """Waits before each validation."""

    def evaluate(self, *arguments, **options):
        time.sleep(float(os.environ.get("EPOCH_SECONDS", "0")))
        return super().evaluate(*arguments, **options)


def build(spec):
    inputs = keras.Input(spec.input_shape)
    hidden = keras.layers.Dense(4, activation="relu")(keras.layers.Flatten()(inputs))
    return Slow(inputs, head(spec)(keras.layers.Dropout(0.3)(hidden)))
