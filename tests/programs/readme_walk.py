"""Walks through README in a fresh clone, in a terminal of 60 columns: every command works, pasted.

    python tests/programs/readme_walk.py [PAGE …] [--only TEXT …] [--quick]

The commands are those of README's blocks and of its text, and those that the screens of these
commands print, each once for every kind of run that it is printed for. `bash` receives each of them
as it stands there, with these exceptions: README's training commands get a suffix that makes them
short, its IDs become those of two runs of the walk, and a server gets a free port and Ctrl-C when
it has answered. What is not typed is named in NOT_TYPED, with the reason.

With pages such as `docs/how-to/compare.md`, the commands of their blocks, tables and sentences are
typed instead, each page in a folder of its own that has the files and the runs that it names, and
then its blocks of Python are run. With `--quick`, all pages share a folder, `samerun` starts warm,
and what another test types is left out: see `support/how_to.py`.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from samerun import cli

sys.path.insert(0, str(Path(__file__).parents[1]))
from support import how_to
from support.terminal import Terminal, answers, free_port, write_warm_programs

ROOT = Path(__file__).parents[2]
SHORT = " training.epochs=1 dataset.limit=100"
SHORT_SWEEP = " training.epochs=4 dataset.limit=100 sweep.n_trials=2 sweep.workers=1"
TINY = " tracking=lean tracking.log_model={keeps} evaluation.bootstrap_samples=100"
"""What makes a run of `--quick` shorter still: a model is stored where a later command reads it."""
IS_READ = re.compile(r"houses\.csv|study=width|train model=\w+ seed=")
NIGHT = "experiment=digits_cnn sweep=regularisation "
NOT_TYPED = {
    "make bench": "takes hours",
    "samerun export ID --format onnx": "needs samerun[export]: tests/training/test_export.py",
    "samerun unbundle run.zip": "is for another store: tests/training/test_bundle_exact.py",
}
"""Commands of README that the walk leaves out, as they stand there, also where they are printed."""
LISTS = ("samerun experiments", "samerun train --help")
"""Commands that print commands as examples: `make gallery-check` trains all experiments."""
OF_A_TABLE = ("predict", "serve")
"""Commands whose `ID` is the run on `houses.csv`, of which `new.csv` has further rows."""
MISTAKES = ("samerun train model.dropot=0.3",)
"""Commands of README that end with exit code 2, and print what README shows."""
ALREADY_SHORT = ("debug=", "--schedule-plot", "--help", *MISTAKES)
SERVERS = {"ui", "tensorboard", "server", "serve"}
TRAINS = re.compile(r"(?:\w+=\S+ )?samerun train ")
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
PYTHON = """
import numpy as np
import pandas as pd

random = np.random.default_rng(0)
x, y = random.normal(size=(80, 5)), np.arange(80) % 2
x2, y2, x3, y3 = random.normal(size=(20, 5)), y[:20], random.normal(size=(20, 5)), y[:20]
frame = pd.DataFrame({"rooms": x[:, 0], "age": x[:, 1], "price": 5.5 * x[:, 0]})
new_rows = random.integers(0, 17, size=(2, 8, 8)).astype("uint8")


def make_dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y))


def stored(name):
    import samerun

    return f"runs:/{samerun.load_run(name).id}/model"


"""
"""What the Python of the pages finds."""
_NAMES = "|".join(cli.COMMANDS)
_CALL = rf"(?:python -m |[^\s`]*/)?samerun\s(?:{_NAMES})\b"


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
    if not TRAINS.match(command) or any(part in command for part in ALREADY_SHORT):
        return command
    if "sweep=" in command:
        of_two = " sweep.confirm.top=2" if "sweep.confirm.top=" in command else ""
        return command + SHORT_SWEEP + of_two  # a warm-up takes up to three epochs
    return command + (" training.epochs=1" if "dataset.path" in command else SHORT)


def tiny(command):
    """Returns a training command of a page with settings that make it take a second or two."""
    few = 5 if "wilcoxon" in command else 2  # that pruner needs five
    command = re.sub(r"\b(seeds|folds)=\d+", rf"\1={few}", command)
    command = re.sub(r"(?<![.\w])workers=\d+", "workers=2", command)
    command = re.sub(r"training\.epochs=\d+", "training.epochs=2", command)
    if not TRAINS.match(command) or "--schedule-plot" in command:
        return command
    more = TINY.format(keeps="true" if IS_READ.search(command) else "false")
    if "debug=" in command or "dataset.path" in command:
        return command + SHORT + more
    if "sweep=" in command:
        more += " sweep.executor=inline"
    return short(command) + more


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


class Walk:
    """What was typed so far.

    Args:
        folder: the clone, or the first folder of a page.
        programs: a folder whose programs come first; `None`: none.
        is_quick: training commands get settings that make them as short as they can be.
    """

    def __init__(self, folder, programs=None, *, is_quick=False):
        self.base, self.folder, self.is_quick = folder, folder, is_quick
        self.terminal, self.study = Terminal(folder, programs), "night"
        self.failed, self.ids, self.of_table, self.parent = [], [], "", ""
        self.done = {STARTED}

    def enter(self, folder):
        """Changes to a folder."""
        self.folder = self.terminal.folder = folder

    def shortened(self, command):
        """Returns a training command with settings that make it short."""
        return tiny(command) if self.is_quick else short(command)

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
                self.ids.append(self.trained(f"samerun train model={model} seed={place}"))
        if "PARENT" in command and not self.parent:
            self.parent = self.trained("samerun train model=mlp seeds=2")
        if re.search(r"\bnight\b|STUDY|TRIAL", command) and "sweep=" not in command:
            study = f"sweep.study={self.study} "
            if not any(study in text for text, _ in self.done):
                self.trained(f"samerun train -m {NIGHT}{study}")
        if "samerun verify" in command and not (self.folder / "run.zip").exists():
            self.type(Typed(f"samerun bundle {self.ids[0]} run.zip", "page"))

    def trained(self, command):
        """Types a short training command; returns the ID that it prints last."""
        output = self.type(Typed(self.shortened(command), "page"))
        return (re.findall(r"reproduce ([0-9a-f]{8})\n", output) or [""])[-1]

    def filled_in_page(self, command):
        """Returns a command of a page with IDs, a study and a name in place of its own."""
        names = ("6e75", "33f9", "bd7e")
        of_runs = dict(zip(names, self.ids, strict=False))
        of_runs |= {"ID": next(iter(self.ids), "latest"), "RUN_ID": "latest"}
        if self.of_table and re.match("samerun (predict|evaluate|serve) ", command):
            of_runs |= {"ID": self.of_table, "latest": self.of_table}
        others = {"PARENT": self.parent, "STUDY": "night", "TRIAL": "night/0", "NAME": "alice"}
        for name, value in (of_runs | others | {"night": self.study}).items():
            command = re.sub(rf"\b{name}\b", value, command)
        if command.startswith("samerun unbundle"):  # on another machine, says the page
            command = (
                f"mkdir elsewhere && cd elsewhere && {command.replace('run.zip', '../run.zip')}"
            )
        return command.replace("paper.tex", "results.tex")  # which an earlier command wrote

    def write_files(self, text):
        """Writes the files that a page shows; what it adds to a file of Python comes at its end."""
        for path, content in how_to.files_of(text):
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a" if file.suffix == ".py" else "w") as stream:
                stream.write(content)

    def run_python(self, name, code):
        """Runs the Python of a page, in one process, with arrays under the names that it uses."""
        more = str([*SHORT.split(), *TINY.format(keeps="true").split()])[1:-1]
        inline = ', "sweep.executor=inline", "sweep.n_trials=2"'
        for function, also in (("train", ""), ("sweep", inline)):
            pattern = rf"(?s)(samerun\.{function}\(\s*\[.*?)\]"
            code = re.sub(pattern, lambda found, also=also: f"{found[1]}, {more}{also}]", code)
        code = code.replace("data=dataset)", "data=make_dataset())")
        code = code.replace('"runs:/ID/model"', f"stored({(self.of_table or 'latest')!r})")
        (self.folder / f"page_{name}.py").write_text(PYTHON + code.replace("night", self.study))
        self.type(Typed(f"python page_{name}.py", f"{name}.md"))

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
            found = re.findall(r"reproduce  samerun reproduce ([0-9a-f]{8})\n", output)
            self.of_table = next(iter(found), self.of_table)
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


def walk_page(walked, page, only=()):
    """Types the commands of a page, and runs its Python.

    Args:
        walked: what was typed so far.
        page: the file.
        only: commands that contain one of these texts, and no Python; without them, all.
    """
    shown = page.read_text()
    commands = dict.fromkeys(how_to.page_commands(shown))
    walked.enter(walked.base)
    is_own = walked.is_quick and "sweep.study=night" in shown  # each with another search space
    walked.study = f"{page.stem}-night" if is_own else "night"
    if not any(one.startswith("cd ") for one in commands):
        walked.write_files(shown)
    for command in commands:
        if only and not any(part in command for part in only):
            continue
        why = how_to.why_not_typed(command, is_quick=walked.is_quick)
        if why:
            print(f"not typed           {command}  ({why})")
        elif command.startswith("cd "):
            walked.enter(walked.folder / command.removeprefix("cd "))
            walked.write_files(shown)
        else:
            walked.prepare_for(command)
            text = walked.shortened(walked.filled_in_page(command))
            walked.type(Typed(text, "a page" if walked.is_quick else page.name))
    blocks = [] if only else [*how_to.python_of(shown)]
    if blocks:
        code = "\n".join(blocks)
        walked.prepare_for(re.sub("#.*", "", code))
        walked.run_python(page.stem, code)


def walk_pages(folder, pages, only=(), *, is_quick=False):
    """Types the commands of pages, each page in an empty folder; returns those that failed.

    Args:
        folder: where to work.
        pages: the files.
        only: as for `walk_page`.
        is_quick: in one folder for all pages, with `samerun` started warm.
    """
    programs, walked, failed = None, None, []
    if is_quick:
        programs = folder / "bin"
        write_warm_programs(programs)
    for page in pages:
        if walked is None or not is_quick:
            place = folder / ("all" if is_quick else page.stem)
            place.mkdir()
            make_files(place)
            walked = Walk(place, programs, is_quick=is_quick)
        walk_page(walked, page, only)
        print(f"{page.name}: {len(walked.done)} commands, {len(walked.failed)} failed", flush=True)
        failed += [one for one in walked.failed if one not in failed]
    return failed


def main():
    """Walks in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", type=Path, help="pages instead of README")
    parser.add_argument("--only", nargs="+", default=(), help="only commands with one of these")
    parser.add_argument("--quick", action="store_true", help="all how-to pages, with tiny settings")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="samerun-walk-") as name:
        folder = Path(name).resolve()
        pages = [page.resolve() for page in chosen.pages] or (how_to.PAGES if chosen.quick else [])
        if pages:
            failed = walk_pages(folder, pages, chosen.only, is_quick=chosen.quick)
        else:
            failed = walk(folder / "samerun", chosen.only)
        for command in failed:
            print(f"FAILED   {command}")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
