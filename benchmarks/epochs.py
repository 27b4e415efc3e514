"""Measures an epoch of `samerun train` against a bare Keras script: same network, data, batches.

    python benchmarks/epochs.py [NAME …] [--pairs 5] [--epochs 4] [--steps N] [--json FILE]

The bare script is what a course would write: `model.fit` on arrays, not deterministic, nothing
recorded. samerun runs with its defaults: deterministic, tracked, with checkpoints and TensorBoard.
Both sides run in processes of their own, in turns. An epoch lasts from its start to that of the
next one, so everything that happens between two epochs counts; the first one, which includes the
tracing, does not. Both train the first epochs of LENGTH: how many there would be decides whether
samerun's `training.steps_per_execution=auto` traces several steps at once in the second epoch. Time
is what the clock says (`wall`) and what the processors did (`cpu`).

Prints the ratios samerun / bare; fails if a goal is missed. About 20 minutes on two idle cores.
"""

import gzip
import json
import statistics
import sys

from harness import Figure, arguments_of, finish, run, workspace

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

# Records when each epoch starts, and when training ends, which is after some epochs.
CLOCK = """
import json, resource, sys, time
import keras

ticks = []

def ticking(method):
    def called(self, *args, **kwargs):
        used = resource.getrusage(resource.RUSAGE_SELF)
        ticks.append((time.perf_counter(), used.ru_utime + used.ru_stime))
        return method(self, *args, **kwargs)
    return called

def stopping(method):
    def called(self, epoch, *args, **kwargs):
        method(self, epoch, *args, **kwargs)
        if epoch + 1 == int(sys.argv[3]):
            self._model.stop_training = True
    return called

callbacks = keras.callbacks.CallbackList
for name in ("on_epoch_begin", "on_train_end"):
    setattr(callbacks, name, ticking(getattr(callbacks, name)))
callbacks.on_epoch_end = stopping(callbacks.on_epoch_end)
"""
REPORT = """
spans = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(ticks[1:], ticks[2:])]
with open(sys.argv[1], "w") as file:
    json.dump({"wall": [one[0] for one in spans], "cpu": [one[1] for one in spans],
               "num_parameters": model.count_params()}, file)
"""
SAMERUN = f"""
{CLOCK}
import samerun
model = samerun.train(json.loads(sys.argv[2])).model
{REPORT}
"""
# Writes what the network receives, so that the bare script needs nothing but arrays.
ARRAYS = """
import json, sys
import numpy as np
import samerun
from samerun import data

dataset = samerun.compose(json.loads(sys.argv[2])).config.dataset
made = data.build(dataset, 0)
found = {"batch_size": dataset.batch_size}
for name, batches in (("train", made.train), ("validation", made.validation)):
    pairs = list(batches.as_numpy_iterator())
    for number, letter in enumerate("xy"):
        found[f"{letter}_{name}"] = np.concatenate([pair[number] for pair in pairs])
with open(sys.argv[1], "wb") as file:
    np.savez(file, **found)
"""
BARE = """
import numpy as np
from keras import Input, Model, Sequential, layers

with np.load("arrays.npz") as arrays:
    x, y = arrays["x_train"], arrays["y_train"]
    x_validation, y_validation = arrays["x_validation"], arrays["y_validation"]
    batch_size = int(arrays["batch_size"])
shape = x.shape[1:]
loss, metrics = "sparse_categorical_crossentropy", ["accuracy"]
"""
FIT = """
model.compile("adam", loss, metrics=metrics)
model.fit(x, y, batch_size=batch_size, epochs=int(sys.argv[2]), verbose=2,
          validation_data=(x_validation, y_validation))
"""
ERRORS = "loss, metrics = 'mse', ['mae', keras.metrics.RootMeanSquaredError()]"
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
size = int(max(x.max(), y.max())) + 1
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
model = Sequential([
    Input(shape, dtype="int32"), layers.Embedding(size, 64),
    layers.LSTM(128, return_sequences=True), layers.Dense(size),
])
""",
    # Teacher forcing with a second input: the targets, one step later.
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


def prepared(name, folder, steps):
    """Writes the data of a workload; returns its overrides."""
    overrides = [*WORKLOADS[name], *COMMON]
    sizes = [text for text in overrides if text.startswith("dataset.batch_size=")]
    num_train = steps * int(sizes[0].partition("=")[2] if sizes else 32)
    for write, word in ((images, "fashion"), (texts, "text_csv"), (series, "series_csv")):
        if any(word in text for text in overrides):
            write(folder, -(-num_train * 10 // 9) if write is not series else num_train)
    return [*overrides, f"dataset.limit={num_train}"]


def child(folder, program, *arguments):
    """Runs a program in a process of its own; returns the file that it has written."""
    out = folder / "out"
    variables = {"KERAS_HOME": str(folder)}
    run([sys.executable, "-c", program, out, *arguments], folder, variables=variables)
    return out


def measured(name, *, pairs, epochs, steps, extra=()):
    """Runs both sides in turns; returns the seconds of all epochs but the first of each run."""
    with workspace() as folder:
        overrides = prepared(name, folder, steps)
        child(folder, ARRAYS, json.dumps(overrides)).rename(folder / "arrays.npz")
        ours = json.dumps([*overrides, f"training.epochs={LENGTH}", *extra])
        sides = {
            "bare": (f"{CLOCK}{BARE}{SCRIPTS[name]}{FIT}{REPORT}", str(LENGTH)),
            "samerun": (SAMERUN, ours),
        }
        found = {side: {"wall": [], "cpu": []} for side in sides}
        sizes = set()
        for number in range(pairs):
            for side, (program, argument) in sorted(sides.items(), reverse=number % 2 == 1):
                one = json.loads(child(folder, program, argument, str(epochs)).read_text())
                sizes.add(one.pop("num_parameters"))
                for kind, values in one.items():
                    found[side][kind].append(values)
    if len(sizes) > 1:
        sys.exit(f"{name}: the networks differ: {sizes} parameters")
    return found


def ratios(found):
    """Returns the ratios samerun / bare of the fastest and of the median epochs."""
    answer = {}
    for kind in ("wall", "cpu"):
        sides = [[v for run in found[side][kind] for v in run] for side in ("samerun", "bare")]
        answer[f"{kind}_min"] = min(sides[0]) / min(sides[1])
        answer[f"{kind}_median"] = statistics.median(sides[0]) / statistics.median(sides[1])
        answer[f"{kind}_seconds"] = [min(side) for side in sides]
    return answer


def line(name, row):
    ours, bare = row["wall_seconds"]
    return (
        f"{name:<16}{bare:9.3f} s{ours:9.3f} s{row['wall_min']:8.2f}{row['wall_median']:8.2f}"
        f"{row['cpu_min']:8.2f}{row['cpu_median']:8.2f}"
    )


def main() -> int:
    """Measures the chosen networks; returns 1 if a goal is missed."""
    parser = arguments_of(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(WORKLOADS))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="at least 2")
    parser.add_argument("--steps", type=int, help="training steps per epoch")
    parser.add_argument("--overrides", nargs="*", default=[], help="further settings of samerun")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(WORKLOADS):
        parser.error(f"received {min(unknown)}, expected one of {', '.join(WORKLOADS)}")
    rows, times = {}, {}
    head = f"{'fastest epoch':<16}{'bare':>11}{'samerun':>11}"
    print(f"{head}{'wall':>8}{'median':>8}{'cpu':>8}{'median':>8}")
    for name in chosen.names or WORKLOADS:
        times[name] = measured(
            name,
            pairs=chosen.pairs,
            epochs=chosen.epochs,
            steps=chosen.steps or STEPS[name],
            extra=chosen.overrides,
        )
        rows[name] = ratios(times[name])
        print(line(name, rows[name]), flush=True)
    values = [row["wall_min"] for row in rows.values()]
    worst = max(rows, key=lambda name: rows[name]["wall_min"])
    figures = [
        Figure(f"an epoch, samerun / bare, the slowest ({worst})", max(values), WORST),
        Figure(
            "an epoch, samerun / bare, median of the networks",
            statistics.median(values),
            MEDIAN,
            min(values),
            max(values),
        ),
    ]
    return finish(figures, chosen.json, {"ratios": rows, "seconds": times})


if __name__ == "__main__":
    sys.exit(main())
