"""What is searched: the network, its data, and a line for each epoch, the same for every tuner."""

import os
from pathlib import Path

import keras
import numpy as np
from keras import layers

EPOCHS = int(os.environ.get("SEARCH_EPOCHS", "20"))
TRIALS = int(os.environ.get("SEARCH_TRIALS", "40"))
SEED = int(os.environ.get("SEARCH_SEED", "0"))
FILE = Path(os.environ.get("SEARCH_FILE", "epochs.txt"))


def network(shape, num_classes, units=64, dropout=0.0):
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(int(units), activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(int(units), activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(num_classes, activation="softmax"),
        ]
    )


def build(spec, units=64, dropout=0.0):
    return network(spec.input_shape, spec.num_outputs, units, dropout)


class Epochs(keras.callbacks.Callback):
    """Writes the validation loss of every epoch of every trial to one file."""

    def on_epoch_end(self, epoch, logs=None):
        with FILE.open("a") as file:
            file.write(f"{logs['val_loss']}\n")


def compiled(units, dropout, learning_rate):
    model = network((8, 8), 10, units, dropout)
    optimizer = keras.optimizers.Adam(learning_rate)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    return model


def fit(model, callbacks, epochs=EPOCHS):
    return model.fit(**data(), epochs=epochs, callbacks=[Epochs(), *callbacks], verbose=0)


def data():
    with np.load(os.environ["SEARCH_DATA"]) as arrays:
        x = {name: arrays[f"x_{name}"].astype("float32") / 255 for name in ("train", "validation")}
        y = {name: arrays[f"y_{name}"] for name in x}
    validation = (x["validation"], y["validation"])
    return {"x": x["train"], "y": y["train"], "batch_size": 32, "validation_data": validation}
