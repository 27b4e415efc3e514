"""Measures that training on an image folder does not hold it in memory.

Writes a folder of synthetic JPEG and PNG files, trains one epoch of a small convolutional network
on it in a separate process, and compares the peak memory of that process, minus that of TensorFlow
itself, with the size of the decoded images.

    python benchmarks/streaming.py [--num 6000] [--side 256] [--json FILE]

Fails if the peak is above a quarter of the data. About a minute on two cores.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import Figure, arguments_of, finish

ALLOWED = 0.25
CLASSES = ("disc", "stripes")


def write_images(folder: Path, num: int, side: int) -> int:
    """Writes noisy discs and stripes, one in four as PNG; returns the bytes on disk."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    noise = random.integers(0, 40, (side, side, 1))
    size = 0
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for index in range(num):
        x, y, scale = random.uniform(0.3, 0.7, 3) * side
        if index % 2:
            pattern = np.sin(columns / scale * 12 + x) > 0
        else:
            pattern = np.hypot(rows - y, columns - x) < scale / 2
        color = random.integers(60, 256, 3)
        pixels = np.minimum(pattern[..., None] * color + noise, 255).astype(np.uint8)
        is_png = index % 8 >= 6
        encoded = tf.io.encode_png(pixels, 1) if is_png else tf.io.encode_jpeg(pixels)
        content, ending = encoded.numpy(), "png" if is_png else "jpg"
        (folder / CLASSES[index % 2] / f"{index:06}.{ending}").write_bytes(content)
        size += len(content)
    return size


def peak() -> float:
    """Returns the largest memory this process has had so far, in MB."""
    unit = 1 if platform.system() == "Darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def train(folder: str, side: int) -> None:
    """Trains one epoch and prints the peak before and after, and how long it took."""
    import keras
    import tensorflow as tf

    from samerun import data, training
    from samerun.config import compose

    cfg = compose(
        [
            "dataset=image_folder",
            f"dataset.path={folder}",
            f"dataset.height={side}",
            f"dataset.width={side}",
            "dataset.batch_size=16",
            "model=cnn",
            "model.filters=[4,8,8]",
            "model.dense_units=[]",
        ]
    ).config
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    small.compile("adam", "mse")
    few = tf.data.Dataset.from_tensors((np.zeros((8, 4)), np.zeros((8, 1))))
    small.fit(few, shuffle=False, verbose=0)
    empty, began = peak(), time.perf_counter()

    dataset = data.build(cfg.dataset, cfg.seed)
    model = training.compiled(cfg, dataset.spec, dataset.steps_per_epoch, 1)
    with dataset.reading():
        model.fit(dataset.train, validation_data=dataset.validation, shuffle=False, verbose=0)
    print(empty, peak(), time.perf_counter() - began, dataset.spec.num_train)


def main() -> int:
    """Measures in a process of its own and says what came out."""
    parser = arguments_of(__doc__)
    parser.add_argument("--num", type=int, default=6000, help="number of images")
    parser.add_argument("--side", type=int, default=256, help="height and width, in pixels")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    num, side = arguments.num, arguments.side
    if arguments.train:
        train(arguments.train, side)
        return 0
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        on_disk = write_images(Path(folder), num, side) / 1e6
        command = [sys.executable, __file__, "--train", folder, "--side", str(side)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    empty, full, seconds, num_train = map(float, done.stdout.split())
    decoded = num * side * side * 3 / 1e6
    ratio = (full - empty) / decoded
    print(f"{num} pictures of {side}×{side}: {on_disk:.0f} MB on disk, {decoded:.0f} MB decoded")
    print(f"peak {full:.0f} MB, of which TensorFlow alone {empty:.0f} MB: {full - empty:.0f} MB")
    print(f"one epoch and its validation: {seconds:.0f} s, {num_train / seconds:.0f} pictures/s")
    name = f"memory to stream {num:,} images of {side}×{side} / their decoded size"
    return finish([Figure(name, ratio, ALLOWED)], arguments.json)


if __name__ == "__main__":
    sys.exit(main())
