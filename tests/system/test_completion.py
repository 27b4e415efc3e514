"""Tab completion, asked as the scripts ask, and in those shells that are installed."""

import contextlib
import os
import pty
import re
import select
import shutil
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from samerun import cli
from samerun.cli.completion import SHELLS, TAKE_RUNS

INTERACTIVE = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SETUP = {
    "bash": 'PS1="READY> "; bind "set bell-style none"; eval "$(samerun completion bash)"',
    "zsh": 'PS1="READY> "; autoload -U compinit; compinit -u; eval "$(samerun completion zsh)"',
    "fish": 'function fish_prompt; echo "READY> "; end; samerun completion fish | source',
}


@pytest.fixture
def offered(monkeypatch, capsys):
    """Returns what is offered in place of the last word of a line."""

    def ask(line, shell="bash"):
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line)))
        assert cli.main(["-sc", f"query={shell}"]) == 0
        return capsys.readouterr().out.splitlines()

    return ask


def test_commands_are_offered_once(offered):
    assert set(offered("samerun ")) == {*cli.COMMANDS, "--help", "--version"}
    assert offered("samerun repro") == ["reproduce"]
    assert offered("samerun ui reproduce ") == []
    assert offered("samerun nothing ") == []


@pytest.mark.parametrize("command", TAKE_RUNS)
def test_runs_are_offered_the_newest_first(version_0_1_0, offered, command):
    found = offered(f"samerun {command} ")
    assert found[:2] == ["7a4d6540", "91ce6eb5"]
    assert {"small", "finished", "latest", "best:"} <= set(found)
    assert "01d26576" not in found, "a trial is offered only once its beginning was typed"
    assert command not in found


LINES = {
    "samerun show 63": ["635218d3"],
    "samerun ui 63": ["635218d3"],
    "samerun ui 63 7": [],
    "samerun table finished 7a": ["7a4d6540"],
    "samerun show fini": ["finished"],
    "samerun show dropout=0.1": ["dropout=0.1889"],
    "samerun show best:validation/a": ["best:validation/accuracy"],
    "samerun show small/": ["small/2", "small/1", "small/0"],
    "samerun runs --so": ["--sort"],
    "samerun resume small training.epo": ["training.epochs="],
    "samerun train --multi": ["--multirun"],
    "samerun train -m sweep=optuna sweep.n_tr": ["sweep.n_trials="],
    "samerun completion ": ["bash", "zsh", "fish"],
    "samerun server a": ["add-user"],
    "samerun server add-user x": [],
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_completed(version_0_1_0, offered, line):
    assert offered(line) == LINES[line]


def test_every_command_has_its_flags(offered):
    for command in cli.COMMANDS:
        assert "--help" in offered(f"samerun {command} --"), command


def test_shells_with_descriptions_get_them(version_0_1_0, offered):
    (line,) = offered("samerun show 63", "fish")
    value, _, what = line.partition("\t")
    assert value == "635218d3"
    assert re.fullmatch(r"finished, finished \d+\w ago", what)


def test_names_that_a_shell_would_interpret_are_not_offered(version_0_1_0, offered):
    hostile = ["$(touch ran)", "`id`", "a b", "a;b", "-rf", "a\x1b[2J", "a\nb", "a'b", 'a"b', "a*"]
    with sqlite3.connect("mlflow.db") as database:
        ids = [row[0] for row in database.execute("select run_uuid from runs")]
        for run_id, name in zip(ids, hostile, strict=False):
            database.execute("update runs set name = ? where run_uuid = ?", (name, run_id))
        database.execute("update latest_metrics set key = 'a;b' where key = 'train/loss'")
    database.close()
    assert len(ids) >= len(hostile)
    for line, expected in {
        "samerun show ": {"latest", "best:", "7a4d6540", "91ce6eb5"},
        "samerun show a": set(),
        "samerun show best:": {"best:validation/loss"},
        "samerun show $": set(),
    }.items():
        found = offered(line)
        assert expected <= set(found), line
        assert [word for word in found if not re.fullmatch(r"[\w./:=~-]+", word)] == []
        described = offered(line, "fish")
        assert len(described) == len(found)
        assert not any("\x1b" in one for one in described)


@pytest.mark.parametrize("content", [b"", b"no database", None])
def test_without_a_store_that_can_be_read_nothing_is_offered(
    tmp_path, monkeypatch, offered, content
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("mlflow.db").write_bytes(content)
    assert offered("samerun show ") == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert offered("samerun show ") == []


@contextlib.contextmanager
def terminal(shell):
    """An interactive shell; yields a function that types until the shell shows a text."""
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execvpe(INTERACTIVE[shell][0], INTERACTIVE[shell], environment)

    def type_text(text, until):
        os.write(descriptor, text.encode())
        shown, deadline = "", time.monotonic() + 90
        while not re.search(until, shown):
            assert time.monotonic() < deadline, f"{until!r} is not in {shown!r}"
            if select.select([descriptor], [], [], 1)[0]:
                new = os.read(descriptor, 10_000).decode(errors="replace")
                if "\x1b[c" in new or "\x1b[0c" in new:  # fish asks what terminal this is
                    os.write(descriptor, b"\x1b[?62;c")
                shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x07", "", new)
        return shown

    try:
        yield type_text
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(descriptor)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_runs_and_does_not_repeat_the_command(version_0_1_0, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}: see .ci/run")
    with terminal(shell) as type_text:
        type_text(f"{SETUP[shell]}; echo DO''NE\n", "DONE")
        shown = type_text("samerun reproduce 63\t", "635218d3")
        assert "reproduce reproduce" not in shown
        type_text("\x15samerun show best:validation/a\t", r"best:validation/accuracy")
        shown = type_text("\x15samerun reproduce \t\t", r"(?s)7a4d6540.*uncommitted")
        assert "reproduce reproduce" not in shown
