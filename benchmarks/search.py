"""Measures how soon a search reaches what 40 unpruned trials reach: epochs and seconds.

A network of two hidden layers on scikit-learn's digits with noise; learning rate, units and dropout
are searched, at most 20 epochs a trial, one trial at a time, TensorFlow with one thread, by

- `samerun train -m sweep=optuna sweep.pruner=successive_halving sweep.promote=true tracking=lean`:
  trials pause at a rung, and the best continue; each has a recorded run and checkpoints, but no
  figures and no stored model, as with the others,
- KerasTuner's Hyperband, Ray Tune's ASHA, and a plain script with Optuna's successive halving,
  each in an environment of its own, nothing tracked.

The target is the validation loss that 40 unpruned trials of the plain script reach, the median over
the seeds: the loss, because a few hundred examples cannot tell such settings apart by accuracy. It
is measured once and kept in `benchmarks/targets.json`. A search tries as many trials as it needs
and ends when it has reached the target or when its seconds are over. Two searches run side by side
on two cores, and samerun's neighbor is another one with each seed.

    python benchmarks/search.py [--seeds 0 1 2 3 4] [--limit 90] [--json FILE]

Fails if a search of samerun does not reach the target, if it needs more than 0.3 of the epochs of
the unpruned trials, and, compared with each of the others by the medians over the seeds, if it
needs more seconds or epochs. Where one of the two misses the target with most seeds, its seconds
count as the limit; where both do, the losses are compared instead: the best ones within the seconds
of a search, and in as many epochs of both, which does not depend on the machine. A search has both
cores once its neighbor has ended. With three seeds nine and a half minutes, and once four more for
the target.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from pathlib import Path

from harness import (
    PEERS,
    ROOT,
    Figure,
    arguments_of,
    environment,
    finish,
    machine,
    middle,
    peer,
    today,
    workspace,
)

SHARE = 0.3
TARGETS = ROOT / "benchmarks" / "targets.json"
SCRIPTS = {
    "Optuna, successive halving": ("optuna", "search_optuna.py", "halving"),
    "KerasTuner, Hyperband": ("keras_tuner", "search_keras_tuner.py"),
    "Ray Tune, ASHA": ("ray", "search_ray.py"),
}
"""The environment of each search, its script, and the script's argument."""


@dataclass(frozen=True)
class Reached:
    """How a search ended.

    Args:
        losses: the validation loss after each epoch of all its trials.
        seconds: from its start to its end.
        has_reached: whether it has reached the target.
    """

    losses: list[float]
    seconds: float
    has_reached: bool

    @property
    def epochs(self) -> int:
        """The number of its epochs."""
        return len(self.losses)

    @property
    def best(self) -> float:
        """The smallest validation loss."""
        return min(self.losses)


def write_data(file: Path) -> None:
    """Writes the digits, with so much noise that no network recognizes all of them."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits, random = load_digits(), np.random.default_rng(0)
    noisy = digits.images * 15 + random.normal(0, 60, digits.images.shape)
    images, order = np.clip(noisy, 0, 255).astype(np.uint8), random.permutation(len(noisy))
    parts = zip(("train", "validation", "test"), np.split(order, [1000, 1500]), strict=True)
    arrays = {}
    for name, chosen in parts:
        arrays |= {f"x_{name}": images[chosen], f"y_{name}": digits.target[chosen]}
    np.savez(file, **arrays)


def samerun(data: Path, seed: int, trials: int, epochs: int) -> list[str]:
    """Returns the command of our search."""
    return [
        *(sys.executable, "-m", "samerun", "train", "-m", "sweep=optuna"),
        *("sweep.pruner=successive_halving", "sweep.workers=1", f"sweep.n_trials={trials}"),
        *("sweep.promote=true", "tracking=lean"),
        *("training.intra_op_threads=1", "training.inter_op_threads=1"),
        *("sweep.objectives=[validation/loss]", "model=custom", "model.target=tuned:build"),
        *("+model.params.units=range(16,257)", "+model.params.dropout=interval(0,0.6)"),
        *("optimizer.learning_rate=tag(log,interval(1e-4,1e-1))", "schedule=constant"),
        *("dataset=npz", f"dataset.path={data}", "dataset.batch_size=32"),
        *(f"training.epochs={epochs}", "training.callbacks=[tuned:Epochs]", f"seed={seed}"),
    ]


def watch(
    command: list[str], folder: Path, variables: dict[str, str], target: float, limit: float
) -> Reached:
    """Runs a search until it has reached the target, or its seconds are over, or it ends."""
    folder.mkdir()
    shutil.copyfile(PEERS / "tuned.py", folder / "tuned.py")
    file = folder / "epochs.txt"
    own = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    own |= {**variables, "SEARCH_FILE": str(file), "PYTHONPATH": str(folder)}
    began = time.perf_counter()
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(own),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while True:
                has_ended = process.poll() is not None
                lines = file.read_text().split("\n")[:-1] if file.exists() else []
                losses = [float(line) for line in lines]
                seconds = time.perf_counter() - began
                first = next((n for n, loss in enumerate(losses, 1) if loss <= target), 0)
                if first or has_ended or seconds > limit:
                    break
                time.sleep(0.05)
        finally:
            end(process)
    if has_ended and (process.returncode or not losses):
        text = (folder / "output.txt").read_text(errors="replace")
        ended = f"exit code {process.returncode}, {len(losses)} epochs"
        sys.exit(f"{' '.join(command)}: {ended}\n{text[-3000:]}")
    if not losses:
        sys.exit(f"{' '.join(command)}: no epoch within {limit:g} s, give more with --limit.")
    return Reached(losses[: first or None], seconds, bool(first))


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a search and what it has started."""
    for number, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def target_of(folder: Path, variables: dict[str, str], seeds: list[int]) -> float:
    """Returns the median of what unpruned trials reach; measures what is not stored."""
    stored = json.loads(TARGETS.read_text()) if TARGETS.exists() else {"best": {}}
    key = f"{variables['SEARCH_TRIALS']} trials of {variables['SEARCH_EPOCHS']} epochs"
    best = stored["best"].setdefault(key, {})
    for seed in seeds:
        if str(seed) not in best:
            command = [str(peer("optuna")), str(PEERS / "search_optuna.py"), "none"]
            place = folder / f"unpruned-{seed}"
            own = {**variables, "SEARCH_SEED": str(seed)}
            ended = watch(command, place, own, -inf, inf)
            wanted = int(variables["SEARCH_TRIALS"]) * int(variables["SEARCH_EPOCHS"])
            if ended.epochs != wanted:
                sys.exit(f"unpruned, seed {seed}: {ended.epochs} epochs, expected {wanted}.")
            best[str(seed)] = ended.best
            print(f"unpruned, seed {seed}: {best[str(seed)]:.4f}", file=sys.stderr, flush=True)
            if key.startswith("40 "):
                stored |= {"date": today(), "machine": machine()}
                TARGETS.write_text(json.dumps(stored, indent=1) + "\n")
    return statistics.median(best[str(seed)] for seed in seeds)


def searched(
    folder: Path, variables: dict[str, str], seeds: list[int], target: float, limit: float
) -> dict[str, list[Reached]]:
    """Runs every search with every seed, two at a time; returns how they ended."""
    trials, epochs = int(variables["SEARCH_TRIALS"]), int(variables["SEARCH_EPOCHS"])
    found: dict[str, list[Reached]] = {name: [] for name in ("samerun", *SCRIPTS)}

    def search(name: str, seed: int) -> None:
        command = samerun(Path(variables["SEARCH_DATA"]), seed, trials, epochs)
        if name in SCRIPTS:
            which, script, *rest = SCRIPTS[name]
            command = [str(peer(which)), str(PEERS / script), *rest]
        own = {**variables, "SEARCH_SEED": str(seed)}
        one = watch(command, folder / f"{name} {seed}", own, target, limit)
        found[name].append(one)
        line = f"{name:<28}seed {seed}: {one.epochs:>4} epochs, {one.seconds:5.1f} s, best "
        print(f"{line}{one.best:.4f}{'' if one.has_reached else ', target not reached'}")
        sys.stdout.flush()

    for number, seed in enumerate(seeds):
        neighbor, *others = [list(SCRIPTS)[(number + n) % len(SCRIPTS)] for n in range(3)]
        for pair in (("samerun", neighbor), others):
            with ThreadPoolExecutor() as pool:
                list(pool.map(search, pair, [seed, seed]))
    return found


def middle_until(ended: list[Reached], unit: str) -> float:
    """Returns the median `seconds` or `epochs` to the target, infinite where it is missed."""
    return statistics.median(getattr(one, unit) if one.has_reached else inf for one in ended)


def compared(found: dict[str, list[Reached]], total: int, limit: float) -> Iterator[Figure]:
    """Yields the figures of the searches.

    Args:
        found: how the searches ended, by name, a value for each seed.
        total: epochs of the unpruned trials.
        limit: seconds of a search.
    """
    ours = found["samerun"]
    num_missed = sum(not one.has_reached for one in ours)
    yield Figure("searches of samerun that did not reach the target", num_missed, 0)
    if not num_missed:
        what = "epochs to the best loss of 40 unpruned trials / their epochs"
        yield middle(what, [one.epochs / total for one in ours], SHARE)
    for name in SCRIPTS:
        theirs = found[name]
        seconds = [middle_until(side, "seconds") for side in (ours, theirs)]
        if inf not in seconds:
            epochs = [middle_until(side, "epochs") for side in (ours, theirs)]
            for unit, (own, other) in {"seconds": seconds, "epochs": epochs}.items():
                yield Figure(f"{unit} to the target, samerun / {name}", own / other, 1)
            continue
        if seconds != [inf, inf]:  # the side that misses it would have needed more than the limit
            own, other = (min(one, limit) for one in seconds)
            what = f"seconds to the target, {limit:g} where it is missed, samerun / {name}"
            yield Figure(what, own / other, 1)
            continue
        ratio = statistics.median(one.best for one in ours) / statistics.median(
            one.best for one in theirs
        )
        yield Figure(f"best loss within {limit:g} s, samerun / {name}", ratio, 1)
        # As many epochs with each seed: this does not depend on the machine.
        few = [min(one.epochs, other.epochs) for one, other in zip(ours, theirs, strict=True)]
        ratio = statistics.median(min(one.losses[:n]) for one, n in zip(ours, few, strict=True))
        ratio /= statistics.median(min(one.losses[:n]) for one, n in zip(theirs, few, strict=True))
        what = f"best loss in the {min(few)} to {max(few)} epochs that both trained"
        yield Figure(f"{what}, samerun / {name}", ratio, 1)


def main() -> int:
    parser = arguments_of(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--trials", type=int, default=40, help="unpruned ones, for the target")
    parser.add_argument("--most", type=int, default=10_000, help="trials of a search")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--limit", type=float, default=90, help="seconds of a search")
    given = parser.parse_args()
    for which, *_ in SCRIPTS.values():
        peer(which)  # not while the clock runs
    with workspace() as folder:
        data = folder / "digits.npz"
        write_data(data)
        variables = {"SEARCH_DATA": str(data), "SEARCH_TRIALS": str(given.trials)}
        variables["SEARCH_EPOCHS"] = str(given.epochs)
        target = target_of(folder, variables, given.seeds)
        print(f"target: validation loss {target:.4f}")
        variables["SEARCH_TRIALS"] = str(given.most)
        found = searched(folder, variables, given.seeds, target, given.limit)
    figures = list(compared(found, given.trials * given.epochs, given.limit))
    detail = {name: [vars(one) for one in ended] for name, ended in found.items()}
    return finish(figures, given.json, {"target": target, **detail})


if __name__ == "__main__":
    sys.exit(main())
