"""Measures an epoch of `samerun train` against a bare Keras script: same network, data, batches.

    python benchmarks/epochs.py [NAME …] [--pairs 5] [--steps N] [--json FILE]

The bare script is what a course would write: `model.fit` on arrays, not deterministic, nothing
recorded. samerun runs with its defaults: deterministic, tracked, with checkpoints and TensorBoard.
Each side is a process, and they train in turns, an epoch at a time, while the other one is stopped:
a pair is an epoch of each. An epoch lasts from its start to that of the next one, so everything
that happens between two epochs counts; the first one, which includes the tracing, does not. Both
train the first epochs of LENGTH: how many there would be decides whether samerun's
`training.steps_per_execution=auto` traces several steps at once in the second epoch. Time is what
the clock measures (`wall`) and what the processors did (`cpu`); `steps` are samerun's steps per
execution in the last epoch.

Prints the ratios samerun / bare, of the fastest and of the median epochs; fails if a goal is missed
by the fastest. Seven minutes on two idle cores.
"""

import gzip
import json
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor

from harness import Figure, arguments_of, finish, run, workspace
from turns import epochs_in_turns

WORST, MEDIAN = 1.0, 0.75
"""The goals: no ratio above the first, the median of all networks not above the second."""

WORKLOADS = {
    "mlp": ["model=mlp", "dataset=fashion_mnist"],
    "cnn": ["model=cnn", "model.padding=valid", "dataset=fashion_mnist"],
    "row_lstm": [
        *("model=lstm", "model.units=[50]", "model.activation=relu"),
        *("dataset=fashion_mnist", "dataset.view=rows", "dataset.batch_size=64"),
    ],
    "simple_rnn_500": [
        *("model=simple_rnn", "model.embedding_dim=128", "model.units=[128]"),
        *("dataset=text_csv", "dataset.path=texts.csv", "dataset.max_length=500"),
        "dataset.batch_size=64",
    ],
    "stacked_gru": [
        *("model=gru", "model.units=[50,50]", "dataset=series_csv"),
        *("dataset.path=series.csv", "dataset.target=value"),
    ],
    "language_model": ["model=language_model", "dataset=python_docs"],
    "forecaster": [
        *("model=forecaster", "model.units=[50]", "dataset=series_csv", "dataset.horizon=5"),
        *("dataset.path=series.csv", "dataset.target=value"),
    ],
    "conv_lstm": ["model=conv_lstm", "dataset=moving_digits", "dataset.batch_size=16"],
}
COMMON = ["schedule=constant", "dataset.validation_fraction=0.1"]
STEPS = {
    **{"mlp": 1000, "cnn": 240, "row_lstm": 200, "stacked_gru": 90, "forecaster": 120},
    **{"simple_rnn_500": 16, "conv_lstm": 40, "language_model": 32},
}
"""Training steps per epoch: one to four seconds on two cores."""

LENGTH = 60
"""Epochs of the run of which the first are trained."""

SAMERUN = """
import json, sys
import samerun, turns
turns.wait_for_turns()
samerun.train(json.loads(sys.argv[1]))
"""
# Writes what the network receives, so that the bare script needs nothing but arrays.
ARRAYS = """
import json, sys
import numpy as np
import samerun
from samerun import data

dataset = samerun.compose(json.loads(sys.argv[2])).config.dataset
made = data.build(dataset, 0)
found = {"batch_size": dataset.batch_size, "num_outputs": made.spec.num_outputs}
for name, batches in (("train", made.train), ("validation", made.validation)):
    pairs = list(batches.as_numpy_iterator())
    for number, letter in enumerate("xy"):
        found[f"{letter}_{name}"] = np.concatenate([pair[number] for pair in pairs])
with open(sys.argv[1], "wb") as file:
    np.savez(file, **found)
"""
BARE = """
import keras
import numpy as np
import turns
from keras import Input, Model, Sequential, layers

with np.load("arrays.npz") as arrays:
    x, y = arrays["x_train"], arrays["y_train"]
    x_validation, y_validation = arrays["x_validation"], arrays["y_validation"]
    batch_size, size = int(arrays["batch_size"]), int(arrays["num_outputs"])
shape = x.shape[1:]
loss, metrics = "sparse_categorical_crossentropy", ["accuracy"]
"""
FIT = f"""
model.compile("adam", loss, metrics=metrics)
turns.wait_for_turns()
model.fit(x, y, batch_size=batch_size, epochs={LENGTH}, verbose=2,
          validation_data=(x_validation, y_validation))
"""
ERRORS = "loss, metrics = 'mse', ['mae']"
SCRIPTS = {
    "mlp": """
model = Sequential([
    Input(shape), layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(64, "relu"),
    layers.Dense(10, "softmax"),
])
""",
    "cnn": """
model = Sequential([
    Input(shape), layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
    layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
    layers.Dense(64, "relu"), layers.Dense(10, "softmax"),
])
""",
    "row_lstm": """
model = Sequential([
    Input(shape), layers.LSTM(50, activation="relu"), layers.Dense(10, "softmax"),
])
""",
    "simple_rnn_500": """
loss = "binary_crossentropy"
model = Sequential([
    Input(shape, dtype="int32"), layers.Embedding(10000, 128), layers.SimpleRNN(128),
    layers.Dense(1, "sigmoid"),
])
""",
    "stacked_gru": f"""
{ERRORS}
model = Sequential([
    Input(shape), layers.GRU(50, return_sequences=True), layers.GRU(50), layers.Dense(1),
])
""",
    "language_model": """
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
model = Sequential([
    Input(shape, dtype="int32"), layers.Embedding(size, 64),
    layers.LSTM(128, return_sequences=True), layers.Dense(size),
])
""",
    # Teacher forcing with a second input: the targets, one step later. In validation too, where
    # samerun reads its own predictions, one step after the other.
    "forecaster": f"""
{ERRORS}
def taught(x, y):
    return [x, np.concatenate([np.zeros_like(y[:, :1]), y[:, :-1]], axis=1)[..., np.newaxis]]

x, x_validation = taught(x, y), taught(x_validation, y_validation)
window, before = Input(shape), Input((y.shape[1], 1))
_, *state = layers.LSTM(50, return_state=True)(window)
read = layers.LSTM(50, return_sequences=True)(before, initial_state=state)
model = Model([window, before], layers.Flatten()(layers.Dense(1)(read)))
""",
    "conv_lstm": """
model = Sequential([
    Input(shape), layers.ConvLSTM2D(16, 3, padding="same"), layers.MaxPooling2D(),
    layers.Flatten(), layers.Dense(8, "softmax"),
])
""",
}


def images(folder, num_train):
    """Writes random images in the files that Keras has of Fashion-MNIST."""
    import numpy as np

    rng = np.random.default_rng(0)
    place = folder / "datasets" / "fashion-mnist"
    place.mkdir(parents=True)
    for part, number in (("train", num_train), ("t10k", 200)):
        labels = np.arange(number, dtype=np.uint8) % 10  # every class occurs
        pixels = rng.integers(0, 256, (number, 28, 28), dtype=np.uint8)
        for kind, header, values in (("labels-idx1", 8, labels), ("images-idx3", 16, pixels)):
            with gzip.open(place / f"{part}-{kind}-ubyte.gz", "wb", compresslevel=1) as file:
                file.write(bytes(header) + values.tobytes())


def texts(folder, num_train):
    """Writes random texts of two classes, and all words of the vocabulary."""
    import numpy as np

    words = np.random.default_rng(0).integers(0, 12_000, (int(num_train / 0.8) + 40, 520))
    lines = [f"{' '.join(f'w{word}' for word in row)},{n % 2}" for n, row in enumerate(words)]
    (folder / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n")


def series(folder, num_train):
    """Writes a random walk."""
    import numpy as np

    steps = np.random.default_rng(0).normal(size=int((num_train + 200) / 0.7) + 400).cumsum()
    (folder / "series.csv").write_text("value\n" + "\n".join(map("{:.3f}".format, steps)) + "\n")


def written(name, folder, steps):
    """Writes the data of a workload; returns its overrides."""
    overrides = [*WORKLOADS[name], *COMMON]
    sizes = [text for text in overrides if text.startswith("dataset.batch_size=")]
    num_train = steps * int(sizes[0].partition("=")[2] if sizes else 32)
    for write, word in ((images, "fashion"), (texts, "text_csv"), (series, "series_csv")):
        if any(word in text for text in overrides):
            write(folder, -(-num_train * 10 // 9) if write is not series else num_train)
    return [*overrides, f"dataset.limit={num_train}"]


def prepared(name, folder, steps):
    """Writes the data of a workload, and the arrays that the network receives; returns overrides.

    The bare script then needs nothing but arrays.
    """
    overrides = written(name, folder, steps)
    command = [sys.executable, "-c", ARRAYS, folder / "arrays.npz", json.dumps(overrides)]
    run(command, folder, variables={"KERAS_HOME": str(folder)})
    return overrides


def measured(name, folder, overrides, pairs):
    """Trains both sides in turns; returns the seconds of all epochs but the first of each."""
    python = [sys.executable, "-c"]
    ours = json.dumps([*overrides, f"training.epochs={LENGTH}"])
    commands = {
        "bare": ([*python, f"{BARE}{SCRIPTS[name]}{FIT}"], folder),
        "samerun": ([*python, SAMERUN, ours], folder),
    }
    found = epochs_in_turns(commands, pairs, {"KERAS_HOME": str(folder)})
    sizes = {side: one.num_parameters for side, one in found.items()}
    if len(set(sizes.values())) > 1:
        sys.exit(f"{name}: the networks differ: {sizes} parameters")
    return {
        side: {"wall": one.wall, "cpu": one.cpu, "steps_per_execution": one.steps_per_execution}
        for side, one in found.items()
    }


def ratios(found):
    """Returns the ratios samerun / bare of the fastest and of the median epochs, and their spread.

    The spread is that of the pairs, an epoch of each side.
    """
    answer = {"steps": found["samerun"]["steps_per_execution"]}
    for kind in ("wall", "cpu"):
        ours, bare = found["samerun"][kind], found["bare"][kind]
        answer[f"{kind}_min"] = min(ours) / min(bare)
        answer[f"{kind}_median"] = statistics.median(ours) / statistics.median(bare)
        answer[f"{kind}_seconds"] = [min(ours), min(bare)]
        pairs = [one / other for one, other in zip(ours, bare, strict=True)]
        answer[f"{kind}_pairs"] = [min(pairs), max(pairs)]
    return answer


def line(name, row):
    ours, bare = row["wall_seconds"]
    low, high = row["wall_pairs"]
    return (
        f"{name:<16}{bare:9.3f} s{ours:9.3f} s{row['wall_min']:8.2f}{row['wall_median']:8.2f}"
        f"{f'{low:.2f} to {high:.2f}':>16}{row['cpu_min']:8.2f}{row['cpu_median']:8.2f}"
        f"{row['steps']:7}"
    )


def figures_of(rows):
    """Returns the figures: the ratio of the slowest network, and the median of all."""
    values = [row["wall_min"] for row in rows.values()]
    worst = max(rows, key=lambda name: rows[name]["wall_min"])
    slowest = f"an epoch, samerun / bare, the slowest ({worst})"
    middle = "an epoch, samerun / bare, median of the networks"
    return [
        Figure(slowest, max(values), WORST, *rows[worst]["wall_pairs"]),
        Figure(middle, statistics.median(values), MEDIAN, min(values), max(values)),
    ]


def main() -> int:
    """Measures the chosen networks; returns 1 if a goal is missed."""
    parser = arguments_of(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(WORKLOADS))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, help="training steps per epoch")
    parser.add_argument("--overrides", nargs="*", default=[], help="further settings of samerun")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(WORKLOADS):
        parser.error(f"received {min(unknown)}, expected one of {', '.join(WORKLOADS)}")
    names = chosen.names or list(WORKLOADS)
    rows, times = {}, {}
    with workspace() as place:
        folders = {name: place / name for name in names}
        for folder in folders.values():
            folder.mkdir()
        with ThreadPoolExecutor(2) as pool:  # nothing is measured yet
            steps = [chosen.steps or STEPS[name] for name in names]
            settings = dict(
                zip(names, pool.map(prepared, names, folders.values(), steps), strict=True)
            )
        head = f"{'fastest epoch':<16}{'bare':>11}{'samerun':>11}{'wall':>8}{'median':>8}"
        print(f"{head}{'pairs':>16}{'cpu':>8}{'median':>8}{'steps':>7}", flush=True)
        for name in names:
            overrides = [*settings[name], *chosen.overrides]
            times[name] = measured(name, folders[name], overrides, chosen.pairs)
            rows[name] = ratios(times[name])
            print(line(name, rows[name]), flush=True)
    return finish(figures_of(rows), chosen.json, {"ratios": rows, "seconds": times})


if __name__ == "__main__":
    sys.exit(main())
