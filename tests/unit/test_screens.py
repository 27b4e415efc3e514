"""What commands print that need no training, against the golden screens: see support/screens.py."""

import re

import pytest

from samerun import cli
from support import screens

HELP = {name: (name, "--help") for name in cli.COMMANDS} | {
    "samerun": ("--help",),
    "server_add_user": ("server", "add-user", "--help"),
    "server_set_password": ("server", "set-password", "--help"),
}
MISTAKES = {
    "a command of another tool": ("ls",),
    "an unknown key": ("train", "model.dropot=0.3"),
    "an unknown option": ("train", "model=cn"),
    "a wrong type": ("train", "training.epochs=ten"),
    "a value out of range": ("train", "model.dropout=2"),
    "a model that does not fit": ("train", "model=lstm"),
    "several values without -m": ("train", "model.dropout=0.1,0.2"),
    "a wrong search space": ("train", "-m", "sweep=optuna", "model.dropout=interval(0)"),
    "a missing file": ("train", "dataset=table_csv", "dataset.path=a.csv", "dataset.target=b"),
    "an unknown run": ("reproduce", "abcd1234"),
    "an older run than there is": ("show", "latest~3"),
    "a metric that no run has": ("show", "best:test/acuracy"),
    "a wrong filter": ("runs", "accuracy > 0.9"),
    "a key to sort by that no run has": ("runs", "--sort", "acuracy"),
}


def test_every_command_is_in_one_group_of_the_help():
    grouped = [name for names in cli.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(cli.COMMANDS)


def printed(capsys, *arguments):
    """Runs a command; returns what it printed, and the exit code if it is not 0."""
    try:
        code = cli.main(arguments)
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return out + err + (f"[exit code {code}]\n" if code else "")


def of_any_python(text):
    """Returns a help text as Python 3.13 names an option's value, and in no column.

    Earlier versions write `-o FILE, --output FILE`, which moves all texts to the right.
    """
    text = re.sub(r"\n {12,}", " ", text)
    text = re.sub(r"(?m)(?<=\S) {2,}", "  ", text)
    return re.sub(r"(?m)^(  -\w) [A-Z]+, (--\w+ [A-Z]+) +", r"\1, \2  ", text)


def test_the_help_of_every_command_is_as_on_its_screen(project, capsys, monkeypatch, request):
    monkeypatch.setenv("COLUMNS", screens.WIDTH)
    for name, arguments in HELP.items():
        text = printed(capsys, *arguments)
        # Every new model, dataset, … is listed here.
        if name != "samerun":  # its commands are no such list
            text = re.sub(r"(?m)^(  [a-z/]+  +)([a-z0-9_]+ )+[a-z0-9_]+$", r"\1…", text)
        text = re.sub(r"\S+/conf/GROUP", "CONF/GROUP", text)
        text = re.sub(r"(?m)^ +\.\.\.$", "  ...", text)  # one column further since Python 3.13
        if "\n  -o FILE" in text or "\n  -o, " in text:
            text = of_any_python(text)
        screens.check(f"help_{name}", text, project, update=request.config.option.update_screens)


def test_mistakes_are_reported_as_on_their_screen(project, capsys, monkeypatch, request):
    monkeypatch.setenv("COLUMNS", screens.WIDTH)
    text = ""
    for case, arguments in MISTAKES.items():
        text += f"# {case}\n$ samerun {' '.join(arguments)}\n{printed(capsys, *arguments)}\n"
    screens.check("mistakes", text, project, update=request.config.option.update_screens)


@pytest.mark.parametrize(
    "command", ["sync", "gc", "resume", "reproduce", "diff", "compare", "tensorboard"]
)
def test_a_command_without_runs_is_as_on_its_screen(project, capsys, monkeypatch, request, command):
    monkeypatch.setenv("COLUMNS", screens.WIDTH)
    two = ["abcd1234", "abcd1235"]
    given = {"resume": two[:1], "reproduce": two[:1], "diff": two, "compare": two}
    text = printed(capsys, command, *given.get(command, []))
    name = f"{command}_without_runs"
    screens.check(name, text, project, update=request.config.option.update_screens)
