"""The settings that make TensorFlow repeat the same bits."""

import keras
import tensorflow as tf

from samerun.config.schema import available_cores
from samerun.config.training import Precision, Training
from samerun.errors import UserError
from samerun.process import keep_imports

_EXACT = ("dependency_optimization", "function_optimization", "loop_optimization")
"""Passes over the graph that drop, move or share operations; pruning and common subgraphs too."""

_INEXACT = (
    *("arithmetic_optimization", "constant_folding", "implementation_selector"),
    *("layout_optimizer", "remapping", "shape_optimization", "use_plugin_optimizers"),
    *("auto_mixed_precision", "auto_mixed_precision_mkl"),
    *("auto_mixed_precision_onednn_bfloat16", "scoped_allocator_optimization"),
    *("pin_to_host_optimization", "debug_stripper"),
)
"""Passes that replace or place operations otherwise, which may round differently."""


def reset_and_seed(seed: int) -> None:
    """Clears Keras's state, so that layers get the names of a new process, and seeds everything.

    Args:
        seed: for Python's, NumPy's and Keras's generators.
    """
    _forget_gradients()
    keep_imports()
    keras.utils.clear_session()  # also releases what refers to itself
    keras.utils.set_random_seed(seed)


def _forget_gradients() -> None:
    """Releases the graphs of earlier runs in this process.

    TensorFlow 2.21 registers each custom gradient that it traces, such as that of the deterministic
    cross-entropy, permanently under a new name, and with it the complete graph: 11 MB per run of
    an MLP. It is only needed while a graph is traced.
    """
    from tensorflow.python.framework import ops  # no public way to ask

    registered = getattr(ops.gradient_registry, "_registry", {})
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]


def make_deterministic(training: Training) -> None:
    """Prepares this process for one run: precision, threads, determinism.

    Args:
        training: precision, threads, and whether to be deterministic at all.

    Raises:
        UserError: this process has already computed with other threads or with determinism on,
            and TensorFlow cannot change that any more.
    """
    keras.config.set_dtype_policy(training.precision.value)
    _set_threads(training)
    if training.deterministic:
        tf.config.experimental.enable_op_determinism()
        _keep_exact_passes(training.precision)
    elif _is_deterministic():
        raise UserError(
            "training.deterministic: received false after a deterministic run in this process; "
            "TensorFlow cannot switch it off again: start a new process."
        )


def _keep_exact_passes(precision: Precision) -> None:
    """Restricts TensorFlow's graph optimizer, Grappler, to passes that cannot change a bit.

    That was compared in float32 on CPUs; with a GPU or another precision it is off as a whole.

    `enable_op_determinism()` alone is not enough on a CPU: the memory optimizer turns a large
    gradient sum (`AddN`, above 204.8 MB of live tensors) into additions in order of arrival, and a
    convolution with batch normalization on 64×64×3, batch 64, then differs from run to run. Other
    passes replace operations, and the same network then has other bits than without them, which
    runs of version 0.1.0 were recorded with. See decision 56.
    """
    from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
    from tensorflow.python.eager import context as eager  # no public way to ask, TensorFlow #51991

    context = eager.context()
    base = config_pb2.ConfigProto()
    base.CopyFrom(getattr(context, "_config", None) or base)
    off = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
    base.graph_options.rewrite_options.memory_optimization = off
    context._config = base
    has_memory_optimizer = context.config.graph_options.rewrite_options.memory_optimization != off
    is_compared = precision is Precision.float32 and not tf.config.list_physical_devices("GPU")
    tf.config.optimizer.set_experimental_options(
        {
            # As slow as before, and the same bits.
            "disable_meta_optimizer": has_memory_optimizer or not is_compared,
            **dict.fromkeys(_EXACT, True),
            **dict.fromkeys(_INEXACT, False),
        }
    )


def _is_deterministic() -> bool:
    from tensorflow.python.framework import config as tf_config  # no public way to ask

    return bool(tf_config.is_op_determinism_enabled())


def _set_threads(training: Training) -> None:
    threading = tf.config.threading
    requested = (training.intra_op_threads, training.inter_op_threads)
    present = (  # for TensorFlow 0 means all cores
        threading.get_intra_op_parallelism_threads() or available_cores(),
        threading.get_inter_op_parallelism_threads() or available_cores(),
    )
    if requested == present:
        return
    try:
        threading.set_intra_op_parallelism_threads(requested[0])
        threading.set_inter_op_parallelism_threads(requested[1])
    except RuntimeError as error:
        raise UserError(
            f"training.intra_op_threads, training.inter_op_threads: received {requested}, but this "
            f"process already computes with {present}: start a new process for other threads."
        ) from error
