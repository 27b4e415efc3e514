"""Measures what pruning saves: a pruned and an unpruned sweep on digits, side by side.

Both sweeps try 24 settings of dropout, L1 and L2, with the same sampler and the same seeds, once
with successive halving, as in `sweep=regularisation`, and once without a pruner. It compares the
total epochs and the validation accuracy of the best trial.

    python benchmarks/pruning.py [--seeds 0 1 2] [--trials 24]

Fails if the pruned sweeps take more than half of the epochs, or end more than 0.005 lower, on
average over the seeds. About 15 minutes on two cores.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import optuna

ALLOWED_EPOCHS, ALLOWED_LOSS = 0.5, 0.005


def sweep(pruner: str, seed: int, num_trials: int, folder: Path) -> tuple[int, float]:
    """Runs one sweep; returns the epochs of all its trials and the best validation accuracy."""
    study = f"{pruner}-{seed}"
    overrides = [
        "experiment=digits_cnn",
        "sweep=regularisation",
        f"sweep.study={study}",
        f"sweep.pruner={pruner}",
        f"sweep.n_trials={num_trials}",
        "sweep.objectives=[validation/accuracy]",
        f"seed={seed}",
        "tracking.log_model=false",
        "tracking.log_figures=false",
        "tracking.tensorboard=false",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "samerun", "train", "-m", *overrides],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{study} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    found = optuna.load_study(study_name=study, storage=f"sqlite:///{folder}/optuna.db")
    trials = found.get_trials(
        states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    )
    assert len(trials) == num_trials
    return sum(trial.last_step or 0 for trial in trials), found.best_value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=24)
    chosen = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, {datetime.date.today()}")
    print(f"{'seed':>4} {'epochs':>14} {'pruned':>7} {'ratio':>6} {'accuracy':>9} {'pruned':>7}")
    ratios, losses = [], []
    with tempfile.TemporaryDirectory(prefix="samerun-pruning-") as name:
        for seed in chosen.seeds:
            epochs, best = sweep("none", seed, chosen.trials, Path(name))
            pruned, best_pruned = sweep("successive_halving", seed, chosen.trials, Path(name))
            ratios.append(pruned / epochs)
            losses.append(best - best_pruned)
            print(
                f"{seed:>4} {epochs:>14} {pruned:>7} {ratios[-1]:>6.2f} "
                f"{best:>9.4f} {best_pruned:>7.4f}",
                flush=True,
            )
    ratio, loss = sum(ratios) / len(ratios), sum(losses) / len(losses)
    print(f"pruned / unpruned: {ratio:.2f} of the epochs (at most {ALLOWED_EPOCHS}), ", end="")
    print(f"accuracy {-loss:+.4f} (at least {-ALLOWED_LOSS})")
    sys.exit(ratio > ALLOWED_EPOCHS or loss > ALLOWED_LOSS)


if __name__ == "__main__":
    main()
