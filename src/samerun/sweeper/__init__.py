"""Hyperparameter sweeps: a loop that asks Optuna and tells it, and workers that train trials."""
