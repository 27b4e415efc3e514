"""Datasets of images, and of a user's own arrays; the values are in `conf/dataset/`."""

from enum import StrEnum
from typing import Any

from samerun.config.datasets.base import Dataset, HeldOut, Pictures, RandomSplit, Scaled
from samerun.config.fields import a_path, above, at_least, between, config


class View(StrEnum):
    """How the pixels of a grayscale image are passed to a model."""

    image = "image"
    """(height, width, 1)"""
    rows = "rows"
    """A sequence from top to bottom: each row is a time step, (height, width)."""


class Cifar100Label(StrEnum):
    """Which of CIFAR-100's two labels to predict."""

    fine = "fine"
    """100 classes."""
    coarse = "coarse"
    """20 superclasses of five classes each."""


class ClipLabel(StrEnum):
    """What to predict from a clip of a moving digit."""

    direction = "direction"
    """In which of eight directions the digit moves."""
    digit = "digit"
    """Which digit it is."""


class Sampling(StrEnum):
    """Which frames of a clip are used."""

    even = "even"
    """Spread evenly over the whole clip."""
    first = "first"
    """The first ones, one after the other."""
    middle = "middle"
    """Those in the middle, one after the other."""


@config
class GrayImages:
    """For grayscale images, which are also short sequences of rows.

    Args:
        view: how the pixels are passed to a model.
    """

    view: View


@config
class Digits(Dataset, RandomSplit, HeldOut, Scaled, Pictures, GrayImages):
    """The 1,797 real handwritten digits, 8×8 grayscale pixels, from scikit-learn."""

    kind: str = "digits"


@config
class Mnist(Dataset, RandomSplit, Scaled, Pictures, GrayImages):
    """MNIST: 60,000 training and 10,000 test digits, 28×28 grayscale, from Keras's cache."""

    kind: str = "mnist"


@config
class FashionMnist(Dataset, RandomSplit, Scaled, Pictures, GrayImages):
    """Fashion-MNIST: 60,000 training and 10,000 test images, 28×28 grayscale, from Keras."""

    kind: str = "fashion_mnist"


@config
class Cifar10(Dataset, RandomSplit, Scaled, Pictures):
    """CIFAR-10: 50,000 training and 10,000 test photographs, 32×32 color, from Keras's cache."""

    kind: str = "cifar10"


@config
class Cifar100(Dataset, RandomSplit, Scaled, Pictures):
    """CIFAR-100: 50,000 training and 10,000 test photographs, 32×32 color, from Keras's cache.

    Args:
        label: which of its two labels to predict.
    """

    kind: str = "cifar100"
    label: Cifar100Label


@config
class MovingDigits(Dataset, RandomSplit, HeldOut, Scaled):
    """Clips of scikit-learn's 1,797 real digits in synthetic motion, one clip per digit.

    Args:
        label: what to predict.
        frames: frames per clip; the digit moves by one pixel from frame to frame.
        side: height and width of a frame in pixels; a digit is 8×8.
    """

    kind: str = "moving_digits"
    label: ClipLabel
    frames: int = at_least(2)
    side: int = at_least(8)


@config
class ImageFolder(Dataset, RandomSplit, HeldOut, Scaled, Pictures):
    """A user's own JPEG and PNG files, one subfolder per class, decoded during training.

    Args:
        path: path of the folder; `test_fraction` is ignored if it has its own test split.
        height: height in pixels to which images are stretched.
        width: width in pixels to which images are stretched.
        channels: 1 for grayscale, 3 for color.
    """

    kind: str = "image_folder"
    path: str = a_path()
    height: int = above(0)
    width: int = above(0)
    channels: int = above(0)


@config
class VideoFolder(Dataset, RandomSplit, HeldOut, Scaled):
    """A user's own clips, one subfolder per class: video files, or folders of JPEG and PNG frames.

    Args:
        path: path of the folder; `test_fraction` is ignored if it has its own test split.
        frames: frames per clip.
        sampling: which frames of a clip are used.
        height: height in pixels to which frames are stretched.
        width: width in pixels to which frames are stretched.
        channels: 1 for grayscale, 3 for color.
    """

    kind: str = "video_folder"
    path: str = a_path()
    frames: int = between(2, 10_000)
    sampling: Sampling
    height: int = above(0)
    width: int = above(0)
    channels: int = above(0)


@config
class Npz(Dataset, RandomSplit, HeldOut, Scaled, Pictures):
    """A user's own arrays in one `.npz` file: `x_train y_train x_test y_test`, or `x y`.

    Args:
        path: path of the file; `test_fraction` is ignored if it has its own test split.
    """

    kind: str = "npz"
    path: str = a_path()


@config
class CustomDataset(Dataset, RandomSplit, HeldOut, Scaled, Pictures):
    """A user's own arrays, returned by a user's own function; see `Npz`.

    Args:
        target: the function, as `package.module:function`.
        params: keyword arguments of the function.
    """

    kind: str = "custom"
    target: str
    params: dict[str, Any] = a_path()


KINDS: tuple[type[Dataset], ...] = (
    Digits,
    Mnist,
    FashionMnist,
    Cifar10,
    Cifar100,
    MovingDigits,
    ImageFolder,
    VideoFolder,
    Npz,
    CustomDataset,
)
