"""Escapes untrusted text for the place where it is shown.

A class name, a run's name or a text of a dataset may be anything: a formula for a spreadsheet,
HTML for a browser or MLflow's page, control characters for a terminal.
"""

import re

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")
_LATEX = {letter: f"\\{letter}" for letter in "{}$&#_%"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
_MARKS = re.compile(r"([\\`*_\[\]|~#!])")


def one_line(text: str, longest: int = 200) -> str:
    """Returns a text as one harmless line for a terminal or a log.

    Args:
        text: any text.
        longest: characters that are kept.
    """
    shown = "".join(letter if letter.isprintable() else "�" for letter in text[:longest])
    return shown + ("…" if len(text) > longest else "")


def for_screen(text: str) -> str:
    """Returns a text for a terminal that may have several lines, without control characters.

    Args:
        text: a message with names in it that came from a store or a file.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def spreadsheet_cell(text: str) -> str:
    """Returns a text for a CSV file, with a quote before what a spreadsheet would evaluate.

    Args:
        text: any text; one that is a number stays as it is.
    """
    is_formula = text.lstrip(" \n").startswith(_FORMULA) and not _NUMBER.match(text)
    return f"'{text}" if is_formula else text


def markdown(text: str) -> str:
    """Returns a text that Markdown shows literally: no HTML, link, image, table or heading.

    Args:
        text: any text; line breaks and control characters become spaces.
    """
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    line = line.replace("&", "&amp;").replace("<", "&lt;")
    safe = _MARKS.sub(r"\\\1", line)
    return re.sub(r"(?i)\b(https?|ftp|mailto|javascript|data):", r"\1\\:", safe)


def latex(text: str) -> str:
    """Returns a text that LaTeX prints literally: no command, comment, formula or column.

    Args:
        text: any text; line breaks and control characters become spaces.
    """
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(_LATEX.get(letter, letter) for letter in line)


def code_span(text: str) -> str:
    """Returns a text for the inside of a Markdown code span in a table.

    Args:
        text: any text.
    """
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line.replace("`", "'").replace("|", "\\|")


def fence(text: str) -> str:
    """Returns the backticks that delimit a Markdown code block with this text in it.

    Args:
        text: the content of the block.
    """
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)
