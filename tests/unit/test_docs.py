"""The documentation is true: links resolve, the tree is the disk's, the commands compose."""

import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest
from test_configs import WHOLES, composed_sweep

import samerun
from samerun import search
from samerun.cli import COMMANDS
from samerun.config.overrides import combinations, parse_overrides
from samerun.config.schema import GROUPS, options
from samerun.levels import MODULES
from support.project import composed

ROOT = Path(__file__).resolve().parents[2]
parser_of = runpy.run_path(str(ROOT / "tools" / "reference.py"))["parser_of"]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/*.md")])
README = (ROOT / "README.md").read_text()
EXPERIMENTS = {f"experiment={path.stem}" for path in WHOLES}  # composed in test_configs.py
OWN = {"experiment=rings", "model=wide_net"}
"""Options of the project that `samerun init` and its page write: the walk trains them."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_resolve(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def lines_to_type(text):
    for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.partition("  #")[0].strip().removesuffix(" &")


def commands(text):
    for line in lines_to_type(text):
        if line.startswith("samerun train ") and "…" not in line and "--help" not in line:
            yield shlex.split(line)[2:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_training_commands_compose(page, monkeypatch):
    monkeypatch.setenv("HUB_TOKEN", "of-the-person-who-reads")  # secrets.md reads one
    for overrides in commands(page.read_text()):
        if not OWN & set(overrides):
            assert_composes(overrides)


def assert_composes(overrides):
    """Composes what follows `samerun train`; an experiment alone is composed in test_configs.py."""
    from samerun.cli.arguments import split_flags
    from samerun.cli.train_command import take_flag

    if "--help" in overrides:
        return
    if any(word.startswith("sweep") for word in overrides):
        assert_sweep(overrides)
        return
    rest, _ = take_flag(overrides, "--schedule-plot")
    _, plain = split_flags(rest)
    for combination in combinations(parse_overrides(plain)):
        if combination[0] not in EXPERIMENTS or len(combination) > 1:
            composed(*combination)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_that_do_not_train_are_understood(page):
    for line in lines_to_type(page.read_text()):
        if line.startswith("samerun ") and "…" not in line:
            assert_understood(line)


def assert_understood(line):
    """Parses the arguments of a command that does not train."""
    words = shlex.split(line)
    end = next((i for i, one in enumerate(words) if one in ("|", ">", "&&", ";")), None)
    name, *arguments = words[1:end]
    if name == "train" or name.startswith("-") or "--help" in arguments:
        return
    assert name in COMMANDS, line
    parser = parser_of(name)
    read = parser.parse_args if name == "server" else parser.parse_intermixed_args
    try:
        read(arguments)
    except SystemExit:
        pytest.fail(line)


def assert_sweep(overrides):
    fixed = [word for word in overrides if not re.search(r"^-|\(|,", word)]
    settings = composed_sweep(*fixed)
    plain = [word for word in overrides if not word.startswith(("-", "sweep"))]
    if settings.params or any("," in word for word in plain):
        search.parse_space(plain, settings.params)


def anchors(page):
    """Returns the anchors of a page's headings, as the site has them."""
    headings = re.findall(r"(?m)^##+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", one).strip().lower().replace(" ", "-") for one in headings}


def named_pages():
    """Yields where the code names a page, and the page: in `see(…)` or as text."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        text = path.read_text()
        for page in re.findall(r"""\bsee\(["']([^"'{]+)["']\)""", text):
            yield path.name, f"docs/{page}"
        for page in re.findall(r"\bdocs/[\w/.-]+\.md(?:#[\w-]+)?", text):
            yield path.name, page


def test_every_page_that_the_code_names_exists_with_its_anchor():
    named = [*named_pages()]
    assert len({page for _, page in named if "#" in page}) >= 8
    for file, page in named:
        path, _, anchor = page.partition("#")
        assert (ROOT / path).is_file(), f"{file}: {page}"
        assert not anchor or anchor in anchors(ROOT / path), f"{file}: {page}"


def test_messages_name_their_page_in_one_way():
    for path in (ROOT / "src").rglob("*.py"):
        if path.name not in ("errors.py", "__init__.py", "components.py"):
            found = re.findall(r"(?i)\bsee docs/", path.read_text())
            assert not found, f"{path.name}: use errors.see"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_a_section_resolve(page):
    for target, anchor in re.findall(r"\]\(([^)#\s:]*)#([\w-]+)\)", page.read_text()):
        linked = page.parent / target if target else page
        if linked.suffix == ".md":
            assert anchor in anchors(linked), f"{page.name} links to {target}#{anchor}"


def test_readme_has_the_present_table_of_options():
    options = runpy.run_path(str(ROOT / "tools" / "options.py"))
    assert options["updated"](README) == README, "run `make gallery`"


def test_readme_names_every_option_of_every_group():
    for group in GROUPS:
        for option in options(group):
            assert f"`{option}`" in README, f"README does not name {group}={option}"


def test_tree_of_folders_matches_the_disk():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    block = re.search(r"```\n(conf/.*?)```", text, flags=re.DOTALL)
    names = [line.split()[0] for line in block.group(1).splitlines() if line.strip()]
    for name in names:
        assert (ROOT / name).exists(), f"the tree names {name}"


def test_version_stands_in_the_changelog():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == samerun.__version__
    assert f"## [{samerun.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_lock_holds_hashes_and_no_index_address():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    pinned = re.findall(r"^[\w.\[\]-]+==", text, flags=re.MULTILINE)
    assert text.count("--hash=sha256:") >= len(pinned) > 50


def test_each_dependency_names_the_file_that_needs_it():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for line in lines:
        if re.match(r'    "[a-zA-Z][\w-]*(\[\w+\])?(>=|==)', line):
            assert "# " in line, line


def test_every_test_that_the_security_page_names_exists():
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(named) > 20
    for file, name in named:
        (path,) = (ROOT / "tests").glob(f"*/{file}")
        assert f"\ndef {name}(" in path.read_text(), f"{file}::{name}"


def test_every_test_and_program_that_the_promises_name_exists():
    text = (ROOT / "docs/reliability.md").read_text()
    rows = [row.split("|") for row in text.splitlines() if row.startswith("| ")][1:]
    for row in rows:
        named = re.findall(r"`((?:tests|benchmarks)/[^`]+)`", row[2])
        assert named, row[1]
        assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_decision_is_in_the_index_and_states_its_measurement():
    index = (ROOT / "docs/decisions/README.md").read_text()
    pages = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        title = text.splitlines()[0].removeprefix(f"# {int(page.name[:4])}. ")
        assert f"({page.name}) | {title} |" in index, page.name
        headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
        assert headings == ["Context", "Decision", "Measurement", "Consequences"], page.name


def test_architecture_names_every_module_at_its_level():
    page = (ROOT / "docs/architecture.md").read_text()
    named = {
        name: int(level)
        for level, modules in re.findall(r"^\| (\d+) \| ([^|]+) \|", page, flags=re.MULTILINE)
        for name in re.findall(r"`(\w+)`", modules)
    }
    levels = {name: module.level for name, module in MODULES.items() if not name.startswith("__")}
    assert named == levels
