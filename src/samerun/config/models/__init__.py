"""Config classes of the models: names, types and ranges; the values are in `conf/model/`."""

from samerun.config.models import custom, images, sequences, video
from samerun.config.models.base import Model

MODELS: tuple[type[Model], ...] = (*images.KINDS, *sequences.KINDS, *video.KINDS, *custom.KINDS)
"""Every kind of model; `samerun.models.BUILDERS` builds each."""
