"""A process: what libraries print while they are imported, and when garbage is collected."""

import gc
import logging
import os
import signal
import subprocess
import sys

import pytest

from samerun import cli, process
from samerun.errors import Terminated
from samerun.process import hold_signals, keep_imports, own_process, quiet, redirect_output


def importing(error):
    with quiet():
        os.write(2, b"a message of C++\n")
        raise error


def shown(capfd, error):
    with pytest.raises(type(error)):
        importing(error)
    return capfd.readouterr().err


def test_start_up_messages_are_hidden(capfd):
    with quiet():
        os.write(2, b"a message of C++\n")
    assert capfd.readouterr().err == ""


def test_start_up_messages_are_shown_where_an_import_fails(capfd):
    assert "a message of C++" in shown(capfd, ImportError("no such library"))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Terminated()], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_shows_no_start_up_messages(capfd, error):
    assert shown(capfd, error) == ""


@pytest.mark.parametrize(
    ("name", "is_on"), [("runs", False), ("compare", True), ("ui", True), ("tensorboard", True)]
)
def test_garbage_is_collected_by_each_command_that_may_need_memory(monkeypatch, name, is_on):
    seen = []

    def command(rest):
        seen.append(gc.isenabled())
        return 0

    for guard in ("guard_output", "keep_private"):  # they change the whole process
        monkeypatch.setattr(cli, guard, lambda: None)
    monkeypatch.setitem(cli.COMMANDS, name, cli.Command(help="", load=lambda: command))
    monkeypatch.setattr(sys, "argv", ["samerun", name])
    try:
        assert cli.main() == 0
    finally:
        gc.enable()
    assert seen == [is_on]


def test_only_an_own_process_hides_its_imports_from_the_collector_and_only_once(monkeypatch):
    frozen, at_exit, deferred = [], [], []
    monkeypatch.setattr(process, "_is_own", [False])
    monkeypatch.setattr(process, "defer_modules", lambda: deferred.append(1))
    monkeypatch.setattr(process.gc, "freeze", lambda: frozen.append(1))
    monkeypatch.setattr(process.atexit, "register", at_exit.append)
    keep_imports()
    assert not [*frozen, *at_exit, *deferred]
    own_process()
    keep_imports()
    keep_imports()
    assert len(frozen) == 1
    assert at_exit == [process.gc.freeze]
    assert len(deferred) == 1


def test_signals_are_held_back_from_a_process_until_it_handles_them():
    held = "import signal; print(*sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))"
    command = [sys.executable, "-c", held]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with hold_signals():
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = {*before, signal.SIGINT, signal.SIGTERM}
    assert done.stdout.split() == [str(int(number)) for number in sorted(expected)]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_log_lines_of_a_trial_in_this_process_are_in_its_output_and_not_on_the_screen(
    tmp_path, capsys
):
    log, early = logging.Logger("a library"), logging.StreamHandler(sys.stdout)
    log.addHandler(early)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(logging.root.manager.loggerDict, log.name, log)
        for trial in ("first", "second"):
            with redirect_output(tmp_path / trial):
                log.warning("%s retraces", trial)
                log.addHandler(late := logging.StreamHandler())
            log.warning("%s has ended", trial)
            log.removeHandler(late)
    assert capsys.readouterr() == ("first has ended\nsecond has ended\n",) * 2
    assert (tmp_path / "second").read_text() == "second retraces\n"
