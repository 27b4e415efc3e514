"""What a package of your own imports to declare components; see docs/how-to/own-project.md.

It imports neither TensorFlow nor Keras, and neither should the module with the declarations: the
functions that build are imported when they are needed.
"""

from samerun.config.fields import a_path, above, added, at_least, between, fraction, proper_fraction
from samerun.config.models.base import Activation, Initializer, Model, Regularized
from samerun.config.optimizers import Optimizer
from samerun.config.own import (
    ArrayDataset,
    Callback,
    ImageAugmentation,
    Loss,
    Metric,
    component,
)
from samerun.config.schedules import Schedule
from samerun.config.spec import DataSpec, Layout, Task

__all__ = [
    "Activation",
    "ArrayDataset",
    "Callback",
    "DataSpec",
    "ImageAugmentation",
    "Initializer",
    "Layout",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Regularized",
    "Schedule",
    "Task",
    "a_path",
    "above",
    "added",
    "at_least",
    "between",
    "component",
    "fraction",
    "proper_fraction",
]
