"""What data sets have in common; each is a `Dataset` and one or more of the parts below it."""

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


class Level(StrEnum):
    """What a token of a text is."""

    word = "word"
    """A word or a punctuation mark."""
    character = "character"
    """One character; blanks and line ends are characters too."""


class Side(StrEnum):
    """A side of a text, in Keras's words."""

    pre = "pre"
    """The beginning."""
    post = "post"
    """The end."""


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
        limit: at most so many examples in each split, `null` for all.
    """

    kind: str
    batch_size: int = above(0)
    drop_remainder: bool
    validation_fraction: float = fraction()
    limit: int | None = above(0)


@config
class RandomSplit:
    """For independent examples: which of them are held out is drawn, in equal shares a class.

    Args:
        split_seed: seed of the splits; apart from the training seed, so that runs with different
            seeds are measured on the same examples.
    """

    split_seed: int = between(0, 2**32 - 1)  # what NumPy's RandomState takes


@config
class Scaled:
    """For inputs that are numbers.

    Args:
        normalization: how features are scaled.
    """

    normalization: Normalization


@config
class Pictures:
    """For images.

    Args:
        augmentation: random changes of the training images.
    """

    augmentation: Augmentation


@config
class ScaledTarget:
    """For targets that are numbers.

    Args:
        standardize_target: train on targets less their training mean, divided by their training
            standard deviation; results are told in the targets' own units all the same.
    """

    standardize_target: bool


@config
class Texts:
    """For texts, one an example.

    Args:
        vocabulary_size: largest number of tokens a model knows, padding and unknown included; it
            is also the number of rows of an embedding, however few tokens the texts have.
        max_length: tokens an example has; shorter texts are padded, longer ones cut.
        padding: the side on which short texts are padded.
        truncating: the side on which long texts are cut.
    """

    vocabulary_size: int = at_least(3)
    max_length: int = above(0)
    padding: Side
    truncating: Side


@config
class LearntWords(Texts):
    """For texts whose vocabulary is learnt, from the training split only.

    Args:
        lowercase: take capital letters for small ones.
    """

    lowercase: bool


@config
class HeldOut:
    """For sources without a test split of their own.

    Args:
        test_fraction: share of all examples held out for the final test.
    """

    test_fraction: float = fraction()
