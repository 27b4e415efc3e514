"""Measures how long commands that only answer take, each in a process of its own.

Help, the list of commands, Tab completion of a key and of a run, mistakes, the list of runs, one
run, and an ID that does not exist, in a folder with one run.

    python benchmarks/quick_answers.py [--repeats 5] [--limit 0.5] [--json FILE]

The figures are medians of the seconds of the whole process; on a busy machine look at processor
seconds. Fails if one is above the limit. Half a minute on two cores.
"""

import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import Ran, alternately, arguments_of, finish, middle, run, summary, workspace

SAMERUN = (sys.executable, "-m", "samerun")
ANSWERS: dict[str, tuple[Sequence[str], int, dict[str, str]]] = {
    "samerun --help": (["--help"], 0, {}),
    "samerun train --help": (["train", "--help"], 0, {}),
    "completion of a key": (["-sc", "query=bash"], 0, {"COMP_LINE": "samerun train model.dr"}),
    "completion of a run": (["-sc", "query=bash"], 0, {"COMP_LINE": "samerun show "}),
    "a mistake in a name": (["train", "model=cn"], 2, {}),
    "a mistake in a key": (["train", "model.dropot=0.3"], 2, {}),
    "samerun runs": (["runs"], 0, {}),
    "samerun show latest": (["show", "latest"], 0, {}),
    "a wrong ID": (["show", "zzzz"], 2, {}),
}
"""The arguments of each, its exit code, and what is added to the environment."""


def ask(name: str, folder: Path, number: int) -> Ran:
    """Runs a command once."""
    arguments, code, variables = ANSWERS[name]
    return run([*SAMERUN, *arguments], folder, code=code, variables=variables)


def main() -> int:
    parser = arguments_of(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit", type=float, default=0.5)
    given = parser.parse_args()
    with workspace() as folder:
        run([*SAMERUN, "train", "model=mlp", "debug=fast"], folder)
        measures = {name: functools.partial(ask, name, folder) for name in ANSWERS}
        alternately(measures, 1)  # warms the file cache
        found = alternately(measures, given.repeats)
    print("\n".join(summary(found)))
    figures = [
        middle(f"{name}, seconds", [ran.seconds for ran in rans], given.limit)
        for name, rans in found.items()
    ]
    processor = {name: [ran.processor for ran in rans] for name, rans in found.items()}
    return finish(figures, given.json, {"processor seconds": processor})


if __name__ == "__main__":
    sys.exit(main())
