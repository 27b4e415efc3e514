"""A script as a course would write it: a small convolutional network on images, without samerun.

    python images.py FILE.npz EPOCHS TRACKING

TRACKING is `none`, `autolog` (mlflow.autolog and TensorBoard) or `callback` (MLflow's Keras
callback, TensorBoard and log_model).
"""

import sys

import keras
import numpy as np
from tutorial import network

file, epochs, tracking = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with np.load(file) as arrays:
    images = {name: arrays[f"x_{name}"] for name in ("train", "validation", "test")}
    labels = {name: arrays[f"y_{name}"] for name in images}
x = {name: values[..., np.newaxis].astype("float32") / 255 for name, values in images.items()}

model = network(x["train"].shape[1:], 10)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
callbacks = []
if tracking != "none":
    import mlflow

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    callbacks.append(keras.callbacks.TensorBoard("logs"))
if tracking == "autolog":
    mlflow.autolog()
if tracking == "callback":
    mlflow.start_run()
    callbacks.append(mlflow.keras.MlflowCallback())
model.fit(
    x["train"],
    labels["train"],
    batch_size=128,
    epochs=epochs,
    validation_data=(x["validation"], labels["validation"]),
    callbacks=callbacks,
)
print(model.evaluate(x["test"], labels["test"], verbose=0))
if tracking == "callback":
    mlflow.keras.log_model(model, name="model")
    mlflow.end_run()
