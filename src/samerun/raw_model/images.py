"""Images and clips: encoded or as arrays, checked for their scale and resized as in training."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .encoded import Array, Encoded, RefusedInput, accepted, check_columns, scaled
from .image_files import damage


def decode_image(content: Any, shape: tuple[int, int, int]) -> Any:
    """Decodes a JPEG or PNG file and resizes it, in the graph.

    Args:
        content: the bytes, a string tensor `()`.
        shape: height, width and channels. An image of another size is resized to it, bilinearly
            and with antialiasing when shrinking.

    Returns:
        uint8 `(height, width, channels)`.
    """
    import tensorflow as tf

    # Also reads PNG files. The default method, "", depends on the system.
    image = tf.io.decode_jpeg(content, channels=shape[2], dct_method="INTEGER_ACCURATE")
    has_shape = tf.reduce_all(tf.shape(image) == shape)
    made = tf.cond(has_shape, lambda: image, lambda: stretched(image, shape))
    return tf.ensure_shape(made, shape)


def as_png(image: Array) -> bytes:
    """Returns an image of uint8, `(height, width, channels)`, as a PNG file."""
    import tensorflow as tf

    content: bytes = tf.io.encode_png(tf.constant(image)).numpy()
    return content


def stretched(image: Any, shape: tuple[int, int, int]) -> Any:
    """Resizes an image of uint8 as `decode_image` does."""
    import tensorflow as tf

    resized = tf.image.resize(image, shape[:2], antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)


def frame_indices(sampling: str, num_present: int, num_wanted: int) -> list[int]:
    """Returns which frames of a clip are used, in ascending order.

    Args:
        sampling: how they are chosen: `even`, `middle` or `first`. A clip that is too short
            repeats frames: all of them evenly with `even`, the last one otherwise.
        num_present: frames of the clip, at least 1.
        num_wanted: frames to return.
    """
    places = np.arange(num_wanted)
    if sampling == "even":  # the middle of each of `num_wanted` equal parts
        return [int(place) for place in (2 * places + 1) * num_present // (2 * num_wanted)]
    first = max(0, num_present - num_wanted) // 2 if sampling == "middle" else 0
    return [int(place) for place in np.minimum(first + places, num_present - 1)]


def small_frame(image: Any, shape: tuple[int, int, int]) -> Array:
    """Returns a Pillow image as a frame, uint8 `(height, width, channels)`.

    Args:
        image: of any size and mode.
        shape: height, width and channels. A frame of another size is stretched, bilinearly and with
            antialiasing when shrinking.
    """
    from PIL.Image import Resampling

    height, width, channels = shape
    small = image.convert("L" if channels == 1 else "RGB")
    if small.size != (width, height):
        small = small.resize((width, height), Resampling.BILINEAR)
    return np.asarray(small, np.uint8).reshape(height, width, channels)


def encode(form: Mapping[str, Any], frame: Any) -> Encoded:
    """Checks, decodes and resizes images or clips and scales them.

    Args:
        form: the input's description.
        frame: a data frame whose column holds encoded bytes or arrays.
    """
    column = form["column"]
    check_columns(frame.columns, [column])
    made: list[Array] = []
    refused: dict[int, str] = {}
    for row, cell in enumerate(frame[column]):
        try:
            made.append(_example(form, cell))
        except RefusedInput as error:
            refused[row] = f"column {column} {error}"
    shape = tuple(form["model_shape"])
    x = np.stack(made).reshape(-1, *shape) if made else np.zeros((0, *shape), np.float32)
    rows = accepted(len(frame), refused)
    return Encoded(x=scaled(x, form["scaling"]), rows=rows, refused=refused)


def _example(form: Mapping[str, Any], cell: Any) -> Array:
    """One example in the scale of the raw data, `form["shape"]`."""
    shape = tuple(form["shape"])
    if isinstance(cell, bytes | bytearray):
        return _decoded(form, bytes(cell))
    try:
        array = np.asarray(cell)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        expected = "a PNG or JPEG file or an array" if form["encoded"] else "an array of numbers"
        found = "no value" if cell is None else f"a value of the type {type(cell).__name__}"
        raise RefusedInput(f"holds {found}, expected {expected} of {_shape_text(form)}")
    _check_scale(form, array)
    if array.ndim == len(shape) - 1 and shape[-1] == 1:
        array = array[..., None]
    if array.shape == shape:
        return array
    resized = _RESIZE.get(form["resize"] or "")
    fits = array.ndim == len(shape) and array.shape[-1] == shape[-1] and 0 not in array.shape
    if resized is None or not fits:
        raise RefusedInput(f"has the shape {array.shape}, expected {_shape_text(form)}")
    if array.min() < 0 or array.max() > 255:  # they would wrap around in 8 bits
        raise RefusedInput(
            f"has the shape {array.shape} and numbers from {array.min()} to {array.max()}, "
            "expected numbers from 0 to 255 where an image has to be resized"
        )
    return resized(form, array)


def _check_scale(form: Mapping[str, Any], array: Array) -> None:
    """Refuses another type or range of numbers than the training data has."""
    if form["dtype"] == "float":
        if array.dtype.kind != "f":
            raise RefusedInput(
                f"holds {array.dtype}, expected floating-point numbers in the scale of the "
                "training data"
            )
        if not np.isfinite(array.astype(np.float32)).all():
            raise RefusedInput("holds a number that is NaN or infinite")
        return
    largest = form["largest"]
    allowed = "integers" if largest is None else f"integers from 0 to {largest:g}"
    if array.dtype.kind not in "iu":
        raise RefusedInput(f"holds {array.dtype}, expected {allowed}, as the training data has")
    if largest is not None and array.size and (array.min() < 0 or array.max() > largest):
        raise RefusedInput(f"holds numbers from {array.min()} to {array.max()}, expected {allowed}")


def _decoded(form: Mapping[str, Any], content: bytes) -> Array:
    if not form["encoded"]:
        raise RefusedInput(f"holds bytes, expected an array of {_shape_text(form)}")
    if wrong := damage(content):
        raise RefusedInput(f"holds a file that {wrong}")
    import tensorflow as tf

    try:
        image: Array = np.asarray(decode_image(tf.constant(content), tuple(form["shape"])))
    except tf.errors.InvalidArgumentError as error:
        raise RefusedInput("holds a file that cannot be decoded") from error
    _check_scale(form, image)
    return image


def _stretched(form: Mapping[str, Any], array: Array) -> Array:
    import tensorflow as tf

    made: Array = np.asarray(stretched(tf.constant(array.astype(np.uint8)), tuple(form["shape"])))
    return made


def _frames(form: Mapping[str, Any], array: Array) -> Array:
    from PIL import Image

    frames, height, width, channels = form["shape"]
    wanted = frame_indices(form["sampling"], len(array), frames)
    images = array.astype(np.uint8)
    plain = images[..., 0] if channels == 1 else images
    small = {
        at: small_frame(Image.fromarray(plain[at]), (height, width, channels)) for at in wanted
    }
    return np.stack([small[at] for at in wanted])


_RESIZE: dict[str, Callable[[Mapping[str, Any], Array], Array]] = {
    "bilinear": _stretched,
    "frames": _frames,
}
"""How arrays of another size are brought to the model's, by name."""


def _shape_text(form: Mapping[str, Any]) -> str:
    shape = tuple(form["shape"])
    if form["resize"] == "bilinear":
        return f"any height and width with {shape[-1]} channels"
    if form["resize"] == "frames":
        return f"any number of frames of any size with {shape[-1]} channels"
    return f"shape {shape}"
