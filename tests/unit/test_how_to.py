"""The commands of the how-to pages: each has a test, and those that only read are typed here.

`tests/programs/readme_walk.py --quick` types the others.
"""

import re
import shlex

import pytest
import yaml
from test_docs import assert_composes, assert_understood

from samerun import cli
from support import screens
from support.how_to import (
    NOT_RUN,
    NOT_TYPED,
    NOT_TYPED_QUICKLY,
    PAGES,
    ROOT,
    files_of,
    is_typed_on_recorded_runs,
    page_commands,
    python_of,
    reason,
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
COMMANDS = {page: [*dict.fromkeys(page_commands(page.read_text("utf-8")))] for page in PAGES}
ALL = [command for commands in COMMANDS.values() for command in commands]
READING = {
    page: found
    for page, commands in COMMANDS.items()
    if (found := [one for one in commands if is_typed_on_recorded_runs(one)])
}
BLOCKS = re.compile(r"(?ms)^```(\w*)\n(.*?)^```")


def blocks(language):
    """The blocks of a language on all pages, each with its page."""
    for page in PAGES:
        for found, block in BLOCKS.findall(page.read_text("utf-8")):
            if found == language:
                yield page, block


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
    assert [*page_commands(text)] == [
        "samerun runs --all",
        "samerun train model=mlp",
        "samerun show ID",
        "samerun runs 'a | b'",
        "samerun diff ID ID",
    ]


def test_files_that_a_page_shows_are_found_with_their_path_and_all_other_python_is_run():
    text = (
        "```yaml\n# conf/model/wide.yaml, of your own\nunits: [2]\n```\n"
        "```python\n# my/code.py\nimport a\n```\n```python\nimport samerun\n```\n"
    )
    assert [path for path, _ in files_of(text)] == ["conf/model/wide.yaml", "my/code.py"]
    assert [*python_of(text)] == ["import samerun\n"]


def test_commands_that_are_not_typed_are_those_on_the_screen_each_with_its_reason(request):
    """A new command is typed by a test, or someone has read why it is not."""
    text = ""
    for page, commands in COMMANDS.items():
        found = [
            f"{command}\n    {why}\n"
            for command in commands
            if (why := reason(command, NOT_TYPED) or reason(command, NOT_TYPED_QUICKLY))
            and not is_typed_on_recorded_runs(command)
        ]
        text += f"# {page.stem}\n{''.join(found)}\n" if found else ""
    update = request.config.option.update_screens
    screens.check("how_to_not_typed", text, ROOT, update=update)


def test_each_reason_not_to_type_or_run_something_is_used_and_names_a_test_that_exists():
    python = [block for _, block in blocks("python")]
    for table, texts in ((NOT_TYPED, ALL), (NOT_TYPED_QUICKLY, ALL), (NOT_RUN, python)):
        for pattern, why in table.items():
            assert any(re.search(pattern, text) for text in texts), pattern
            for test in re.findall(r"tests/[\w/]+\.py", why):
                assert (ROOT / test).is_file(), test
    assert len(ALL) > 200
    typed = [one for one in ALL if not reason(one, NOT_TYPED)]
    assert len(typed) > len(ALL) / 2


@pytest.mark.parametrize("page", COMMANDS, ids=lambda page: page.stem)
def test_what_is_not_typed_is_understood(page):
    has_choice = re.compile(r"…|\[-|\bFILE\b|=MORE\b")
    for command in COMMANDS[page]:
        why = reason(command, NOT_TYPED) or reason(command, NOT_TYPED_QUICKLY)
        if not why or has_choice.search(command):
            continue
        if command.startswith("samerun train "):
            assert_composes(shlex.split(command)[2:])
        elif command.startswith("samerun "):
            assert_understood(command)


def test_the_commands_of_dask_have_options_that_it_knows():
    pytest.importorskip("distributed")
    from distributed.cli import dask_scheduler, dask_worker

    programs = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}
    found = [shlex.split(one) for one in ALL if one.startswith("dask ")]
    units = re.findall(r"(?m)^ExecStart=\S+/(dask .*)$", "".join(b for _, b in blocks("ini")))
    found += [shlex.split(one) for one in units]
    assert len(found) >= 5
    for _, name, *arguments in found:
        assert not [one for one in arguments if one.startswith("-") and "=" in one]
        programs[name].make_context(name, arguments, resilient_parsing=True)
        known = {flag for one in programs[name].params for flag in one.opts + one.secondary_opts}
        assert {one for one in arguments if one.startswith("-")} <= known


def test_the_container_of_kubernetes_trains_what_composes():
    jobs = [block for _, block in blocks("yaml") if "kind: Job" in block]
    assert len(jobs) == 1
    (container,) = yaml.safe_load(jobs[0])["spec"]["template"]["spec"]["containers"]
    assert container["command"][:2] == ["samerun", "train"]
    assert_composes(container["command"][2:])


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
