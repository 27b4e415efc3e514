"""The reference in docs/: written from parsers, config classes, YAML files and docstrings.

Sphinx puts each part where a page has `<!-- generated: NAME -->`; a test compares the parts with
the code. Needs only samerun.
"""

import argparse
import ast
import contextlib
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import samerun
from samerun import cli, errors, tags
from samerun.cli.examples import EXAMPLES
from samerun.config.checkpoint import Checkpoint
from samerun.config.datasets.base import Augmentation
from samerun.config.root import Config
from samerun.config.schema import GROUPS
from samerun.config.sweep import Sweep
from samerun.config.training import Evaluation, Tracking, Training
from samerun.folders import package_folder

if typing.TYPE_CHECKING:
    from samerun.config.fields import Range

CONF = package_folder("conf")
ROOT = Path(__file__).parents[1]
ROOTS: dict[str, type[Any]] = {
    "training": Training,
    "evaluation": Evaluation,
    "tracking": Tracking,
    "checkpoint": Checkpoint,
    "dataset/augmentation": Augmentation,
    "sweep": Sweep,
}
"""The groups with one config class."""
BUILTIN = ("default", "optuna", "none")
"""The options that list every key of such a group."""
UNITS = {
    "epochs": "epochs",
    "epoch": "epochs",
    "seconds": "seconds",
    "steps": "training steps",
    "threads": "threads",
    "megabytes": "MB",
    "trials": "trials",
    "samples": "samples",
    "tokens": "tokens",
    "gpus": "GPUs",
    "cores": "cores",
}
_KEY = re.compile(r"^(\s*)(\w+):(?:\s+(.*?))??\s*(?:\s#\s*(.*))?$")
_FLAG = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
"""A flag in a sentence; a narrow table would break it behind its hyphens."""
_SOURCE = re.compile(r"\(([A-Z][^()]*?\b(?:19|20)\d\d)\)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Key:
    """A line of a YAML file.

    Args:
        name: dotted, below its group.
        default: as the file has it.
        meaning: its comment.
    """

    name: str
    default: str
    meaning: str


def read_keys(path: Path) -> list[Key]:
    """Returns the keys of an option file that have a value, with their comments."""
    found, above, indents = [], [], []
    body = path.read_text(encoding="utf-8")
    for line in body.splitlines():
        match = _KEY.match(line)
        if match is None or line.startswith(("#", "-", "  -", "hydra")):
            continue
        indent, name, value, comment = match.groups()
        while indents and len(indent) <= indents[-1]:
            indents.pop()
            above.pop()
        if not value:
            indents.append(len(indent))
            above.append(name)
        elif above[:1] != ["hydra"] and above[:1] != ["defaults"]:
            found.append(Key(name=".".join([*above, name]), default=value, meaning=comment or ""))
    return found


def head(path: Path) -> str:
    """Returns the comment at the top of an option file as a paragraph."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.lstrip("# ").strip())
    return " ".join(lines)


def shared(path: Path) -> list[str]:
    """Returns the names of the files in conf/common that an option includes."""
    return re.findall(r"^  - /common/(\w+)@_here_$", path.read_text(encoding="utf-8"), re.MULTILINE)


def field_of(kind: type[Any], name: str) -> dataclasses.Field[Any] | None:
    """Returns the field of a dotted key of a config class; `None` if it has no such field."""
    first, _, rest = name.partition(".")
    entry = getattr(kind, "__dataclass_fields__", {}).get(first)
    if entry is None or not rest:
        return entry
    return field_of(_plain(entry.type)[0], rest)


def _plain(hint: Any) -> tuple[Any, bool]:
    """Returns a type without `None`, and whether that is allowed."""
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType) and type(None) in arguments:
        rest = [one for one in arguments if one is not type(None)]
        return (rest[0] if len(rest) == 1 else typing.Union[tuple(rest)]), True  # noqa: UP007
    return hint, False


def type_text(hint: Any, allowed: str = "") -> str:
    """Returns a type in words: `list of integers`, one of the names of an enum.

    Args:
        hint: the type.
        allowed: the range of its numbers, if they have one.
    """
    inner, may_be_null = _plain(hint)
    names = {int: "integer", float: "number", bool: "true or false", str: "text", Any: "any value"}
    arguments = typing.get_args(inner)
    if inspect.isclass(inner) and issubclass(inner, Enum):
        text = "one of " + ", ".join(f"`{one.value}`" for one in inner)
    elif typing.get_origin(inner) is list:
        text = f"list of {_plural(type_text(arguments[0]))}"
    elif typing.get_origin(inner) is dict:
        text = f"mapping of text to {type_text(arguments[1])}"
    elif arguments:
        text = " or ".join(type_text(one) for one in arguments)
    else:
        text = names.get(inner, getattr(inner, "__name__", str(inner)))
    return ", ".join(filter(None, (text, allowed, "or null" if may_be_null else "")))


def _plural(text: str) -> str:
    return f"{text}s" if text in ("integer", "number", "text") else text


def range_text(entry: dataclasses.Field[Any]) -> str:
    """Returns the range of a field, empty if it has none."""
    allowed: Range | None = entry.metadata.get("range")
    return str(allowed).removeprefix("a number ") if allowed else ""


def unit_of(name: str, meaning: str) -> str:
    """Returns the unit of a key, which its name or its comment ends with; empty if it has none."""
    last = name.rsplit(".", 1)[-1]
    for text in ("degrees", "pixels", "frames", "words", "hours"):
        if re.search(rf"\bin {text}\b|\bof {text}\b", meaning):
            return text
    if "raction" in last or meaning.startswith("fraction"):
        return "fraction"
    parts = last.split("_")
    return "" if last == "steps" else UNITS.get(parts[-1], "")


def source_of(kind: type[Any], name: str) -> str:
    """Returns the publication that a field's docstring names, empty if none."""
    for owner in kind.__mro__:
        lines = inspect.cleandoc(owner.__doc__ or "").splitlines()
        inside = ""
        for line in lines:
            if re.match(rf"    {re.escape(name.split('.')[-1])}: ", line):
                inside = line
            elif inside and line.startswith("        "):
                inside += " " + line.strip()
            elif inside:
                break
        found = _SOURCE.search(inside)
        if found:
            return found[1]
    return ""


def cell(text: str) -> str:
    """Returns text, which may have `code` in it, for a cell of a Markdown table."""
    parts = re.split(r"(`[^`]*`)", text.strip().replace("|", r"\|"))
    return "".join(one if one.startswith("`") else _prose(one) for one in parts) or "–"


def _prose(text: str) -> str:
    escaped = re.sub(r"([<*_\[])", r"\\\1", text)
    return _FLAG.sub(r'<code class="literal flag">\g<0></code>', escaped)


def code(text: str) -> str:
    """Returns text as code in a cell."""
    return f"`{text}`".replace("|", r"\|") if text else "–"


def key_table(prefix: str, rows: list[Key], kind: type[Any]) -> str:
    """Returns the table of keys.

    Args:
        prefix: the group as it stands in a key: `dataset.augmentation`, or empty.
        rows: the keys.
        kind: the config class that has them.
    """
    lines = [
        "| key | type, range, unit | default | meaning |",
        "|---|---|---|---|",
    ]
    for row in rows:
        entry = field_of(kind, row.name)
        if entry is None:
            raise ValueError(f"{prefix}.{row.name}: {kind.__name__} has no such field")
        kind_text, unit = type_text(entry.type, range_text(entry)), unit_of(row.name, row.meaning)
        if unit and kind_text.startswith(("integer", "number")):
            kind_text += f" ({unit})"
        source = source_of(kind, row.name)
        meaning = f"{row.meaning} ({source})" if source else row.meaning
        default = "required" if row.default == "???" else code(row.default)
        name = code(f"{prefix}.{row.name}".removeprefix("."))
        cells = (name, cell(kind_text), default)
        lines.append(f"| {' | '.join(cells)} | {cell(meaning)} |")
    return "\n".join([*lines, ""])


def described(kind: type[Any]) -> str:
    """Returns what a config class says about itself, without its arguments."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("\nArgs:")[0]
    return re.sub(r"\s*\n(?!\n)\s*", " ", text.replace("\n\n", "\0")).replace("\0", "\n\n").strip()


def _fits(kind: type[Any]) -> str:
    """Returns which data a model reads and for which tasks, empty for other groups."""
    if not hasattr(kind, "layouts"):
        return ""
    layouts, tasks = ", ".join(kind.layouts), ", ".join(kind.tasks)
    return f"Reads: {layouts}. Tasks: {tasks}.\n"


def group_part(group: str) -> str:
    """Returns the options of a group with several config classes, and the keys they share."""
    out, used = [], {}
    for kind in GROUPS[group]:
        path = CONF / group / f"{kind.kind}.yaml"
        out += [f"## `{group}={kind.kind}`\n", head(path) + "\n", _fits(kind)]
        rows = read_keys(path)
        if rows:
            out.append(key_table(group, rows, kind))
        names = shared(path)
        links = [
            f"[{name.replace('_', ' ')}](#shared-keys-{name.replace('_', '-')})" for name in names
        ]
        for name in names:
            used.setdefault(name, kind)
        if links:
            out.append(f"Also the shared keys: {', '.join(links)}.\n")
    for name, kind in used.items():
        path = CONF / "common" / f"{name}.yaml"
        out += [f"## Shared keys: {name.replace('_', ' ')}\n", head(path) + "\n"]
        out.append(key_table(group, read_keys(path), kind))
    return "\n".join(out)


def single_part(group: str) -> str:
    """Returns the options of a group with one config class: one has all keys, the others a few."""
    kind, prefix, out = ROOTS[group], group.replace("/", "."), []
    folder = CONF / group
    names = sorted((path.stem for path in folder.glob("*.yaml")), key=lambda n: n not in BUILTIN)
    for name in names:
        path = folder / f"{name}.yaml"
        rows = [row for row in read_keys(path) if field_of(kind, row.name)]
        title = prefix if len(names) == 1 else f"{group}={name}"
        out += [f"## `{title}`\n", head(path) + "\n", key_table(prefix, rows, kind)]
    return "\n".join(out)


def root_part() -> str:
    """Returns the keys outside of all groups."""
    rows = [key for key in read_keys(CONF / "config.yaml") if field_of(Config, key.name)]
    return key_table("", [row for row in rows if row.name != "trial"], Config)


def debug_part() -> str:
    """Returns the presets of `debug=`."""
    out = []
    for path in sorted((CONF / "debug").glob("*.yaml")):
        text = path.read_text(encoding="utf-8").splitlines()
        body = "\n".join(line for line in text if not line.startswith("#"))
        out.append(f"## `debug={path.stem}`\n\n{head(path)}\n\n```yaml\n{body}\n```\n")
    return "\n".join(out)


class _Captured(Exception):
    """Leaves a command at its first use of a parser, which it carries."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__("")
        self.parser = parser


@contextlib.contextmanager
def _parsers_captured() -> Iterator[None]:
    def capture(self: argparse.ArgumentParser, *_: Any, **__: Any) -> Any:
        raise _Captured(self)

    names = ("parse_known_args", "parse_known_intermixed_args")
    originals = {name: getattr(argparse.ArgumentParser, name) for name in names}
    for name in names:
        setattr(argparse.ArgumentParser, name, capture)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(argparse.ArgumentParser, name, original)


def parser_of(name: str) -> argparse.ArgumentParser | None:
    """Returns the parser of a command; `None` for `train`, whose arguments Hydra reads."""
    with _parsers_captured():
        try:
            if name != "train":
                cli.COMMANDS[name].load()([])
        except _Captured as found:
            return found.parser
    return None


def _invocation(action: argparse.Action) -> str:
    value = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.choices and not isinstance(action, argparse._SubParsersAction):
        value = "{" + ",".join(map(str, action.choices)) + "}"
    shown = str(value) if not isinstance(value, tuple) else " ".join(value)
    if not action.option_strings:
        return shown
    takes = "" if action.nargs == 0 else f" {shown}"
    return ", ".join(f"{flag}{takes}" for flag in action.option_strings)


def _help(action: argparse.Action) -> str:
    text = action.help or ""
    return text % {"default": action.default, "prog": ""} if "%" in text else text


def _option_table(parser: argparse.ArgumentParser) -> str:
    lines = ["| argument | meaning |", "|---|---|"]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        meaning = _help(action)
        known = action.default not in (None, False, argparse.SUPPRESS, "", [])
        if known and action.option_strings and str(action.default) not in meaning:
            meaning += f" (default: {action.default})"
        lines.append(f"| {code(_invocation(action))} | {cell(meaning)} |")
    return "\n".join([*lines, ""]) if len(lines) > 2 else ""


def _parser_section(parser: argparse.ArgumentParser) -> str:
    usage = " ".join(parser.format_usage().split()).removeprefix("usage: ")
    out = [f"```text\n{usage}\n```\n", _option_table(parser)]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                helps = {one.dest: one.help for one in action._choices_actions}
                out += [f"### `{parser.prog} {name}`\n", f"{helps[name]}.\n".capitalize()]
                out.append(_parser_section(inner))
    return "\n".join(out)


def command_part(name: str) -> str:
    """Returns the section of a command: what it does, its arguments, two examples, its page."""
    out = [f"## `samerun {name}`\n"]
    parser = parser_of(name)
    if parser is None:
        from samerun.cli.train_command import train_help

        text = train_help().replace(str(package_folder("conf")), "conf")
        out += [f"```text\n{text.strip()}\n```\n"]
    else:
        out += [f"{parser.description}\n", _parser_section(parser)]
    shown = EXAMPLES[name]
    lines = "\n".join(shown.lines())
    out.append(f"Examples:\n\n```bash\n{lines}\n```\n")
    title = (ROOT / shown.page).read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    out.append(f"See [{title}](../{shown.page.removeprefix('docs/')}).\n")
    return "\n".join(out)


def commands_part() -> str:
    """Returns all commands, in the groups of the help."""
    out = ["| to | command | what it does |", "|---|---|---|"]
    for group, names in cli.GROUPS.items():
        for name in names:
            out.append(
                f"| {group} | [`{name}`](#samerun-{name}) | {cell(cli.COMMANDS[name].help)} |"
            )
    sections = [command_part(name) for names in cli.GROUPS.values() for name in names]
    return "\n".join([*out, "", *sections])


def exit_codes_part() -> str:
    """Returns the exit codes and their meanings."""
    rows = [f"| {number} | {cell(text)} |" for number, text in errors.EXIT_CODES.items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows, ""])


def constants(module: types.ModuleType) -> list[tuple[str, str, str]]:
    """Returns the constants of a module with the comment above them and the docstring below."""
    text = inspect.getsource(module)
    lines, section, found = text.splitlines(), "", []
    body = ast.parse(text).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        above = lines[node.lineno - 2]
        section = above.lstrip("# ").rstrip(".") if above.startswith("# ") else section
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            meaning = " ".join(str(after.value.value).split()) if is_text else ""
            found.append((section, node.targets[0].id, meaning))
    return found


def tags_part() -> str:
    """Returns every name that samerun writes into a store, with its meaning."""
    out, last = [], None
    for section, name, meaning in constants(tags):
        if name == "SCHEMA_VERSION":
            continue
        if section != last:
            title = section or "Of runs and studies"
            out += [f"\n### {title}\n", "| name | constant | meaning |", "|---|---|---|"]
            last = section
        out.append(f"| `{getattr(tags, name)}` | `{name}` | {cell(meaning)} |")
    return "\n".join([*out, ""])


def metrics_part() -> str:
    """Returns the metrics of runs and sweeps, with their steps and meanings."""
    rows = [f"| `{name}` | {step} | {cell(text)} |" for name, (step, text) in tags.METRICS.items()]
    return "\n".join(["| name | step | meaning |", "|---|---|---|", *rows, ""])


def artifacts_part() -> str:
    """Returns the artifacts of runs and sweeps, with their meanings."""
    rows = [f"| `{path}` | {cell(text)} |" for path, text in tags.ARTIFACTS.items()]
    return "\n".join(["| path | content |", "|---|---|", *rows, ""])


def python_part() -> str:
    """Returns the directives that render the docstrings of the public names."""
    order = ["train", "sweep", "Result", "runs", "load_run", "LoadedRun", "reproduce", "resume"]
    order += ["compose", "UserError"]
    assert sorted(order) == sorted(samerun.__all__)
    out = []
    for name in order:
        value = getattr(samerun, name)
        is_class = inspect.isclass(value)
        kind = "autoexception" if name.endswith("Error") else "autoclass"
        directive = kind if is_class else "autofunction"
        members = ":members:\n" if directive == "autoclass" else ""
        arguments = f"```{{eval-rst}}\n.. {directive}:: samerun.{name}\n"
        arguments += f"   {members}" if members else ""
        out += [f"## `samerun.{name}`\n", f"{arguments}```\n"]
    return "\n".join(out)


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands_part,
    "exit_codes": exit_codes_part,
    "python": python_part,
    "tags": tags_part,
    "metrics": metrics_part,
    "artifacts": artifacts_part,
    "run": root_part,
    "debug": debug_part,
}


def completed(text: str) -> str:
    """Returns a page with its parts of the reference in place."""
    return re.sub(r"(?m)^<!-- generated: ([\w/]+) -->", lambda found: part(found[1]), text)


def part(name: str) -> str:
    """Returns a part of the reference by the name that a page gives it."""
    if name in GROUPS:
        return group_part(name)
    return single_part(name) if name in ROOTS else PARTS[name]()
