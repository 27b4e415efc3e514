"""Files that are written completely or not at all."""

import os

import pytest

from samerun.files import replacing, write_atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_replace_what_was_there(tmp_path):
    target = tmp_path / "a.json"
    write_atomic(target, "é")
    assert target.read_bytes() == "é".encode()
    write_atomic(target, b"\0")
    assert target.read_bytes() == b"\0"
    assert names(tmp_path) == ["a.json"]


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")

    def fail():
        with replacing(target) as new:
            new.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("durable", [True, False])
def test_content_and_name_are_flushed_in_this_order(tmp_path, monkeypatch, durable):
    done = []
    replace = os.replace

    def replaced(source, target):
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr("os.replace", replaced)
    monkeypatch.setattr(
        "os.fsync", lambda handle: done.append("folder" if os.path.isdir(handle) else "content")
    )
    write_atomic(tmp_path / "a", "text", durable=durable)
    assert done == (["content", "rename", "folder"] if durable else ["rename"])
