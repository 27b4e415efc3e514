"""Disturbs a sweep from outside while it runs, and checks that no trial is lost or doubled.

    python tests/programs/sweep_disturbed.py locked --seconds 75
    python tests/programs/sweep_disturbed.py clock --days -1

locked: another process holds the study's database, as a backup does, for some seconds.
clock: the machine's clock jumps by some days (libfaketime; monotonic clocks do not jump).
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
# With monotonic clocks left alone, `clock_nanosleep` of libfaketime 0.9.10 fails with EINVAL each
# time it is called, and Python's `time.sleep` with it. `select` works.
SLEEP = """import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""
OVERRIDES = [
    "sweep=optuna",
    "sweep.study=s",
    "model=mlp",
    "model.dropout=interval(0,0.6)",
    "dataset.limit=64",
    "training.epochs=3",
    "sweep.workers=2",
    "sweep.pruner=none",
    "sweep.trial_seconds=900",
    "sweep.budget.seconds=3600",
    "evaluation.bootstrap_samples=100",
    "tracking=lean",
]


def start(folder, wanted, clock):
    """Types the command, with a clock that can be set by writing into a file."""
    environment = dict(os.environ)
    if clock is not None:
        clock.write_text("+0")
        (folder / "sitecustomize.py").write_text(SLEEP)
        environment |= {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # older versions of libfaketime
            "NO_FAKE_STAT": "1",  # the times of files stay true
            "PYTHONPATH": str(folder),
        }
    command = [
        sys.executable,
        "-m",
        "samerun",
        "train",
        "-m",
        *OVERRIDES,
        f"sweep.n_trials={wanted}",
    ]
    with (folder / "sweep.log").open("w") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def num_complete(folder):
    """Returns how many trials are complete, read without Optuna."""
    file = folder / "optuna.db"
    if not file.exists():
        return 0
    database = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
    try:
        query = "select count(*) from trials where state = 'COMPLETE'"
        return database.execute(query).fetchone()[0]
    except sqlite3.OperationalError:  # its tables are just being made
        return 0
    finally:
        database.close()


def lock(folder, seconds):
    """Holds the study's database."""
    database = sqlite3.connect(folder / "optuna.db", isolation_level=None, timeout=60)
    database.execute("begin exclusive")
    time.sleep(seconds)
    database.execute("rollback")
    database.close()


def check(folder, wanted):
    """Checks the study and its runs."""
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{folder}/optuna.db")
    states = Counter(trial.state.name for trial in study.trials)
    assert states == {"COMPLETE": wanted}, states
    with sqlite3.connect(folder / "mlflow.db") as database:
        query = (
            "select t.value, r.status from runs r "
            "join tags t on t.run_uuid = r.run_uuid and t.key = 'samerun.trial'"
        )
        runs = sorted(database.execute(query).fetchall())
        query = "select count(*), count(distinct step) from metrics where key = 'validation/loss'"
        query += " group by run_uuid"
        points = database.execute(query).fetchall()
    database.close()
    assert runs == [(str(number), "FINISHED") for number in range(wanted)], runs
    assert points == [(3, 3)] * wanted, points


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("how", choices=["locked", "clock"])
    parser.add_argument("--seconds", type=float, default=75.0)
    parser.add_argument("--days", type=int, default=-1)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path.cwd())
    asked = parser.parse_args()
    folder, began = asked.folder.absolute(), time.monotonic()
    clock = folder / "clock" if asked.how == "clock" else None
    sweep = start(folder, asked.trials, clock)
    while num_complete(folder) < 1 and sweep.poll() is None:
        time.sleep(0.1)
    assert sweep.poll() is None, (folder / "sweep.log").read_text()[-3000:]
    if clock is not None:
        clock.write_text(f"{asked.days:+d}d")
    else:
        lock(folder, asked.seconds)
    assert sweep.wait(900) == 0, (folder / "sweep.log").read_text()[-3000:]
    check(folder, asked.trials)
    what = f"{asked.days:+d} days" if clock else f"{asked.seconds:g} s"
    print(
        f"{asked.how} {what}: {asked.trials} of {asked.trials} trials complete, each with one run "
        f"and one value a step; {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
