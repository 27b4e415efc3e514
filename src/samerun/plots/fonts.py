"""Text in any script: an installed font that has the characters, or a box in their place.

Matplotlib's own font has Latin, Greek, Cyrillic, Arabic and more, but no Chinese, Japanese, Korean
or Hindi. It warns and draws boxes; here another installed font is looked for first.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from matplotlib import font_manager, get_data_path
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

SANS, MONOSPACED = "DejaVu Sans", "DejaVu Sans Mono"
BOX = "\u25a1"  # in both fonts
_BOXES = re.compile(f"{BOX}{{4,}}")
_LONGEST = 18


@cache
def _own() -> frozenset[int]:
    """Code points of matplotlib's default font."""
    return frozenset(FT2Font(font_manager.findfont(SANS)).get_charmap())


@cache
def _elsewhere() -> dict[int, str]:
    """The family of an installed font for each code point that the default font lacks.

    All fonts are opened once, 1 to 5 ms each, and only if such a character occurs.
    """
    bundled = Path(get_data_path())  # math fonts, whose glyphs do not match their code points
    families: dict[int, str] = {}
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda entry: entry.fname):
        is_plain = entry.style == "normal" and entry.weight in (400, "normal", "regular")
        if not is_plain or entry.name.startswith(".") or "Last" in entry.name:
            continue  # macOS's last resort has all code points and no glyphs
        if bundled in Path(entry.fname).parents:
            continue
        try:
            font = FT2Font(entry.fname)
        except (OSError, RuntimeError):
            continue
        if font.scalable:  # matplotlib cannot draw bitmaps of emoji
            for code in font.get_charmap():
                families.setdefault(code, entry.name)
    return families


def _lacks(text: str) -> set[int]:
    is_plain = text.isascii() and text.isprintable()
    return set() if is_plain else {ord(letter) for letter in text} - _own()


def printable(text: str) -> str:
    """Returns a user's text so that matplotlib shows it unchanged.

    A character that no installed font has becomes a box, of which no more than three are shown
    side by side; white space becomes a space, and a dollar sign does not start a formula.
    """
    unknown = {code for code in _lacks(text) if code not in _elsewhere()}
    shown = "".join(
        " " if letter.isspace() else BOX if ord(letter) in unknown else letter for letter in text
    )
    return _BOXES.sub(3 * BOX, shown).replace("$", r"\$")


def plain(name: str, longest: int = _LONGEST) -> str:
    """Returns a user's name so that matplotlib can show it, shortened where it is long.

    Args:
        name: such as a class.
        longest: characters that are kept.
    """
    short = name if len(name) <= longest else name[: longest - 1] + "…"
    # A label that starts with `_` is left out of legends.
    return (" " if short.startswith("_") else "") + printable(short)


def plain_names(names: Sequence[str]) -> list[str]:
    """Returns names as matplotlib can show them, with their number where characters are missing."""
    shown = [plain(name) for name in names]
    return [
        f"{number}: {text}" if BOX in text and BOX not in name else text
        for number, (name, text) in enumerate(zip(names, shown, strict=True))
    ]


def columns_of(text: str) -> int:
    """Returns the display width in columns; East Asian wide characters count as two."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def set_fonts(figure: Figure) -> None:
    """Gives the texts of a figure fonts that have all their characters."""
    texts = list(_texts(figure))
    lacking = set().union(*(_lacks(text.get_text()) for text in texts))
    families = sorted({_elsewhere()[code] for code in lacking if code in _elsewhere()})
    if families:
        for text in texts:
            text.set_fontfamily([*text.get_fontfamily(), SANS, *families])


def _texts(artist: Artist) -> Iterator[Text]:
    """Yields every text, but for those of axes that are hidden: their ticks would be made first."""
    if isinstance(artist, Text):
        yield artist
    for child in artist.get_children():
        if not (isinstance(child, Axis) and not child.axes.axison):
            yield from _texts(child)
