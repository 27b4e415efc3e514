"""A user's project with samerun's wheel: everything that `samerun init` writes is used.

    python tests/programs/own_project_walk.py [--wheel FILE]

In a new environment and a folder outside this repository: the targets of its Makefile, the steps
of its workflow in a clone, its notebook, the entry points of its MLproject, and the gate of
`samerun verify`, which passes, and fails where a bit of a weight or the code is another one.
On a quiet machine it takes some minutes: mostly imports of TensorFlow, in about twenty processes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.bundles import with_another_weight
from support.environments import build_wheel, install, locked, new_environment

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = """
import sys
import nbclient, nbformat
book = nbformat.read("notebook.ipynb", as_version=4)
nbclient.NotebookClient(book, timeout=600).execute()
print(*(one.get("text") or one["data"]["text/plain"] for cell in book.cells
        if cell.cell_type == "code" for one in cell.outputs[-1:]), sep="\\n")
"""
GIT = ["git", "-c", "user.name=me", "-c", "user.email=me@example.invalid"]
IF_BUNDLES = "hashFiles('runs/*.zip') != ''"
"""The one condition of the workflow, which holds here."""


class Walk:
    """Commands that are typed one after the other.

    Args:
        python: of the environment, which is activated.
        pins: file with the versions that pip takes.
    """

    def __init__(self, python: Path, pins: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTHON"))}
        path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
        self._environment = {**kept, "PATH": path, "PIP_CONSTRAINT": str(pins)}
        self._environment["VIRTUAL_ENV"] = str(python.parents[1])
        self.num_failed = 0

    def type(self, command: str, folder: Path, *, code: int = 0, shows: str = "") -> str:
        """Runs a line of a shell; returns what it prints.

        Args:
            command: the line.
            folder: where.
            code: the exit code that is expected.
            shows: what has to be in what it prints.
        """
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        is_good = done.returncode == code and shows in done.stdout
        line = command if "\n" not in command else command.split("\n")[0] + "…"
        print(f"{'ok  ' if is_good else 'FAIL'} {time.monotonic() - began:5.0f} s  {line}")
        if not is_good:
            self.num_failed += 1
            print(f"exit code {done.returncode}, expected {code} and {shows!r}\n{done.stdout}")
        sys.stdout.flush()
        return done.stdout


def main() -> int:
    """Walks; the exit code is 1 if a command does something else than it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="of samerun; built here by default")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="own-project-") as place:
        base = Path(place)
        wheel = chosen.wheel.resolve() if chosen.wheel else build_wheel(ROOT, base / "wheel")
        pins = locked(base)
        python = new_environment(base / "env")
        more = ("pip", "nbclient", "ipykernel")
        install(python, str(wheel), *more, "-c", str(pins))
        walk = Walk(python, pins)
        walk.type("samerun init mine", base, shows="The project mine is in mine.")
        mine = base / "mine"
        use(walk, mine)
        gate(walk, mine, wheel)
    print(f"{walk.num_failed} failed")
    return 1 if walk.num_failed else 0


def use(walk: Walk, mine: Path) -> None:
    """Uses the Makefile, the notebook and the MLproject."""
    walk.type("pip install --quiet -e '.[test]'", mine)
    walk.type("make test", mine, shows=" passed")
    walk.type("make train", mine, shows="samerun reproduce")
    walk.type("make sweep", mine, shows="samerun reproduce")
    (mine / "run_notebook.py").write_text(NOTEBOOK)
    walk.type("python run_notebook.py", mine, shows="EXACT")
    (mine / "run_notebook.py").unlink()
    run = "mlflow run . --env-manager local"
    walk.type(f"{run} -e train -P experiment=rings -P epochs=3 -P seed=4", mine, shows="succeeded")
    walk.type("samerun show latest --json", mine, shows='"training.epochs": "3"')
    walk.type(f"{run} -e test", mine, shows="succeeded")


def gate(walk: Walk, mine: Path, wheel: Path) -> None:
    """Runs the workflow in a clone; then changes what `samerun verify` has to find."""
    walk.type("samerun train experiment=rings training.epochs=3", mine)
    walk.type("mkdir runs && samerun bundle latest runs/first.zip --trust mine", mine)
    settings = mine / "pyproject.toml"
    settings.write_text(settings.read_text().replace('# verify = ["', 'verify = ["'))
    walk.type(f"mkdir wheels && cp {wheel} wheels/", mine)
    git = " ".join(f"'{part}'" for part in GIT)
    walk.type(f"git init -q && git add . && {git} commit -qm 'all of it'", mine)
    walk.type("git clone -q mine clone", mine.parent)
    clone = mine.parent / "clone"
    workflow = yaml.safe_load((clone / ".github/workflows/ci.yml").read_text())
    for step in workflow["jobs"]["test"]["steps"]:
        if "run" in step:
            assert step.get("if", IF_BUNDLES) == IF_BUNDLES, step
            last = walk.type(step["run"], clone)
    print("\n".join(last.splitlines()[-1:]))
    verify = "samerun verify --trust mine"
    for number in range(2):  # in a new store each time, as in a checkout
        walk.type(f"git clone -q mine changed{number}", mine.parent)
    weights, code = mine.parent / "changed0", mine.parent / "changed1"
    with_another_weight(weights / "runs/first.zip")
    shown = walk.type(verify, weights, code=1, shows="FAIL  runs/first.zip  CLOSE")
    print("\n".join(shown.splitlines()[-1:]))
    models = code / "src/mine/models.py"
    models.write_text(models.read_text().replace('"relu"', '"tanh"'))
    shown = walk.type(verify, code, code=1, shows="FAIL  runs/first.zip  DIFFERENT")
    print("\n".join(shown.splitlines()[-1:]))


if __name__ == "__main__":
    sys.exit(main())
