"""Measures what remembering Hydra's compositions saves, and that it changes none of them.

Each line is composed three times in a process that remembers what Hydra loaded and merged, and in
one in which Hydra does everything again; all config texts and messages have to be equal. Processor
time is measured, of the first composition of a process, of the same options with another value, and
of other options.

    python benchmarks/composition.py [--repeats 4]

Fails if a text differs, or if a further composition of the same options takes more than half of the
time. About two minutes on one core.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time

from samerun.config import composition, hydra_internals
from samerun.config.schema import options
from samerun.errors import UserError

ALLOWED = 0.5
GROUPS = ("model", "dataset", "optimizer", "schedule", "debug")
FIRST = ["model=mlp", "training.epochs=1"]
SAME = [["model=mlp", f"training.epochs={number}"] for number in range(2, 8)]
OTHER = [
    [f"model={model}", f"optimizer={optimizer}"]
    for model in ("cnn", "lenet5")
    for optimizer in ("sgd", "lion", "nadam")
]
WRONG = [["model=nope"], ["model.dropot=0.3"], ["training.epochs=ten"], ["model=lstm"]]


def seconds(line: list[str]) -> float:
    """Returns the processor time of composing a line."""
    before = time.process_time()
    composition.compose(line)
    return time.process_time() - before


def text_of(line: list[str]) -> str:
    """Returns everything that a line is composed to, or the message that refuses it."""
    try:
        made = composition.compose(line)
        return repr((made.config, made.composed, made.resolved))
    except UserError as error:
        return str(error)


def measure(is_plain: bool) -> dict[str, object]:
    """Returns times and texts of this process, in which Hydra remembers nothing if it is plain."""
    if is_plain:
        hydra_internals.install = lambda: None  # type: ignore[assignment]
    found: dict[str, object] = {"the first one of a process": seconds(FIRST)}
    seconds(SAME[0])  # the second one is the first that is kept
    found["a further one with the same options"] = statistics.median(map(seconds, SAME[1:]))
    found["a further one with other options"] = statistics.median(map(seconds, OTHER))
    lines = [[f"{group}={option}"] for group in GROUPS for option in options(group)] + WRONG
    found["texts"] = [text_of(line) for line in lines for _ in range(1 if is_plain else 3)]
    return found


def main() -> int:
    """Measures in processes of their own; prints medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--process", choices=["plain", "remembering"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.process:
        print(json.dumps(measure(chosen.process == "plain")))
        return 0
    found: dict[str, list[dict[str, object]]] = {"plain": [], "remembering": []}
    for _ in range(chosen.repeats):
        for kind, measured in found.items():
            program = [sys.executable, __file__, "--process", kind]
            measured.append(json.loads(subprocess.check_output(program, text=True)))
    plain, remembering = found["plain"][0]["texts"], found["remembering"][0]["texts"]
    is_equal = remembering == [text for text in plain for _ in range(3)]
    where = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{datetime.date.today()}, {where}, medians of {chosen.repeats} processes")
    ratio = 0.0
    for case in [name for name in found["plain"][0] if name != "texts"]:
        before, after = (statistics.median(one[case] for one in found[kind]) for kind in found)
        ratio = after / before
        print(f"{case:36} {before * 1000:5.0f} ms  {after * 1000:5.0f} ms  {ratio:.2f}")
        if "same" in case and ratio > ALLOWED:
            is_equal = False
    print(f"{len(plain)} lines composed: {'all texts equal' if is_equal else 'FAILED'}")
    return 0 if is_equal else 1


if __name__ == "__main__":
    sys.exit(main())
