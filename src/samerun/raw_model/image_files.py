"""Detects damaged JPEG and PNG files.

TensorFlow's own errors do not name the file, and occur only in the middle of an epoch.
"""

import struct
import zlib

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
NUM_MAGIC_BYTES = len(PNG)
MOST_BYTES = 500_000_000
"""Maximum size of an image file."""
MOST_PIXELS = 89_478_485
"""Maximum size of an image, as in Pillow: 0.3 GB at 3 bytes per pixel, 1 GB while resizing."""

_STANDALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start of a frame: the size of the image
_SCAN, _END = 0xDA, b"\xff\xd9"


def is_image(beginning: bytes) -> bool:
    """Whether a file that begins like this has the signature of JPEG or PNG."""
    return beginning.startswith((PNG, JPEG))


def damage(content: bytes) -> str | None:
    """Returns what is wrong with the content of a JPEG or PNG file, or `None`.

    A PNG file has a checksum for each chunk, and all are verified. A JPEG file has none: its
    segments must follow each other and it must have an end marker; changed values within the scan
    are just another image. The size is read first: 12 MB of PNG can be 3 GB of pixels.
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
    return f"has {width} x {height} pixels, expected at most {MOST_PIXELS} in total"


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
            return f"is a damaged PNG file: the checksum of its chunk {name!r} is wrong"
        if name == b"IEND":
            return None
        place = end
    return "is a truncated PNG file"


def _damage_of_jpeg(content: bytes) -> str | None:
    place, has_size = 2, False
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            return f"is a damaged JPEG file: byte {place} should start a segment and does not"
        marker = content[place + 1]
        if marker == 0xFF or marker in _STANDALONE:  # padding, or a marker without content
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
                return "is a damaged JPEG file: it does not state its size"
            # Within the scan, 0xFF is followed by 0 or a restart marker, so this is the end.
            return None if content.find(_END, place) > 0 else "is a truncated JPEG file"
    return "is a truncated JPEG file"
