"""A terminal of 60 columns in which `bash` runs commands, as a person pastes them."""

import fcntl
import os
import pty
import re
import select
import shlex
import signal
import socket
import struct
import sys
import termios
import time
import urllib.error
import urllib.request
from pathlib import Path

from support.warm import OWNER

COLUMNS = 60
WARM = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from support import warm

name, *arguments = sys.argv[1:]
module = ["-m", "samerun"] if name == "samerun" else []
process = warm.Warm([sys.executable, *module, *arguments])
while True:
    try:
        code = process.wait()
        sys.exit(code if code >= 0 else 128 - code)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
"""
"""Stands for `samerun` and `python`: passes the command, and Ctrl-C, to a process that is warm."""
_CONTROL = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>78]")


def path(*, is_activated):
    """Returns the folders of programs, with those of this environment or without samerun."""
    others = [one for one in os.get_exec_path() if not Path(one, "samerun").exists()]
    return os.pathsep.join([str(Path(sys.prefix, "bin"))] * is_activated + others)


def write_warm_programs(folder):
    """Writes `samerun` and `python`, which start warm."""
    folder.mkdir()
    code = WARM.format(tests=str(Path(__file__).parents[1]))
    for name in ("samerun", "python"):
        words = [sys.executable, "-S", "-c", code, name]
        (folder / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (folder / name).chmod(0o755)


class Terminal:
    """Runs commands in a terminal of their own.

    Args:
        folder: where they run.
        programs: a folder whose programs come first; `None`: none.
    """

    def __init__(self, folder, programs=None):
        self.folder, self.programs = folder, programs
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "COV_"))}
        self.environment = {
            **inherited,
            "BROWSER": "true",
            OWNER: os.environ.get(OWNER, str(os.getpid())),  # what starts warm ends with it
            "HUB_TOKEN": "of-the-person-who-reads",  # secrets.md reads one
            "TERM": "xterm-256color",
        }
        self.environment.pop("COLUMNS", None)

    def run(self, command, *, seconds=900, when=None):
        """Runs a command; returns its exit code and its screen without colors.

        Args:
            command: given to `bash`.
            seconds: after which it is killed.
            when: called with what was printed; Ctrl-C is typed when it returns true.
        """
        pid, terminal = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
            os.chdir(self.folder)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in a shell's background
            places = path(is_activated=not command.startswith("make "))
            if self.programs:
                places = f"{self.programs}{os.pathsep}{places}"
            own = {"PATH": places, "PYTHONPATH": str(self.folder / "src")}
            os.execvpe("bash", ["bash", "-c", command], {**self.environment, **own})
        written, end = b"", time.monotonic() + seconds
        try:
            while True:
                if time.monotonic() > end:
                    os.killpg(pid, signal.SIGKILL)
                    when = None
                if select.select([terminal], [], [], 0.2)[0]:
                    try:
                        new = os.read(terminal, 65536)
                    except OSError:  # on Linux, what a terminal ends with
                        new = b""
                    if not new:
                        break
                    written += new
                if when is not None and when(screen(written)):
                    when = None
                    os.write(terminal, b"\x03")
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen(written)
        finally:
            os.close(terminal)


def screen(written):
    """Returns the text of a screen, in which a line ends where the program ended it."""
    text = _CONTROL.sub("", written.decode(errors="replace")).replace("\r\n", "\n")
    return "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))


def free_port():
    """Returns a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(address):
    """Returns whether a server answers, be it that it asks for a password or for another method."""
    try:
        with urllib.request.urlopen(address, timeout=5) as page:
            return page.status == 200
    except urllib.error.HTTPError as error:
        return error.code in (401, 404, 405)
    except OSError:
        return False
