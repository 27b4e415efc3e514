"""Takes the pictures of README and docs/ from real runs: `make pictures`.

    python tools/pictures.py [--keep FOLDER]

It trains what the pictures show, about ten minutes on two cores, opens `samerun ui` and a page of
`samerun compare --html` in headless Chromium, and copies figures that runs store as artifacts. Look
at what it wrote before you commit it: `git diff --stat docs`.
"""

import argparse
import base64
import json
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import PIL.Image
import recording

DOCS = Path(__file__).resolve().parents[1] / "docs"
PORT = 5095
CLOSED = ("mlflow.experiment_page.shared_view.dismiss", "mlflow.assistant.chat_panel.close")
"""What MLflow opens beside the runs when a browser is new, and a person closes."""
DROPOUTS = ("0.1", "0.3", "0.5")
MISTAKES_OF = "experiment=digits_cnn"
"""The run whose mistakes are shown, also where a trial of a sweep has drawn newer ones."""
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
    ["train", MISTAKES_OF],
    ["train", "experiment=google_lstm"],
]
RECORDED = (
    "samerun train -m experiment=digits_cnn sweep=regularisation sweep.n_trials=24 "
    "sweep.study=pruned"
)


def samerun(*arguments: str, folder: Path) -> str:
    """Runs a command in a folder and returns what it printed.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [sys.executable, "-m", "samerun", *arguments]
    return subprocess.run(command, cwd=folder, check=True, text=True, stdout=subprocess.PIPE).stdout


class Browser:
    """Chromium without a screen, through chromedriver's own HTTP interface (W3C WebDriver)."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Starts it with a window of this size, in pixels."""
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options = {"args": [*arguments, f"--window-size={size[0]},{size[1]}"]}
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={PORT + 1}"], stdout=subprocess.DEVNULL
        )
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        self._session = f"/session/{self._call('POST', '/session', wanted)['sessionId']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._call("DELETE", self._session)
        self._driver.terminate()
        self._driver.wait()

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{PORT + 1}{path}", data, method=method)
        for _ in range(100):
            try:
                with urllib.request.urlopen(request, timeout=300) as answer:
                    return json.load(answer)["value"]
            except urllib.error.HTTPError:
                raise
            except urllib.error.URLError:  # chromedriver is not ready yet
                time.sleep(0.1)
        raise SystemExit("chromedriver is missing: install the package chromium-driver.")

    def photograph(self, address: str, picture: Path, *, wait: float = 1) -> None:
        """Stores what a page shows some seconds after it was opened, in 256 colors."""
        self._call("POST", f"{self._session}/url", {"url": address})
        time.sleep(wait)
        close = "document.querySelectorAll(arguments[0]).forEach(button => button.click())"
        script = {
            "script": close,
            "args": [", ".join(f'[data-component-id="{x}"]' for x in CLOSED)],
        }
        self._call("POST", f"{self._session}/execute/sync", script)
        time.sleep(1)
        picture.write_bytes(base64.b64decode(self._call("GET", f"{self._session}/screenshot")))
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
            with Browser((1400, height)) as browser:
                browser.photograph(address, DOCS / picture, wait=20)
        finally:
            server.terminate()


def run_id(selection: str, folder: Path) -> str:
    """Returns the ID of the run that a filter finds; of several, the oldest."""
    return samerun("runs", selection, "--csv", folder=folder).splitlines()[-1].partition(",")[0]


def artifact(folder: Path, pattern: str, picture: str) -> None:
    """Copies the newest figure that matches a pattern."""
    newest = max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    compress(newest, DOCS / picture)


def take(folder: Path, commands: Sequence[Sequence[str]] = COMMANDS) -> None:
    """Trains in a folder and takes the pictures."""
    for command in commands:
        print("samerun", *command, flush=True)
        samerun(*command, folder=folder)
    if commands:
        print(RECORDED, flush=True)
        frames = list(recording.record(shlex.split(RECORDED), folder.resolve()))
        drawn = recording.draw(f"$ {RECORDED}", frames, speed=8)
        (DOCS / "sweep-in-terminal.svg").write_text(drawn, encoding="utf-8")
    filters = [f'params.model = "mlp" and params.model.dropout = "{one}"' for one in DROPOUTS]
    ids = [run_id(one, folder) for one in filters]
    samerun("compare", *ids, "--html", "compare.html", folder=folder)
    page = (folder / "compare.html").resolve().as_uri()
    with Browser((1000, 740)) as browser:
        browser.photograph(page, DOCS / "compare.png")
    of_the_ui(folder, "runs.png", height=740)
    of_the_ui(folder, "sweep-in-mlflow.png", "night", height=830)
    artifact(folder, "multirun/**/pruned/**/intermediate_values.png", "sweep.png")
    shown = run_id(f"tags.`samerun.command` LIKE '%train {MISTAKES_OF}'", folder)
    artifact(folder, f"mlruns/**/{shown}/artifacts/plots/mistakes.png", "mistakes.png")
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
