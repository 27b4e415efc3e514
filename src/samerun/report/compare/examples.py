"""The test examples themselves, out of the data that is here, if it is the data of the run.

A store holds only a run's worst mistakes, as pictures of pictures. So the recorded config loads the
data again: under the same rules as a reproduction, and only if the digest of the split is the
recorded one.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samerun import data
from samerun.config import Layout
from samerun.data import RawSplit
from samerun.errors import UserError
from samerun.replay import foreign
from samerun.replay.predictions import Predictions
from samerun.replay.recorded import RecordedRun, clean
from samerun.replay.trust import check_trusted

_LONGEST_TEXT = 2_000
_MOST_FEATURES = 12
_MOST_PIXELS = 512  # of a picture's longer side
_NUM_FRAMES = 5  # of a video


@dataclass(frozen=True, kw_only=True)
class Example:
    """A test example as it can be shown.

    Args:
        text: its text, or the features of a row; may be empty.
        picture: a PNG; `None` for what is no image.
        size: width and height of the picture.
    """

    text: str = ""
    picture: bytes | None = None
    size: tuple[int, int] = (0, 0)


def read(
    recorded: Sequence[RecordedRun],
    stored: Sequence[Predictions],
    indices: Sequence[int],
    trusted: Sequence[str],
) -> dict[int, Example]:
    """Loads the data of the first run and returns some examples of its test split by position.

    Args:
        recorded: the runs.
        stored: their predictions.
        indices: positions in the split.
        trusted: what of the recorded config may be imported and read here.

    Raises:
        UserError: its config would run code or read files that were not named, or the data here is
            not the data that the run was evaluated on.
    """
    one, split = recorded[0], stored[0].split
    check_trusted(one.cfg, trusted)
    foreign.check_paths(one.run, one.cfg, (), trusted)
    found = data.raw_split(one.cfg.dataset, split)
    if found is None or found.digest != stored[0].digest:
        raise UserError(
            f"--examples: the {split} split of the data here is not the one that run "
            f"{one.run.id[:8]} was evaluated on: restore that data, or leave --examples out."
        )
    return {index: _example(found, index) for index in indices}


def _example(found: RawSplit, index: int) -> Example:
    text = found.text_of(index)
    if text is not None:
        return Example(text=clean(text, _LONGEST_TEXT))
    values = np.asarray(found.examples([index]))[0]
    if found.outline.layout in (Layout.image, Layout.video):
        return _picture(values)
    names = found.outline.feature_names
    if values.ndim == 1 and len(names) == len(values):
        cells = [
            f"{clean(name, 40)} = {value:.4g}" for name, value in zip(names, values, strict=True)
        ]
        more = ["…"] if len(cells) > _MOST_FEATURES else []
        return Example(text=", ".join([*cells[:_MOST_FEATURES], *more]))
    return Example()


def _picture(values: NDArray[np.generic]) -> Example:
    """An image as it is, a video as a strip of frames; the range of an example's values is kept."""
    from PIL import Image

    pixels = np.asarray(values, np.float64)
    if pixels.ndim == 4:
        kept = np.linspace(0, len(pixels) - 1, min(_NUM_FRAMES, len(pixels))).round().astype(int)
        pixels = np.concatenate(list(pixels[kept]), axis=1)
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., 0]
    low, high = min(0.0, float(pixels.min())), float(pixels.max())
    scaled = (255 * (pixels - low) / ((high - low) or 1.0)).round().astype(np.uint8)
    image = Image.fromarray(scaled)
    image.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
    file = io.BytesIO()
    image.save(file, "PNG")
    return Example(picture=file.getvalue(), size=image.size)
