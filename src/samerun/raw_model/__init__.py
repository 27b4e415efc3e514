"""The model of raw input that every run stores: it depends on no other module of samerun.

A stored model brings these files along, so that it loads where samerun is not installed. They need
what runs the model, which is Keras with TensorFlow or the runtime of an export, and `packages_of`.
"""

from .checks import check, check_network
from .description import answers_of, columns_of, packages_of
from .encoded import Array, Encoded, RefusedInput
from .exported import FLEX, PREPROCESSING, RUNTIMES, Run, import_openvino, load_export, runtime
from .images import as_png
from .model import DEFAULTS, DESCRIPTION, FORMAT, KERAS_FILE, Answered, RawModel, load
from .served import _load_pyfunc
