"""Tests that import TensorFlow, in one process."""

import functools
import gc

import pytest
from tensorflow.python.util import tf_stack

from samerun import data
from support.kinds import dataset_of
from support.own_files import write_own_files


@pytest.fixture(scope="module", autouse=True)
def imports_are_no_garbage():
    """Keeps what the imports made out of the garbage collector's sight.

    Each run begins with `keras.utils.clear_session`, which collects garbage: half a second among a
    million objects that live as long as the process.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def operations_share_a_stack():
    """Has TensorFlow record one Python stack for all operations, which only its messages show.

    It walks the complete stack for each operation that it traces, which is deep below pytest: a
    tenth of the time of a small run.
    """
    stack = tf_stack.extract_stack()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf_stack, "extract_stack", lambda stacklevel=1: stack)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a few files of each of a user's own kinds."""
    folder = tmp_path_factory.mktemp("own")
    write_own_files(folder)
    return folder


@pytest.fixture
def here(files, monkeypatch):
    monkeypatch.chdir(files)


@pytest.fixture(scope="module")
def loaded(files):
    """Each dataset, loaded once."""
    return functools.cache(lambda name: data.build(dataset_of(name), seed=0))
