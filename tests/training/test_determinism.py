"""What TensorFlow's graph optimizer may do in deterministic runs: nothing that changes a bit."""

import pytest
import tensorflow as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
from tensorflow.python.eager import context as eager

import samerun as package
from samerun import config, determinism
from support.tables import mostly_slow

LEAN = ("training.epochs=2", "tracking=lean")


def rewriting():
    """Returns the options of the graph optimizer with which functions are called."""
    return eager.context().config.graph_options.rewrite_options


def leave_the_graph_as_it_is(_):
    """Does what version 0.1.0 did."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.mark.parametrize(
    "overrides",
    mostly_slow(
        [
            pytest.param(["model=mlp", "model.units=[8]", "dataset.limit=160"], id="mlp"),
            # With all of TensorFlow's passes its weights differ after one epoch.
            pytest.param(
                [
                    *("model=conv_lstm", "dataset=moving_digits", "dataset.limit=48"),
                    *("dataset.frames=4", "dataset.batch_size=8"),
                ],
                id="conv_lstm",
            ),
        ],
        "conv_lstm",
    ),
)
def test_results_are_those_without_the_graph_optimizer(project, monkeypatch, overrides):
    now = package.train([*LEAN, *overrides])
    assert not rewriting().disable_meta_optimizer
    monkeypatch.setattr(determinism, "_keep_exact_passes", leave_the_graph_as_it_is)
    before = package.train([*LEAN, *overrides])
    assert rewriting().disable_meta_optimizer
    assert now.weights_digest == before.weights_digest
    assert now.history == before.history


def test_sums_in_order_of_arrival_and_other_operations_are_not_allowed():
    determinism.make_deterministic(config.compose([]).config.training)
    options = rewriting()
    assert options.memory_optimization == RewriterConfig.NO_MEM_OPT
    assert not options.disable_meta_optimizer
    for name in ("arithmetic_optimization", "constant_folding", "remapping", "layout_optimizer"):
        assert getattr(options, name) == RewriterConfig.OFF


def test_the_graph_stays_as_it_is_where_bits_were_not_compared():
    for precision, stays in (("mixed_bfloat16", True), ("float32", False)):
        cfg = config.compose([f"training.precision={precision}"]).config
        determinism.make_deterministic(cfg.training)
        assert rewriting().disable_meta_optimizer is stays


def test_without_a_way_to_the_memory_optimizer_the_graph_stays_as_it_is(monkeypatch):
    hidden = property(lambda context: None, lambda context, given: None)
    monkeypatch.setattr(eager.Context, "_config", hidden, raising=False)
    determinism.make_deterministic(config.compose([]).config.training)
    assert rewriting().memory_optimization != RewriterConfig.NO_MEM_OPT
    assert rewriting().disable_meta_optimizer
