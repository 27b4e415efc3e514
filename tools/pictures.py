"""Takes the pictures of README and docs/ from real runs: `make pictures`.

    python tools/pictures.py [--keep FOLDER]

It trains what the pictures show, about ten minutes on two cores, opens `samerun ui` and a page of
`samerun compare --html` in headless Chromium, and copies figures that runs store as artifacts. Look
at what it wrote before you commit it: `git diff --stat docs`.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import PIL.Image

DOCS = Path(__file__).resolve().parents[1] / "docs"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PORT = 5095
DROPOUTS = ("0.1", "0.3", "0.5")
SPACE = [
    "model.dropout=interval(0,0.6)",
    "optimizer.learning_rate=tag(log,interval(1e-4,1e-1))",
    "optimizer=adam,sgd",
]
COMMANDS = [
    *(
        ["train", "model=mlp", f"model.dropout={dropout}", "training.epochs=8"]
        for dropout in DROPOUTS
    ),
    ["train", "-m", "model=cnn", "schedule=constant,cosine,one_cycle", "training.epochs=8"],
    ["train", "-m", "model=mlp", "sweep=optuna", "sweep.study=night", "training.epochs=6"]
    + ["sweep.n_trials=12", *SPACE],
    ["train", "experiment=digits_cnn"],
    ["train", "experiment=google_lstm"],
    ["train", "-m", "experiment=digits_cnn", "sweep=regularisation", "sweep.study=pruned"]
    + ["sweep.n_trials=24"],
]


def samerun(*arguments: str, folder: Path) -> str:
    """Runs a command in a folder and returns what it printed.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [sys.executable, "-m", "samerun", *arguments]
    return subprocess.run(command, cwd=folder, check=True, text=True, stdout=subprocess.PIPE).stdout


def photograph(address: str, picture: Path, *, size: tuple[int, int], wait: int = 0) -> None:
    """Stores what Chromium shows of a page, in 256 colors.

    Args:
        address: of the page.
        picture: where it is stored, as PNG.
        size: of the window, in pixels.
        wait: seconds of the page's own time until its scripts have run.
    """
    if CHROMIUM is None:
        raise SystemExit("Chromium is missing: install the package chromium.")
    with tempfile.TemporaryDirectory() as profile:
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"]
        command += [f"--virtual-time-budget={wait * 1000}"] if wait else []
        command += [f"--screenshot={picture}", address]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    compress(picture, picture)


def compress(source: Path, target: Path) -> None:
    """Stores a picture with a palette of 256 colors, a third of the size."""
    with PIL.Image.open(source) as image:
        image.convert("RGB").quantize(256).save(target, optimize=True)


def of_the_ui(folder: Path, picture: str, *arguments: str, height: int) -> None:
    """Photographs the page that `samerun ui` prints."""
    command = [sys.executable, "-m", "samerun", "ui", *arguments, "--port", str(PORT)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = next(line.strip() for line in server.stdout if line.startswith("http://"))
            photograph(address, DOCS / picture, size=(1400, height), wait=30)
        finally:
            server.terminate()


def artifact(folder: Path, pattern: str, picture: str) -> None:
    """Copies the newest figure that matches a pattern."""
    newest = max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    compress(newest, DOCS / picture)


def take(folder: Path, commands: Sequence[Sequence[str]] = COMMANDS) -> None:
    """Trains in a folder and takes the pictures."""
    for command in commands:
        print("samerun", *command, flush=True)
        samerun(*command, folder=folder)
    cnn = samerun("runs", 'params.model = "cnn"', "--csv", folder=folder).splitlines()[1]
    mlp = samerun("runs", 'params.model.dropout = "0.5"', "--csv", folder=folder).splitlines()[1]
    ids = [line.split(",")[0] for line in (cnn, mlp)]
    samerun("compare", *ids, "--html", "compare.html", folder=folder)
    page = (folder / "compare.html").resolve().as_uri()
    for width, height, name in ((1400, 900, "compare.png"), (700, 1000, "compare-narrow.png")):
        photograph(page, DOCS / name, size=(width, height))
    of_the_ui(folder, "runs.png", height=460)
    of_the_ui(folder, "sweep-in-mlflow.png", "night", height=760)
    artifact(folder, "multirun/**/pruned/**/intermediate_values.png", "sweep.png")
    artifact(folder, "mlruns/**/plots/mistakes.png", "mistakes.png")
    artifact(folder, "mlruns/**/plots/forecast.png", "forecast.png")
    artifact(folder, "multirun/**/curves.png", "curves.png")


def main() -> None:
    """Takes all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="train in this folder, or use what it has")
    kept = parser.parse_args().keep
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
            take(Path(folder))
    else:
        is_trained = kept.exists()
        kept.mkdir(parents=True, exist_ok=True)
        take(kept, () if is_trained else COMMANDS)


if __name__ == "__main__":
    main()
