"""A search with Ray Tune's ASHA, as its documentation has it; one trial at a time."""

from pathlib import Path

import keras
import tuned
from ray import tune
from ray.tune.schedulers import ASHAScheduler


def train(config):
    class Report(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            tune.report({"val_loss": logs["val_loss"]})

    tuned.fit(tuned.compiled(**config), [Report()])


space = {
    "units": tune.randint(16, 257),
    "dropout": tune.uniform(0, 0.6),
    "learning_rate": tune.loguniform(1e-4, 1e-1),
}
keras.utils.set_random_seed(tuned.SEED)
settings = tune.TuneConfig(
    metric="val_loss",
    mode="min",
    scheduler=ASHAScheduler(max_t=tuned.EPOCHS, reduction_factor=3),
    num_samples=tuned.TRIALS,
    max_concurrent_trials=1,
)
tune.Tuner(
    tune.with_resources(train, {"cpu": 1}),
    param_space=space,
    tune_config=settings,
    run_config=tune.RunConfig(storage_path=str(Path.cwd())),  # not the home folder
).fit()
