"""The commands of the how-to pages: those that only read are typed, and none is forgotten.

`tests/programs/readme_walk.py docs/how-to/NAME.md` types the others too.
"""

import importlib.util
import re
import shlex
import sys

import pytest

from samerun import cli
from support.project import PROGRAMS

ROOT = PROGRAMS.parents[1]
PAGES = sorted(ROOT.glob("docs/how-to/*.md"))
READS = re.compile(
    r"samerun (runs|show|diff|compare|experiments|completion|gc --dry-run|train .*--(help|cfg)) ?"
)
OF_0_1_0 = {
    "6e75": "635218d3",
    "33f9": "d95ee3cc",
    "bd7e": "91ce6eb5",
    "ID": "635218d3",
    "STUDY": "small",
    "night": "small",
    "width": "small",
    "'cnn'": "'mlp'",
    "latest~1": "d95ee3cc",
    "latest": "635218d3",
}
"""What stands in the store of version 0.1.0 for what a page names."""
WITHOUT = {
    "--examples": "imports TensorFlow to read the data",
    "model=wide": "is for a folder with that file",
}
"""Commands that are not typed here; the walk types them."""


def load_walk():
    spec = importlib.util.spec_from_file_location("readme_walk", PROGRAMS / "readme_walk.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


walk = load_walk()


def reading_commands(page):
    """The commands of a page that only read, each once."""
    return [
        command
        for command in dict.fromkeys(walk.page_commands(page.read_text(encoding="utf-8")))
        if READS.match(command)
        and not walk.reason_not_to_type(command)
        and not any(part in command for part in WITHOUT)
    ]


READING = {page: commands for page in PAGES if (commands := reading_commands(page))}


def test_commands_are_found_in_blocks_tables_and_sentences():
    text = """
```bash
samerun runs \\
    --all        # every run
```
```
samerun: no such key
samerun train model=mlp
```
```python
samerun.train([])
```
| a | `samerun show ID` or `samerun runs 'a \\| b'` |

Type `samerun
diff ID ID`; `samerun resume` is only a name, and `make docs` builds.
"""
    assert [*walk.page_commands(text)] == [
        "samerun runs --all",
        "samerun train model=mlp",
        "samerun show ID",
        "samerun runs 'a | b'",
        "samerun diff ID ID",
    ]


def test_files_that_a_page_shows_are_found_with_their_path():
    text = (
        "```yaml\n# conf/model/wide.yaml, of your own\nunits: [2]\n```\n```python\nimport a\n```\n"
    )
    assert [path for path, _ in walk.files_of(text)] == ["conf/model/wide.yaml"]


def test_each_reason_not_to_type_a_command_is_used_and_names_a_test_that_exists():
    commands = [one for page in PAGES for one in walk.page_commands(page.read_text())]
    assert len(commands) > 200
    for pattern, reason in walk.NOT_TYPED_ON_PAGES.items():
        assert any(re.search(pattern, one) for one in commands), pattern
        for test in re.findall(r"tests/[\w/]+\.py", reason):
            assert (ROOT / test).is_file(), test
    typed = [one for one in commands if one and not walk.reason_not_to_type(one)]
    assert len(typed) > len(commands) / 2


def test_the_pages_have_commands_that_only_read():
    assert sum(map(len, READING.values())) >= 25


@pytest.mark.parametrize("page", READING, ids=lambda page: page.stem)
def test_commands_that_only_read_work_on_recorded_runs(page, version_0_1_0, capsys):
    for command in READING[page]:
        for name, value in OF_0_1_0.items():
            command = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w~])", value, command)
        words = shlex.split(command)
        end = next((at for at, word in enumerate(words) if word in ("|", ">")), None)
        assert cli.main(words[1:end]) == 0, f"{command}\n{capsys.readouterr().err}"
        assert capsys.readouterr().out.strip(), command
