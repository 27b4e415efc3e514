"""The network of Keras's introduction to images, for samerun (`build`) and for plain scripts."""

import keras
from keras import layers


def network(shape, num_classes):
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(num_classes, activation="softmax"),
        ]
    )


def build(spec):
    return network(spec.input_shape, spec.num_outputs)
