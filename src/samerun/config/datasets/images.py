"""Data sets of images, and of a user's own arrays; the values live in `conf/dataset/`."""

from enum import StrEnum
from typing import Any

from samerun.config.datasets.base import Dataset, HeldOut, Pictures, RandomSplit, Scaled
from samerun.config.fields import a_path, above, at_least, config


class View(StrEnum):
    """How the pixels of a grey image are given to a model."""

    image = "image"
    """(height, width, 1)"""
    rows = "rows"
    """A sequence from top to bottom: every row a time step, (height, width)."""


class Cifar100Label(StrEnum):
    """Which of CIFAR-100's two labels is to be predicted."""

    fine = "fine"
    """100 classes."""
    coarse = "coarse"
    """20 groups of five classes each."""


class ClipLabel(StrEnum):
    """What is to be predicted of a clip of a moving digit."""

    direction = "direction"
    """Which of eight ways the digit moves."""
    digit = "digit"
    """Which digit it is."""


@config
class GreyImages:
    """For grey images, which are also short sequences of rows.

    Args:
        view: how the pixels are given to a model.
    """

    view: View


@config
class Digits(Dataset, RandomSplit, HeldOut, Scaled, Pictures, GreyImages):
    """The 1,797 real handwritten digits, 8×8 grey pixels, that ship inside scikit-learn."""

    kind: str = "digits"


@config
class Mnist(Dataset, RandomSplit, Scaled, Pictures, GreyImages):
    """MNIST: 60,000 training and 10,000 test digits, 28×28 grey pixels, from Keras's cache."""

    kind: str = "mnist"


@config
class FashionMnist(Dataset, RandomSplit, Scaled, Pictures, GreyImages):
    """Fashion-MNIST: 60,000 training and 10,000 test garments, 28×28 grey, from Keras's cache."""

    kind: str = "fashion_mnist"


@config
class Cifar10(Dataset, RandomSplit, Scaled, Pictures):
    """CIFAR-10: 50,000 training and 10,000 test photographs, 32×32 colour, from Keras's cache."""

    kind: str = "cifar10"


@config
class Cifar100(Dataset, RandomSplit, Scaled, Pictures):
    """CIFAR-100: 50,000 training and 10,000 test photographs, 32×32 colour, from Keras's cache.

    Args:
        label: which of its two labels is to be predicted.
    """

    kind: str = "cifar100"
    label: Cifar100Label


@config
class MovingDigits(Dataset, RandomSplit, HeldOut, Scaled):
    """Clips of scikit-learn's real digits in a synthetic motion: one clip for each of the 1,797.

    Args:
        label: what is to be predicted.
        frames: pictures in a clip; the digit moves by one pixel from each to the next.
        side: height and width of a picture, in pixels; a digit is 8×8.
    """

    kind: str = "moving_digits"
    label: ClipLabel
    frames: int = at_least(2)
    side: int = at_least(8)


@config
class ImageFolder(Dataset, RandomSplit, HeldOut, Scaled, Pictures):
    """A user's own JPEG and PNG files, one sub-folder a class, decoded while training.

    Args:
        path: the folder; `test_fraction` is unused where it has a test split of its own.
        height: height to which every picture is stretched, in pixels.
        width: width to which every picture is stretched, in pixels.
        channels: 1 for grey, 3 for colour.
    """

    kind: str = "image_folder"
    path: str = a_path()
    height: int = above(0)
    width: int = above(0)
    channels: int = above(0)


@config
class Npz(Dataset, RandomSplit, HeldOut, Scaled, Pictures):
    """A user's own arrays in one `.npz` file: `x_train y_train x_test y_test`, or `x y`.

    Args:
        path: the file; `test_fraction` is unused where it has a test split of its own.
    """

    kind: str = "npz"
    path: str = a_path()


@config
class CustomDataset(Dataset, RandomSplit, HeldOut, Scaled, Pictures):
    """A user's own arrays from a user's own function, understood as in an `.npz` file.

    Args:
        target: the function, as `package.module:function`.
        params: arguments of the function, by name.
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
    Npz,
    CustomDataset,
)
