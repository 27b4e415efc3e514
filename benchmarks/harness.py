"""What the programs of `make bench` share: commands that are timed, peers' environments, figures.

    python benchmarks/harness.py            # resolve the packages of the peers again: peers/*.txt

A program prints its lines, ends with `return finish(...)`, and writes with `--json FILE`

    {"figures": [{"what": …, "value": …, "low": …, "high": …, "goal": "≤ 0.75", "met": true}],
     "detail": …}

where low and high are the spread of the value, if there is one, and the detail is whatever it
measured. It returns 1 if a figure misses its goal.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).resolve().parent / "peers"
PACKAGES = {
    "keras": ("tensorflow", "keras"),
    "mlflow": ("tensorflow", "keras", "mlflow", "tensorboard"),
    "optuna": ("tensorflow", "keras", "optuna"),
    "keras_tuner": ("tensorflow", "keras", "keras-tuner", "tensorboard"),
    "ray": ("tensorflow", "keras", "ray[tune]"),
    "hydra": (
        "hydra-core==1.4.0rc3",
        "hydra-optuna-sweeper==1.4.0rc3",
        "hydra-joblib-launcher==1.4.0rc3",
    ),
}
"""What each environment of a peer is for; `peers/NAME.txt` pins it with all that it needs."""
ON_TOP = ("hydra",)
"""Environments that also have all packages of this one, for peers that train samerun's runs."""


@dataclass(frozen=True)
class Figure:
    """A measured value and its goal.

    Args:
        what: what was measured, in what unit.
        value: the measured value, a median where there are several.
        limit: the largest value that meets the goal, or the smallest.
        low: the smallest of the values.
        high: the largest of them.
        is_floor: the limit is the smallest value that meets the goal.
    """

    what: str
    value: float
    limit: float
    low: float | None = None
    high: float | None = None
    is_floor: bool = False

    @property
    def goal(self) -> str:
        """The goal as text."""
        return f"{'≥' if self.is_floor else '≤'} {self.limit:g}"

    @property
    def met(self) -> bool:
        """Whether the value meets the goal."""
        return self.value >= self.limit if self.is_floor else self.value <= self.limit


def middle(what: str, values: Sequence[float], limit: float, *, is_floor: bool = False) -> Figure:
    """Returns the median of some values as a figure, with their spread."""
    low, high = min(values), max(values)
    return Figure(what, statistics.median(values), limit, low, high, is_floor=is_floor)


def finish(figures: Sequence[Figure], file: Path | None, detail: Any = None) -> int:
    """Prints the figures and writes them to a file; returns 1 if one misses its goal.

    Args:
        figures: what was measured.
        file: of `--json`.
        detail: what else is to be in it.
    """
    for one in figures:
        spread = f" ({one.low:.3g} to {one.high:.3g})" if one.low is not None else ""
        verdict = "met" if one.met else "MISSED"
        print(f"{one.what}: {one.value:.3g}{spread}, goal {one.goal}: {verdict}", flush=True)
    if file is not None:
        rows = [{**asdict(one), "goal": one.goal, "met": one.met} for one in figures]
        for row in rows:
            del row["limit"], row["is_floor"]
        text = json.dumps({"figures": rows, "detail": detail}, indent=1, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")
    return 0 if all(one.met for one in figures) else 1


def arguments_of(doc: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the option `--json`.

    Args:
        doc: the program's docstring.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    return parser


def machine() -> str:
    """Returns processor, number of cores, and versions of Python and TensorFlow."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.processor() or platform.machine()
    tensorflow = importlib.metadata.version("tensorflow")
    python = platform.python_version()
    return f"{os.cpu_count()} cores of {processor}, Python {python}, TensorFlow {tensorflow}"


@dataclass(frozen=True)
class Ran:
    """A command that has ended.

    Args:
        seconds: from its start to its end.
        processor: processor time of it and of its children, in seconds.
        output: what it wrote to its standard output.
    """

    seconds: float
    processor: float
    output: str


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the environment of a program that is measured: no other store, no GPU.

    Args:
        variables: added to it.
    """
    kept = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    kept |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    return kept | dict(variables or {})


def run(
    command: Sequence[object],
    folder: Path,
    *,
    code: int = 0,
    variables: Mapping[str, str] | None = None,
) -> Ran:
    """Runs a command and measures it.

    Args:
        command: program and arguments.
        folder: its working folder.
        code: the exit code to expect; another one ends this program.
        variables: added to the environment.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        before, began = os.times(), time.perf_counter()
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env=environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            check=False,
        )
        seconds, after = time.perf_counter() - began, os.times()
        texts = []
        for stream in (output, errors):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    if done.returncode != code:
        line = " ".join(map(str, command))
        sys.exit(f"{line}: exit code {done.returncode}\n{texts[0][-2000:]}\n{texts[1][-4000:]}")
    user = after.children_user - before.children_user
    system = after.children_system - before.children_system
    return Ran(seconds, user + system, texts[0])


def alternately(
    measures: Mapping[str, Callable[[int], Ran]], pairs: int, rare: Sequence[str] = ()
) -> dict[str, list[Ran]]:
    """Runs measurements in turn: A B C A B C …; returns the results of each.

    Args:
        measures: by name; each takes the number of the round.
        pairs: number of rounds.
        rare: those that only take part in the first round.
    """
    found: dict[str, list[Ran]] = {name: [] for name in measures}
    for number in range(pairs):
        for name, measure in measures.items():
            if number and name in rare:
                continue
            ran = measure(number)
            found[name].append(ran)
            line = f"{name:<28}{ran.seconds:8.2f} s, processor {ran.processor:8.2f} s"
            print(line, file=sys.stderr, flush=True)
    return found


def summary(found: Mapping[str, Sequence[Ran]]) -> Iterator[str]:
    """Yields a line for each command: minimum and median of its seconds and processor seconds."""
    yield f"{'':<28}{'minimum s':>11}{'median s':>11}{'maximum s':>11}{'processor s':>13}{'n':>4}"
    for name, rans in found.items():
        seconds = [ran.seconds for ran in rans]
        processor = statistics.median(ran.processor for ran in rans)
        middle_ = statistics.median(seconds)
        yield (
            f"{name:<28}{min(seconds):>11.2f}{middle_:>11.2f}{max(seconds):>11.2f}"
            f"{processor:>13.2f}{len(rans):>4}"
        )


def peer(name: str) -> Path:
    """Returns the Python of a peer's environment, which is made the first time: `.venv/bench/NAME`.

    Args:
        name: a key of `PACKAGES`.
    """
    pinned = PEERS / f"{name}.txt"
    folder = ROOT / ".venv" / "bench" / name
    python, stamp = folder / "bin" / "python", folder / "pinned.txt"
    if not stamp.exists() or stamp.read_bytes() != pinned.read_bytes():
        uv = str(Path(sys.executable).with_name("uv"))
        base = ["--quiet", "--python"]
        make = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)]
        subprocess.run(make, check=True)
        subprocess.run([uv, "pip", "sync", *base, str(python), str(pinned)], check=True)
        if name in ON_TOP:
            here = next(path for path in sys.path if path.endswith("site-packages"))
            site = next((folder / "lib").glob("python*/site-packages"))
            (site / "parent.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        else:  # compiles what the first measured process would compile
            names = [
                name.replace("-", "_").replace("[", ".").rstrip("]") for name in PACKAGES[name]
            ]
            run([python, "-c", f"import {', '.join(names)}"], folder)
        shutil.copyfile(pinned, stamp)
    return python


def end_in_order() -> None:
    """Lets SIGTERM and a closed terminal end this program like Ctrl-C, with what it has started."""

    def end(number: int, frame: object) -> None:
        sys.exit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), end)


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """Makes a temporary folder for the runs of a program, which ends in order if it is stopped."""
    end_in_order()
    with tempfile.TemporaryDirectory(prefix="samerun-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def lock() -> None:
    """Resolves the packages of the peers again, with samerun's versions of those that both need."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    ours = [line.removesuffix(" \\") for line in lines if line[:1].isalnum()]
    with workspace() as folder:
        known = folder / "constraints.txt"
        for name, packages in PACKAGES.items():
            others = ours
            if name in ON_TOP:  # a newer Hydra than ours, with the OmegaConf that it needs
                others = [line for line in ours if not line.startswith(("hydra-core", "omegaconf"))]
            known.write_text("\n".join(others))
            wanted = folder / f"{name}.in"
            wanted.write_text("\n".join(packages))
            command = [Path(sys.executable).with_name("uv"), "pip", "compile", "--universal"]
            options = ["--python-version", "3.11", "--no-emit-index-url", "--no-annotate"]
            options += ["--no-header", "--quiet", "--constraint", known]
            done = subprocess.run(
                [*map(str, [*command, *options]), str(wanted)],
                check=True,
                capture_output=True,
                text=True,
            )
            head = f"# {' '.join(packages)}; written by `python benchmarks/harness.py`\n"
            (PEERS / f"{name}.txt").write_text(head + done.stdout)


def today() -> str:
    """Returns the date."""
    return datetime.date.today().isoformat()


if __name__ == "__main__":
    lock()
