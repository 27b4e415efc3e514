"""Config classes of the data sets: names, types and ranges; the values live in `conf/dataset/`."""

from enum import StrEnum

from samerun.config.fields import above, at_least, between, config, fraction


class Normalization(StrEnum):
    """How features are scaled; whatever is measured is measured on the training split only."""

    none = "none"
    """Left as they are, converted to float32."""
    unit = "unit"
    """Divided by the largest value the format can hold (images) or the training split does."""
    standard = "standard"
    """Training mean subtracted and training standard deviation divided out: one pair a channel of
    an image, one a feature of a table."""


@config
class Augmentation:
    """Random changes of the training images: a function of (seed, epoch, example), nothing else.

    Args:
        flip_horizontal: mirror left and right, with probability 1/2.
        flip_vertical: mirror top and bottom, with probability 1/2.
        rotation: largest rotation, in degrees, either way.
        translation: largest shift, as a share of the image's side, either way and on both axes.
        zoom: largest change of size, as a share, either way.
    """

    flip_horizontal: bool
    flip_vertical: bool
    rotation: float = at_least(0)
    translation: float = fraction()
    zoom: float = fraction()

    @property
    def is_active(self) -> bool:
        """Whether any image is changed at all."""
        return bool(
            self.flip_horizontal
            or self.flip_vertical
            or self.rotation
            or self.translation
            or self.zoom
        )


@config
class Dataset:
    """What all data sets share.

    Args:
        kind: which builder; fixed by the class.
        batch_size: examples a training step.
        drop_remainder: leave the last, smaller batch of a training epoch out.
        validation_fraction: share of the training examples held out to choose epochs and settings.
        split_seed: seed of the splits; apart from the training seed, so that runs with different
            seeds are measured on the same examples.
        normalization: how features are scaled.
        augmentation: random changes of the training images.
        limit: at most so many examples in each split, `null` for all.
    """

    kind: str
    batch_size: int = above(0)
    drop_remainder: bool
    validation_fraction: float = fraction()
    split_seed: int = between(0, 2**32 - 1)  # what NumPy's RandomState takes
    normalization: Normalization
    augmentation: Augmentation
    limit: int | None = above(0)


@config
class Digits(Dataset):
    """The 1,797 real handwritten digits, 8×8 grey pixels, that ship inside scikit-learn.

    Args:
        test_fraction: share of all examples held out for the final test.
    """

    kind: str = "digits"
    test_fraction: float = fraction()


@config
class Mnist(Dataset):
    """MNIST: 60,000 training and 10,000 test digits, 28×28 grey pixels, from Keras's cache."""

    kind: str = "mnist"


@config
class FashionMnist(Dataset):
    """Fashion-MNIST: 60,000 training and 10,000 test garments, 28×28 grey, from Keras's cache."""

    kind: str = "fashion_mnist"


@config
class Npz(Dataset):
    """A user's own arrays in one `.npz` file: `x_train y_train x_test y_test`, or `x y`.

    Args:
        path: the file.
        test_fraction: share of `x y` held out for the final test; unused where the file has a test
            split of its own.
    """

    kind: str = "npz"
    path: str
    test_fraction: float = fraction()


DATASETS: tuple[type[Dataset], ...] = (Digits, Mnist, FashionMnist, Npz)
"""Every kind of data set; `samerun.data` says how each is described and loaded."""
