"""Golden screens: what a command prints, one file for each in `tests/screens/`.

After a deliberate change of wording, write them again and read the difference:

    .venv/bin/pytest -k screen --update-screens
    git diff tests/screens
"""

import difflib
import re
from pathlib import Path

SCREENS = Path(__file__).parents[1] / "screens"
WIDTH = "100"
_VOLATILE = (
    (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
    (r"python -m samerun\b|(?<=[\s`])\.[^\s'`]*/samerun(?=[ `])", "samerun"),
    (r"\b\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d(-\d+)?", "TIME"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r"\b[0-9a-f]{8}\b", "ID"),
    (r"(?m)[ \t]+$", ""),
)
_MEASURED = (
    (r"\b\d+\.\d+(e-?\d+)?\b", "N"),
    (r"\b\d+[smh]\b", "AGE"),
    (r"\b\d+ kB", "N kB"),
    (r"[ \t]{2,}", "  "),
    (r"\n{2,}", "\n"),  # the progress bar may leave an empty line
    (r"(?m)^(  (?:points|params|tags|artifacts|datasets|models))  \d+", r"\1  N"),
    (r"\b\d+ values\b", "N values"),
    (r"\b\d+ of \d+ metrics", "N of N metrics"),
    (r"(?m)^(test/|train/|validation/|best_epoch)\S*  .*\n", ""),
    (r"difference [^,]*, p [^,]*, [a-z ]+ \(", "difference … ("),
    (r"[▁▂▃▄▅▆▇█·]+", "▁…"),
    (r"(?ms)^(Predictions)\n.*", r"\1\n…\n"),  # which examples two runs get right
)
_PARTS = ("config", "code", "data", "threads", "environment", "machine")
_STATES = ("same", "differs", "unknown")


def normalize(text, folder, *, is_measured=False):
    """Returns a screen without what differs between two machines or two days.

    Args:
        text: what was printed.
        folder: where the command ran.
        is_measured: a run was trained, so numbers, their width and the config differ too.
    """
    text = text.replace(str(folder), "FOLDER")
    for pattern, neutral in (*_VOLATILE, *(_MEASURED if is_measured else ())):
        text = re.sub(pattern, neutral, text)
    if is_measured:
        text = _without_settings(_without_machine(text))
    return text.strip("\n") + "\n"


def _without_machine(text):
    """Leaves what is compared and how it turned out, of a table of `reproduce`."""
    lines, is_table = [], False
    for line in text.splitlines():
        cells = line.strip().split("  ")
        is_table = cells == ["recorded", "here"] or (is_table and line.startswith((" ", *_PARTS)))
        if not is_table or cells == ["recorded", "here"] or line.startswith("config"):
            lines.append(line)
        elif cells[-1] in _STATES and len(cells) > 3:
            what = re.sub(r"\d+", "N", "  ".join(cells[:-3]))
            lines.append(f"{line[: -len(line.lstrip())]}{what}  …  …  {cells[-1]}")
    return "\n".join(lines)


def _without_settings(text):
    """Leaves the choices of a config, since each new key would change every screen."""
    lines, is_config = [], False
    for line in text.splitlines():
        is_config |= bool(re.match(r"model  \w", line))
        if not is_config:
            lines.append(line)
        elif line.startswith("seed"):
            lines.append(line)
            is_config = False
        elif re.match(r"[a-z]", line):
            lines.append(
                "  ".join([*line.split("  ")[: 1 + (not line.startswith("training"))], "…"])
            )
    return "\n".join(lines)


def check(name, text, folder, *, update, is_measured=False):
    """Compares a screen with its file.

    Args:
        name: of the file, without `.txt`.
        text: what was printed.
        folder: where the command ran.
        update: write the file instead.
        is_measured: as for `normalize`.
    """
    file, found = SCREENS / f"{name}.txt", normalize(text, folder, is_measured=is_measured)
    if update:
        file.write_text(found)
    assert file.exists(), f"{file} is missing: run pytest -k screen --update-screens"
    wanted = file.read_text()
    lines = difflib.unified_diff(wanted.splitlines(), found.splitlines(), name, "printed", n=1)
    text = "\n".join(["after a deliberate change: pytest -k screen --update-screens", *lines])
    assert found == wanted, text
