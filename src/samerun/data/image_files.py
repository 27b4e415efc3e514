"""A small reader of JPEG and PNG files that tells whole ones from damaged ones.

TensorFlow's own messages name no file, and come only in the middle of an epoch.
"""

import struct
import zlib

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
NUM_MAGIC_BYTES = len(PNG)
MOST_BYTES = 500_000_000
"""Largest picture file."""
MOST_PIXELS = 89_478_485
"""Largest picture, as in Pillow: 0.3 GB in three bytes a pixel, and 1 GB while it is resized."""

_STANDALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start of a frame: the size of the picture
_SCAN, _END = 0xDA, b"\xff\xd9"


def is_picture(beginning: bytes) -> bool:
    """Whether a file that begins so is a JPEG or PNG file by its format's own sign."""
    return beginning.startswith((PNG, JPEG))


def damage(content: bytes) -> str | None:
    """Returns what is wrong with the content of a JPEG or PNG file, `None` where nothing is seen.

    A PNG file has a checksum for each part, and all are checked. A JPEG file has none: its parts
    must follow each other and it must have an end; other values in the midst of its picture are
    another picture. The size is read first: 12 MB of PNG may be 3 GB of pixels.
    """
    if not content:
        return "is empty"
    if content.startswith(PNG):
        return _damage_of_png(content)
    if content.startswith(JPEG):
        return _damage_of_jpeg(content)
    return "is neither a JPEG nor a PNG file"


def _too_large(width: int, height: int) -> str | None:
    if width * height <= MOST_PIXELS:
        return None
    return f"has {width} x {height} pixels, expected at most {MOST_PIXELS} in all"


def _damage_of_png(content: bytes) -> str | None:
    if len(content) >= 24 and (wrong := _too_large(*struct.unpack_from(">II", content, 16))):
        return wrong
    place = len(PNG)
    while place + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if end > len(content):
            break
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(memoryview(content)[place + 4 : end - 4]) != checksum:
            return f"is a damaged PNG file: the checksum of its part {name!r} is wrong"
        if name == b"IEND":
            return None
        place = end
    return "is a PNG file that is cut off"


def _damage_of_jpeg(content: bytes) -> str | None:
    place, has_size = 2, False
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            return f"is a damaged JPEG file: byte {place} should begin a part and does not"
        marker = content[place + 1]
        if marker == 0xFF or marker in _STANDALONE:  # filling, or a marker without content
            place += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES and place + 9 <= len(content):
            has_size = True
            height, width = struct.unpack_from(">HH", content, place + 5)
            if wrong := _too_large(width, height):
                return wrong
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if marker == _SCAN:
            if not has_size:
                return "is a damaged JPEG file: it does not say its size"
            # Inside the picture 0xFF is followed by 0 or a restart marker, so this is its end.
            return None if content.find(_END, place) > 0 else "is a JPEG file that is cut off"
    return "is a JPEG file that is cut off"
