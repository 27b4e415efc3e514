"""The tf.data tail of every data set: order, reading, normalisation, augmentation, batches.

The order of the training data and its augmentation are functions of (seed, epoch) and of nothing
else, so a run that is resumed in epoch 7 in a new process sees epoch 7's order. `Dataset.shuffle`
restarts at the first epoch's order in a new process, and stateful random numbers inside
`Dataset.map` repeat themselves every epoch under a global seed.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from samerun.config.datasets.base import Augmentation
from samerun.data.augmentation import augment, draws
from samerun.data.preprocessing import Preprocessing
from samerun.data.source import Array, Windows

Reader = Callable[[Any], tuple[Any, Any]]
"""Turns int64 indices `(n,)` into raw examples and targets, in the graph and without randomness.

What is too large for memory becomes another reader, one that decodes a file for each index."""


def epoch_variable() -> Any:
    """Returns the variable that says which epoch's order comes next."""
    with tf.device("CPU:0"):
        return tf.Variable(0, dtype=tf.int64, trainable=False, name="epoch")


def in_memory(x: Array, y: Array) -> Reader:
    """Returns a reader of arrays.

    Args:
        x: raw examples, `(n, *input_shape)`; their dtype stays, so uint8 takes a byte a pixel.
        y: targets, in the dtype and shape that the model is given.
    """
    with tf.device("CPU:0"):  # a data set would otherwise fill the memory of a GPU
        examples, targets = tf.constant(x), tf.constant(y)

    def read(indices: Any) -> tuple[Any, Any]:
        return tf.gather(examples, indices), tf.gather(targets, indices)

    return read


def windowed(windows: Windows, y: Array) -> Reader:
    """Returns a reader of windows, which holds each step once however many windows it is in.

    Args:
        windows: the steps, and how examples are cut out of them.
        y: targets, in the dtype and shape that the model is given.
    """
    with tf.device("CPU:0"):
        offsets = tf.range(windows.length, dtype=tf.int64)
        steps, targets = tf.constant(windows.steps), tf.constant(y)

    def read(indices: Any) -> tuple[Any, Any]:
        places = (indices * windows.stride)[:, tf.newaxis] + offsets
        return tf.gather(steps, places), tf.gather(targets, indices)

    return read


def streamed(names: Array, y: Array, decode: Callable[[Any], Any]) -> Reader:
    """Returns a reader of examples that are decoded when they are needed.

    Args:
        names: what stands for each example, `(n,)` of bytes.
        y: targets, in the dtype and shape that the model is given.
        decode: turns a string tensor of names into raw examples, in the graph.
    """
    read_names = in_memory(names, y)

    def read(indices: Any) -> tuple[Any, Any]:
        chosen, targets = read_names(indices)
        return decode(chosen), targets

    return read


def num_batches(num_examples: int, batch_size: int, drop_remainder: bool = False) -> int:
    """Returns how many batches there are."""
    return num_examples // batch_size if drop_remainder else -(-num_examples // batch_size)


def _batched(dataset: Any, num_examples: int, batch_size: int, drop_remainder: bool) -> Any:
    """Batches; where no smaller batch can come, the size of a batch is part of the static shape."""
    is_static = drop_remainder or num_examples % batch_size == 0
    return dataset.batch(batch_size, drop_remainder=is_static)


def _finished(dataset: Any, read: Callable[..., Any]) -> Any:
    options = tf.data.Options()
    options.deterministic = True
    mapped = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return mapped.with_options(options)


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
    start: int = 0,
) -> Any:
    """Returns the training data: each example once an epoch, in the order of (seed, epoch).

    Args:
        reader: reads examples by index.
        num_examples: examples in the split.
        seed: the run's seed.
        epoch: variable that is read when an iterator starts, so set it before.
        batch_size: examples a batch.
        drop_remainder: leave the last, smaller batch out; the order decides which examples those
            are, so they are others every epoch.
        preprocessing: normalisation.
        augmentation: random changes of the images, `None` for what is no image.
        start: batches to leave out at the beginning of every epoch: a run that was interrupted in
            the midst of one goes on with the rest of it. The batches are those of the whole epoch.

    Returns:
        `tf.data.Dataset` of (x, y) of known cardinality: with an unknown one Keras takes a phantom
        optimizer step at the end of every epoch, and a short first epoch cuts all later ones.
    """

    def one_epoch(_: Any) -> Any:
        key = tf.stack([tf.constant(seed, tf.int64), epoch.read_value()])
        indices = tf.range(num_examples, dtype=tf.int64)
        order = tf.random.experimental.stateless_shuffle(indices, key, alg="philox")
        rows: tuple[Any, ...] = (order,)
        if augmentation and augmentation.is_active:
            rows = (order, tf.gather(draws(num_examples, key), order))
        rows = tuple(row[start * batch_size :] for row in rows)
        dataset = tf.data.Dataset.from_tensor_slices(rows)
        return _batched(dataset, num_examples, batch_size, drop_remainder)

    def read(indices: Any, *numbers: Any) -> tuple[Any, Any]:
        raw, y = reader(indices)
        x = preprocessing.each_batch(raw)
        return (augment(augmentation, x, numbers[0]) if numbers and augmentation else x), y

    dataset = _finished(tf.data.Dataset.range(1).flat_map(one_epoch), read)
    cardinality = num_batches(num_examples, batch_size, drop_remainder) - start
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(cardinality))
    return dataset.prefetch(tf.data.AUTOTUNE)


def evaluation(
    reader: Reader, num_examples: int, *, batch_size: int, preprocessing: Preprocessing
) -> Any:
    """Returns validation or test data: each example once, in the order of the split, unchanged.

    Args:
        reader: reads examples by index.
        num_examples: examples in the split.
        batch_size: examples a batch; the last one may be smaller.
        preprocessing: normalisation.
    """

    def read(indices: Any) -> tuple[Any, Any]:
        raw, y = reader(indices)
        return preprocessing.each_batch(raw), y

    indices = tf.data.Dataset.range(num_examples)
    batches = _batched(indices, num_examples, batch_size, drop_remainder=False)
    return _finished(batches, read).prefetch(tf.data.AUTOTUNE)
