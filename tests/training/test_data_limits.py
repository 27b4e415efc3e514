"""Files that would take all memory or never end are refused with their size, in a moment."""

import os
import struct
import time
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from test_archives import bomb, peak

from samerun import cli, csv_header, data
from samerun.errors import UserError
from samerun.raw_model import image_files
from support.project import composed
from support.tables import mostly_slow


def folder_of(path):
    cfg = composed("dataset=image_folder", "dataset.path=none").dataset
    return replace(cfg, path=str(path), height=8, width=8)


def png(width, height, rows=b""):
    """A PNG file that is whole by its checksums, with whatever packed rows it is given."""

    def part(name, content):
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    picture = part(b"IDAT", rows)
    return image_files.PNG + part(b"IHDR", header) + picture + part(b"IEND", b"")


def packed_zeros(num):
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(num >> 20)) + packer.flush()


def jpeg(width, height):
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda\x00\x02" + bytes(9) + b"\xff\xd9"


@pytest.fixture
def classes(tmp_path):
    """Two classes of ten small pictures."""
    for name in ("a", "b"):
        (tmp_path / "p" / name).mkdir(parents=True)
        for number in range(10):
            content = png(8, 8, zlib.compress(bytes([number]) * (8 * 25)))
            (tmp_path / "p" / name / f"{number}.png").write_bytes(content)
    return tmp_path / "p"


@pytest.mark.parametrize("kind", mostly_slow(["png", "jpg"], "jpg"))
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(classes, kind):
    content = (
        png(30_000, 30_000, packed_zeros(256 << 20)) if kind == "png" else jpeg(30_000, 30_000)
    )
    (classes / "a" / f"large.{kind}").write_bytes(content)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"30000 x 30000 pixels, expected at most 89478485"):
        data.digests(folder_of(classes))
    assert time.monotonic() - began < 20  # 0.1 s; it took 35 s and 1 GB


def test_a_picture_as_large_as_it_may_be_is_fine():
    assert image_files.damage(png(9000, 9000)) is None
    assert image_files.damage(jpeg(9000, 9000)) is None
    assert "pixels" in image_files.damage(png(0xFFFFFFFF, 0xFFFFFFFF))


def test_a_picture_file_of_gigabytes_is_not_read(classes):
    with (classes / "a" / "large.png").open("wb") as file:
        file.write(png(8, 8))
        file.truncate(100 << 30)
    with pytest.raises(UserError, match="has 107374182400 bytes, expected at most"):
        data.digests(folder_of(classes))


@pytest.mark.parametrize("kind", ["pipe", "link to a device"])
def test_what_never_ends_is_no_picture(classes, kind):
    place = classes / "a" / "x.png"
    os.mkfifo(place) if kind == "pipe" else place.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="a regular file|outside the folder"):
        data.describe(folder_of(classes))


def csv(kind, path):
    more = {"table_csv": ["dataset.target=c0"], "series_csv": ["dataset.target=c0"]}
    cfg = composed(f"dataset={kind}", "dataset.path=none", *more.get(kind, [])).dataset
    return replace(cfg, path=str(path))


@pytest.mark.parametrize("kind", mostly_slow(["table_csv", "text_csv", "series_csv"]))
def test_too_many_columns_are_refused_at_once(tmp_path, kind):
    path = tmp_path / "wide.csv"
    line = ",".join(["1"] * 100_000) + "\n"
    path.write_text(",".join(f"c{n}" for n in range(100_000)) + "\n" + line * 60)
    began = time.monotonic()
    with pytest.raises(UserError, match="has 100000 columns, expected at most 20000"):
        data.describe(csv(kind, path))
    assert time.monotonic() - began < 20  # 0.2 s; it took more than 160 s


def test_as_many_columns_as_there_may_be_are_read_in_a_moment(tmp_path):
    path, num = tmp_path / "wide.csv", csv_header.MOST_COLUMNS
    lines = [",".join(f"{(7 * n + 13 * row) % 89}.5" for n in range(num)) for row in range(20)]
    path.write_text("\n".join([",".join(f"c{n}" for n in range(num)), *lines]))
    began = time.monotonic()
    assert data.describe(csv("table_csv", path)).input_shape == (num - 1,)
    assert time.monotonic() - began < 60  # 1 s on a quiet machine


def test_a_column_that_is_not_there_is_one_sentence_whatever_there_is(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"d{n}" for n in range(20_000)) + "\n" + ",".join(["1"] * 20_000))
    with pytest.raises(UserError, match="and 19970 more") as caught:
        data.describe(csv("table_csv", path))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("kind", ["table_csv", "text_csv", "series_csv"])
@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "folder", "sparse"])
def test_what_never_ends_is_no_table(tmp_path, kind, name):
    path = tmp_path / name if name[0] != "/" else name
    if name == "pipe":
        os.mkfifo(path)
    elif name == "folder":
        path.mkdir()
    elif name == "sparse":
        with path.open("wb") as file:
            file.truncate(100 << 30)
    with pytest.raises(UserError, match="a regular file|107374182400 bytes"):
        data.describe(csv(kind, path))


def test_a_number_of_five_thousand_digits_is_a_class_like_another(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"text {n},{'1' * 5000 if n % 2 else '2'}" for n in range(60)]
    path.write_text("\n".join(["text,label", *rows]))
    assert data.describe(csv("text_csv", path)).class_names == ("1" * 5000, "2")


def test_a_cell_cannot_speak_to_the_terminal(project, capsys):
    (project / "a.csv").write_text(
        "a,b\n" + "1,2\n" * 50 + "\x1b]0;owned\x07" + "x" * 9000 + ",1\n"
    )
    overrides = ["dataset=table_csv", "dataset.path=a.csv", "dataset.target=b", "model=mlp"]
    assert cli.main(["train", *overrides]) == 2
    message = capsys.readouterr().err
    assert "\x1b" not in message
    assert len(message) < 2100


def test_arrays_of_packed_zeros_are_refused_with_both_sizes(tmp_path):
    bomb(tmp_path / "a.npz", 1040)  # 16 MiB more than there may be
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as file, file.open("y.npy", "w") as member:
        np.save(member, np.zeros(3, np.float32))
    setup = "from samerun.data import npz\nfrom samerun.config import compose"
    call = "npz.load_npz(compose(['dataset=npz', 'dataset.path=a.npz']).config.dataset)"
    message, megabytes = peak(setup, call, tmp_path)
    assert "need 1090519052 bytes of memory, expected at most 1073741824" in message
    assert "numpy.savez" in message
    assert megabytes < 300
