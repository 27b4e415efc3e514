"""Data sets: described before TensorFlow is imported, loaded, split, checked and fed to `fit`."""

from samerun.data.assembly import Data, build
from samerun.data.digests import digests, may_download
from samerun.data.preprocessing import Preprocessing, Scaling, Tokenization
from samerun.data.sources import SOURCES, check_download, describe
from samerun.data.splits import split_sizes
from samerun.data.vocabulary import Vocabulary
