"""Config classes of the models: names, types and ranges; the values live in `conf/model/`."""

from samerun.config.models import custom, images, sequences, video
from samerun.config.models.base import Activation, Initializer, Model, Regularised
from samerun.config.models.custom import CustomModel
from samerun.config.models.images import Cnn, LeNet5, Mlp
from samerun.config.models.sequences import (
    Cell,
    Cnn1d,
    Embedded,
    Forecaster,
    Gru,
    LanguageModel,
    Lstm,
    ParallelLstm,
    Recurrent,
    SimpleRnn,
)
from samerun.config.models.video import CnnRnn, ConvLstm

MODELS: tuple[type[Model], ...] = (*images.KINDS, *sequences.KINDS, *video.KINDS, *custom.KINDS)
"""Every kind of model; `samerun.models.BUILDERS` says how each is built."""
