"""The state of a run in a file: whole or not at all, and what a training makes of it."""

import dataclasses
import errno
import io
import os
import pickle

import numpy as np
import pytest

from samerun import checkpoints
from samerun.checkpoints import TrainingState, latest, write
from samerun.errors import UserError
from support.resuming import (
    Killed,
)

# ---- the file


def state(epoch, step=0):
    arrays = {
        "model/0": np.random.default_rng(epoch).normal(size=(50, 7)).astype(np.float32),
        "model/1": np.array([2**32 - 1, epoch], np.uint32),
        "optimizer/0": np.array(epoch * 10, np.int64),
        "empty": np.zeros((0, 3), np.float16),
    }
    return TrainingState(
        epoch=epoch, step=step, arrays=arrays, meta={"best": 0.1 + 0.2, "none": None}
    )


def same(first, second):
    assert (first.epoch, first.step, first.meta) == (second.epoch, second.step, second.meta)
    assert list(first.arrays) == list(second.arrays)
    for name, array in first.arrays.items():
        other = second.arrays[name]
        assert (array.dtype, array.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(array, other)


def test_a_state_comes_back_as_it_was(tmp_path):
    write(tmp_path, state(3, step=4), is_best=False)
    same(latest(tmp_path), state(3, step=4))


def test_where_there_is_none_there_is_none(tmp_path):
    assert latest(tmp_path) is None
    assert latest(tmp_path / "missing") is None


def test_the_last_two_and_the_best_are_kept(tmp_path):
    for epoch in (1, 2, 3, 4):
        write(tmp_path, state(epoch), is_best=epoch == 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.npz",
        "last.npz",
        "previous.npz",
    ]
    found = {path.stem: checkpoints.read(path).epoch for path in tmp_path.iterdir()}
    assert found == {"last": 4, "previous": 3, "best": 2}


def test_numpy_reads_the_file_without_pickle(tmp_path):
    with np.load(write(tmp_path, state(1), is_best=False), allow_pickle=False) as loaded:
        assert "model/0" in loaded.files


def damaged(name, content):
    """What a file has become, by the name of the damage."""
    place = len(content) // 3
    return {
        "empty": b"",
        "torn_at_the_beginning": content[:40],
        "torn_in_the_middle": content[:place],
        "torn_in_the_seal": content[:-1],
        "flipped_byte": content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        "flipped_byte_in_the_seal": content[:-5] + b"0" + content[-4:],
        "longer": content + b"\0",
        "zeros": bytes(len(content)),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "empty",
        "torn_at_the_beginning",
        "torn_in_the_middle",
        "torn_in_the_seal",
        "flipped_byte",
        "flipped_byte_in_the_seal",
        "longer",
        "zeros",
    ],
)
def test_a_damaged_file_is_named_and_the_one_before_it_is_used(tmp_path, caplog, name):
    write(tmp_path, state(1), is_best=False)
    path = write(tmp_path, state(2), is_best=False)
    content = path.read_bytes()
    path.unlink()  # the other names are links to other files, and stay as they are
    path.write_bytes(damaged(name, content))
    same(latest(tmp_path), state(1))
    assert f"{path} is damaged" in caplog.text
    write(tmp_path, state(2), is_best=False)
    same(latest(tmp_path), state(2))


def test_where_both_are_damaged_the_best_one_is_used(tmp_path):
    for epoch in (1, 2, 3):
        write(tmp_path, state(epoch), is_best=epoch == 1)
    for name in ("last.npz", "previous.npz"):
        (tmp_path / name).write_bytes(b"torn")
    same(latest(tmp_path), state(1))


def sealed(content):
    return content + checkpoints._SEAL % checkpoints.hashlib.sha256(content).hexdigest().encode()


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def pickles():
    inside = io.BytesIO()
    np.savez(inside, meta=np.array([Bomb()], dtype=object))
    alone = io.BytesIO()
    np.save(alone, np.array([Bomb()], dtype=object))
    return {
        "bare": pickle.dumps(Bomb()),
        "member": inside.getvalue(),
        "npy": alone.getvalue(),
    }


@pytest.mark.parametrize("name", ["bare", "member", "npy"])
def test_a_pickle_is_refused_even_with_the_right_seal(tmp_path, monkeypatch, caplog, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, state(1), is_best=False)
    write(tmp_path, state(2), is_best=False)
    (tmp_path / "last.npz").unlink()
    (tmp_path / "last.npz").write_bytes(sealed(pickles()[name]))
    same(latest(tmp_path), state(1))
    assert "is damaged" in caplog.text
    assert not (tmp_path / "exploded").exists()


def test_objects_are_not_written(tmp_path):
    bad = dataclasses.replace(state(1), arrays={"x": np.array([Bomb()], dtype=object)})
    with pytest.raises(TypeError, match="pickled"):
        write(tmp_path, bad, is_best=False)


STEPS = ("fsync", "link", "replace")


@pytest.mark.parametrize("when", range(9))
def test_a_kill_at_any_moment_of_writing_leaves_a_whole_state(tmp_path, monkeypatch, when):
    for epoch in (1, 2):
        write(tmp_path, state(epoch), is_best=True)
    calls = []
    for name in STEPS:
        real = getattr(os, name)

        def call(*args, real=real, name=name):
            calls.append(name)
            if len(calls) == when:
                raise Killed
            return real(*args)

        monkeypatch.setattr(os, name, call)
    try:
        write(tmp_path, state(3), is_best=True)
    except Killed:
        assert len(calls) == when
    else:
        assert when in (0, 8), f"written in {len(calls)} calls: {calls}"
    monkeypatch.undo()
    found = latest(tmp_path)
    same(found, state(found.epoch))
    assert found.epoch in (2, 3)
    for epoch in (4, 5):  # and stray files do no harm
        write(tmp_path, state(epoch), is_best=True)
    same(latest(tmp_path), state(5))
    assert len(list(tmp_path.iterdir())) == 3


def test_without_hard_links_files_are_copied(tmp_path, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    for epoch in (1, 2):
        write(tmp_path, state(epoch), is_best=True)
    assert checkpoints.read(tmp_path / "previous.npz").epoch == 1
    assert checkpoints.read(tmp_path / "best.npz").epoch == 2


def full_disk(monkeypatch, times):
    left = [times]
    real = np.savez

    def savez(file, **arrays):
        if left[0]:
            left[0] -= 1
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, **arrays)

    monkeypatch.setattr(np, "savez", savez)


def test_a_full_disk_costs_the_one_before_the_last(tmp_path, monkeypatch, caplog):
    for epoch in (1, 2):
        write(tmp_path, state(epoch), is_best=False)
    full_disk(monkeypatch, times=1)
    write(tmp_path, state(3), is_best=False)
    same(latest(tmp_path), state(3))
    assert caplog.text.count("the disk is full") == 1


def test_a_disk_that_stays_full_is_one_sentence_and_the_last_one_stays(tmp_path, monkeypatch):
    for epoch in (1, 2):
        write(tmp_path, state(epoch), is_best=False)
    full_disk(monkeypatch, times=2)
    with pytest.raises(UserError, match=r"last\.npz cannot be written \(No space left on device\)"):
        write(tmp_path, state(3), is_best=False)
    same(latest(tmp_path), state(2))
