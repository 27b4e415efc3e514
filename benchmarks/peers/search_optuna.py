"""A search with Optuna in a plain script: python search_optuna.py none|halving|hyperband|median."""

import sys

import keras
import optuna
import tuned

PRUNERS = {
    "none": optuna.pruners.NopPruner(),
    "halving": optuna.pruners.SuccessiveHalvingPruner(),
    "hyperband": optuna.pruners.HyperbandPruner(max_resource=tuned.EPOCHS),
    "median": optuna.pruners.MedianPruner(),
}


class Pruning(keras.callbacks.Callback):
    def __init__(self, trial):
        super().__init__()
        self.trial = trial

    def on_epoch_end(self, epoch, logs=None):
        self.trial.report(logs["val_loss"], epoch + 1)
        self.model.stop_training = self.trial.should_prune()


def objective(trial):
    keras.utils.clear_session()
    model = tuned.compiled(
        trial.suggest_int("units", 16, 256),
        trial.suggest_float("dropout", 0, 0.6),
        trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
    )
    history = tuned.fit(model, [Pruning(trial)])
    if len(history.history["val_loss"]) < tuned.EPOCHS:
        raise optuna.TrialPruned
    return min(history.history["val_loss"])


keras.utils.set_random_seed(tuned.SEED)
sampler = optuna.samplers.TPESampler(seed=tuned.SEED)
study = optuna.create_study(sampler=sampler, pruner=PRUNERS[sys.argv[1]])
study.optimize(objective, n_trials=tuned.TRIALS)
