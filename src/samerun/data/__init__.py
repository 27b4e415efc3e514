"""Datasets: described before TensorFlow is imported; loaded, split, checked and fed to `fit`."""

from samerun.data.catalog import SOURCES, check_download, describe, may_download
from samerun.data.dataset import Data, build, digests, release_pipelines
from samerun.data.preprocessing import Preprocessing, Scaling, Tokenization
from samerun.data.raw import RawSplit, raw_split
from samerun.data.raw_input import describe_raw, raw_columns, raw_input
from samerun.data.splits import split_sizes
from samerun.data.vocabulary import Vocabulary
