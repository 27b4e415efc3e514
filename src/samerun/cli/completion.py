"""Tab completion: what may follow a command line, and the scripts of three shells."""

import contextlib
import dataclasses
import io
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samerun.errors import UserError

if TYPE_CHECKING:
    from samerun.tracking import Catalog, StoredRun

Candidate = tuple[str, str]
"""What may be inserted, and its description."""

SHELLS = ("bash", "zsh", "fish")
TAKE_RUNS = (
    *("show", "resume", "reproduce", "compare", "diff", "table", "ui", "tensorboard"),
    *("predict", "generate", "evaluate", "serve"),
    *("export", "promote", "bundle", "verify"),
)
"""The commands whose arguments are runs."""
_TAKE_SETTINGS = ("resume", "reproduce", "evaluate")
_TAKE_ONE = ("show", "ui", "predict", "generate", "serve")  # some take files after it
_SUBCOMMANDS = {"completion": SHELLS, "server": ("add-user", "set-password")}
_MOST = 100
# What may be typed without quotes; another name, of a store that may be anybody's, is not offered.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,=+@%/:~-]{0,99}")
_FLAG = re.compile(r"^ +(?:-\w(?: \S+)?, )?(--[a-z][\w-]*)(?: \S+)*?(?:  +(\S.*))?$", re.MULTILINE)


def candidates(line: str, helps: Mapping[str, str], flags: Callable[[str], str]) -> list[Candidate]:
    """Returns what may stand in place of the last word of a command line.

    Args:
        line: what was typed up to the cursor, with the name of the program.
        helps: what each command does, by its name.
        flags: returns the help of a command.
    """
    words = line.split()
    current = "" if not words or line[-1].isspace() else words.pop()
    command, *given = words[1:] or [""]
    if not words[1:]:
        found = [*helps.items(), ("--help", "show help"), ("--version", "show the version")]
    elif command not in helps:
        found = []
    elif command == "train":
        found = _train(line, current)
    elif current.startswith("-"):
        found = [(flag, what) for flag, what in _FLAG.findall(flags(command))]
    else:
        found = _arguments(command, given, current, line)
    return [one for one in found if one[0].startswith(current) and one[0] != current] or [
        one for one in found if one[0] == current
    ]


def _arguments(command: str, given: Sequence[str], current: str, line: str) -> list[Candidate]:
    others = [word for word in given if not word.startswith("-")]
    if command in _SUBCOMMANDS:
        return [] if others else [(name, "") for name in _SUBCOMMANDS[command]]
    if command in _TAKE_SETTINGS and others:
        return _settings(line, current)
    if command not in TAKE_RUNS or (command in _TAKE_ONE and others):
        return []
    return list(runs(current))


def runs(current: str) -> Iterator[Candidate]:
    """Yields the IDs and names of runs, the newest first; none of a server, which takes seconds.

    Args:
        current: what was typed so far. While it is empty, the runs of groups are left out.
    """
    from samerun.tracking import Catalog, existing

    with contextlib.suppress(UserError, sqlite3.Error, OSError):
        uri = existing()
        if uri.startswith("sqlite"):
            yield from _runs_of(Catalog(uri), current)


def _runs_of(catalog: "Catalog", current: str) -> Iterator[Candidate]:
    from samerun.amounts import age
    from samerun.escaping import one_line
    from samerun.tracking.ids import short_ids
    from samerun.tracking.stored_run import parents

    if not catalog.is_file:
        return
    if current.startswith("best:"):
        names = [f"best:{name}" for name in catalog.names()[0]]
        yield from ((name, "finished run with the best") for name in names if _is_plain(name))
        return
    every = catalog.runs
    below = parents({run.id: run for run in every}) if not current else {}
    short = short_ids([run.id for run in every])
    fitting: list[StoredRun] = [
        run
        for run in every
        if run.id not in below and (run.id.startswith(current) or run.name.startswith(current))
    ][:_MOST]

    def described(run: "StoredRun", what: str) -> str:
        return f"{one_line(what, 60)}, {run.status.lower()[:12]} {age(run.start_time)} ago"

    for run in fitting:
        if run.id.startswith(current):
            is_short = len(current) <= len(short[run.id])
            yield (short[run.id] if is_short else run.id), described(run, run.name)
    for run in fitting:
        is_own = sum(other.name == run.name for other in fitting) == 1
        if is_own and _is_plain(run.name):
            yield run.name, described(run, short[run.id])
    yield from _trials(every, current, described)
    yield "latest", "the newest run"
    yield "best:", "best:METRIC, the finished run with the best value"


def _trials(
    every: "Sequence[StoredRun]", current: str, described: "Callable[[StoredRun, str], str]"
) -> Iterator[Candidate]:
    """Yields `STUDY/7` once the slash was typed."""
    from samerun import tags as tag

    study, slash, _ = current.rpartition("/")
    for run in every if slash and _is_plain(study) else ():
        if run.tags.get(tag.STUDY) == study and run.tags.get(tag.TRIAL, "").isdecimal():
            yield f"{study}/{run.tags[tag.TRIAL]}", described(run, run.name)


def _is_plain(text: str) -> bool:
    return bool(_PLAIN.fullmatch(text))


def _train(line: str, current: str) -> list[Candidate]:
    if current.startswith("-"):
        from samerun.config.hydra_internals import get_args_parser

        actions = get_args_parser()._actions
        found = [
            (name, str(action.help or "")) for action in actions for name in action.option_strings
        ]
        own = ("--schedule-plot", "draw the learning rate into a file")
        return [(name, what) for name, what in (*found, own) if name.startswith("--")]
    if current.startswith("sweep."):
        from samerun.config.schema import leaves

        return [(f"{key}=", "") for key in sorted(leaves()) if key.startswith("sweep.")]
    return _settings(line, current)


def _settings(line: str, current: str) -> list[Candidate]:
    """Returns groups, options and keys, as Hydra completes them."""
    from samerun.cli.train_command import hand_to_hydra
    from samerun.config.project import split_config_dirs, with_config_dirs
    from samerun.config.schema import without_own_code

    rest, folders = split_config_dirs([*line.split()[2:], ""])
    words = [word for word in rest if "=" in word or word == current]
    from samerun.config.own import NAMED

    asked = " ".join(["samerun", *words]) + (" " if not current else "")
    before = dict(os.environ)
    os.environ |= {"COMP_LINE": asked, "COMP_POINT": str(len(asked))}
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()) as printed,
            with_config_dirs(folders),
            without_own_code(),
        ):
            hand_to_hydra(["-sc", "query=bash"])
    finally:
        os.environ.clear()
        os.environ.update(before)
        named = list(_of_training(current))
    found = printed.getvalue().split()
    return [(word, "") for word in dict.fromkeys([*named, *found]) if word.strip("+=") not in NAMED]


def _of_training(current: str) -> Iterator[str]:
    """Yields losses, metrics and callbacks with their options, which are no groups of Hydra."""
    from samerun.config import own, project
    from samerun.config.training import Loss, Metric

    known: dict[str, tuple[str, ...]] = {"loss": tuple(Loss), "metric": tuple(Metric)}
    for group, key in own.NAMED.items():
        names = project.own_options(group)
        start = current[: max(current.rfind("["), current.rfind(",")) + 1] or f"{key}=["
        if current.startswith(f"{key}="):
            start = f"{key}=" if group == "loss" else start
            yield from (f"{start}{name}" for name in (*known.get(group, ()), *names))
        for name in names if current.startswith("training.params") else ():
            fields = dataclasses.fields(own.placeholder(group, name))
            keys = [field.name for field in fields if field.name != "kind"]
            yield from (f"training.params.{name}.{field}=" for field in keys)


def answer(found: Sequence[Candidate], shell: str) -> str:
    """Returns the candidates as a shell's script reads them, one a line.

    Args:
        found: the candidates.
        shell: bash has no descriptions; for the others they follow a tab.
    """
    lines = []
    for value, what in found:
        text = " ".join(what.split())
        lines.append(f"{value}\t{text}" if text and shell != "bash" else value)
    return "".join(f"{line}\n" for line in lines)


def script(shell: str) -> str:
    """Returns the script that a shell evaluates to complete `samerun`."""
    return (Path(__file__).parent / "completion_scripts" / f"complete.{shell}").read_text()
