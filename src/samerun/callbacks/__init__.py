"""Where Keras's events meet tracking, search, checkpoints and schedules.

None of them raises, with one exception: what writes the checkpoints ends a run that was asked to
end, and one that can no longer be written down.
"""

from samerun.callbacks.building import build
from samerun.callbacks.checkpointing import Checkpoints, StopRequest
from samerun.callbacks.epochs import EpochKey, NanGuard, Plateau, Recorder
from samerun.callbacks.naming import keras_name, logged_name
from samerun.callbacks.one_training import OneTraining
from samerun.callbacks.pruning import Pruning
from samerun.callbacks.retries import Retries
from samerun.callbacks.state import (
    EPOCH_START,
    STATEFUL,
    STATELESS,
    build_variables,
    check_fits,
    restore_variables,
)
