"""Walks through README in a fresh clone, in a terminal of 60 columns: every command works, pasted.

    python tests/programs/readme_walk.py [PAGE …] [--only TEXT …]

The commands are those of README's blocks and of its text, and those that the screens of these
commands print, each once for every kind of run that it is printed for. `bash` receives each of them
as it stands there, with these exceptions: README's training commands get a suffix that makes them
short, its IDs become those of two runs of the walk, and a server gets a free port and Ctrl-C when
it has answered. What is not typed is named in NOT_TYPED, with the reason.

With pages such as `docs/how-to/compare.md`, the commands of their blocks, tables and sentences are
typed instead, each page in a folder of its own that has the files and the runs that it names.
"""

import argparse
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from samerun import cli

ROOT = Path(__file__).parents[2]
COLUMNS = 60
SHORT = " training.epochs=1 dataset.limit=100"
SHORT_SWEEP = " training.epochs=4 dataset.limit=100 sweep.n_trials=2 sweep.workers=1"
NIGHT = "experiment=digits_cnn sweep=regularisation sweep.study=night"
NOT_TYPED = {
    "make test": "runs this program",
    "make bench": "takes hours",
    "samerun export ID --format onnx": "needs samerun[export]: tests/training/test_export.py",
    "samerun unbundle run.zip": "is for another store: tests/system/test_bundle_exact.py",
}
"""Commands of README that the walk leaves out, as they stand there, also where they are printed."""
NOT_TYPED_ON_PAGES = {
    r"^export |^read -rs|^source |^cd ": "changes the reader's shell",
    r"pip install|^python3? -m venv|^git pull|^make |^dashboard/": "installs packages",
    r"sweep\.cluster|^dask |^openssl |^createdb|10\.0\.0\.1": "tests/system/test_cluster.py",
    r"^chgrp|^chmod": "needs a group of the system",
    r"…|\[-|\bFILE\b|=MORE\b": "has a part that the reader chooses",
    r"sampler=gp": "needs samerun[gp]",
    r"add-user|set-password": "asks for a password: tests/system/test_server.py",
    r" /data/": "needs that folder",
    r"--sign|--verify-key": "needs a key: tests/unit/test_bundle.py",
    r"completion (zsh|fish)": "needs that shell: tests/system/test_completion.py",
    r"--take-over": "needs a second machine: tests/training/test_resume.py",
    r"--code": "needs a checkout with a commit: tests/system/test_reproduce_exact.py",
    r"^curl": "needs the server: tests/programs/five_doors.py",
    r"samerun generate": "needs a language model: tests/training/test_predict.py",
}
"""Commands of pages that the walk leaves out: a pattern, and the reason or what types it."""
LISTS = ("samerun experiments", "samerun train --help")
"""Commands that print commands as examples: `make gallery-check` trains all experiments."""
OF_A_TABLE = ("predict", "serve")
"""Commands whose `ID` is the run on `houses.csv`, of which `new.csv` has further rows."""
MISTAKES = ("samerun train model.dropot=0.3",)
"""Commands of README that end with exit code 2, and print what README shows."""
ALREADY_SHORT = ("debug=", "--schedule-plot", "--help", *MISTAKES)
SERVERS = {"ui", "tensorboard", "server", "serve"}
CODE = """
import keras


def build(spec, **params):
    layers = [keras.layers.Flatten(), keras.layers.Dense(spec.num_outputs, "softmax")]
    return keras.Sequential([keras.Input(spec.input_shape), *layers])


def loss(y_true, y_pred):
    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


class Mine(keras.callbacks.Callback):
    pass
"""
_NAMES = "|".join(cli.COMMANDS)
_CALL = rf"(?:python -m |[^\s`]*/)?samerun\s(?:{_NAMES})\b"
_CONTROL = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>78]")


@dataclass(frozen=True)
class Typed:
    """A command that the walk types.

    Args:
        text: as it is pasted.
        origin: `README`, or what kind of command printed it.
        shown: what README shows below it.
    """

    text: str
    origin: str = "README"
    shown: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        """What is typed once: the command without IDs, by what printed it if that trained."""
        text = re.sub(r"\b(?=[a-f]*\d)[0-9a-f]{8,32}\b", "ID", self.text)
        return text, self.origin if "reproduce" in text or "resume" in text else ""


STARTED = Typed(".venv/bin/samerun train").kind
"""What `make train` shows and runs."""


def readme_commands(text):
    """Yields the commands of README's blocks and of its text, as they stand there.

    Args:
        text: README.
    """
    for block in re.findall(r"(?ms)^```\n(.*?)^```", text):
        lines = block.splitlines()
        for number, line in enumerate(lines):
            command = re.split(r"  +#", line.removeprefix("$ "))[0].rstrip()
            if re.match(r"(samerun|make|eval) ", command):
                is_screen = line.startswith("$ ") and "..." not in lines
                yield Typed(command, shown="\n".join(lines[number + 1 :]) if is_screen else "")
    for command in re.findall(r"`((?:samerun|make) [^`]+)`", text):
        yield Typed(" ".join(command.split()))


def page_commands(text):
    """Yields the commands of a page: those of its blocks, then those of its tables and sentences.

    Args:
        text: the page.
    """
    for language, block in re.findall(r"(?ms)^```(\w*)\n(.*?)^```", text):
        if language not in ("", "bash", "console") or block.startswith("#!"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            command = re.split(r"\s+# ", line.removeprefix("$ "))[0].strip()
            if language == "bash" or re.match(r"(samerun|make|eval|export|curl|ch\w+) ", command):
                yield " ".join(command.split())
    # What is only the name of a command, as in "`samerun resume` refuses", is not typed.
    outside = re.sub(r"(?ms)^```.*?^```", "", text)
    for command in re.findall(r"(?<!`)`((?:samerun|make)\s[\w-]+\s[^`]+)`", outside):
        yield " ".join(command.replace("\\|", "|").split())


def files_of(text):
    """Yields the path and the content of each block of a page that begins with a path."""
    for block in re.findall(r"(?ms)^```(?:python|yaml|toml)\n(.*?)^```", text):
        found = re.match(r"# ([\w./-]+\.(?:py|yaml))\b", block)
        if found:
            yield found[1], block
        elif "def smooth(" in block:  # custom-components.md names the file in its text
            yield "my_code.py", block


def printed_commands(output):
    """Yields what a screen says to type: alone in its line, after a label, or in backticks.

    Args:
        output: the text of the screen, in which a broken command has a line feed.
    """
    for line in output.splitlines():
        found = re.search(rf"(?:^(?:[a-z]+ +)?|with: )({_CALL}.*?)(?:  .*)?$", line)
        if found:
            yield found[1].rstrip()
    yield from re.findall(rf"`({_CALL}[^`]*)`", output)


def short(command):
    """Returns a training command of README with settings that make it take seconds."""
    if not command.startswith("samerun train ") or any(part in command for part in ALREADY_SHORT):
        return command
    if "sweep=" in command:
        return command + SHORT_SWEEP  # a warm-up takes up to three epochs
    return command + (" training.epochs=1" if "dataset.path" in command else SHORT)


def make_files(folder):
    """Writes the small files that README's commands about own data name."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    rows = random.normal(size=(120, 3))
    lines = [f"{a:.3f},{b:.3f},{200000 + 50000 * a:.0f}" for a, b, _ in rows]
    (folder / "houses.csv").write_text("\n".join(["rooms,age,price", *lines]) + "\n")
    (folder / "new.csv").write_text("rooms,age\n0.5,1.5\n-1,0\n")
    with (folder / "pyproject.toml").open("a") as file:
        file.write('\n[tool.samerun]\nverify = ["run.zip"]\n')
    days = np.datetime64("2020-01-01") + np.arange(1200)
    amounts = 100 + 20 * np.sin(np.arange(1200) / 7) + random.normal(size=1200)
    sales = [f"{day},{amount:.2f}" for day, amount in zip(days, amounts, strict=True)]
    (folder / "sales.csv").write_text("\n".join(["date,amount", *sales]) + "\n")
    words = (("good", "positive"), ("bad", "negative"))
    texts = [f"{word} film number {n},{label}" for n in range(60) for word, label in words]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *texts]) + "\n")
    (folder / "sold.csv").write_text("rooms,age,price\n0.5,1.5,225000\n-1,0,150000\n")
    np.save(folder / "digits.npy", random.integers(0, 17, size=(3, 8, 8), dtype=np.uint8))
    np.savez(folder / "arrays.npz", x=random.normal(size=(80, 5)), y=np.arange(80) % 2)
    for name in ("my_code.py", "mine.py"):
        (folder / name).write_text(CODE)
    for kind, number in ((kind, number) for kind in ("cats", "dogs") for number in range(30)):
        clip = folder / "clips" / kind / str(number)
        pictures = [folder / "photos" / kind / f"{number}.png"]
        pictures += [clip / f"{frame}.png" for frame in range(4) if number < 12]
        for file in pictures:
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, size=(16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file)
    for place, text in enumerate(texts):
        file = folder / "texts" / text.rpartition(",")[2] / f"{place}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.partition(",")[0])


def clone(folder):
    """Clones the repository, with the environment of this process as that of the clone."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    make_files(folder)
    environment = folder / ".venv"
    environment.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (environment / name).symlink_to(Path(sys.prefix, name))
    (environment / ".ready").touch()  # after pyproject.toml


def path(*, is_activated):
    """Returns the folders of programs, with those of this environment or without samerun."""
    others = [one for one in os.get_exec_path() if not Path(one, "samerun").exists()]
    return os.pathsep.join([str(Path(sys.prefix, "bin"))] * is_activated + others)


class Terminal:
    """Runs commands in a terminal of their own.

    Args:
        folder: where they run.
    """

    def __init__(self, folder):
        self.folder = folder
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "COV_"))}
        self.environment = {
            **inherited,
            "BROWSER": "true",
            "HUB_TOKEN": "of-the-person-who-reads",  # secrets.md reads one
            "PYTHONPATH": str(folder / "src"),
            "TERM": "xterm-256color",
        }
        self.environment.pop("COLUMNS", None)

    def run(self, command, *, seconds=900, when=None):
        """Runs a command; returns its exit code and its screen without colors.

        Args:
            command: given to `bash`.
            seconds: after which it is killed.
            when: called with what was printed; Ctrl-C is typed when it returns true.
        """
        pid, terminal = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
            os.chdir(self.folder)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in a shell's background
            is_activated = not command.startswith("make ")
            environment = {**self.environment, "PATH": path(is_activated=is_activated)}
            os.execvpe("bash", ["bash", "-c", command], environment)
        written, end = b"", time.monotonic() + seconds
        try:
            while True:
                if time.monotonic() > end:
                    os.killpg(pid, signal.SIGKILL)
                    when = None
                if select.select([terminal], [], [], 0.2)[0]:
                    try:
                        new = os.read(terminal, 65536)
                    except OSError:  # on Linux, what a terminal ends with
                        new = b""
                    if not new:
                        break
                    written += new
                if when is not None and when(screen(written)):
                    when = None
                    os.write(terminal, b"\x03")
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen(written)
        finally:
            os.close(terminal)


def screen(written):
    """Returns the text of a screen, in which a line ends where the program ended it."""
    text = _CONTROL.sub("", written.decode(errors="replace")).replace("\r\n", "\n")
    return "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))


def free_port():
    """Returns a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(address):
    """Returns whether a server answers, be it that it asks for a password or for another method."""
    try:
        with urllib.request.urlopen(address, timeout=5) as page:
            return page.status == 200
    except urllib.error.HTTPError as error:
        return error.code in (401, 404, 405)
    except OSError:
        return False


class Walk:
    """What was typed so far.

    Args:
        folder: the clone.
    """

    def __init__(self, folder):
        self.folder, self.terminal = folder, Terminal(folder)
        self.failed, self.ids, self.of_table, self.parent = [], [], "", ""
        self.done = {STARTED}

    def prepare(self):
        """Trains the runs that README's IDs stand for, and interrupts one with Ctrl-C."""
        for seed in (0, 1):
            output = self.type(Typed(f"samerun train model=mlp seed={seed}{SHORT}", "a run"))
            self.ids += re.findall(r"reproduce ([0-9a-f]{8})\n", output)[:1]
        assert len(self.ids) == 2, "the first runs do not print how to reproduce them"
        before = self.last_checkpoints()
        command = "samerun train model=mlp dataset.limit=100 training.epochs=2000"
        _, output = self.terminal.run(
            command + " training.early_stopping.patience_epochs=2000",
            when=lambda _: self.last_checkpoints() > before,
        )
        resume = next((one for one in printed_commands(output) if "resume" in one), None)
        assert resume, f"a run that Ctrl-C ended does not print how to resume it:\n{output}"
        self.type(Typed(f"{resume} --fork training.epochs=3 schedule=constant", "an interrupt"))

    def prepare_for(self, command):
        """Trains what a command of a page names: recorded runs, one with seeds, a study."""
        named = r"\b(ID|6e75|verify|best:|table)\b|samerun runs"
        if not any("samerun train" in text for text, _ in self.done - {STARTED}):
            named += "|latest"
        if re.search(named, command) and not self.ids:
            for place, model in enumerate(("mlp", "cnn", "cnn")):
                output = self.type(
                    Typed(f"samerun train model={model} seed={place}{SHORT}", "page")
                )
                self.ids += re.findall(r"reproduce ([0-9a-f]{8})\n", output)[:1]
        if "PARENT" in command and not self.parent:
            output = self.type(Typed(f"samerun train model=mlp seeds=2{SHORT}", "page"))
            self.parent = re.findall(r"reproduce ([0-9a-f]{8})\n", output)[-1]
        if re.search(r"\bnight\b|STUDY|TRIAL", command) and "sweep=" not in command:
            self.type(Typed(f"samerun train -m {NIGHT}{SHORT_SWEEP}", "page"))
        if "samerun verify" in command and not (self.folder / "run.zip").exists():
            self.type(Typed(f"samerun bundle {self.ids[0]} run.zip", "page"))

    def filled_in_page(self, command):
        """Returns a command of a page with IDs, a study and a name in place of its own."""
        names = ("6e75", "33f9", "bd7e")
        of_runs = dict(zip(names, self.ids, strict=False))
        of_runs |= {"ID": next(iter(self.ids), "latest"), "RUN_ID": "latest"}
        if self.of_table and re.match("samerun (predict|evaluate|serve) ", command):
            of_runs["ID"] = self.of_table
        others = {"PARENT": self.parent, "STUDY": "night", "TRIAL": "night/0", "NAME": "alice"}
        for name, value in (of_runs | others).items():
            command = re.sub(rf"\b{name}\b", value, command)
        if command.startswith("samerun unbundle"):  # on another machine, says the page
            command = (
                f"mkdir elsewhere && cd elsewhere && {command.replace('run.zip', '../run.zip')}"
            )
        return command.replace("paper.tex", "results.tex")  # which an earlier command wrote

    def last_checkpoints(self):
        """Returns the last checkpoint of each run of the walk."""
        return {*self.folder.glob("outputs/**/checkpoints/last.npz")}

    def type(self, typed):
        """Types a command, once; returns its screen."""
        if typed.kind in self.done:
            return ""
        self.done.add(typed.kind)
        command, started = typed.text, time.monotonic()
        name = re.match(rf"(?:python -m |\S*/)?samerun ({_NAMES})\b", command)
        when = None
        if name and name[1] in SERVERS and "add-user" not in command and "--help" not in command:
            port = free_port()
            command += f" --port {port}"
            when = lambda text: answers((re.findall(r"http://[^\s,;]+", text) or ["http:"])[-1])  # noqa: E731
        code, output = self.terminal.run(command, when=when)
        expected = 2 if typed.text in MISTAKES else 0
        if when and name[1] != "server":  # MLflow's own server takes its place, and ends with 0
            expected = 130
        is_fine = code == expected
        # From Ctrl-C on, a traceback is one of MLflow's server.
        is_fine &= "Traceback" not in output.partition("^C")[0]
        is_fine &= typed.shown in output.replace(f"{Path.cwd()}/", "")
        verdict = "works" if is_fine else f"FAILED with {code}"
        seconds = time.monotonic() - started
        print(f"{verdict:8} {seconds:6.1f} s  {command}  ({typed.origin})", flush=True)
        if not is_fine:
            self.failed.append(typed.text)
            print(output, flush=True)
        if "houses.csv" in command:
            (self.of_table,) = re.findall(r"reproduce  samerun reproduce ([0-9a-f]{8})\n", output)
        return output

    def follow(self, typed):
        """Types a command of README, then those that it prints, and those that these print."""
        waiting = [typed]
        while waiting:
            current = waiting.pop(0)
            output = self.type(current)
            origin = kind_of(current) if current.origin == "README" else current.origin
            if current.text not in LISTS and current.text not in self.failed:
                found = [self.filled_in(one) for one in dict.fromkeys(printed_commands(output))]
                waiting += [Typed(one, origin) for one in found if one not in NOT_TYPED]

    def filled_in(self, command):
        """Returns a command with IDs and a name in place of `ID` and `NAME`."""
        is_of_table = any(f"samerun {name} " in command for name in OF_A_TABLE)
        for run_id in [self.of_table] if is_of_table else self.ids:
            command = re.sub(r"\bID\b", run_id, command, count=1)
        return re.sub(r"\bNAME\b", "alice", command)


def kind_of(typed):
    """Returns what a command of README trains, as far as what it prints depends on it."""
    for part, kind in {
        "sweep=": "a sweep",
        " -m ": "a multirun",
        "seeds=": "seeds",
        "my_code": "own code",
        "dataset.path": "own data",
        "samerun train": "a run",
    }.items():
        if part in typed.text:
            return kind
    return "no training"


def walk(folder, only=()):
    """Types everything in a clone; returns the commands that failed.

    Args:
        folder: where to clone to.
        only: README's commands that contain one of these texts; without them, all.
    """
    clone(folder)
    readme = [*readme_commands((folder / "README.md").read_text())]
    stale = {*NOT_TYPED, *LISTS, *MISTAKES} - {typed.text for typed in readme}
    assert not stale, f"not in README: {stale}"
    started = Walk(folder)
    started.prepare()
    for typed in readme:
        if typed.text in NOT_TYPED:
            print(f"not typed           {typed.text}  ({NOT_TYPED[typed.text]})")
        elif not only or any(part in typed.text for part in only):
            text = short(typed.text.replace("a2be2f59", "ID"))
            started.follow(Typed(started.filled_in(text), shown=typed.shown))
    print(f"{len(started.done)} commands, {len(started.failed)} failed")
    return started.failed


def walk_page(folder, page, only=()):
    """Types the commands of a page in an empty folder; returns those that failed.

    Args:
        folder: where to work.
        page: the file.
        only: commands that contain one of these texts; without them, all.
    """
    text = page.read_text()
    folder.mkdir()
    make_files(folder)
    for path, content in files_of(text):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    walked = Walk(folder)
    commands = [one for one in page_commands(text) if not only or any(x in one for x in only)]
    reasons = {one: reason_not_to_type(one) for one in commands}
    for command in dict.fromkeys(commands):
        if command and reasons[command]:
            print(f"not typed           {command}  ({reasons[command]})")
        elif command:
            walked.prepare_for(command)
            walked.type(Typed(short(walked.filled_in_page(command)), page.name))
    print(f"{page.name}: {len(walked.done)} commands, {len(walked.failed)} failed", flush=True)
    return walked.failed


def reason_not_to_type(command):
    """Returns why a command of a page is not typed; empty if it is."""
    found = (reason for part, reason in NOT_TYPED_ON_PAGES.items() if re.search(part, command))
    return next(found, "")


def main():
    """Walks in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", type=Path, help="pages instead of README")
    parser.add_argument("--only", nargs="+", default=(), help="only commands with one of these")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="samerun-walk-") as folder:
        if chosen.pages:
            failed = [walk_page(Path(folder, p.stem), p, chosen.only) for p in chosen.pages]
        else:
            failed = walk(Path(folder, "samerun"), chosen.only)
        return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
