"""Measures how long `samerun train` takes to answer a mistake, each in a process of its own.

Runs every line of the table of mistakes that the tests check (tests/support/mistakes.py), and each
key that takes a function of your own with a file that is missing, broken, or lacks the function.

    python benchmarks/mistakes.py [--limit 0.5] [--lines NUMBER] [--json FILE]

Prints the number of lines, their exit codes, and the median and slowest time; fails if a line exits
with another code than 2, prints more than one line, leaves a file behind, or if the slowest takes
longer than the limit.
"""

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import Figure, arguments_of, finish

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from support.mistakes import MISTAKES  # noqa: E402

OWN_CODE = {
    "my_code.py": "import keras\n\ndef build(spec, width=64):\n    return keras.Sequential()\n",
    "broken.py": "import keras\n\ndef build(:\n",
    "noise.py": "\x00\n",
}
OWN_KEYS = {
    "model.target={}": "model=custom",
    "dataset.target={}": "dataset=custom",
    "optimizer.target={}": "optimizer=custom",
    "schedule.target={}": "schedule=custom",
    "training.loss={}": "",
    "training.metrics=[{}]": "",
    "training.callbacks=[{}]": "",
}
OWN_TARGETS = (
    "my_code:buidl",
    "my_code.py:build",
    "nowhere:build",
    "broken:build",
    "noise:build",
)


@dataclass(frozen=True)
class Answer:
    """How `samerun train` answered a line.

    Args:
        line: what was typed.
        seconds: how long the process took.
        processor: its processor time in seconds.
        fault: what is wrong with the answer; empty if nothing is.
    """

    line: str
    seconds: float
    processor: float
    fault: str
    code: int


def lines() -> list[str]:
    """Returns every line to type after `samerun train`."""
    own = [
        f"{group} {key.format(target)}".strip()
        for target in OWN_TARGETS
        for key, group in OWN_KEYS.items()
    ]
    return [*MISTAKES, *own]


def answer(line: str) -> Answer:
    """Runs a line in an empty folder with the user's own files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in OWN_CODE.items():
            folder.joinpath(file).write_text(text)
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "samerun", "train", *line.split()],
            cwd=folder,
            env={**os.environ, "COLUMNS": "100"},
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        left = sorted(path.name for path in folder.iterdir() if path.name not in OWN_CODE)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    fault = ""
    if done.returncode != 2:
        fault = f"exit code {done.returncode}"
    elif len(done.stderr.splitlines()) != 1 or not done.stderr.startswith("samerun: "):
        fault = f"{len(done.stderr.splitlines())} lines instead of one"
    elif left:
        fault = f"left {', '.join(left)} behind"
    return Answer(line, seconds, processor, fault, done.returncode)


def report(answers: Sequence[Answer]) -> None:
    """Prints the table."""
    codes = Counter(one.code for one in answers)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}")
    counted = ", ".join(f"{code} ({number} times)" for code, number in sorted(codes.items()))
    print(f"{len(answers)} mistakes, exit codes: {counted}")
    for name, times in (
        ("seconds", [one.seconds for one in answers]),
        ("processor seconds", [one.processor for one in answers]),
    ):
        print(f"{name}: median {statistics.median(times):.2f}, slowest {max(times):.2f}")
    for one in sorted(answers, key=lambda one: -one.seconds)[:10]:
        print(f"{one.seconds:6.2f}  {one.line}")
    for one in answers:
        if one.fault:
            print(f"FAILED: {one.line}: {one.fault}")


def main() -> int:
    """Runs every line, prints how long it took, and returns 1 if an answer is not as it should."""
    parser = arguments_of(__doc__)
    parser.add_argument("--limit", type=float, default=0.5, help="seconds that no line may exceed")
    parser.add_argument("--lines", type=int, help="number of lines to run; all of them by default")
    given = parser.parse_args()
    answer("lr=0.1")  # warms the file cache
    answers = [answer(line) for line in lines()[: given.lines]]
    report(answers)
    seconds = [one.seconds for one in answers]
    wrong = [one.line for one in answers if one.fault]
    slowest = f"slowest of {len(answers)} mistakes, seconds"
    figures = [
        Figure(slowest, max(seconds), given.limit, min(seconds), max(seconds)),
        Figure("mistakes with another answer than one sentence", len(wrong), 0),
    ]
    return finish(figures, given.json, {"seconds": {one.line: one.seconds for one in answers}})


if __name__ == "__main__":
    sys.exit(main())
