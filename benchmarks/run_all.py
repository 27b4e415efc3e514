"""Runs the benchmarks and writes their output to benchmarks/RESULTS.md: `make bench`.

    python benchmarks/run_all.py [NAME …]

Each section has the command, the date, the machine and the exit code, which is not 0 if the
benchmark missed its limit; then this program ends with 1. Without names all of them run; `soak`
alone takes half an hour.
"""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
COMMANDS = {
    "augmentation": [],
    "composition": [],
    "determinism": [],
    "epochs": [],
    "false_winners": [],
    "mistakes": ["--limit", "1"],
    "predict": [],
    "pruning": [],
    "skewed_sweep": ["--repeats", "2"],
    "soak": ["--minutes", "30"],
    "store_of_2000": [],
    "streaming": [],
}


def machine() -> str:
    """Returns processor, number of cores, and versions of Python and TensorFlow."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.processor() or platform.machine()
    tensorflow = importlib.metadata.version("tensorflow")
    python = platform.python_version()
    return f"{os.cpu_count()} cores of {processor}, Python {python}, TensorFlow {tensorflow}"


def run(name: str) -> tuple[int, str]:
    """Runs a benchmark; returns its exit code and its section of the page."""
    command = ["python", f"benchmarks/{name}.py", *COMMANDS[name]]
    arguments = [sys.executable, str(FOLDER / f"{name}.py"), *COMMANDS[name]]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, cwd=FOLDER.parent)
    today = datetime.date.today().isoformat()
    heading = f"`{' '.join(command)}`, {today}, {machine()}; exit code {done.returncode}"
    return done.returncode, f"## {name}\n\n{heading}\n\n```\n{done.stdout.strip()}\n```\n"


def main() -> int:
    """Runs the benchmarks that the command line names, or all, and writes the page."""
    names = sys.argv[1:] or list(COMMANDS)
    if unknown := sorted(set(names) - set(COMMANDS)):
        print(f"{unknown[0]}: no such benchmark, expected one of {', '.join(COMMANDS)}.")
        return 2
    done = {name: run(name) for name in names}
    sections = "\n".join(section for _, section in done.values())
    page = FOLDER / "RESULTS.md"
    page.write_text(f"# Benchmark results\n\n{sections}", encoding="utf-8")
    failed = [name for name, (code, _) in done.items() if code]
    if failed:
        print(f"{', '.join(failed)}: failed or missed the limit, see {page}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
