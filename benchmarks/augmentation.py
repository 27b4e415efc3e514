"""Measures that augmentation closes a gap between training and test accuracy, over several seeds.

Trains `experiment=few_digits_cnn`, which learns from 101 digits, and `few_digits_cnn_augmented`,
the same with augmentation, with the seeds 0 to 4, and measures the accuracy of the final weights
on the training and on the test images, both without augmentation. All seeds have the same split, so
an interval says how much the gap varies with the initial weights and the order of the images, not
with the choice of the 101.

    python benchmarks/augmentation.py [--seeds 5] [EXPERIMENT …]

Fails if the 95 % intervals of the two mean gaps (Student's t) overlap.
"""

import argparse
import datetime
import os
import platform
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from scipy import stats

from samerun import config, data, training
from samerun.determinism import make_deterministic

EXPERIMENTS = ("few_digits_cnn", "few_digits_cnn_augmented")


def accuracies(name: str, seed: int) -> tuple[float, float]:
    """Trains an experiment; returns the accuracy on all training and on all test images."""
    cfg = config.compose([f"experiment={name}", f"seed={seed}"]).config
    make_deterministic(cfg.training)
    built = data.build(cfg.dataset, seed)
    model = training.compiled(cfg, built.spec, built.steps_per_epoch, built.steps_per_epoch)
    new_epoch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: built.set_epoch(epoch)
    )
    model.fit(
        built.train,
        epochs=cfg.training.epochs,
        callbacks=[new_epoch],
        shuffle=False,
        verbose=0,
    )
    measured = []
    for split in ("train", "test"):
        images = built.preprocessing(built.examples(split, range(len(built.splits[split]))))
        predicted = model.predict(images, verbose=0, batch_size=512)
        measured.append(float((predicted.argmax(axis=1) == built.labels(split)).mean()))
    return measured[0], measured[1]


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Returns the mean and its 95 % interval."""
    mean, error = values.mean(), stats.sem(values)
    half = stats.t.ppf(0.975, len(values) - 1) * error
    return float(mean), float(mean - half), float(mean + half)


def main() -> None:
    """Trains all and says what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS, help="names of experiments")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    print(f"{datetime.date.today()}  {platform.machine()}, {os.cpu_count()} cores", flush=True)
    gaps = []
    for name in arguments.experiments:
        began = time.perf_counter()
        train, test = np.array([accuracies(name, seed) for seed in seeds]).T
        gaps.append(interval(train - test))
        mean, low, high = gaps[-1]
        seconds = (time.perf_counter() - began) / len(seeds)
        print(
            f"{name}: {len(seeds)} seeds, train {train.mean():.3f}, test {test.mean():.3f}, "
            f"gap {mean:.3f} (95 % interval {low:.3f} to {high:.3f}), {seconds:.0f} s a run"
        )
        print(f"  train {' '.join(f'{value:.4f}' for value in train)}")
        print(f"  test  {' '.join(f'{value:.4f}' for value in test)}", flush=True)
    if len(gaps) == 2 and gaps[1][2] >= gaps[0][1]:
        raise SystemExit("the intervals overlap")


if __name__ == "__main__":
    main()
