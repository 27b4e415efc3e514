"""Measures what determinism, checkpoints, TensorBoard and the recording cost, each switched off.

The network of Keras's introduction to images on images of 28×28, in fresh processes in turns: with
samerun's defaults, with `training.deterministic=false`, without checkpoints, without TensorBoard,
and recorded nowhere (a run without spool and delivery). An epoch lasts from its start to that of
the next one, so everything that happens between two epochs counts; the first one, which includes
the tracing, does not.

    python benchmarks/costs.py [--pairs 3] [--images 20000] [--epochs 8] [--json FILE]

A cost is the ratio of the fastest epochs, on / off, the median over the pairs; each has to be at
most 1.03. What the processors did in an epoch is printed beside it: it depends less on what else
the machine does, but leaves out waits for the disk. About eight minutes on two cores.
"""

import argparse
import functools
import json
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import PEERS, Ran, alternately, arguments_of, finish, middle, run, workspace
from whole_process import write_images

LIMIT = 1.03
SWITCHES = {
    "determinism": ("training.deterministic=false",),
    "a checkpoint per epoch": ("checkpoint.every_epochs=null",),
    "TensorBoard": ("tracking.tensorboard=false",),
    "spool and delivery": (),
}
"""What is measured, and the overrides that switch it off; the last one is no setting."""
RECORDED = "everything on"


def train(overrides: list[str], is_recorded: bool) -> None:
    """Trains a run; prints the seconds of its epochs after the first, of clock and processors."""
    import keras
    from rich.console import Console

    import samerun
    from samerun import training
    from samerun.tracking import NullRun

    ticks = []

    def ticking(method: Any) -> Any:
        @functools.wraps(method)
        def called(*arguments: Any, **options: Any) -> Any:
            used = resource.getrusage(resource.RUSAGE_SELF)
            ticks.append((time.perf_counter(), used.ru_utime + used.ru_stime))
            return method(*arguments, **options)

        return called

    for name in ("on_epoch_begin", "on_train_end"):
        method = getattr(keras.callbacks.CallbackList, name)
        setattr(keras.callbacks.CallbackList, name, ticking(method))
    if is_recorded:
        samerun.train(overrides)
    else:
        training.train(samerun.compose(overrides).config, NullRun(), Console(file=sys.stderr))
    spans = list(zip(ticks[1:], ticks[2:], strict=False))
    print(json.dumps([[end[at] - start[at] for start, end in spans] for at in range(2)]))


def measured(name: str, data: Path, epochs: int, _: int) -> Ran:
    """Trains in a process of its own, in a new folder."""
    overrides = [
        *("model=custom", "model.target=tutorial:build", "dataset=npz", f"dataset.path={data}"),
        *("dataset.batch_size=128", f"training.epochs={epochs}", *SWITCHES.get(name, ())),
        *("tracking.log_figures=false", "tracking.log_model=false"),
    ]
    place = Path(tempfile.mkdtemp(dir=data.parent))
    shutil.copyfile(PEERS / "tutorial.py", place / "tutorial.py")
    options = ["--train", json.dumps(overrides)]
    options += ["--unrecorded"] if name == "spool and delivery" else []
    variables = {"PYTHONPATH": str(place)}
    return run([sys.executable, __file__, *options], place, variables=variables)


def show(times: dict[str, list[list[list[float]]]]) -> None:
    """Prints a line for everything on and for each switch.

    Args:
        times: by name, of each run the seconds of its epochs, of the clock and of the processors.
    """
    print(f"{'seconds of an epoch':<32}{'minimum':>9}{'median':>9}{'processor':>11}{'median':>9}")
    for name, runs in times.items():
        off = "" if name == RECORDED else "without "
        wall, processor = ([value for run_ in runs for value in run_[at]] for at in range(2))
        cells = f"{min(wall):>9.3f}{statistics.median(wall):>9.3f}"
        cells += f"{min(processor):>11.3f}{statistics.median(processor):>9.3f}"
        print(f"{off + name:<32}{cells}")


def main() -> int:
    parser = arguments_of(__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=8, help="at least 3")
    parser.add_argument("--train", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--unrecorded", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train(given.train, not given.unrecorded)
        return 0
    with workspace() as folder:
        data = folder / "images.npz"
        write_images(data, given.images)
        measures = {
            name: functools.partial(measured, name, data, given.epochs)
            for name in (RECORDED, *SWITCHES)
        }
        found = alternately(measures, given.pairs)
    times = {
        name: [json.loads(ran.output.splitlines()[-1]) for ran in rans]
        for name, rans in found.items()
    }
    show(times)
    seconds = {name: [wall for wall, _ in runs] for name, runs in times.items()}
    figures = []
    for name in SWITCHES:
        pairs = zip(seconds[RECORDED], seconds[name], strict=True)
        ratios = [min(on) / min(off) for on, off in pairs]
        figures.append(middle(f"seconds of an epoch with / without {name}", ratios, LIMIT))
    return finish(figures, given.json, times)


if __name__ == "__main__":
    sys.exit(main())
