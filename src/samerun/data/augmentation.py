"""Random changes of image batches: moved pixels, other values, masks, and mixed examples."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from samerun.config.datasets.base import Augmentation
from samerun.config.own import is_component
from samerun.errors import UserError
from samerun.user_code import describe_cause, import_function, where, working_folder_first

NUM_MOVES = 6
"""Random numbers per example and epoch: two flips, rotation, zoom, two shifts."""
NUM_VALUES = 4
"""Random numbers per example and epoch: contrast, brightness, row and column of the mask."""

# The key itself determines the order of the epoch; each of these draws from a stream of its own,
# so the numbers of one do not depend on which others are used.
_MOVES, _VALUES, _NOISE, _PARTNERS, _GAMMAS, _POWERS, _OWN = 1, 2, 3, 4, 5, 6, 7
_PHILOX = "philox"  # explicitly: "auto_select" selects another generator on other devices


def draws(cfg: Augmentation, num_examples: int, key: Any) -> dict[str, Any]:
    """Draws the random numbers of an epoch, one row per example.

    A row belongs to an example, not to a position in a batch, so an example is augmented in the
    same way in a given epoch whatever the order and the batch size.

    Args:
        cfg: which augmentations are used; others draw nothing.
        num_examples: examples in the training split.
        key: int64 tensor `[seed, epoch]`.

    Returns:
        `moves` `(num_examples, NUM_MOVES)` and `values` `(num_examples, NUM_VALUES)`, float32,
        uniform in [0, 1); `noise` and `own` `(num_examples, 2)`, int64, a seed per example.
    """

    def uniform(stream: int, count: int) -> Any:
        seed = tf.random.fold_in(key, stream)
        return tf.random.stateless_uniform([num_examples, count], seed, alg=_PHILOX)

    def seeds(stream: int) -> Any:
        of_epoch = tf.fill([num_examples], tf.cast(tf.random.fold_in(key, stream)[0], tf.int64))
        return tf.stack([of_epoch, tf.range(num_examples, dtype=tf.int64)], axis=1)

    drawn = {}
    if cfg.moves_pixels:
        drawn["moves"] = uniform(_MOVES, NUM_MOVES)
    if cfg.contrast or cfg.brightness or cfg.cutout:
        drawn["values"] = uniform(_VALUES, NUM_VALUES)
    if cfg.noise:
        drawn["noise"] = seeds(_NOISE)
    if is_component(cfg):
        drawn["own"] = seeds(_OWN)
    return drawn


def augment(cfg: Augmentation, images: Any, drawn: Mapping[str, Any]) -> Any:
    """Changes each image of a batch by its own random numbers; mixing is separate, see `mix`.

    Args:
        cfg: which augmentations, and their ranges.
        images: float32 `(n, height, width, channels)`.
        drawn: the rows of `draws` for these images.

    Returns:
        Images of the same shape; samerun's own changes keep each within the range of its values.
    """
    if cfg.moves_pixels:
        images = _moved(cfg, images, drawn["moves"])
    if cfg.contrast or cfg.brightness or cfg.noise:
        images = _revalued(cfg, images, drawn)
    if cfg.cutout:
        images = _cut_out(cfg.cutout, images, drawn["values"])
    if is_component(cfg):
        images = _changed_by_own(cfg, images, drawn["own"])
    return images


@tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
def _own_function(cfg: Any) -> Any:
    with working_folder_first():
        return import_function(where("dataset.augmentation", cfg), cfg.target)


def _changed_by_own(cfg: Any, images: Any, seeds: Any) -> Any:
    """Changes each image by the user's own function, which sees nothing but it and its seed."""
    function = _own_function(cfg)
    return tf.map_fn(
        lambda one: tf.ensure_shape(function(one[0], one[1], **cfg.params), images.shape[1:]),
        (images, seeds),
        fn_output_signature=tf.TensorSpec(images.shape[1:], images.dtype),
    )


def traced(cfg: Augmentation, images: Any) -> Callable[[int, int], Any]:
    """Returns a function of seed and epoch that returns the changed images, as an array.

    It is traced again, as in another process.

    Args:
        cfg: the augmentation.
        images: `(n, height, width, channels)`: all examples of the split.
    """
    batch = tf.constant(images)

    @tf.function  # type: ignore[untyped-decorator]
    def change(key: Any) -> Any:
        return augment(cfg, batch, draws(cfg, len(images), key))

    return lambda seed, epoch: change(tf.constant([seed, epoch], tf.int64)).numpy()


def check_own(cfg: Any, shape: Sequence[int]) -> None:
    """Calls an augmentation of the user's own on an image of a shape, and once more in a graph.

    Args:
        cfg: the augmentation; samerun's own are not called.
        shape: of an image.

    Raises:
        UserError: it raises, or returns another shape or type, or values that are not finite.
    """
    if not is_component(cfg):
        return
    name = f"{where('dataset.augmentation', cfg)}: {cfg.target}"
    images = tf.constant(np.random.default_rng(0).uniform(size=(2, *shape)), tf.float32)
    seed = draws(cfg, len(images), tf.constant([0, 0], tf.int64))["own"][0]
    function = _own_function(cfg)
    try:
        one = tf.convert_to_tensor(function(images[0], seed, **cfg.params))
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{name}: raised {describe_cause(error)}, on an image of shape {tuple(shape)} and a "
            "seed."
        ) from error
    if one.shape != images.shape[1:] or one.dtype != images.dtype:
        raise UserError(
            f"{name}: returned {one.dtype.name} of shape {tuple(one.shape)} for an image of shape "
            f"{tuple(shape)}, expected {images.dtype.name} of the same shape."
        )
    try:
        found = traced(cfg, images)(0, 0)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{name}: raised {type(error).__name__} in a graph, in which training calls it: use "
            "functions of tf and keras.ops, not of NumPy."
        ) from error
    if not np.isfinite(found).all():
        raise UserError(f"{name}: returned values that are not finite, expected finite ones.")


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


def _moved(cfg: Augmentation, images: Any, numbers: Any) -> Any:
    """Flips, rotates, shifts and zooms, with one affine map per image.

    Positions outside the old image take its nearest edge pixel. Zeros would be black only in images
    with values of 0 and above, and would create edges that are not in the data; the nearest pixel
    continues any background and adds no value that the image does not have.
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


def _each(numbers: Any) -> Any:
    """Returns one number per image, `(n,)`, in a shape that broadcasts over images."""
    return numbers[:, tf.newaxis, tf.newaxis, tf.newaxis]


def _revalued(cfg: Augmentation, images: Any, drawn: Mapping[str, Any]) -> Any:
    """Changes contrast and brightness and adds noise, within the range of each image's values.

    The range is the image's own, and not that of the format, which floating-point images do not
    have and which normalization changes.
    """
    low = tf.reduce_min(images, axis=(1, 2, 3), keepdims=True)
    high = tf.reduce_max(images, axis=(1, 2, 3), keepdims=True)
    changed = images
    if cfg.contrast or cfg.brightness:
        both_ways = 2.0 * drawn["values"] - 1.0  # uniform in [-1, 1)
        mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
        changed = mean + (1.0 + cfg.contrast * _each(both_ways[:, 0])) * (images - mean)
        changed += cfg.brightness * _each(both_ways[:, 1]) * (high - low)
    if cfg.noise:
        shape = images.shape[1:]
        noise = tf.map_fn(
            lambda seed: tf.random.stateless_normal(shape, seed, alg=_PHILOX),
            drawn["noise"],
            fn_output_signature=tf.TensorSpec(shape, tf.float32),
        )
        changed += cfg.noise * (high - low) * noise
    return tf.clip_by_value(changed, low, high)


def _cut_out(fraction: float, images: Any, numbers: Any) -> Any:
    """Masks a square of each image: Cutout (DeVries and Taylor, 2017, arXiv:1708.04552).

    The center is any pixel, so part of the square may be outside of the image, which the authors
    found to be important. They mask with 0 in images whose mean is 0; here it is the mean of
    the image in each channel, which does not depend on the normalization.

    Args:
        fraction: side of the square as a fraction of the image's; an image that is not square has
            a mask of its own shape.
        images: `(n, height, width, channels)`.
        numbers: `(n, NUM_VALUES)`.
    """

    def covered(size: int, centers: Any) -> Any:
        length = max(1, round(fraction * size))
        first = tf.cast(tf.floor(centers * size), tf.int32)[:, tf.newaxis] - length // 2
        places = tf.range(size)
        return (places >= first) & (places < first + length)

    rows = covered(images.shape[1], numbers[:, 2])[:, :, tf.newaxis, tf.newaxis]
    columns = covered(images.shape[2], numbers[:, 3])[:, tf.newaxis, :, tf.newaxis]
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    return tf.where(rows & columns, mean, images)


def partners(alpha: float, num_examples: int, key: Any) -> tuple[Any, Any]:
    """Draws with which other example each one is mixed in an epoch, and its own share.

    As a function of (seed, epoch, example), and not within a batch as by the authors of mix-up, it
    does not depend on the order and the batch size. All examples are partners once.

    Args:
        alpha: shares are Beta(alpha, alpha): small values mix little, 1 is uniform.
        num_examples: examples in the training split.
        key: int64 tensor `[seed, epoch]`.

    Returns:
        int64 `(num_examples,)` indices, and float32 `(num_examples,)` shares in [0, 1].
    """
    indices = tf.range(num_examples, dtype=tf.int64)
    seed = tf.random.fold_in(key, _PARTNERS)
    others = tf.random.experimental.stateless_shuffle(indices, seed, alg=_PHILOX)
    # X / (X + Y) of Gamma(alpha) variables is Beta(alpha, alpha), and Gamma(alpha + 1) times
    # U^(1 / alpha) is Gamma(alpha) (Marsaglia and Tsang, 2000): in logarithms no power underflows.
    shape, gammas = [num_examples, 2], tf.random.fold_in(key, _GAMMAS)
    gamma = tf.random.stateless_gamma(shape, gammas, alpha + 1.0)
    power = tf.random.stateless_uniform(shape, tf.random.fold_in(key, _POWERS), alg=_PHILOX)
    logs = tf.math.log(gamma) + tf.math.log(1.0 - power) / alpha
    return others, tf.sigmoid(logs[:, 0] - logs[:, 1])


def mix(first: Any, second: Any, shares: Any) -> Any:
    """Mixes examples or targets: mix-up (Zhang et al., 2018, arXiv:1710.09412).

    Args:
        first: float32 `(n, ...)`.
        second: those to mix with, of the same shape.
        shares: `(n,)` of `first`, in [0, 1].
    """
    own = tf.reshape(shares, [-1, *(1 for _ in first.shape[1:])])
    return own * first + (1.0 - own) * second
