"""A search with KerasTuner's Hyperband, as its documentation has it."""

import keras_tuner
import tuned


def build(hp):
    return tuned.compiled(
        hp.Int("units", 16, 256),
        hp.Float("dropout", 0, 0.6),
        hp.Float("learning_rate", 1e-4, 1e-1, sampling="log"),
    )


tuner = keras_tuner.Hyperband(
    build,
    objective="val_loss",
    max_epochs=tuned.EPOCHS,
    factor=3,
    hyperband_iterations=10,  # until it is stopped
    seed=tuned.SEED,
    directory="tuner",
)
tuner.search(**tuned.data(), callbacks=[tuned.Epochs()], verbose=0)
