"""The config of a run: typed and checked before TensorFlow is imported.

This package exports what nearly every module needs; import everything else from the file that
defines it, as in `from samerun.config.models.images import Cnn`.
"""

from samerun.config.check import check
from samerun.config.composition import Composition, compose, parse
from samerun.config.root import Config, as_dict, fingerprint, flatten, parameters
from samerun.config.spec import DataSpec, Layout, Task
from samerun.config.stored import from_yaml, to_yaml
