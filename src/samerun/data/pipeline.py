"""The `tf.data` pipelines: order, reading, normalization, augmentation, batches.

The order of the training data and its augmentation are functions of (seed, epoch) alone, so
a run that is resumed in epoch 7 in a new process sees the order of epoch 7. `Dataset.shuffle`
restarts with the order of the first epoch in a new process, and stateful random numbers inside
`Dataset.map` repeat every epoch under a global seed.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from samerun.config.datasets.base import Augmentation
from samerun.config.own import is_component
from samerun.data.augmentation import augment, draws, mix, partners
from samerun.data.preprocessing import Preprocessing
from samerun.data.source import Array, Windows

Reader = Callable[[Any], tuple[Any, Any]]
"""Maps int64 indices `(n,)` to raw examples and targets, in the graph and without randomness.

Data that is too large for memory has a reader that decodes a file for each index."""


def epoch_variable() -> Any:
    """Returns the variable that selects the epoch of the next pass."""
    with tf.device("CPU:0"):
        return tf.Variable(0, dtype=tf.int64, trainable=False, name="epoch")


def memory_reader(x: Array, y: Array) -> Reader:
    """Returns a reader of arrays.

    Args:
        x: raw examples, `(n, *input_shape)`, kept in their dtype: uint8 takes one byte per pixel.
        y: targets, in the dtype and shape that the model receives.
    """
    with tf.device("CPU:0"):  # a dataset would otherwise occupy GPU memory
        examples, targets = tf.constant(x), tf.constant(y)

    def read(indices: Any) -> tuple[Any, Any]:
        return tf.gather(examples, indices), tf.gather(targets, indices)

    return read


def window_reader(windows: Windows, y: Array) -> Reader:
    """Returns a reader of windows, which holds each step in memory once.

    Args:
        windows: the steps, and how examples are cut from them.
        y: targets, in the dtype and shape that the model receives.
    """
    with tf.device("CPU:0"):
        offsets = tf.range(windows.length, dtype=tf.int64)
        steps, targets = tf.constant(windows.steps), tf.constant(y)
    stride = windows.stride  # `read` would hold the steps a second time with it

    def read(indices: Any) -> tuple[Any, Any]:
        places = (indices * stride)[:, tf.newaxis] + offsets
        return tf.gather(steps, places), tf.gather(targets, indices)

    return read


def stream_reader(names: Array, y: Array, decode: Callable[[Any], Any]) -> Reader:
    """Returns a reader that decodes examples on demand.

    Args:
        names: name of each example, `(n,)` of bytes.
        y: targets, in the dtype and shape that the model receives.
        decode: turns a string tensor of names into raw examples, in the graph.
    """
    read_names = memory_reader(names, y)

    def read(indices: Any) -> tuple[Any, Any]:
        chosen, targets = read_names(indices)
        return decode(chosen), targets

    return read


def num_batches(num_examples: int, batch_size: int, drop_remainder: bool = False) -> int:
    """Returns the number of batches."""
    return num_examples // batch_size if drop_remainder else -(-num_examples // batch_size)


def _batch(dataset: Any, num_examples: int, batch_size: int, drop_remainder: bool) -> Any:
    """Batches; without a smaller last batch, the batch size is part of the static shape."""
    is_static = drop_remainder or num_examples % batch_size == 0
    return dataset.batch(batch_size, drop_remainder=is_static)


# AutoGraph, which `tf.data` applies to each function, takes 0.4 s of every process to rewrite ours
# and what they call; none of them has a condition on a tensor.
_as_written = tf.autograph.experimental.do_not_convert


def _map(dataset: Any, read: Callable[..., Any]) -> Any:
    options = tf.data.Options()
    options.deterministic = True
    mapped = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return mapped.with_options(options)


def _chosen(changes: Augmentation | None, num_examples: int, key: Any, indices: Any) -> Any:
    """Returns indices and, if images are changed, all random numbers for these examples."""
    if changes is None:
        return (indices,)
    drawn = draws(changes, num_examples, key)

    def numbers_of(examples: Any) -> dict[str, Any]:
        return {name: tf.gather(numbers, examples) for name, numbers in drawn.items()}

    if not changes.mixup:
        return indices, numbers_of(indices)
    others, shares = partners(changes.mixup, num_examples, key)
    other = tf.gather(others, indices)
    return indices, numbers_of(indices), other, numbers_of(other), tf.gather(shares, indices)


def _training_reader(
    reader: Reader,
    preprocessing: Preprocessing,
    changes: Augmentation | None,
    num_classes: int | None,
) -> Callable[..., Any]:
    """Returns a function from what `_chosen` returns to (x, y)."""

    def one(indices: Any, numbers: Any) -> tuple[Any, Any]:
        raw, y = reader(indices)
        x = preprocessing.each_batch(raw)
        return (augment(changes, x, numbers) if changes else x), y

    def read(indices: Any, numbers: Any = None, *mixing: Any) -> tuple[Any, Any]:
        x, y = one(indices, numbers)
        if mixing:
            others, numbers_of_others, shares = mixing
            other_x, other_y = one(others, numbers_of_others)
            if num_classes is not None:
                y, other_y = tf.one_hot(y, num_classes), tf.one_hot(other_y, num_classes)
            x, y = mix(x, other_x, shares), mix(y, other_y, shares)
        return x, y

    return read


def training(
    reader: Reader,
    num_examples: int,
    *,
    seed: int,
    epoch: Any,
    batch_size: int,
    drop_remainder: bool,
    preprocessing: Preprocessing,
    augmentation: Augmentation | None,
    num_classes: int | None = None,
    start: int = 0,
) -> Any:
    """Returns the training data: each example once per epoch, in the order of (seed, epoch).

    Args:
        reader: reads examples by index.
        num_examples: examples in the split.
        seed: the run's seed.
        epoch: variable that is read when an iterator starts; set it before.
        batch_size: examples per batch.
        drop_remainder: omit the smaller last batch; its examples depend on the order, so they
            differ between epochs.
        preprocessing: normalization.
        augmentation: random changes of images; `None` for other data.
        num_classes: number of classes if targets are class indices, which mix-up needs; else
            `None`.
        start: number of batches to skip at the start of every epoch, for a run that was interrupted
            within one. The remaining batches are the same as without skipping.

    Returns:
        `tf.data.Dataset` of (x, y) of known cardinality: with an unknown one, Keras makes an extra
        optimizer step at the end of every epoch, and a short first epoch truncates all later ones.
        With mix-up, class indices become float32 `(batch, num_classes)`, the share of each class.
    """
    changes = augmentation if augmentation and augmentation.is_active else None

    @_as_written  # type: ignore[untyped-decorator]
    def one_epoch(_: Any) -> Any:
        key = tf.stack([tf.constant(seed, tf.int64), epoch.read_value()])
        indices = tf.range(num_examples, dtype=tf.int64)
        order = tf.random.experimental.stateless_shuffle(indices, key, alg="philox")
        rows = _chosen(changes, num_examples, key, order)
        rows = tf.nest.map_structure(lambda row: row[start * batch_size :], rows)
        dataset = tf.data.Dataset.from_tensor_slices(rows)
        return _batch(dataset, num_examples, batch_size, drop_remainder)

    read = _training_reader(reader, preprocessing, changes, num_classes)
    if not is_component(changes):  # a function of the user's own may have such conditions
        read = _as_written(read)
    dataset = _map(tf.data.Dataset.range(1).flat_map(one_epoch), read)
    cardinality = num_batches(num_examples, batch_size, drop_remainder) - start
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(cardinality))
    return dataset.prefetch(tf.data.AUTOTUNE)


def evaluation(
    reader: Reader, num_examples: int, *, batch_size: int, preprocessing: Preprocessing
) -> Any:
    """Returns validation or test data: each example once, in the order of the split.

    Args:
        reader: reads examples by index.
        num_examples: examples in the split.
        batch_size: examples per batch; the last batch may be smaller.
        preprocessing: normalization.
    """

    @_as_written  # type: ignore[untyped-decorator]
    def read(indices: Any) -> tuple[Any, Any]:
        raw, y = reader(indices)
        return preprocessing.each_batch(raw), y

    indices = tf.data.Dataset.range(num_examples)
    batches = _batch(indices, num_examples, batch_size, drop_remainder=False)
    return _map(batches, read).prefetch(tf.data.AUTOTUNE)
