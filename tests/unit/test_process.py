"""What libraries print while they are imported."""

import os

import pytest

from samerun.errors import Terminated
from samerun.process import quiet


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
