"""Records a command in a terminal and draws it as one animated SVG: what `make pictures` shows.

The picture has no script and asks for nothing. It plays once, and stands still at its end for a
person who prefers less motion.
"""

import contextlib
import fcntl
import html
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

import pyte

COLUMNS, ROWS = 100, 34
"""Of the terminal."""
WIDTH, HEIGHT = 8.43, 18
"""Of a character, in pixels, with 14 pixels of font size."""
COLORS = {"default": "#d4d4d4", "red": "#f48771", "green": "#89d185", "brown": "#e5c07b"}
COLORS |= {"blue": "#75beff", "magenta": "#d7a6ff", "cyan": "#4fc1d0", "white": "#ffffff"}
EVERY = 1.0
"""Least number of seconds between two frames."""
Line = tuple[tuple[str, str, bool], ...]
"""Parts of equal look: text, color, is bold."""


def record(command: Sequence[str], folder: Path) -> Iterator[tuple[float, list[Line]]]:
    """Runs a command in a terminal and yields what the screen shows, and after which second.

    Args:
        command: with its arguments.
        folder: where it runs.

    Raises:
        RuntimeError: the command failed, or could not be started.
    """
    screen = pyte.Screen(COLUMNS, ROWS)
    stream, started, shown = pyte.ByteStream(screen), time.monotonic(), 0.0
    pid, terminal = pty.fork()
    if pid == 0:
        _become(command, folder)
    code, held = None, b""
    try:
        while True:
            if select.select([terminal], [], [], EVERY)[0]:
                found = b""
                with contextlib.suppress(OSError):  # on Linux, what a terminal ends with
                    found = os.read(terminal, 65536)
                text, held = _shortened(held + found, os.fsencode(folder))
                stream.feed(text if found else text + held)
                if not found:
                    break
            if time.monotonic() - started - shown >= EVERY:
                shown = time.monotonic() - started
                yield shown, [line_of(screen.buffer[row]) for row in range(ROWS)]
        yield time.monotonic() - started, [line_of(screen.buffer[row]) for row in range(ROWS)]
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(terminal)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if code:
        raise RuntimeError("\n".join(screen.display))


def _become(command: Sequence[str], folder: Path) -> NoReturn:
    """Makes a fork of this process the command; ends it where that fails."""
    try:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.chdir(folder)
        programs = os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ["PATH"]])
        look = {"TERM": "xterm-256color", "PATH": programs, "PWD": str(folder)}
        os.execvpe(command[0], [*command], os.environ | look)
    except BaseException as error:  # the caller's code must not run twice
        os.write(2, f"{command[0]}: {error}".encode())
    finally:
        os._exit(127)


def _shortened(output: bytes, folder: bytes) -> tuple[bytes, bytes]:
    """Returns output with `.` for a folder, and apart from it the end that may begin its path."""
    output = output.replace(folder, b".")
    num = next(num for num in range(len(folder) - 1, -1, -1) if output.endswith(folder[:num]))
    return output[: len(output) - num], output[len(output) - num :]


def line_of(row: Mapping[int, Any]) -> Line:
    """Returns a line of a screen as parts of equal look, without blanks at its end."""
    looks = [
        (row[at].data, COLORS.get(row[at].fg, "#9aa0a6"), row[at].bold) for at in range(COLUMNS)
    ]
    while looks and looks[-1][0].isspace():
        looks.pop()
    parts = [
        ("".join(text for text, *_ in group), *look)
        for look, group in groupby(looks, key=lambda one: one[1:])
    ]
    return tuple(parts)


def draw(title: str, frames: Sequence[tuple[float, list[Line]]], speed: float) -> str:
    """Returns the SVG of frames that lie below each other, of which one is seen at a time.

    Args:
        title: what was typed; the first line.
        frames: as `record` yields them; those that repeat the one before are left out.
        speed: how many times as fast as it was.
    """
    changed = [
        one for one, last in zip(frames, [(0.0, []), *frames], strict=False) if one[1] != last[1]
    ]
    rows = max(row for _, lines in changed for row, line in enumerate(lines, 1) if line)
    width = round(COLUMNS * WIDTH) + 24
    texts: dict[Line, int] = {}
    steps, drawn = [], []
    for place, (second, lines) in enumerate(changed):
        begins = 100 * second / changed[-1][0] if place else 0
        steps.append(f"{begins:.2f}%{{transform:translateY(-{place * rows * HEIGHT}px)}}")
        for row, line in enumerate(lines):
            if line:
                number = texts.setdefault(line, len(texts))
                drawn.append(f'<use href="#t{number}" y="{(place * rows + row) * HEIGHT}"/>')
    parts = "".join(
        f'<text id="t{at}" x="12" y="14">{_spans(one)}</text>' for one, at in texts.items()
    )
    end = f"translateY(-{(len(changed) - 1) * rows * HEIGHT}px)"
    seconds = changed[-1][0] / speed
    box = f"0 0 {width} {(rows + 2) * HEIGHT + 20}"
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">
<style>text{{font:14px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}}
.f{{transform:{end};animation:p {seconds:.0f}s steps(1,end) 1s backwards}}
@media(prefers-reduced-motion){{.f{{animation:none}}}}@keyframes p{{{"".join(steps)}}}</style>
<defs>{parts}</defs><rect width="100%" height="100%" rx="6" fill="#1e1e1e"/>
<text x="12" y="26" fill="#ffffff">{html.escape(title)}</text>
<svg y="{2 * HEIGHT + 4}" height="{rows * HEIGHT}"><g class="f">{"".join(drawn)}</g></svg></svg>
"""


def _spans(line: Line) -> str:
    """Returns a line in its colors."""
    bold = {True: ' font-weight="bold"', False: ""}
    return "".join(
        f'<tspan fill="{color}"{bold[is_bold]}>{html.escape(text)}</tspan>'
        for text, color, is_bold in line
    )
