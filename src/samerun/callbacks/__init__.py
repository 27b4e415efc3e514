"""Keras callbacks for tracking, search, checkpoints and schedules.

None of them raises, with one exception: the one that writes checkpoints ends a run that was asked
to stop, and one that can no longer be recorded.
"""

from samerun.callbacks.building import STATELESS, Callbacks, build
from samerun.callbacks.checkpointing import Checkpoints, StopRequest
from samerun.callbacks.custom import OWN, build_own, has_state, note_on_resume
from samerun.callbacks.epoch_key import EpochKey
from samerun.callbacks.naming import keras_name, logged_name
from samerun.callbacks.nan_guard import NanGuard
from samerun.callbacks.plateau import Plateau
from samerun.callbacks.progress_bar import ProgressBar
from samerun.callbacks.pruning import Pruning
from samerun.callbacks.recorder import Recorder
from samerun.callbacks.resumable import ResumableCallbackList
from samerun.callbacks.retries import Retries
from samerun.callbacks.state import (
    EPOCH_START,
    build_variables,
    check_fits,
    restore_state,
    restore_variables,
    state_of,
)
from samerun.callbacks.timed import timed
