"""Files of raw input: separators, encodings, arrays; the request that `samerun serve` prints."""

import io
import json
import shlex
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from samerun.cli.serve_command import curl_line
from samerun.errors import UserError
from samerun.serving.reading import chunks
from samerun.serving.server import _example

TABLE = {"kind": "table", "numeric": ["size"], "categorical": ["town"]}
IMAGE = {"kind": "image", "column": "image", "shape": [2, 2], "encoded": False, "dtype": "float"}


def read(form, source):
    (chunk,) = chunks(form, str(source))
    return {name: column.tolist() for name, column in chunk.frame.items()}


@pytest.mark.parametrize("cut", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_that_finds_the_columns(tmp_path, cut):
    file = tmp_path / "new.csv"
    file.write_text(f'town{cut}"a|b,c;d"{cut}size\nBonn{cut}x{cut}2\n', "utf-8")
    assert read(TABLE, file) == {"size": [2.0], "town": ["Bonn"]}


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"town,size,size\nBonn,1,2\n", "two columns are named 'size'"),
        (b"town,size\nBo\xffnn,1\n", "is not UTF-8"),
        (b"town;length\nBonn;1\n", "names town, length and lacks size"),
        (b"", "names nothing and lacks"),
        (b"a" * 200_000 + b"\n", "is not valid CSV"),
    ],
)
def test_a_file_and_the_standard_input_are_refused_alike(tmp_path, monkeypatch, content, part):
    (tmp_path / "new.csv").write_bytes(content)
    with pytest.raises(UserError, match=part):
        read(TABLE, tmp_path / "new.csv")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    with pytest.raises(UserError, match=part):
        read(TABLE, "-")


def test_the_standard_input_may_have_a_byte_order_mark_and_lines_in_cells(monkeypatch):
    content = io.BytesIO('\ufefftown,size\r\n"Bo\r\nnn",1\r\n'.encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=content))
    assert read(TABLE, "-") == {"size": [1.0], "town": ["Bo\r\nnn"]}
    assert not content.closed


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is no .npy file of plain numbers"),
        (b"PK\x03\x04", "is no .npy file of plain numbers"),
        (np.array(["a"]), "is no .npy file of plain numbers"),
        (np.array(3.0), r"holds one number, expected an array of \(n, 2, 2\)"),
    ],
)
def test_a_damaged_array_file_is_refused(tmp_path, content, part):
    file = tmp_path / "new.npy"
    file.write_bytes(content) if isinstance(content, bytes) else np.save(file, content)
    with pytest.raises(UserError, match=part):
        read(IMAGE, file)


def test_the_example_request_is_one_that_the_model_takes_and_no_shell_reads_names_in_it():
    made = {"input": IMAGE}
    assert _example(made) == {"dataframe_records": [{"image": [[0.0, 0.0], [0.0, 0.0]]}]}
    made = _example({"input": IMAGE | {"shape": [99, 99]}})
    assert "NESTED LISTS OF (99, 99)" in made["dataframe_records"][0]["image"]
    body = {"dataframe_records": [{"it's $(touch x)": 1}]}
    words = shlex.split(curl_line("http://127.0.0.1:5001", body))
    assert json.loads(words[-1]) == body
