"""Hyperparameter sweeps: a loop between Optuna and the workers that train its trials."""
