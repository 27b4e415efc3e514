"""Two sides of a run, row by row: code, environment, machine, data; same, differs or unknown."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from samerun import levels
from samerun.errors import UserError
from samerun.escaping import markdown
from samerun.identity import PACKAGE
from samerun.provenance import normalized, requirements
from samerun.replay.recorded import Provenance, clean

_CORE = ("tensorflow", "keras", "numpy")
_PARTS = ("config", "code", "data", "threads", "environment", "machine")
# The likeliest cause of a different result first.

NOT_MEANT = ("tracking.", "checkpoint.", "workers")
"""Starts of keys that do not change a result: where and how often a run is stored, and beside what.
"""

_SPEED_ONLY = "training.steps_per_execution"
_MOST_NAMES = 5


class RowState(StrEnum):
    """Whether two sides are the same."""

    same = "same"
    differs = "differs"
    unknown = "unknown"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that is compared.

    Args:
        part: `config`, `code`, `data`, `threads`, `environment` or `machine`.
        what: the thing.
        first: what it was.
        second: what it is.
        state: whether they are the same.
        detail: the names of what differs.
        matters: whether the result may depend on it.
    """

    part: str
    what: str
    first: str
    second: str
    state: RowState
    detail: str = ""
    matters: bool = True

    @property
    def is_cause(self) -> bool:
        """Whether it may be why two results differ."""
        return self.matters and self.state is RowState.differs


def compare(first: Provenance, second: Provenance) -> list[Row]:
    """Returns the rows of the table, the likeliest causes of a difference first.

    Args:
        first: of the recorded run.
        second: of this machine, or of another run.
    """
    rows = [*_code(first, second), *_data(first, second)]
    return in_order([*rows, *_environment(first, second), *_machine(first, second)])


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows part by part, the likeliest causes of a difference first."""
    return sorted(rows, key=lambda row: _PARTS.index(row.part))


def settings(
    first: Mapping[str, str], second: Mapping[str, str], *, ignored: Iterable[str] = ()
) -> list[Row]:
    """Returns a row for each leaf of the config that differs, and one for the number of threads.

    Args:
        first: the flattened config of the recorded run.
        second: that of the other one.
        ignored: prefixes of keys that do not affect the result.
    """
    rows = []
    for key in sorted({*first, *second}):
        one, other = first.get(key, "–"), second.get(key, "–")
        is_thread = key in ("training.intra_op_threads", "training.inter_op_threads")
        if (one != other or is_thread) and not key.startswith(tuple(ignored)):
            part = "threads" if is_thread else "config"
            rows.append(_row(part, key, one, other, matters=key != _SPEED_ONLY))
    return in_order(rows)


def likeliest(rows: Sequence[Row]) -> Row | None:
    """Returns the row that most likely made the results differ, `None` where all are the same."""
    causes = [row for row in rows if row.is_cause]
    return min(causes, key=lambda row: _PARTS.index(row.part), default=None)


def missing_packages(recorded: Provenance, present: Provenance) -> list[str]:
    """Returns the packages that a run needs and this environment lacks, as `name==version`.

    Args:
        recorded: of the run.
        present: of this environment.
    """
    missing = _needed(recorded) - {normalized(name) for name in present.packages or {}}
    return [
        f"{name}=={version}"
        for name, version in (recorded.packages or {}).items()
        if normalized(name) in missing
    ]


def check_packages(missing: Sequence[str]) -> None:
    """Checks that all packages that a run needs are installed.

    Args:
        missing: the result of `missing_packages`.

    Raises:
        UserError: names those that are missing.
    """
    if missing:
        names = [clean(name) for name in missing]
        raise UserError(
            f"The run was made with {', '.join(names)}, not installed here: install "
            f"{'it' if len(names) == 1 else 'them'} with `pip install {' '.join(names)}`, or give "
            "--env."
        )


def show(rows: Sequence[Row], out: Console) -> None:
    """Prints the rows as a table, and below it the names of what differs.

    Args:
        rows: what was compared.
        out: where to print.
    """
    colors = {RowState.same: "green", RowState.differs: "red", RowState.unknown: "yellow"}
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "", "recorded", "here", ""):
        table.add_column(heading, no_wrap=heading == "", overflow="fold")
    part = ""
    for row in rows:
        color = colors[row.state] if row.matters else "dim"
        cells = [escape(text) for text in (row.what, row.first, row.second)]
        table.add_row(row.part if row.part != part else "", *cells, f"[{color}]{row.state}[/]")
        part = row.part
    out.print(table)
    for row in rows:
        if row.is_cause and row.detail:
            out.print(f"[red]{escape(row.what)}[/]: {escape(row.detail)}")


def as_markdown(
    rows: Sequence[Row], first: str = "recorded", second: str = "reproduced"
) -> list[str]:
    """Returns the lines of the same table in Markdown."""
    lines = [f"| | | {first} | {second} | |", "|---|---|---|---|---|"]
    for row in rows:
        state = f"**{row.state}**" if row.is_cause else str(row.state)
        what = f"{row.what}: {row.detail}" if row.detail else row.what
        shown = [markdown(cell) for cell in (row.part, what, row.first, row.second)]
        lines.append(f"| {' | '.join(shown)} | {state} |")
    return lines


def as_dicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns the rows as plain values, for JSON."""
    names = ("part", "what", "first", "second", "state", "detail", "matters")
    return [{name: getattr(row, name) for name in names} for row in rows]


def changed_files(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    """Returns the paths whose contents differ, and those that only one side has, with a mark.

    Files on which a result may depend come first, those that only start, store or show runs last.
    A file that has another path and the same content was moved. A module that was renamed and
    edited is gone on one side and new on the other: nothing says that it is the same module.

    Args:
        first: SHA-256 of each file by its path.
        second: the same of the other side.
    """
    only_second = {hash_: path for path, hash_ in second.items() if path not in first}
    moved = {
        path: only_second[hash_]
        for path, hash_ in first.items()
        if path not in second and hash_ in only_second
    }
    names = []
    paths = {*first, *second} - set(moved.values())
    for path in sorted(paths, key=lambda path: (not _may_compute(path), path)):
        if path in moved:
            names.append(f"{path} (moved to {moved[path]})")
        elif path not in second:
            names.append(f"{path} (gone)")
        elif path not in first:
            names.append(f"{path} (new)")
        elif first[path] != second[path]:
            names.append(path)
    return [clean(name) for name in names]


def _may_compute(path: str) -> bool:
    return not path.startswith(PACKAGE) or levels.computes(path.removeprefix(PACKAGE))


def _code(first: Provenance, second: Provenance) -> list[Row]:
    own = [_only(side.files, own=True) for side in (first, second)]
    package = [_only(side.files, own=False) for side in (first, second)]
    is_known = first.files is not None and second.files is not None
    rows = [_files("samerun's files", *package)]
    if first.commit != "" or second.commit != "":  # both outside of any checkout
        commits = _short(
            *(None if c is None else c or "none" for c in (first.commit, second.commit))
        )
        changes = [_patch(side) for side in (first, second)]
        rows = [
            _row("code", "commit", *commits, matters=not is_known),
            _row("code", "uncommitted", *changes, matters=not is_known),
            *rows,
        ]
    if any(own):
        rows.append(_files("your files", *own))
    return rows


def _only(files: Mapping[str, str] | None, *, own: bool) -> dict[str, str] | None:
    if files is None:
        return None
    return {path: hash_ for path, hash_ in files.items() if path.startswith(PACKAGE) != own}


def _patch(side: Provenance) -> str | None:
    if side.patch is None:
        return None
    if not side.patch and not side.left_out:
        return "nothing"
    num_files = len(re.findall("^diff --git ", side.patch, re.M)) + len(side.left_out)
    content = side.patch.strip().encode("utf-8", "surrogateescape")
    return f"{num_files} files, {hashlib.sha256(content).hexdigest()[:8]}"


def _files(what: str, first: dict[str, str] | None, second: dict[str, str] | None) -> Row:
    if first is None or second is None:
        return _row("code", what, None if first is None else "", None if second is None else "")
    names = changed_files(first, second)
    counts = f"{len(first)} files", f"{len(second)} files"
    state = RowState.differs if names else RowState.same
    return Row(
        part="code",
        what=what,
        first=counts[0],
        second=counts[1],
        state=state,
        detail=_listed(names),
    )


def _data(first: Provenance, second: Provenance) -> list[Row]:
    splits = sorted({*(first.data or {}), *(second.data or {})}, key=_order)
    rows = []
    for split in splits:
        digests = [
            None if side.data is None else side.data.get(split, "–") for side in (first, second)
        ]
        rows.append(_row("data", f"{split} split", *_short(*digests)))
    return rows or [_row("data", "splits", None, None)]


def _order(split: str) -> tuple[int, str]:
    known = ("train", "validation", "test")
    return (known.index(split) if split in known else len(known), split)


def _environment(first: Provenance, second: Provenance) -> list[Row]:
    rows = [_row("environment", "Python", first.python, second.python)]
    one, other = _named(first.packages), _named(second.packages)
    builds = _short(first.tensorflow_build, second.tensorflow_build)
    if one is None or other is None:
        rows.append(_row("environment", "packages", None, None))
    else:
        rows += _packages(one, other, _needed(first) | _needed(second))
    rows.append(_row("environment", "TensorFlow's build", *builds))
    return rows + _variables(first.environment, second.environment)


def _packages(one: dict[str, str], other: dict[str, str], needed: set[str]) -> list[Row]:
    rows = [_row("environment", name, one.get(name), other.get(name)) for name in _CORE]
    rest = sorted(needed - set(_CORE))
    rows += [
        _row("environment", name, one.get(name, "–"), other.get(name, "–"))
        for name in rest
        if one.get(name) != other.get(name)
    ]
    num_same = sum(name in one and one[name] == other.get(name) for name in rest)
    if num_same:
        rows.append(_row("environment", f"{num_same} other dependencies", "equal", "equal"))
    others = sorted({*one, *other} - needed - set(_CORE))
    different = [name for name in others if one.get(name) != other.get(name)]
    counts = [str(len(set(side) - needed)) for side in (one, other)]
    state = RowState.differs if different else RowState.same
    rows.append(
        Row(
            part="environment",
            what="other packages",
            first=counts[0],
            second=counts[1],
            state=state,
            detail=_listed(different),
            matters=False,
        )
    )
    return rows


def _variables(one: Mapping[str, str] | None, other: Mapping[str, str] | None) -> list[Row]:
    if one is None or other is None:
        return [_row("environment", "variables", None, None)]
    different = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    if not different:
        return [_row("environment", "variables", str(len(one)), str(len(other)))]
    return [
        _row("environment", clean(name), one.get(name, "not set"), other.get(name, "not set"))
        for name in different
    ]


def _machine(first: Provenance, second: Provenance) -> list[Row]:
    def joined(names: Sequence[str] | None) -> str | None:
        return None if names is None else " ".join(names) or "none"

    cores = [None if side.num_cores is None else str(side.num_cores) for side in (first, second)]
    return [
        _row("machine", "processor", first.processor, second.processor),
        _row("machine", "instructions", joined(first.instructions), joined(second.instructions)),
        _row("machine", "GPUs", joined(first.gpus), joined(second.gpus)),
        _row("machine", "cores", *cores, matters=False),
    ]


def _row(
    part: str, what: str, first: str | None, second: str | None, *, matters: bool = True
) -> Row:
    state = RowState.same if first == second else RowState.differs
    if first is None or second is None:
        state = RowState.unknown
    one, other = ("?" if side is None else clean(side, 60) for side in (first, second))
    return Row(part=part, what=what, first=one, second=other, state=state, matters=matters)


def _short(first: str | None, second: str | None) -> tuple[str | None, str | None]:
    """Shortens hashes; two that differ still differ."""
    if first is None or second is None or first == second or first[:10] != second[:10]:
        return first and first[:10], second and second[:10]
    return first, second


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(clean(name) for name in names[:_MOST_NAMES]) + more


def _named(packages: Mapping[str, str] | None) -> dict[str, str] | None:
    if packages is None:
        return None
    return {normalized(name): version for name, version in packages.items()}


def _needed(side: Provenance) -> set[str]:
    """What samerun itself needs, without its extras, and what the user's own code imports."""
    try:
        names = requirements("samerun")
    except PackageNotFoundError:  # a checkout that is not installed
        names = set()
    return {normalized(name) for name in (*names, *side.own_packages, *_CORE)}
