"""The sweeper that Hydra finds by its place: `hydra/sweeper=samerun_optuna`."""
