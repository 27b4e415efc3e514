"""A recorded run on one screen, and as JSON."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from samerun import tags as tag
from samerun.amounts import age, duration, size
from samerun.amounts import short as number
from samerun.escaping import one_line
from samerun.report import runs_text
from samerun.report.run_rows import status_of
from samerun.report.run_summary import Summary
from samerun.report.sparkline import sparkline

_LABEL = 11
_MOST_CHILDREN = 5
_MOST_ARTIFACTS = 8
_PACKAGES = ("tensorflow", "keras", "numpy")
_ENDS = ("_low", "_high")
_SPLITS = ("train", "validation", "test")
_SWEEP = {
    "sampler": tag.SAMPLER,
    "pruner": tag.PRUNER,
    "objective": tag.OBJECTIVES,
    "learned from": tag.LEARNED_FROM,
}


def lines(found: Summary, *, width: int | None) -> Iterator[Text]:
    """Yields the lines of the screen.

    Args:
        found: the run.
        width: columns of the terminal; `None` in a pipe, where a line has any length.
    """
    run = found.run
    yield Text(f"{one_line(run.name, 250)}  {one_line(run.id, 64)}", style="bold")
    for label, parts in _facts(found):
        yield from _labeled(label, parts, width)
    command = [one_line(run.tags.get(tag.COMMAND, ""), 8000)]
    yield from _labeled("command", command, None)  # in one line, so that it can be pasted
    if found.curves:
        yield Text()
        yield from _curves(found)
    if found.children.rows:
        yield Text()
        yield Text(_children_title(found), style="bold")
        some = found.children.rows[:_MOST_CHILDREN]
        shown = runs_text.RunList(rows=some, columns=found.children.columns, num_runs=len(some))
        yield from runs_text.lines(shown, width=width)
    yield Text()
    yield from _next(found, width)


def _children_title(found: Summary) -> str:
    total = found.children.num_runs
    return f"{total} runs" if total <= _MOST_CHILDREN else f"{_MOST_CHILDREN} of {total} runs"


def _facts(found: Summary) -> Iterator[tuple[str, list[str]]]:
    """Yields each label with the parts of its text; a line breaks between parts only."""
    run = found.run
    took = ""
    if run.start_time is not None and run.end_time is not None:
        took = f", took {duration((run.end_time - run.start_time) / 1000)}"
    where = f"experiment {one_line(found.experiment, 80)}"
    yield "status", [f"{status_of(run)}, {age(run.start_time)} ago{took};", where]
    yield "why", [run.tags.get(tag.REASON, "")]
    yield "result", [run.tags.get(tag.RESULT, "")]
    yield "test", _finals(found.finals)
    yield "config", [f"{key}={value}" for key, value in found.config.items()]
    yield "changed", [run.tags.get(tag.OVERRIDES, "")]
    digests = tag.data_digests(run.tags)
    data = [f"{split} {digests[split][:12]}" for split in _SPLITS if split in digests]
    yield "sweep", _sweep(run.tags)
    yield "data", _listed([run.tags.get(tag.DATASET, ""), *data])
    yield "code", _code(run.tags)
    yield "versions", _listed(_versions(found))
    yield "machine", _listed(_machine(found))
    yield "weights", [run.tags.get(tag.WEIGHTS, "")[:12]]
    yield "relations", _listed(found.relations)
    yield "artifacts", _listed(_artifacts(found.artifacts))


def _sweep(tags: Mapping[str, str]) -> list[str]:
    if tag.N_TRIALS not in tags:
        return []
    study, trials = tags.get(tag.STUDY, ""), tags[tag.N_TRIALS]
    how = [f"{what} {tags[name]}" for what, name in _SWEEP.items() if tags.get(name)]
    return _listed([f"study {study}", f"{trials} trials", *how])


def _listed(parts: Sequence[str]) -> list[str]:
    """Returns the parts that are not empty, each but the last with a comma."""
    given = [part for part in parts if part]
    return [f"{part}," for part in given[:-1]] + given[-1:]


def _code(tags: Mapping[str, str]) -> list[str]:
    commit = tags.get(tag.COMMIT, "")
    if not commit:
        return []
    dirty = ", with uncommitted changes" if tags.get(tag.DIRTY) == "true" else ""
    return [f"commit {commit[:12]}{dirty}"]


def _versions(found: Summary) -> list[str]:
    plain = found.provenance
    packages = plain.get("packages")
    known: dict[Any, Any] = packages if isinstance(packages, dict) else {}
    parts = [f"{name} {known[name]}" for name in _PACKAGES if name in known]
    python = [f"Python {plain['python']}"] if "python" in plain else []
    version = found.run.tags.get(tag.VERSION)
    return ([f"samerun {version}"] if version else []) + python + parts


def _machine(found: Summary) -> list[str]:
    machine = found.provenance.get("machine")
    plain: dict[Any, Any] = machine if isinstance(machine, dict) else {}
    host = found.run.tags.get(tag.HOST, "")
    cores = [f"{plain['num_cores']} cores"] if "num_cores" in plain else []
    gpus = plain.get("gpus")
    return [
        host,
        str(plain.get("processor", "")),
        *cores,
        *(gpus if isinstance(gpus, list) else []),
    ]


def _finals(finals: Mapping[str, float]) -> list[str]:
    """Returns the test metrics, each with its interval."""
    parts = []
    for name, value in finals.items():
        if not name.startswith("test/") or name.endswith(_ENDS):
            continue
        low, high = (finals.get(name + end, math.nan) for end in _ENDS)
        text = f"{name.removeprefix('test/')} {number(value)}"
        if math.isfinite(low) and math.isfinite(high):
            text += f" ({number(low)}–{number(high)})"
        parts.append(text)
    return _listed(parts)


def _artifacts(artifacts: Mapping[str, int | None] | None) -> list[str]:
    if artifacts is None:
        return ["not in mlruns/ beside the database; `samerun ui` lists them"]
    folders: dict[str, list[int]] = {}
    for path, bytes_ in artifacts.items():
        top, slash, _ = path.partition("/")
        folders.setdefault(top + slash, []).append(bytes_ or 0)
    parts = [
        f"{top} ({_files(len(sizes))}, {size(sum(sizes))})"
        if top.endswith("/")
        else f"{top} ({size(sum(sizes))})"
        for top, sizes in folders.items()
    ]
    more = len(parts) - _MOST_ARTIFACTS
    return parts[:_MOST_ARTIFACTS] + ([f"and {more} more"] if more > 0 else [])


def _files(number: int) -> str:
    return f"{number} file" if number == 1 else f"{number} files"


def _labeled(label: str, parts: list[str], width: int | None) -> Iterator[Text]:
    clean = [one_line(str(part), 8000) for part in parts if part]
    room = None if width is None else max(width - _LABEL, 1)
    folded = [" ".join(clean)] if room is None else list(runs_text.folded(clean, room))
    for at, text in enumerate(folded if clean else []):
        line = Text((label if at == 0 else "").ljust(_LABEL), style="dim")
        yield line.append(text, style="default not dim")


def _curves(found: Summary) -> Iterator[Text]:
    names = [one_line(curve.metric, 60) for curve in found.curves]
    wide = max(map(len, [*names, "metric"]))
    yield Text(f"{'metric':<{wide}}  {'best':>9}  {'at':>5}  {'last':>9}", style="dim")
    for name, curve in zip(names, found.curves, strict=True):
        best = None if curve.metric == "learning_rate" else curve.best
        step, value = ("", "") if best is None else (str(best[0]), number(best[1]))
        bars = sparkline([value for _, value in curve.points])
        yield Text(f"{name:<{wide}}  {value:>9}  {step:>5}  {number(curve.last):>9}  {bars}")


def _next(found: Summary, width: int | None) -> Iterator[Text]:
    wide = max(len(command) for command, _ in found.commands)
    for command, what in found.commands:
        if width is None or wide + 2 + len(what) <= width:
            line = Text(command.ljust(wide))
            yield line.append(f"  {what}", style="dim")
        else:
            yield Text(command)
            yield Text(f"  {what}", style="dim")


def as_dict(found: Summary) -> dict[str, Any]:
    """Returns the run as plain values, for JSON."""
    run = found.run
    return {
        "id": run.id,
        "name": run.name,
        "experiment": found.experiment,
        "status": status_of(run),
        "start_time": run.start_time,
        "end_time": run.end_time,
        "config": dict(found.config),
        "params": run.params,
        "tags": run.tags,
        "provenance": dict(found.provenance),
        "metrics": {
            curve.metric: {
                "last": _finite(curve.last),
                "best": None if curve.best is None else curve.best[1],
                "best_step": None if curve.best is None else curve.best[0],
                "history": [[step, _finite(value)] for step, value in curve.points],
            }
            for curve in found.curves
        }
        | {name: {"last": _finite(value)} for name, value in found.finals.items()},
        "artifacts": None if found.artifacts is None else dict(found.artifacts),
        "children": runs_text.as_dicts(found.children),
        "relations": list(found.relations),
        "next": [command for command, _ in found.commands],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
