"""Kills sweeps with `sweep.promote` by SIGKILL while trials are paused, and compares the weights.

    python tests/programs/promote_kill.py 20 --trials 24 [--seed 0]

A study with promotion is killed and started again: its own process or one of its workers, when at
least one trial is paused. Then the same trials are trained without a pruner, so that none ever
pauses. Each trial that was thawed has to have the same weights after every epoch, one MLflow run
and one value a step. More studies follow until enough thawed trials were compared and something
was killed; the program fails if that takes too many of them.
"""

import argparse
import contextlib
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import optuna
import psutil
from sweep_kill import trials, workers

sys.path.insert(0, str(Path(__file__).parents[1]))
from samerun import checkpoints
from samerun.search import is_paused, paused_at
from support.warm import Warm

EPOCHS, KILLS = 4, 2
OVERRIDES = [
    "sweep=random",
    "model=mlp",
    "model.units=[8]",
    "model.dropout=interval(0,0.6)",
    "dataset.limit=64",
    f"training.epochs={EPOCHS}",
    "sweep.workers=2",
    "sweep.faults.max_retries=100",
    "evaluation.bootstrap_samples=100",
    "tracking=lean",
]
PROMOTED = [
    "sweep.promote=true",
    "sweep.pruner=successive_halving",
    "sweep.successive_halving.min_epochs=1",
]


def start(folder: Path, study: str, *overrides: str) -> Warm:
    """Types the command."""
    command = [sys.executable, "-m", "samerun", "train", "-m", *OVERRIDES, *overrides]
    command += [f"sweep.study={study}"]
    with (folder / f"{study}.log").open("a") as log:
        return Warm(command, cwd=folder, stdout=log, stderr=log)


def num_paused(folder: Path, study: str) -> int:
    return sum(is_paused(trial) for trial in trials(folder, study))


def wait_for_pause(folder: Path, study: str, sweep: Warm) -> bool:
    """Waits until a trial is paused; returns `False` if the sweep ends before."""
    while sweep.poll() is None:
        if num_paused(folder, study):
            return True
        time.sleep(0.1)
    return False


def disturb(folder: Path, study: str, promoted: list[str], chance: random.Random) -> Counter:
    """Runs a sweep to its end; kills it, and its workers, while trials are paused.

    The first is killed at once, so that none ends before it was disturbed; then moments are random.
    """
    killed: Counter = Counter()
    sweep = start(folder, study, *promoted)
    while wait_for_pause(folder, study, sweep) and killed.total() < 2 * KILLS:
        time.sleep(chance.uniform(0.0, 1.5) if killed else 0)
        paused, left = num_paused(folder, study), workers(sweep)
        if not paused or sweep.poll() is not None:
            continue
        if left and killed["workers"] < KILLS:
            with contextlib.suppress(psutil.Error):  # it has just ended
                chance.choice(left).kill()
                killed["workers"] += 1
        elif killed["sweeps"] < KILLS:
            sweep.kill()
            sweep.wait()
            _, alive = psutil.wait_procs(left, timeout=60)
            assert not alive, f"left behind by a killed sweep: {alive}"
            killed["sweeps"] += num_paused(folder, study) > 0  # or the last one was just thawed
            sweep = start(folder, study, *promoted)
    assert sweep.wait() == 0, (folder / f"{study}.log").read_text()[-3000:]
    return killed


def digests(folder: Path, study: str, number: int) -> list[str]:
    """Returns the SHA-256 of a trial's weights after each of its epochs."""
    state = checkpoints.latest(folder / "multirun" / study / str(number) / "checkpoints")
    if state is None:
        return []
    assert [epoch for epoch, _, _ in state.meta["digests"]] == list(range(1, state.epoch + 1))
    return [digest for _, _, digest in state.meta["digests"]]


def check_runs(folder: Path, study: str, now: list[optuna.trial.FrozenTrial]) -> None:
    """Checks that each trial has one run, with one value for each of its epochs."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        query = (
            "select t.value, m.step, m.value from tags t join tags s on s.run_uuid = t.run_uuid "
            "and s.key = 'samerun.study' and s.value = ? left join metrics m on "
            "m.run_uuid = t.run_uuid and m.key = 'validation/loss' where t.key = 'samerun.trial'"
        )
        rows = database.execute(query, (study,)).fetchall()
    database.close()
    for trial in now:
        own = [(step, value) for number, step, value in rows if int(number) == trial.number]
        assert sorted(own) == sorted(trial.intermediate_values.items()), trial.number


def compare(folder: Path, study: str, given: list[str]) -> int:
    """Compares a study that has ended with one that never paused; returns how many were thawed."""
    whole = f"{study}-whole"
    assert start(folder, whole, *given, "sweep.pruner=none").wait() == 0
    now, never_paused = trials(folder, study), trials(folder, whole)
    states = {trial.state.name for trial in now}
    assert "COMPLETE" in states
    assert states <= {"COMPLETE", "PRUNED"}, states
    check_runs(folder, study, now)
    thawed = 0
    for trial, other in zip(now, never_paused, strict=True):
        assert trial.params == other.params
        own, whole_ones = (digests(folder, name, trial.number) for name in (study, whole))
        # A worker that is killed between an epoch's report and its checkpoint leaves a trial that
        # waits without the latter; promoted, it trains that epoch again.
        most_missing = 0 if trial.state.name == "COMPLETE" else 1
        assert len(own) in range((trial.last_step or 0) - most_missing, (trial.last_step or 0) + 1)
        assert len(whole_ones) == EPOCHS
        assert own == whole_ones[: len(own)], f"trial {trial.number}: other weights"
        reached = trial.last_step or 0
        thawed += any(epoch < reached for epoch in paused_at(trial))
        if trial.state.name == "COMPLETE":
            assert trial.value == other.value
    return thawed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int, help="thawed trials to compare")
    parser.add_argument("--trials", type=int, default=8, help="of each study")
    parser.add_argument("--factor", type=int, default=2, help="`reduction_factor` of the pruner")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="of the runs; otherwise a temporary one")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if chosen.folder:
        run(chosen.folder.absolute(), chosen)
    else:
        with tempfile.TemporaryDirectory(prefix="samerun-promotion-") as folder:
            run(Path(folder), chosen)


def run(folder: Path, chosen: argparse.Namespace) -> None:
    """Runs studies until there are enough thawed trials, and kills."""
    began, chance = time.monotonic(), random.Random(chosen.seed)
    thawed, number, killed = 0, 0, Counter()
    while thawed < chosen.count or not killed.total():
        if number > 2 * chosen.count:
            sys.exit(f"{number} studies: {thawed} thawed trials and {killed.total()} kills")
        study, number = f"promoted{number}", number + 1
        given = [f"seed={number}", f"sweep.n_trials={chosen.trials}"]
        factor = f"sweep.successive_halving.reduction_factor={chosen.factor}"
        here = disturb(folder, study, [*given, *PROMOTED, factor], chance)
        found = compare(folder, study, given)
        killed, thawed = killed + here, thawed + found
        print(f"{study}: {found} thawed trials have equal weights; killed {dict(here)}", flush=True)
    print(
        f"{thawed} of {thawed} thawed trials equal; killed while trials were paused: "
        f"{killed['sweeps']} sweeps, {killed['workers']} workers; {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
