"""The reference in docs/ and the code cannot part: every key, command, tag and code has a line."""

import ast
import contextlib
import re
import runpy
import shlex
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from samerun import cli, errors, tags
from samerun.cli.examples import EXAMPLES
from samerun.config.schema import GROUPS, leaves, options
from samerun.evaluation.classification import report_classification
from samerun.evaluation.language import report_language_model
from samerun.evaluation.regression import report_regression

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
    names = [name for name, value in vars(tags).items() if name.isupper() and type(value) is str]
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


def has_a_line(name, table, *, without=()):
    """Whether a name is one of a table's, in which NAME stands for any name and N for a number."""
    patterns = [
        re.escape(line).replace("NAME", ".+").replace("_N_", r"_\d+_")
        for line in table
        if line not in without
    ]
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def evaluated():
    """Returns the metrics of every kind of report."""
    random = np.random.default_rng(0)
    labels, steps, tokens = np.arange(40) % 2, random.random((40, 2)), np.full((4, 3), 1)
    sure = random.random((40, 1))
    model = SimpleNamespace(predict_on_batch=lambda features: random.random((4, 3, 5)))
    reports = [
        report_classification(labels, sure, ["a", "b"], 1, labels),
        report_classification(labels, np.hstack([sure, 1 - sure]), ["a", "b"], 1, labels),
        report_regression(
            steps, steps + 1, 1, is_forecast=True, baseline_labels=steps, baseline_predictions=steps
        ),
        report_regression(steps[:, :1], steps[:, 1:], 1, baseline_labels=steps[:, :1]),
        report_language_model(model, [(tokens, tokens)], 1, baseline_labels=tokens),
    ]
    return {name for report in reports for name in report.metrics}


def test_every_metric_and_artifact_is_on_the_page(text):
    for name in (*tags.METRICS, *tags.ARTIFACTS):
        assert without_a_line(text, [name], "| `{}` |") == []


def test_every_metric_of_an_evaluation_has_a_line_of_its_own():
    found = evaluated()
    assert {"accuracy", "skill_low", "perplexity", "step_1_mean_absolute_error"} <= found
    plain = {re.sub(r"^baseline_|_(low|high|macro)$", "", name) for name in found}
    general = [name for name in tags.METRICS if "NAME" in name]
    missing = [x for x in plain if not has_a_line(f"test/{x}", tags.METRICS, without=general)]
    assert missing == []


def test_every_metric_and_artifact_that_the_code_names_has_a_line():
    metrics, artifacts = set(), set()
    for path in (ROOT / "src" / "samerun").rglob("*.py"):
        if path.name == "tags.py":
            continue
        text = path.read_text()
        metrics |= set(re.findall(r'"((?:system|sweep)/[a-z_]+)"', text))
        if "log_text" not in text and "log_file" not in text:
            continue
        for call in ast.walk(ast.parse(text)):
            name = getattr(getattr(call, "func", None), "attr", "")
            if name in ("log_text", "log_file"):
                artifacts |= {a.value for a in call.args if isinstance(a, ast.Constant)}
    artifacts -= {"checkpoints", "plots", "evaluation"}  # folders of what `log_file` is given
    assert len(metrics) >= 5
    assert len(artifacts) >= 15
    assert [name for name in sorted(metrics) if not has_a_line(name, tags.METRICS)] == []
    assert [path for path in sorted(artifacts) if not has_a_line(path, tags.ARTIFACTS)] == []


def test_what_version_0_1_0_recorded_has_a_line(unpacked_0_1_0):
    with contextlib.closing(sqlite3.connect(unpacked_0_1_0 / "mlflow.db")) as database:
        metrics = {name for (name,) in database.execute("select distinct key from metrics")}
    folders = [*unpacked_0_1_0.glob("mlruns/*/*/artifacts")]
    paths = {
        file.relative_to(folder).as_posix()
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file()
    }
    assert len(metrics) > 20
    assert len(paths) > 10
    assert [name for name in sorted(metrics) if not has_a_line(name, tags.METRICS)] == []
    assert [path for path in sorted(paths) if not has_a_line(path, tags.ARTIFACTS)] == []


def test_a_metric_or_an_artifact_without_a_line_is_noticed():
    assert not has_a_line("gpu/load", tags.METRICS)
    assert not has_a_line("system/gpu", tags.METRICS)
    assert not has_a_line("notes.txt", tags.ARTIFACTS)
    assert has_a_line("test/step_12_mean_absolute_error", tags.METRICS)


def test_every_part_is_on_one_page():
    found = [name for page in PAGES for name in re.findall(r"generated: (\S+) ", page.read_text())]
    assert sorted(found) == sorted([*reference["PARTS"], *GROUPS, *reference["ROOTS"]])


def test_a_flag_in_a_sentence_of_a_table_is_code_that_does_not_break():
    made = reference["cell"]("an 8-bit model, or several with -m, `--x-y`")
    assert made == 'an 8-bit model, or several with <code class="literal flag">-m</code>, `--x-y`'


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
