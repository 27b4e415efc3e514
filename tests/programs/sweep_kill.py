"""Kills sweeps with SIGKILL at random moments, types the same command again, and checks the result.

    python tests/programs/sweep_kill.py --parents 20 --workers 20 [--seed 0]

Parents: a sweep's own process is killed while trials run, again and again, until the study is full.
Workers: processes that train are killed while the sweep continues. Every study has to end with
exactly as many trials as asked for, each complete, each with the parameters it started with, one
MLflow run, one folder and one value a step; and no process may be left behind by a killed parent.
"""

import argparse
import contextlib
import json
import random
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.warm import Warm, is_worker

EPOCHS = 3
OVERRIDES = [
    "sweep=optuna",
    "model=mlp",
    "model.dropout=interval(0,0.6)",
    "dataset.limit=64",
    f"training.epochs={EPOCHS}",
    "sweep.workers=2",
    "sweep.pruner=none",
    "sweep.faults.max_retries=100",
    "checkpoint.every_steps=1",
    "evaluation.bootstrap_samples=100",
    "tracking=lean",
]


def start(folder: Path, study: str, wanted: int) -> Warm:
    """Types the command."""
    arguments = [sys.executable, "-m", "samerun", "train", "-m", *OVERRIDES, f"sweep.study={study}"]
    arguments += [f"sweep.n_trials={wanted}"]
    with (folder / f"{study}.log").open("a") as log:
        return Warm(arguments, cwd=folder, stdout=log, stderr=log)


def trials(folder: Path, study: str) -> list[optuna.trial.FrozenTrial]:
    """Returns the trials so far; none before there is a study."""
    if not (folder / "optuna.db").exists():
        return []
    try:
        # Optuna would create the tables too, at the same moment as the sweep, and one would fail.
        with contextlib.closing(sqlite3.connect(folder / "optuna.db")) as database:
            if not database.execute("select * from alembic_version").fetchall():
                return []
        found = optuna.load_study(study_name=study, storage=f"sqlite:///{folder}/optuna.db")
        return found.get_trials()
    except Exception:  # its tables are just being made
        return []


def workers(parent: Warm) -> list[psutil.Process]:
    """Returns the processes of a sweep that train; other helpers of Python's are none of them."""
    try:
        children = psutil.Process(parent.pid).children(recursive=True)
        return [child for child in children if is_worker(child)]
    except psutil.Error:
        return []


def kill_parents(
    folder: Path, num: int, wanted: int, longest: float, chance: random.Random
) -> Counter:
    """Kills the parent at random moments; returns how many kills met how many trials under way."""
    met: Counter = Counter()
    number = 0
    while met.total() < num:
        study = f"parents{number}"
        number += 1
        started: dict[int, dict] = {}
        lives = 0
        while True:
            parent = start(folder, study, wanted)
            lives += 1
            lived = chance.uniform(2.0, longest)
            end = time.monotonic() + lived
            while time.monotonic() < end and parent.poll() is None:
                time.sleep(0.02)
            if parent.poll() is not None:
                assert parent.returncode == 0, (folder / f"{study}.log").read_text()[-3000:]
                break
            if met.total() == num:
                assert parent.wait(300) == 0, (folder / f"{study}.log").read_text()[-3000:]
                break
            left = psutil.Process(parent.pid).children(recursive=True)
            parent.kill()
            parent.wait()
            _, alive = psutil.wait_procs(left, timeout=30)
            assert not alive, f"left behind by a killed parent: {alive}"
            now = trials(folder, study)
            keeps(started, now)
            states = Counter(trial.state.name for trial in now)
            met[states["RUNNING"]] += 1
            print(
                f"parent killed after {lived:4.1f} s: {dict(states) or 'no trial yet'}", flush=True
            )
        check(folder, study, wanted, started)
        print(f"{study}: {wanted} of {wanted} trials, nothing lost or doubled, {lives} starts")
    return met


def keeps(started: dict[int, dict], now: list[optuna.trial.FrozenTrial]) -> None:
    """Checks that what was chosen for a trial stays, and notes what is new."""
    numbers = [trial.number for trial in now]
    assert numbers == list(range(len(numbers)))
    for trial in now:
        assert started.get(trial.number, {}).items() <= trial.params.items()
        started[trial.number] = trial.params


def kill_workers(folder: Path, num: int, wanted: int, chance: random.Random) -> int:
    """Kills workers at random moments under sweeps that go on; returns how many."""
    killed, number = 0, 0
    while killed < num:
        study = f"workers{number}"
        number += 1
        parent = start(folder, study, wanted)
        here = 0
        while parent.poll() is None:
            time.sleep(chance.uniform(0.5, 5.0))
            alive = workers(parent)
            if alive and killed < num and trials(folder, study):
                victim = chance.choice(alive)
                try:
                    victim.kill()
                except psutil.Error:
                    continue
                killed, here = killed + 1, here + 1
                print(f"worker {victim.pid} killed", flush=True)
        assert parent.returncode == 0, (folder / f"{study}.log").read_text()[-3000:]
        check(folder, study, wanted, {})
        print(f"{study}: {wanted} of {wanted} trials, nothing lost or doubled, {here} kills")
    return killed


def check(folder: Path, study: str, wanted: int, started: dict[int, dict]) -> None:
    """Checks everything a full study has to be."""
    now = trials(folder, study)
    keeps(started, now)
    assert [trial.state.name for trial in now] == ["COMPLETE"] * wanted
    with sqlite3.connect(folder / "mlflow.db") as database:
        rows = database.execute(
            "select r.run_uuid, r.status, t.value from runs r "
            "join tags s on s.run_uuid = r.run_uuid and s.key = 'samerun.study' and s.value = ? "
            "join tags t on t.run_uuid = r.run_uuid and t.key = 'samerun.trial'",
            (study,),
        ).fetchall()
        by_trial = {int(number): (run, status) for run, status, number in rows}
        assert len(rows) == wanted, f"{len(rows)} runs for {wanted} trials"
        for trial in now:
            run, status = by_trial[trial.number]
            assert status == "FINISHED"
            assert run == trial.user_attrs["samerun.run"]
            points = database.execute(
                "select step, value from metrics where run_uuid = ? and key = 'validation/loss'",
                (run,),
            ).fetchall()
            assert sorted(step for step, _ in points) == list(range(1, EPOCHS + 1)), points
            assert min(value for _, value in points) == trial.value
            query = "select value from params where run_uuid = ? and key = 'model.dropout'"
            (dropout,) = database.execute(query, (run,)).fetchone()
            assert float(dropout) == trial.params["model.dropout"]
            place = folder / "multirun" / study / str(trial.number)
            assert json.loads((place / "outcome.json").read_text())["state"] == "complete"
            assert (place / ".hydra" / "config.yaml").is_file()
            assert json.loads((place / "run.json").read_text())["id"] == run
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parents", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=4, help="of each study")
    parser.add_argument(
        "--longest", type=float, default=16.0, help="seconds before a parent is killed, at most"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path.cwd())
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    began, chance = time.monotonic(), random.Random(chosen.seed)
    folder, wanted = chosen.folder.absolute(), chosen.trials
    met = kill_parents(folder, chosen.parents, wanted, chosen.longest, chance)
    killed = kill_workers(folder, chosen.workers, wanted, chance)
    under_way = met.total() - met[0]
    print(
        f"{met.total()} parents killed, {under_way} of them with trials under way; "
        f"{killed} workers killed; the contract held every time; {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
