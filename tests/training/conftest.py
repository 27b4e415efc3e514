"""Tests that import TensorFlow, in one process."""

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def imports_are_no_garbage():
    """Keeps what the imports made out of the garbage collector's sight.

    Each run begins with `keras.utils.clear_session`, which collects garbage: half a second among a
    million objects that live as long as the process.
    """
    gc.collect()
    gc.freeze()
