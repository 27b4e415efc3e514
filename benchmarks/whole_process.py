"""Times whole processes: `samerun train`, tracked and deterministic, against plain Keras scripts.

The same network, batches and epochs on images of 28×28 (scikit-learn's digits, enlarged three times
and with noise, since nothing is downloaded): a bare script, one with `mlflow.autolog()` and
TensorBoard, and one with MLflow's Keras callback, TensorBoard and `log_model`, each in an
environment of its own. samerun runs with its defaults, everything that is recorded included.

    python benchmarks/whole_process.py [--images 60000] [--pairs 5] [--goal ratio] [--json FILE]

With `--goal ratio` the time of samerun divided by that of the bare script has to be at most 0.75;
of the scripts that track only the one with `mlflow.autolog()` takes part, in the first round. With
`--goal extra` the seconds that samerun takes longer have to be at most 1.5, and a fifth of those of
`mlflow.autolog()`; MLflow's callback only takes part in the first round. Each is computed pair by
pair. On two slow cores eight minutes for 60,000 images, and five for 6,000.
"""

import shutil
import statistics
import sys
from collections.abc import Callable
from math import inf
from pathlib import Path

from harness import (
    PEERS,
    Ran,
    alternately,
    arguments_of,
    finish,
    middle,
    peer,
    run,
    summary,
    workspace,
)

RATIO, EXTRA, SHARE = 0.75, 1.5, 0.2
TRACKING = {"bare script": "none", "autolog": "autolog", "callback + log_model": "callback"}


def write_images(file: Path, num: int) -> None:
    """Writes `num` images: 80 % for training, 10 % for validation and 10 % for test."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits, random = load_digits(), np.random.default_rng(0)
    chosen = random.integers(len(digits.images), size=num)
    large = np.kron(digits.images.astype(np.uint8) * 15, np.ones((1, 3, 3), np.uint8))
    padded = np.pad(large, ((0, 0), (2, 2), (2, 2)))[chosen]
    images = np.maximum(padded, random.integers(0, 60, padded.shape, dtype=np.uint8))
    labels = digits.target[chosen]
    ends = {"train": (0, num * 8 // 10), "validation": (num * 8 // 10, num * 9 // 10)}
    ends["test"] = (num * 9 // 10, num)
    arrays = {f"x_{name}": images[start:end] for name, (start, end) in ends.items()}
    arrays |= {f"y_{name}": labels[start:end] for name, (start, end) in ends.items()}
    np.savez(file, **arrays)


def competitors(folder: Path, epochs: int) -> dict[str, Callable[[int], Ran]]:
    """Returns what trains once, by name; each in a new folder."""
    for name in ("images.py", "tutorial.py"):
        shutil.copyfile(PEERS / name, folder / name)
    data = folder / "images.npz"
    overrides = [
        *("model=custom", "model.target=tutorial:build", "dataset=npz", f"dataset.path={data}"),
        *("dataset.batch_size=128", f"training.epochs={epochs}"),
    ]

    def script(name: str, number: int) -> Ran:
        python = peer("keras" if name == "bare script" else "mlflow")
        return run([python, folder / "images.py", data, epochs, TRACKING[name]], new(number, name))

    def samerun(number: int) -> Ran:
        place = new(number, "samerun")
        shutil.copyfile(PEERS / "tutorial.py", place / "tutorial.py")
        return run([sys.executable, "-m", "samerun", "train", *overrides], place)

    def new(number: int, name: str) -> Path:
        place = folder / f"{number} {name}"
        place.mkdir()
        return place

    found: dict[str, Callable[[int], Ran]] = {
        name: lambda number, name=name: script(name, number) for name in TRACKING
    }
    return {"samerun": samerun, **found}


def longer(found: dict[str, list[Ran]], name: str) -> list[float]:
    """Returns by how many seconds a competitor took longer than the bare script, pair by pair."""
    return [
        ran.seconds - bare.seconds
        for ran, bare in zip(found[name], found["bare script"], strict=False)
    ]


def main() -> int:
    parser = arguments_of(__doc__)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--goal", choices=("ratio", "extra"), default="ratio")
    given = parser.parse_args()
    for name in ("keras", "mlflow"):
        peer(name)  # not while the clock runs
    with workspace() as folder:
        write_images(folder / "images.npz", given.images)
        measures, rare = competitors(folder, given.epochs), "callback + log_model"
        if given.goal == "ratio":
            del measures[rare]
            rare = "autolog"
        found = alternately(measures, given.pairs, [rare])
    print(f"{given.images} images, {given.epochs} epochs")
    print("\n".join(summary(found)))
    bare = statistics.median(ran.seconds for ran in found["bare script"])
    seconds = {name: [round(ran.seconds, 3) for ran in rans] for name, rans in found.items()}
    if given.goal == "ratio":
        ratios = [
            one.seconds / other.seconds
            for one, other in zip(found["samerun"], found["bare script"], strict=True)
        ]
        what = f"whole process, {given.images:,} images: samerun / bare script"
        return finish([middle(what, ratios, RATIO)], given.json, seconds)
    extra = longer(found, "samerun")
    autolog = longer(found, "autolog")
    shares = [one / other if other > 0 else inf for one, other in zip(extra, autolog, strict=True)]
    figures = [
        middle(f"extra seconds of a run of {bare:.0f} s of the bare script", extra, EXTRA),
        middle("extra seconds of samerun / those of mlflow.autolog", shares, SHARE),
    ]
    return finish(figures, given.json, seconds)


if __name__ == "__main__":
    sys.exit(main())
