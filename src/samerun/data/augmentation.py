"""Random flips, rotations, shifts and zooms of image batches, with one affine map per image."""

import math
from typing import Any

import tensorflow as tf

from samerun.config.datasets.base import Augmentation

NUM_DRAWS = 6
"""Random numbers per example and epoch: two flips, rotation, zoom, two shifts."""

_STREAM = 1  # the key itself determines the order of the epoch


def draws(num_examples: int, key: Any) -> Any:
    """Draws the random numbers of an epoch, one row per example.

    A row belongs to an example, not to a position in a batch, so an example is augmented in the
    same way in a given epoch whatever the order and the batch size.

    Args:
        num_examples: examples in the training split.
        key: int64 tensor `[seed, epoch]`.

    Returns:
        `(num_examples, NUM_DRAWS)` of float32 numbers, uniform in [0, 1).
    """
    seed = tf.random.fold_in(key, _STREAM)
    # Philox explicitly: "auto_select" selects another generator on other devices.
    return tf.random.stateless_uniform([num_examples, NUM_DRAWS], seed, alg="philox")


def _transforms(cfg: Augmentation, numbers: Any, height: int, width: int) -> Any:
    """Returns the maps from positions in the new image to positions in the old one.

    About the center c: `old = c + shift + R · F / zoom · (new - c)`, R a rotation, F the flips.

    Returns:
        `(n, 8)`: a0 a1 a2 b0 b1 b2 0 0 of x' = a0·x + a1·y + a2, y' = b0·x + b1·y + b2, in pixels.
    """
    both_ways = 2.0 * numbers - 1.0  # uniform in [-1, 1)
    flip_x = tf.where(numbers[:, 0] < 0.5, -1.0, 1.0) if cfg.flip_horizontal else 1.0
    flip_y = tf.where(numbers[:, 1] < 0.5, -1.0, 1.0) if cfg.flip_vertical else 1.0
    angle = math.radians(cfg.rotation) * both_ways[:, 2]
    shrink = 1.0 / (1.0 + cfg.zoom * both_ways[:, 3])
    cos, sin = tf.cos(angle) * shrink, tf.sin(angle) * shrink
    a0, a1, b0, b1 = cos * flip_x, -sin * flip_y, sin * flip_x, cos * flip_y
    x, y = (width - 1) / 2, (height - 1) / 2
    a2 = x + cfg.translation * width * both_ways[:, 4] - a0 * x - a1 * y
    b2 = y + cfg.translation * height * both_ways[:, 5] - b0 * x - b1 * y
    zero = tf.zeros_like(a0)
    return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)


def augment(cfg: Augmentation, images: Any, numbers: Any) -> Any:
    """Transforms each image of a batch by its own random numbers.

    Positions outside the old image take its nearest edge pixel. Zeros would be black only in images
    with values of 0 and above, and would create edges that are not in the data; the nearest pixel
    continues any background and adds no value that the image does not have.

    Args:
        cfg: which transformations, and their ranges.
        images: float32 `(n, height, width, channels)`.
        numbers: `(n, NUM_DRAWS)`, the rows of `draws` for these images.

    Returns:
        Images of the same shape and within the same range of values.
    """
    height, width = images.shape[1], images.shape[2]
    changed = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=_transforms(cfg, numbers, height, width),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    return tf.ensure_shape(changed, images.shape)
