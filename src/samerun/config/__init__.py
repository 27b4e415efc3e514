"""Everything a run can be told: typed, checked, and known before TensorFlow is imported.

What nearly every module needs is here; all else is imported from where it is defined, as in
`from samerun.config.models.images import Cnn`.
"""

from samerun.config.check import check
from samerun.config.composition import Composition, compose, parse
from samerun.config.root import Config, as_dict, fingerprint, flatten
from samerun.config.spec import DataSpec, Layout, Task
from samerun.config.stored import from_yaml, to_yaml
