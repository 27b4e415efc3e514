"""A user's model that fails in training, in the trials listed in `FAULTS`."""

import os
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

FAULTS = {3: "nan", 6: "memory", 9: "exception", 12: "exit", 15: "loop"}


class Fault(keras.layers.Layer):
    """Fails in the given way, in training only."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def call(self, x, training=False):
        if not training or self.fault is None:
            return x
        y = tf.numpy_function(self.happen, [x], tf.float32)
        y.set_shape(x.shape)
        return y

    def happen(self, x):
        if self.fault == "nan":
            return np.full_like(x, np.nan)
        if self.fault == "memory":
            raise MemoryError("no room for the activations")
        if self.fault == "exception":
            raise ValueError("an unexpected value")
        if self.fault == "exit":
            os._exit(7)
        Path("looping").touch()
        while True:
            time.sleep(1)


def build(spec, number=0):
    return keras.Sequential(
        [
            keras.Input(spec.input_shape),
            keras.layers.Flatten(),
            Fault(FAULTS.get(number)),
            keras.layers.Dense(spec.num_outputs, activation="softmax"),
        ]
    )
