"""Arrays out of files that another person wrote: all come back equal, none takes memory."""

import io
import struct
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest

from samerun import archives, checkpoints
from samerun.errors import UserError

KINDS = [
    np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(12.0).reshape(3, 4)), np.float32(2.5),
    np.zeros((0, 3)), np.array(["a", "bc"]), np.array([b"x", b"yz"]), np.array([True, False]),
    np.arange(3).astype(">i2"), np.array(["2020-01-01"], "datetime64[D]"), np.array([1 + 2j]),
    np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]), np.zeros((2, 2), "V2"),
]  # fmt: skip


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_kind_of_array_comes_back_as_numpy_reads_it(tmp_path, save):
    save(tmp_path / "a.npz", **{f"k{n}": value for n, value in enumerate(KINDS)})
    found = archives.arrays(tmp_path / "a.npz", most_bytes=10_000)
    with np.load(tmp_path / "a.npz") as expected:
        assert list(found) == expected.files
        for name in expected.files:
            assert found[name].dtype == expected[name].dtype
            np.testing.assert_array_equal(found[name], expected[name])
    assert archives.names(tmp_path / "a.npz") == set(found)
    assert archives.headers(tmp_path / "a.npz", ["k0"])["k0"].shape == (2, 3)


def npy(shape, dtype="'<f4'", version=(1, 0), content=b"", more=""):
    """An array that declares whatever it is given."""
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, {more}}}".encode()
    kind = "<H" if version == (1, 0) else "<I"
    return b"\x93NUMPY" + bytes(version) + struct.pack(kind, len(text)) + text + content


def archive(path, members, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


LIES = {
    "huge": npy("(10**15,)".replace("10**15", "1" + "0" * 15)),
    "over 64 bits": npy("(" + "9" * 40 + ",)"),
    "no elements but huge": npy("(0," + "9" * 40 + ")"),
    "negative": npy("(-4,)", content=bytes(16)),
    "too short": npy("(5,)", content=bytes(16)),
    "too long": npy("(4,)", content=bytes(17)),
    "without size": npy("(10000000000,)", "'V0'"),
    "objects": npy("(1,)", "'|O'", content=b"cos\nsystem\n(S'touch ran'\ntR."),
    "objects inside": npy("(1,)", "[('a', '|O')]", content=bytes(8)),
    "strings by pointer": npy("(1,)", "'|T16'", content=bytes(16)),
    "many axes": npy("(" + "1," * 500 + ")", content=bytes(4)),
    "deep header": npy("(" * 400 + ")" * 400),
    "minus signs": npy("(" + "-" * 9000 + "1,)"),
    "code": npy("(__import__('os').system('touch ran'),)"),
    "long header": npy("(1,)", version=(2, 0), more="'a': '" + "x" * 50_000 + "'"),
    "version 9": npy("(1,)", version=(9, 9), content=bytes(4)),
    "no array": b"hello",
    "empty": b"",
}


@pytest.mark.parametrize("lie", LIES)
def test_an_array_with_a_false_header_is_one_sentence(tmp_path, monkeypatch, lie):
    monkeypatch.chdir(tmp_path)
    path = archive(tmp_path / "a.npz", {"x": LIES[lie]})
    with pytest.raises(ValueError, match="its array|memory") as caught:
        archives.arrays(path, most_bytes=1 << 20)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_directory_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    """The size in the directory is forged: the stream ends early, and the memory is not touched."""
    content = npy("(250000000,)", content=bytes(1000))
    path = archive(tmp_path / "a.npz", {"x": content}, zipfile.ZIP_STORED)
    raw = path.read_bytes()
    old, new = struct.pack("<I", len(content)), struct.pack("<I", 1_000_000_500)
    assert raw.count(old) >= 4
    path.write_bytes(raw.replace(old, new))
    with pytest.raises(ValueError, match="npz|array|bytes"):
        archives.arrays(path, most_bytes=2 << 30)


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_python_would_unpack_in_one_piece_is_refused(tmp_path, kind):
    path = archive(tmp_path / "a.npz", {"x": npy("(1,)", content=bytes(4))}, kind)
    with pytest.raises(ValueError, match="compression that NumPy does not"):
        archives.arrays(path, most_bytes=100)


def test_two_arrays_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for name in ("x.npy", "x"):
            file.writestr(name, npy("(1,)", content=bytes(4)))
    with pytest.raises(ValueError, match="two arrays"):
        archives.names(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"PK", b"hello" * 100, b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive_is_a_value_error_or_empty(content):
    try:
        assert archives.names(io.BytesIO(content)) == set()
    except ValueError as error:
        assert "npz" in str(error)  # noqa: PT017 - either is right


PEAK = """
import resource, sys
{setup}
import numpy, yaml
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    {call}
except Exception as error:
    print(type(error).__name__, error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def peak(setup, call, cwd):
    """Runs a call in a process that may have 4 GB; returns its sentence and the MB it took."""
    limit = "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
    program = PEAK.format(setup=limit + textwrap.dedent(setup), call=call)
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, check=True
    )
    *message, megabytes = answer.stdout.strip().splitlines()
    return "\n".join(message), int(megabytes)


def bomb(path, mebibytes):
    """Writes zeros as one array, packed a thousand times, without having them in memory."""
    count = mebibytes << 18
    block = bytes(1 << 24)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy(f"({count},)"))
        for _ in range(mebibytes >> 4):
            member.write(block)
    return path


@pytest.fixture(scope="module")
def packed_zeros(tmp_path_factory):
    return bomb(tmp_path_factory.mktemp("bomb") / "bomb.npz", 256)


def test_packed_zeros_take_no_memory(packed_zeros, tmp_path):
    setup = "from samerun import archives\nfrom pathlib import Path"
    call = f"archives.arrays(Path({str(packed_zeros)!r}), ['x'], most_bytes=200_000_000)"
    message, megabytes = peak(setup, call, tmp_path)
    assert "268435456 bytes of memory, expected at most 200000000" in message
    assert megabytes < 50


def test_a_sealed_checkpoint_of_packed_zeros_takes_no_memory(packed_zeros, tmp_path):
    import hashlib

    content = packed_zeros.read_bytes()
    seal = b"\nsamerun sha256 %s\n" % hashlib.sha256(content).hexdigest().encode()
    (tmp_path / "last.npz").write_bytes(content + seal)
    setup = "from samerun import checkpoints\nfrom pathlib import Path"
    message, megabytes = peak(setup, "checkpoints.read(Path('last.npz'))", tmp_path)
    assert message.startswith("UserError checkpoint: last.npz is damaged")
    assert megabytes < 100


@pytest.mark.parametrize("meta", ["[" * 100_000, "[]", "{}", '{"version": 1}', "1", '"a"', "{"])
def test_a_checkpoint_with_strange_contents_is_damaged(tmp_path, meta):
    state = checkpoints.TrainingState(epoch=1, step=0, arrays={"a": np.zeros(2)}, meta={})
    path = checkpoints.write(tmp_path, state, is_best=False)
    with path.open("w+b") as file:
        np.savez(file, meta=np.frombuffer(meta.encode(), np.uint8), a=np.zeros(2))
        size = file.tell()
        file.seek(0)
        import hashlib

        seal = hashlib.sha256(file.read(size)).hexdigest()
        file.write(f"\nsamerun sha256 {seal}\n".encode())
    with pytest.raises(UserError, match="is damaged"):
        checkpoints.read(path)
