"""A user's own clips, video files or folders of frames, one subfolder per class, decoded on demand.

PyAV, the Python binding of FFmpeg's libraries, decodes video files. A file may come from anywhere,
so it is read as what its ending says and as nothing else: FFmpeg would otherwise take a playlist
with the name of a film and open the files and addresses in it.
"""

import hashlib
import io
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from samerun.config import Layout
from samerun.config.datasets import Dataset
from samerun.config.datasets.images import VideoFolder
from samerun.data.class_folders import (
    Files,
    Kind,
    content_of,
    entries_of,
    error_at,
    images_in,
    outline_of,
    parts_of,
    root_of,
    source_of,
)
from samerun.data.source import Array, Outline, Source, SourceKind, Stream
from samerun.errors import UserError, listed
from samerun.raw_model.image_files import MOST_PIXELS
from samerun.raw_model.images import frame_indices, small_frame

FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".avi": "avi",
    ".mkv": "matroska",
    ".webm": "matroska",
    ".gif": "gif",
}
"""The one format that a file with each ending is read as, by FFmpeg's name."""
MOST_BYTES = 4_000_000_000
"""Maximum size of a video file."""
MOST_FRAMES = 100_000
"""Maximum number of frames of a clip: an hour of film, all of which is decoded in every epoch."""


def _find(folder: str, root: Path) -> Iterator[str]:
    """Paths of the clips of a class: video files, and folders of frames."""
    for entry in entries_of(folder, root):
        if entry.is_dir():
            if not list(images_in(entry.path, root, "a folder of frames")):
                raise error_at(entry.path, "holds no frames: add images or remove the folder.")
        elif not entry.name.lower().endswith(tuple(FORMATS)):
            raise error_at(
                entry.path,
                f"expected only {listed(FORMATS)} files, and folders of frames, in the folder of "
                "a class: move it elsewhere or convert it.",
            )
        elif not entry.is_file():  # opening a pipe would block
            raise error_at(entry.path, "is not a regular file, expected a video: remove it.")
        yield entry.path


_KIND = Kind(noun="clips", endings=tuple(FORMATS), find=_find)


def _outline(cfg: VideoFolder, files: tuple[Files, Files | None]) -> Outline:
    return outline_of(cfg, files, Layout.video, (cfg.frames, cfg.height, cfg.width, cfg.channels))


def outline_video_folder(cfg: VideoFolder) -> Outline:
    """Returns the outline of the folder, from the names of its files.

    Raises:
        UserError: the folder is missing, has fewer than two classes, or holds something else.
    """
    return _outline(cfg, parts_of(root_of(cfg), _KIND))


def load_video_folder(cfg: VideoFolder) -> Source:
    """Returns the names of the clips and how to read them.

    Raises:
        UserError: see `outline_video_folder`; or PyAV is not installed and there are video files.
    """
    root = root_of(cfg)
    files = parts_of(root, _KIND)
    outline = _outline(cfg, files)
    read = partial(read_clip, cfg)
    decode = partial(_decode, root, read, outline.input_shape)
    stream = Stream(
        digest=partial(_digest, root), decode=decode, damage=partial(_damage, root, read)
    )
    return source_of(cfg, outline, files, stream)


def read_clip(cfg: VideoFolder, path: Path) -> Array:
    """Reads a clip.

    Args:
        cfg: which frames, and their size.
        path: a video file, or a folder of frames.

    Returns:
        uint8 `(frames, height, width, channels)`; frames of another size are stretched, bilinearly
        and with antialiasing when shrinking.

    Raises:
        UserError: it cannot be read or decoded.
    """
    frames = _frame_files(path) if path.is_dir() else None
    num_present = len(frames) if frames else _num_frames(path)
    wanted = frame_indices(cfg.sampling, num_present, cfg.frames)
    images = _images(frames, wanted) if frames else _frames_of_video(path, wanted)
    found: dict[int, Array] = {}
    for index, image in images:
        found[index] = small_frame(image, (cfg.height, cfg.width, cfg.channels))
    if not found:
        raise error_at(path, "has no frame that can be decoded: replace or remove it.")
    # A file may promise more frames than it has: the last one is repeated for those.
    return np.stack([found.get(index, found[max(found)]) for index in wanted])


def _frame_files(folder: Path) -> list[Path]:
    """The frames in the order of the numbers in their names: `frame2` comes before `frame10`."""

    def in_order(file: Path) -> list[Any]:
        parts = re.split(r"([0-9]+)", file.name)
        return [int(part) if place % 2 else part for place, part in enumerate(parts)] + [file.name]

    files = [*map(Path, images_in(str(folder), folder.resolve(), "a folder of frames"))]
    if not 0 < len(files) <= MOST_FRAMES:
        raise _wrong_number(folder, len(files))
    return sorted(files, key=in_order)


def _wrong_number(path: Path, num: int) -> UserError:
    remedy = "cut it into shorter clips" if num else "replace or remove it"
    return error_at(path, f"has {num} frames, expected 1 to {MOST_FRAMES}: {remedy}.")


def _images(files: list[Path], wanted: list[int]) -> Iterator[tuple[int, Any]]:
    from PIL import Image

    for index in sorted(set(wanted)):
        path = files[index]
        content = io.BytesIO(content_of(path))
        try:
            with Image.open(content, formats=("JPEG", "PNG")) as image:
                yield index, image
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise error_at(path, "cannot be decoded: replace or remove it.") from error


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise UserError(
            "dataset=video_folder: PyAV, which decodes video files, is not installed, expected it "
            "for anything but folders of frames: pip install 'samerun[video]'."
        ) from error
    return av


def _opened(path: Path) -> Any:
    """Opens a video file as the format of its ending, which opens no other file."""
    only_itself = {"protocol_whitelist": "file"}
    return _av().open(str(path), format=FORMATS[path.suffix.lower()], options=only_itself)


def _undecodable(path: Path, error: Exception) -> UserError:
    reason = str(error).splitlines()[0].partition(": '")[0] if str(error) else type(error).__name__
    return error_at(path, f"cannot be decoded ({reason}): replace or remove it.")


def _num_frames(path: Path) -> int:
    """Counts the frames without decoding them; what a header says of their number may be wrong."""
    errors = (_av().FFmpegError, ValueError, OSError)
    try:
        with _opened(path) as container:
            if not container.streams.video:
                raise error_at(path, "has no video: replace or remove it.")
            stream = container.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            if not 0 < width * height <= MOST_PIXELS:
                raise error_at(
                    path,
                    f"has {width} x {height} pixels, expected 1 to {MOST_PIXELS} in total: make "
                    "it smaller.",
                )
            num = 0
            for packet in container.demux(stream):
                num += packet.size > 0
                if num > MOST_FRAMES:
                    break
    except errors as error:
        raise _undecodable(path, error) from error
    if not 0 < num <= MOST_FRAMES:
        raise _wrong_number(path, num)
    return num


def _frames_of_video(path: Path, wanted: list[int]) -> Iterator[tuple[int, Any]]:
    """Decodes from the start to the last wanted frame, and keeps one frame at a time.

    The last frame that there is comes with its own index, if there are fewer than promised.
    """
    errors = (_av().FFmpegError, ValueError, OSError)
    chosen, latest, index = set(wanted), None, -1
    try:
        with _opened(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # the pipeline reads several clips at a time
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
            for index, frame in enumerate(container.decode(stream)):
                latest = frame
                if index in chosen:
                    yield index, frame.to_image()
                if index >= wanted[-1]:
                    return
            if latest is not None and index not in chosen:
                yield index, latest.to_image()
    except errors as error:
        raise _undecodable(path, error) from error


def _digest(root: Path, name: bytes) -> bytes:
    """Reads a clip once, which also detects most kinds of damage before training."""
    path = root / os.fsdecode(name)
    if path.is_dir():
        digests = [hashlib.sha256(content_of(frame)).digest() for frame in _frame_files(path)]
        return hashlib.sha256(b"".join(digests)).digest()
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise error_at(
                path, f"has {size} bytes, expected at most {MOST_BYTES}: cut it into shorter clips."
            )
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise error_at(path, f"cannot be read: {error.strerror}.") from error
    _num_frames(path)
    if not any(True for _ in _frames_of_video(path, [0])):
        raise error_at(path, "has no frame that can be decoded: replace or remove it.")
    return digest


def _decode(root: Path, read: Any, shape: tuple[int, ...], names: Any) -> Any:
    """Reads clips, in the graph.

    Args:
        root: the folder.
        read: reads the clip at a path.
        shape: of a clip.
        names: string tensor `(n,)`.

    Returns:
        uint8 `(n, frames, height, width, channels)`.
    """
    import tensorflow as tf

    def of_all(given: Array) -> Array:
        try:
            return np.stack([read(root / os.fsdecode(name)) for name in given.tolist()])
        except UserError as error:  # found again by `damage`, since TensorFlow keeps only a text
            raise ValueError(str(error)) from error

    # Stateless, so `tf.data` may read several batches at a time.
    clips = tf.numpy_function(of_all, [names], tf.uint8, stateful=False)
    return tf.ensure_shape(clips, (names.shape[0], *shape))


def _damage(root: Path, read: Any, names: Array) -> UserError | None:
    """Finds the clip that could not be read, after reading has failed."""
    for name in names.tolist():
        try:
            read(root / os.fsdecode(name))
        except UserError as error:
            return error
    return None


SOURCES: dict[type[Dataset], SourceKind] = {
    VideoFolder: SourceKind(outline=outline_video_folder, load=load_video_folder),
}
