"""Clips of real digits in synthetic motion."""

import numpy as np

from samerun.config import Layout, Task
from samerun.config.datasets import Dataset
from samerun.config.datasets.images import ClipLabel, MovingDigits
from samerun.data.class_names import TEN
from samerun.data.images import digit_images
from samerun.data.source import Array, Outline, Source, SourceKind, Split

DIRECTIONS = (
    "right",
    "down right",
    "down",
    "down left",
    "left",
    "up left",
    "up",
    "up right",
)
_STEPS = np.array([(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)])
"""Rows and columns by which a digit moves per frame, in the order of `DIRECTIONS`."""


def outline_moving_digits(cfg: MovingDigits) -> Outline:
    """Returns the outline of the clips: one for each of scikit-learn's digits."""
    names = DIRECTIONS if cfg.label is ClipLabel.direction else TEN
    return Outline(
        task=Task.multiclass,
        layout=Layout.video,
        input_shape=(cfg.frames, cfg.side, cfg.side, 1),
        num_outputs=len(names),
        class_names=names,
        num_examples=1797,
    )


def load_moving_digits(cfg: MovingDigits) -> Source:
    """Creates the clips from scikit-learn's digits.

    Every digit gives one clip, so no handwriting is in two splits. It starts anywhere and moves
    one pixel per frame in one of eight directions, all drawn from `split_seed`. What leaves on one
    side enters on the opposite one: a digit that had to stay inside would start on the left when it
    moves to the right, and one frame would reveal its direction.
    """
    images, digits = digit_images()
    random = np.random.RandomState(cfg.split_seed)  # NumPy never changes its stream (NEP 19)
    directions = random.randint(len(DIRECTIONS), size=len(images))
    starts = random.randint(cfg.side, size=(len(images), 2))
    clips = moved(images, starts, _STEPS[directions], cfg.frames, cfg.side)
    labels = directions if cfg.label is ClipLabel.direction else digits
    return Source(
        outline=outline_moving_digits(cfg), examples=Split(clips[..., None], labels), largest=16.0
    )


def moved(images: Array, starts: Array, steps: Array, frames: int, side: int) -> Array:
    """Returns clips of images that move over a black canvas and wrap around its edges.

    Args:
        images: `(n, height, width)`, no larger than the canvas.
        starts: row and column of the top left pixel in the first frame, `(n, 2)`.
        steps: rows and columns to move per frame, `(n, 2)`.
        frames: frames per clip.
        side: height and width of the canvas, in pixels.

    Returns:
        `(n, frames, side, side)`, in the dtype of the images.
    """
    num, height, width = images.shape
    corners = starts[:, None, :] + np.arange(frames)[:, None] * steps[:, None, :]
    rows = (corners[..., 0, None] + np.arange(height)) % side
    columns = (corners[..., 1, None] + np.arange(width)) % side
    clips = np.zeros((num, frames, side, side), images.dtype)
    clip, frame = np.arange(num)[:, None, None, None], np.arange(frames)[:, None, None]
    clips[clip, frame, rows[..., :, None], columns[..., None, :]] = images[:, None]
    return clips


SOURCES: dict[type[Dataset], SourceKind] = {
    MovingDigits: SourceKind(outline=outline_moving_digits, load=load_moving_digits),
}
