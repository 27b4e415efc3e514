"""Base class and mixins of the datasets."""

import re
from dataclasses import dataclass
from enum import StrEnum

from samerun.config.fields import Range, above, added, at_least, between, config, fraction
from samerun.errors import UserError


class Normalization(StrEnum):
    """How features are scaled; statistics are computed on the training split only."""

    none = "none"
    """No scaling, conversion to float32 only."""
    unit = "unit"
    """Division by the largest value of the format (images) or of the training split."""
    standard = "standard"
    """Training mean subtracted and training standard deviation divided out: one pair a channel of
    an image, one a feature of a table."""


class Level(StrEnum):
    """The unit of a token."""

    word = "word"
    """A word or a punctuation mark."""
    character = "character"
    """One character, including spaces and line breaks."""


class Side(StrEnum):
    """A side of a text, in Keras's terms."""

    pre = "pre"
    """The start."""
    post = "post"
    """The end."""


class Separator(StrEnum):
    """What separates the cells of a CSV file."""

    comma = ","
    semicolon = ";"
    tab = "\t"
    pipe = "|"
    auto = "auto"
    """The one of these with which the first line has the most cells."""


@config
class Augmentation:
    """Random changes of the training images: a function of (seed, epoch, example) only.

    They are applied in this order. Changes of values are relative to the range of the image's own
    values, which they never leave, so they mean the same whatever the normalization.

    Args:
        flip_horizontal: flip left and right with probability 0.5.
        flip_vertical: flip top and bottom with probability 0.5.
        rotation: maximum rotation in degrees, in either direction.
        translation: maximum shift as a fraction of the image's side, in either direction and on
            both axes.
        zoom: maximum zoom as a fraction, in either direction.
        contrast: maximum change of contrast as a fraction, in either direction.
        brightness: maximum change of brightness as a fraction of the image's range of values, in
            either direction.
        noise: standard deviation of Gaussian noise as a fraction of the image's range of values.
        cutout: side of a square that is masked, as a fraction of the image's side.
        mixup: alpha of the Beta distribution that the shares of two mixed examples are drawn from.
    """

    flip_horizontal: bool
    flip_vertical: bool
    rotation: float = at_least(0)
    translation: float = fraction()
    zoom: float = fraction()
    contrast: float = added(0.0, Range(low=0.0, high=1.0, open_high=True))
    brightness: float = added(0.0, Range(low=0.0, high=1.0, open_high=True))
    noise: float = added(0.0, Range(low=0.0, high=1.0, open_high=True))
    cutout: float = added(0.0, Range(low=0.0, high=1.0, open_high=True))
    mixup: float = added(0.0, Range(low=0.0))

    @property
    def moves_pixels(self) -> bool:
        """Whether any image is flipped, rotated, shifted or zoomed."""
        return bool(
            self.flip_horizontal
            or self.flip_vertical
            or self.rotation
            or self.translation
            or self.zoom
        )

    @property
    def is_active(self) -> bool:
        """Whether any image is changed."""
        return bool(
            self.moves_pixels
            or self.contrast
            or self.brightness
            or self.noise
            or self.cutout
            or self.mixup
        )


@config
class Dataset:
    """What all datasets share.

    Args:
        kind: name of the option; fixed by the class.
        batch_size: examples per training step.
        drop_remainder: drop the last, smaller batch of each training epoch.
        validation_fraction: fraction of the training examples held out for validation.
        limit: maximum number of examples per split; `null`: all.
        fold: which fold is the validation split, such as `2/5`, instead of `validation_fraction`;
            `null`: none. The test split is the same for all folds.
    """

    kind: str
    batch_size: int = above(0)
    drop_remainder: bool
    validation_fraction: float = fraction()
    limit: int | None = above(0)
    fold: str | None = added(None)


@dataclass(frozen=True)
class Fold:
    """One of several parts of the examples, of which each is the validation split once.

    Args:
        number: which one, from 1.
        folds: number of folds.
    """

    number: int
    folds: int

    def __str__(self) -> str:
        return f"{self.number}/{self.folds}"


def fold_of(cfg: Dataset) -> Fold | None:
    """Returns the fold that a config names; `None` if it names none.

    Raises:
        UserError: it is not written like `2/5`, or there is no such fold.
    """
    if cfg.fold is None:
        return None
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", cfg.fold)
    number, folds = map(int, found.groups()) if found else (0, 0)
    if folds < 2 or not 1 <= number <= folds:
        several = f"a fold from 1/{folds} to {folds}/{folds}" if folds > 1 else "FOLD/FOLDS"
        raise UserError(
            f"dataset.fold: received '{cfg.fold}', expected {several}, such as dataset.fold=2/5; "
            "folds=5 trains one run for each of five folds."
        )
    return Fold(number, folds)


@config
class RandomSplit:
    """For independent examples: stratified random splits.

    Args:
        split_seed: seed of the splits, independent of the training seed: runs with different seeds
            are evaluated on the same examples.
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
class Cells:
    """For CSV files.

    Args:
        separator: what separates the cells.
    """

    separator: Separator = added("comma")


@config
class ScaledTarget:
    """For targets that are numbers.

    Args:
        standardize_target: train on targets with mean 0 and standard deviation 1 on the training
            split; results are reported in the original units.
    """

    standardize_target: bool


@config
class Texts:
    """For texts, one per example.

    Args:
        vocabulary_size: maximum number of tokens, including padding and unknown; also the number of
            rows of the embedding, even if the texts have fewer tokens.
        max_length: tokens per example; shorter texts are padded, longer ones are cut.
        padding: the side on which short texts are padded.
        truncating: the side on which long texts are cut.
    """

    vocabulary_size: int = at_least(3)
    max_length: int = above(0)
    padding: Side
    truncating: Side


@config
class LearnedWords(Texts):
    """For texts whose vocabulary is built from the training split.

    Args:
        lowercase: convert text to lowercase.
    """

    lowercase: bool


@config
class HeldOut:
    """For sources without their own test split.

    Args:
        test_fraction: fraction of all examples held out for the final test.
    """

    test_fraction: float = fraction()
