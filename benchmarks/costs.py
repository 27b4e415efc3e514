"""Measures what determinism, checkpoints, TensorBoard and the recording cost, each switched off.

The network of Keras's introduction to images on images of 28×28: with samerun's defaults, with
`training.deterministic=false`, without checkpoints, without TensorBoard, and recorded nowhere (a
run without spool and delivery). Each is a process, and they train in turns, an epoch at a time,
while the others are stopped. An epoch lasts from its start to that of the next one, so everything
that happens between two epochs counts; the first one, which includes the tracing, does not, and the
second neither, where several steps an execution may be traced.

    python benchmarks/costs.py [--rounds 7] [--images 20000] [--json FILE]

A cost is the ratio on / off of what the processors did in an epoch, the median over the rounds;
each has to be at most 1.03. The processors decide because the seconds of equal epochs differ by
more than 3 % on a virtual machine; these leave out waits for the disk, so the ratios of the clock
are printed beside them. Four minutes on two cores, and five times the memory of a run.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import PEERS, Figure, arguments_of, finish, middle, workspace
from turns import Epochs, epochs_in_turns, wait_for_turns
from whole_process import write_images

LIMIT = 1.03
LENGTH = 60
"""Epochs of the run of which the first are trained."""
SWITCHES = {
    "determinism": ("training.deterministic=false",),
    "a checkpoint per epoch": ("checkpoint.every_epochs=null",),
    "TensorBoard": ("tracking.tensorboard=false",),
    "spool and delivery": (),
}
"""What is measured, and the overrides that switch it off; the last one is no setting."""
RECORDED = "everything on"


def train(overrides: list[str], is_recorded: bool) -> None:
    """Trains a run, each epoch when it is its turn."""
    from rich.console import Console

    import samerun
    from samerun import training
    from samerun.tracking import NullRun

    wait_for_turns()
    if is_recorded:
        samerun.train(overrides)
    else:
        folder = Path("run")  # a temporary one would outlive this process, which is killed
        folder.mkdir()
        training.train(samerun.compose(overrides).config, NullRun(folder), Console(file=sys.stderr))


def command(name: str, data: Path) -> tuple[list[str], Path]:
    """Returns what trains without one of the switches, and its new folder."""
    overrides = [
        *("model=custom", "model.target=tutorial:build", "dataset=npz", f"dataset.path={data}"),
        *("dataset.batch_size=128", f"training.epochs={LENGTH}", *SWITCHES.get(name, ())),
    ]
    place = data.parent / name
    place.mkdir()
    shutil.copyfile(PEERS / "tutorial.py", place / "tutorial.py")
    options = ["--train", json.dumps(overrides)]
    options += ["--unrecorded"] if name == "spool and delivery" else []
    return [sys.executable, __file__, *options], place


def ratios(on: Sequence[float], off: Sequence[float]) -> list[float]:
    """Returns the ratios of a round each."""
    return [one / other for one, other in zip(on, off, strict=True)]


def show(found: dict[str, Epochs]) -> None:
    """Prints a line for everything on and for each switch."""
    head = f"{'an epoch':<32}{'minimum s':>10}{'median':>8}{'processors':>12}{'median':>8}"
    print(f"{head}{'steps per execution':>21}")
    for name, one in found.items():
        off = "" if name == RECORDED else "without "
        cells = f"{min(one.wall):>10.3f}{statistics.median(one.wall):>8.3f}"
        cells += f"{min(one.cpu):>12.3f}{statistics.median(one.cpu):>8.3f}"
        cells += f"{one.steps_per_execution:>21}"
        print(f"{off + name:<32}{cells}")
    for name in SWITCHES:
        clock = ratios(found[RECORDED].wall, found[name].wall)
        spread = f"{statistics.median(clock):.3g} ({min(clock):.3g} to {max(clock):.3g})"
        print(f"seconds of the clock with / without {name}: {spread}")


def main() -> int:
    parser = arguments_of(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--train", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--unrecorded", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train(given.train, not given.unrecorded)
        return 0
    with workspace() as folder:
        data = folder / "images.npz"
        write_images(data, given.images)
        commands = {name: command(name, data) for name in (RECORDED, *SWITCHES)}
        found = epochs_in_turns(commands, given.rounds, traced=2)
    show(found)
    figures: list[Figure] = []
    for name in SWITCHES:
        values = ratios(found[RECORDED].cpu, found[name].cpu)
        what = f"processor time of an epoch with / without {name}"
        figures.append(middle(what, values, LIMIT))
    times = {name: {"wall": one.wall, "cpu": one.cpu} for name, one in found.items()}
    return finish(figures, given.json, times)


if __name__ == "__main__":
    sys.exit(main())
