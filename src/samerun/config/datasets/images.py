"""Data sets of images, and of a user's own arrays; the values live in `conf/dataset/`."""

from samerun.config.datasets.base import Dataset, HeldOut, Pictures, RandomSplit, Scaled
from samerun.config.fields import config


@config
class Digits(Dataset, RandomSplit, HeldOut, Scaled, Pictures):
    """The 1,797 real handwritten digits, 8×8 grey pixels, that ship inside scikit-learn."""

    kind: str = "digits"


@config
class Mnist(Dataset, RandomSplit, Scaled, Pictures):
    """MNIST: 60,000 training and 10,000 test digits, 28×28 grey pixels, from Keras's cache."""

    kind: str = "mnist"


@config
class FashionMnist(Dataset, RandomSplit, Scaled, Pictures):
    """Fashion-MNIST: 60,000 training and 10,000 test garments, 28×28 grey, from Keras's cache."""

    kind: str = "fashion_mnist"


@config
class Npz(Dataset, RandomSplit, HeldOut, Scaled, Pictures):
    """A user's own arrays in one `.npz` file: `x_train y_train x_test y_test`, or `x y`.

    Args:
        path: the file; `test_fraction` is unused where it has a test split of its own.
    """

    kind: str = "npz"
    path: str


KINDS: tuple[type[Dataset], ...] = (Digits, Mnist, FashionMnist, Npz)
