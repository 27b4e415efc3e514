"""The experiments and search spaces of the project, and their gallery."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from samerun.config import project
from samerun.errors import UserError
from samerun.folders import package_folder


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One file of `experiments/experiment/`, as its header describes it.

    Args:
        name: what `experiment=` takes.
        what: one line about it.
        source: origin of the idea.
        measured: metric, value and seconds measured here; empty if the data has to be downloaded.
        published: a published number and its source; empty if there is none.
        twin: the experiment on embedded data that shows the same; may be empty.
        runs: space-separated names of other experiments that it runs; may be empty.
    """

    name: str
    what: str
    source: str
    measured: str = ""
    published: str = ""
    twin: str = ""
    runs: str = ""

    @property
    def is_embedded(self) -> bool:
        """Whether it needs no download."""
        return bool(self.measured)

    @property
    def command(self) -> str:
        """The command that runs it."""
        return f"samerun train experiment={self.name}"

    def score(self) -> tuple[str, float]:
        """Returns the logged name of the metric and the measured value.

        Raises:
            UserError: the header's line is not of the form `test/accuracy 0.98, 14 s`.
        """
        match = re.match(r"((?:test|validation)/\w+) (\d+(?:\.\d+)?)\b", self.measured)
        if match is None:
            raise UserError(
                f"experiments/experiment/{self.name}.yaml: received 'Measured: {self.measured}', "
                "expected a metric and its value, such as 'test/accuracy 0.98, 14 s'."
            )
        return match[1], float(match[2])


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """One file of `experiments/sweep/`, as its header describes it.

    Args:
        name: what `sweep=` takes.
        what: one line about it.
        measured: best value, number of trials and seconds measured here; may be empty.
    """

    name: str
    what: str
    measured: str = ""

    @property
    def command(self) -> str:
        """The command that runs it."""
        return f"samerun train -m experiment=digits_cnn sweep={self.name}"


_FIELDS = ("what", "source", "measured", "published", "twin", "runs")


def expand(arguments: Sequence[str]) -> list[str]:
    """Replaces an experiment that runs several others by a multirun of them.

    Args:
        arguments: of the command line.
    """
    given = [argument for argument in arguments if argument.startswith("experiment=")]
    if len(given) != 1:
        return list(arguments)
    entries = [*load_experiments(), *load_own_experiments()]
    several = {f"experiment={entry.name}": entry.runs for entry in entries if entry.runs}
    if given[0] not in several:
        return list(arguments)
    runs = ",".join(several[given[0]].split())
    rest = [argument for argument in arguments if argument not in (given[0], "-m", "--multirun")]
    return ["-m", f"experiment={runs}", *rest]


def load_experiments() -> list[Experiment]:
    """Reads the headers of all experiments of samerun, in the order of their names."""
    return [
        Experiment(name=path.stem, **_header(path, "what", "source"))
        for path in sorted((package_folder("experiments") / "experiment").glob("*.yaml"))
    ]


def load_own_experiments() -> list[Experiment]:
    """Reads the headers of the experiments in the user's own folders, which need not have one."""
    return [Experiment(name=name, **fields) for name, fields in _own("experiment", "source")]


def load_own_search_spaces() -> list[SearchSpace]:
    """Reads the headers of the search spaces in the user's own folders."""
    return [
        SearchSpace(name=name, what=fields["what"], measured=fields.get("measured", ""))
        for name, fields in _own("sweep")
    ]


def _own(group: str, *required: str) -> Iterator[tuple[str, dict[str, str]]]:
    for name in project.own_options(group):
        files = (folder / group / f"{name}.yaml" for folder in project.config_folders())
        fields = _header(next(file for file in files if file.is_file()))
        yield name, {**dict.fromkeys(("what", *required), ""), **fields}


def load_search_spaces() -> list[SearchSpace]:
    """Reads the headers of all search spaces of samerun, in the order of their names."""
    return [
        SearchSpace(name=path.stem, **_header(path, "what"))
        for path in sorted((package_folder("experiments") / "sweep").glob("*.yaml"))
    ]


def _header(path: Path, *required: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    last = ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.match(r"# (\w+): (.*)", line)
        if match and match[1].lower() in _FIELDS:
            last = match[1].lower()
            fields[last] = match[2].strip()
        elif line.startswith("#   ") and last:
            fields[last] += " " + line[1:].strip()
        elif not line.startswith("#"):
            break
    missing = set(required) - set(fields)
    if missing:
        raise UserError(f"{path}: its header lacks {' and '.join(sorted(missing))}.")
    return fields


_INTRODUCTION = """\
# Experiments

Each experiment is one command. *Measured* is given where the data comes with the installed
packages: the score of the final weights with seed 0, that of a trivial baseline (the largest class,
the mean, the word frequencies, or "tomorrow = today"), and the duration of the complete command,
startup included (2 shared cores of an AMD EPYC, Python 3.11, 2026-11-21). *Published* is the number
reported by the tutorial, not ours: its data has to be downloaded once. The *twin* shows the same on
data that needs no download.

`make gallery` generates this page from the headers of the files in `experiment/` and `sweep/`.
"""
_SWEEPS = """## Search spaces

Each search space is one command, too; it works with any other experiment. *Measured* is the best
value of the objective, never of the test set, and the duration of the complete command (two
parallel trials on the same machine). [The guide to sweeps](../docs/how-to/sweeps.md) explains how
to write your own.
"""


def as_markdown(entries: Sequence[Experiment], spaces: Sequence[SearchSpace]) -> str:
    """Returns the gallery as a Markdown page."""
    lines = [
        _INTRODUCTION,
        "| experiment | what | measured | published | twin |",
        "|---|---|---|---|---|",
    ]
    for entry in entries:
        name = f"[`{entry.name}`](experiment/{entry.name}.yaml)"
        twin = f"`{entry.twin}`" if entry.twin else "–"
        cells = [name, f"{entry.what} ({entry.source})", entry.measured or "–"]
        lines.append(f"| {' | '.join([*cells, entry.published or '–', twin])} |")
    lines += ["", "```", *(entry.command for entry in entries), "```", ""]
    lines += [_SWEEPS, "| search space | what | measured |", "|---|---|---|"]
    for space in spaces:
        name = f"[`{space.name}`](sweep/{space.name}.yaml)"
        lines.append(f"| {name} | {space.what} | {space.measured or '–'} |")
    lines += ["", "```", *(space.command for space in spaces), "```", ""]
    return "\n".join(lines)
