"""The reference in docs/ and the code cannot part: every key, command, tag and code has a line."""

import ast
import re
import runpy
import shlex
from pathlib import Path

import pytest

from samerun import cli, errors, tags
from samerun.cli.examples import EXAMPLES
from samerun.config.schema import GROUPS, leaves, options

ROOT = Path(__file__).resolve().parents[2]
reference = runpy.run_path(str(ROOT / "tools" / "reference.py"))
PAGES = sorted(ROOT.glob("docs/reference/**/*.md"))


@pytest.fixture(scope="module")
def text():
    """All reference pages, as they are on the site."""
    return "\n".join(reference["completed"](page.read_text()) for page in PAGES)


def without_a_line(text, names, pattern):
    """Returns the names whose line is not in the text, or has no meaning.

    Args:
        text: of all pages.
        names: what is to have a line.
        pattern: of the line, as a format of the name.
    """
    rows = {line for line in text.splitlines() if line.startswith(("| ", "#"))}
    missing = []
    for name in names:
        start = pattern.format(name)
        found = [row for row in rows if row.startswith(start)]
        if not any(
            row.startswith("#") or row.rstrip(" |").rpartition("| ")[2] != "–" for row in found
        ):
            missing.append(name)
    return missing


def sections(text):
    """Returns the text below each heading of an option, with the shared keys that it links."""
    parts = re.split(r"(?m)^## ", text)
    named = {part.partition("\n")[0].strip("`"): part for part in parts}
    shared = {name.removeprefix("Shared keys: "): part for name, part in named.items()}
    for name, part in list(named.items()):
        links = re.findall(r"\[([\w ]+)\]\(#shared-keys", part)
        named[name] = "\n".join([part, *(shared[one] for one in links)])
    return named


def test_every_config_key_has_a_line_with_its_meaning(text):
    assert without_a_line(text, leaves(), "| `{}` |") == []


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_lists_its_own_keys(group):
    found = sections(reference["part"](group))
    for kind in GROUPS[group]:
        keys = [key for key, kinds in leaves().items() if kind.kind in kinds]
        keys = [key for key in keys if key.startswith(f"{group}.") and ".augmentation." not in key]
        assert without_a_line(found[f"{group}={kind.kind}"], keys, "| `{}` |") == []


def test_every_option_of_every_group_has_a_section(text):
    several = [
        f"{group}={one}"
        for group in (*GROUPS, "dataset/augmentation", "debug")
        for one in options(group)
    ]
    assert without_a_line(text, several, "## `{}`") == []


def test_every_command_has_a_section(text):
    assert without_a_line(text, cli.COMMANDS, "## `samerun {}`") == []


def test_every_stored_name_has_a_line_with_its_meaning(text):
    names = [name for name in vars(tags) if name.isupper() and name != "SCHEMA_VERSION"]
    lines = [f"| `{getattr(tags, name)}` | `{name}` |" for name in names]
    assert without_a_line(text, lines, "{}") == []


def returned_codes():
    """Returns the exit codes of commands: those of exceptions, and those in their source."""
    found = {0, errors.READER_LEFT, *errors._EXIT_CODES.values()}
    for path in (ROOT / "src/samerun/cli").glob("*_command*.py"):
        returns = [
            one for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, ast.Return)
        ]
        values = [one.value.value for one in returns if isinstance(one.value, ast.Constant)]
        found |= {value for value in values if type(value) is int}
    return found


def test_every_exit_code_has_a_line_with_its_meaning(text):
    assert without_a_line(text, sorted(returned_codes()), "| {} |") == []


@pytest.mark.parametrize(
    ("line", "names", "pattern"),
    [
        ("| `model.dropout` |", ["model.dropout"], "| `{}` |"),
        ("## `samerun gc`", ["gc"], "## `samerun {}`"),
        ("| `samerun.uid` | `UID` |", ["| `samerun.uid` | `UID` |"], "{}"),
        ("| 143 |", [143], "| {} |"),
    ],
    ids=["key", "command", "tag", "exit code"],
)
def test_a_line_that_is_missing_or_says_nothing_is_noticed(text, line, names, pattern):
    assert without_a_line(text, names, pattern) == []
    rows = text.splitlines()
    assert any(row.startswith(line) for row in rows)
    without = "\n".join(row for row in rows if not row.startswith(line))
    assert without_a_line(without, names, pattern) == names
    if line.startswith("|"):
        empty = re.sub(rf"(?m)^({re.escape(line)}.*\| )[^|]+\|$", r"\1– |", text)
        empty = re.sub(rf"(?m)^{re.escape(line)} [^|]+\|$", f"{line} – |", empty)
        assert without_a_line(empty, names, pattern) == names


def test_every_part_is_on_one_page():
    found = [name for page in PAGES for name in re.findall(r"generated: (\S+) ", page.read_text())]
    assert sorted(found) == sorted([*reference["PARTS"], *GROUPS, *reference["ROOTS"]])


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_has_two_examples_that_it_takes_and_a_page(name):
    shown = EXAMPLES[name]
    assert (ROOT / shown.page).is_file()
    assert len(shown.commands) >= 2
    parser = reference["parser_of"](name)
    for command, _ in shown.commands:
        first, *arguments = shlex.split(command)
        assert first == name
        if parser is not None:  # those of `train` are composed in test_docs.py
            parser.parse_intermixed_args(arguments) if name != "server" else parser.parse_args(
                arguments
            )


def test_a_page_that_a_message_names_exists():
    for path in (ROOT / "src").rglob("*.py"):
        for page in re.findall(r"docs/[\w/-]+\.md", path.read_text()):
            assert (ROOT / page).is_file(), f"{path.name} names {page}"


@pytest.mark.parametrize("name", ["train", "gc", "server"])
def test_the_help_of_a_command_ends_with_its_examples_and_its_page(name, capsys):
    assert cli.main([name, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"More in {EXAMPLES[name].page}."
    first = lines.index("examples:") + 1
    assert [line.strip() for line in lines[first:-2]] == EXAMPLES[name].lines()
