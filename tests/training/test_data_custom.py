"""A user's own function as a dataset."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from samerun import data
from samerun.config import compose, from_yaml, to_yaml
from samerun.errors import UserError

GOOD = """
import numpy as np

def load(num=60, classes=4):
    x = np.arange(num * 3, dtype=np.float32).reshape(num, 3)
    return {"x": x, "y": np.arange(num) % classes}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a module of a name of its own into the working folder and returns its name."""
    monkeypatch.chdir(tmp_path)
    made = []

    def write_module(text):
        name = f"own_{tmp_path.name}_{len(made)}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)
        return name

    yield write_module
    for name in made:
        sys.modules.pop(name, None)


def custom(target, *overrides):
    return compose(["dataset=custom", f"dataset.target={target}", *overrides]).config.dataset


def test_a_function_in_the_working_folder_is_called_with_its_params(write):
    path = list(sys.path)
    cfg = custom(f"{write(GOOD)}:load", "+dataset.params.num=50", "+dataset.params.classes=2")
    spec = data.describe(cfg)
    assert spec.class_names == ("0", "1")
    assert spec.num_train + spec.num_validation + spec.num_test == 50
    built = data.build(cfg, 0)
    assert built.spec == spec
    values = np.concatenate([built.splits[name].x[:, 0] for name in built.splits])
    np.testing.assert_array_equal(np.sort(values), np.arange(50) * 3)
    assert sys.path == path


def test_a_users_own_function_has_pipelines_of_its_own_in_each_run(write):
    cfg = custom(f"{write(GOOD)}:load")
    assert data.build(cfg, 0).train is not data.build(cfg, 0).train


def test_a_test_split_of_its_own_is_used(write):
    name = write(
        """
import numpy as np
def load():
    x = np.zeros((30, 4, 4), np.uint8)
    return {"x_train": x, "y_train": np.arange(30) % 3, "x_test": x[:6], "y_test": np.arange(6) % 3,
            "note": "left alone"}
"""
    )
    built = data.build(custom(f"{name}:load"), 0)
    assert (built.spec.num_train, built.spec.num_test) == (27, 6)
    assert built.spec.input_shape == (4, 4, 1)
    assert built.preprocessing.scale == 255


def test_the_function_sees_modules_of_the_working_folder_while_it_runs(write):
    helper = write(GOOD)
    name = write(f"def load():\n    import {helper}\n    return {helper}.load()\n")
    assert data.describe(custom(f"{name}:load")).num_outputs == 4


def test_only_the_function_that_the_config_names_is_imported(write, tmp_path):
    trap = write("raise SystemExit('imported')")
    stored = to_yaml(compose(["dataset=custom", f"dataset.target={trap}:load"]).config)
    from_yaml(stored)
    data.describe(custom(f"{write(GOOD)}:load"))
    assert trap not in sys.modules


def test_other_arrays_have_another_fingerprint(write):
    name = write(GOOD)
    cfg = custom(f"{name}:load")
    before = data.build(cfg, 0).fingerprint
    assert data.build(cfg, 0).fingerprint == before
    more = replace(cfg, params={"classes": 2})
    assert data.build(more, 0).fingerprint["train"] != before["train"]


RETURNS = [
    pytest.param("None", "returned a NoneType, expected a dict of NumPy arrays", id="nothing"),
    pytest.param("(1, 2)", "returned a tuple, expected a dict", id="tuple"),
    pytest.param("{'x': [1, 2], 'y': [0, 1]}", "returned x as a list, expected", id="lists"),
    pytest.param("{'x': np.zeros((4, 2))}", "holds x, expected either x_train", id="keys"),
    pytest.param("{'x': np.zeros((4, 2)), 'y': np.zeros(3)}", "x holds 4 .* y 3", id="lengths"),
    pytest.param(
        "{'x': np.zeros((4, 2)), 'y': np.array(['a'] * 4)}", "y is of type <U1", id="text"
    ),
    pytest.param(
        "{'x': np.zeros((4, 2)), 'y': np.arange(4) // 3}", "class 1 has 1 example", id="small class"
    ),
]


@pytest.mark.parametrize(("expression", "overrides"), RETURNS)
def test_whatever_else_it_returns_is_refused(expression, overrides, write):
    name = write(f"import numpy as np\ndef load():\n    return {expression}\n")
    refused(f"{name}:load", overrides)


def refused(target, message, *more):
    for act in (data.describe, lambda cfg: data.build(cfg, 0)):
        with pytest.raises(UserError, match=message) as caught:
            act(custom(target, *more))
        assert "\n" not in str(caught.value)


def test_values_that_are_not_finite_are_refused(write):
    name = write(
        "import numpy as np\n"
        "def load():\n    return {'x': np.full((20, 2), np.nan), 'y': np.arange(20) % 2}\n"
    )
    with pytest.raises(UserError, match="x holds 40 values that are NaN"):
        data.build(custom(f"{name}:load"), 0)


def test_a_function_that_cannot_be_had_is_refused(write, tmp_path):
    name = write(GOOD + "table = 3\n")
    refused("load", "received 'load', expected package.module:function")
    refused("'my-data:load'", "received 'my-data:load', expected package.module:function")
    refused("not_there:load", f"no module not_there in {tmp_path}")
    refused(f"{name}.inner:load", rf"no module {name}\.inner")
    refused(f"{name}:lod", rf"{name}\.py\) has no lod")
    refused(f"{name}:table", "received int, expected a function")
    refused(f"{name}:load", "raised TypeError: .*no_such", "+dataset.params.no_such=1")


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        pytest.param("import not_there_either\n", "importing it raised ModuleNotFound", id="needs"),
        pytest.param("def load(:\n", "importing it raised SyntaxError", id="syntax"),
        pytest.param("raise SystemExit(3)\n", "importing it raised SystemExit: 3", id="exit"),
        pytest.param(
            "def load():\n    raise ValueError('no\\nfile')\n",
            r"raised ValueError: no file \(own_.*\.py, line 2\)",
            id="raises",
        ),
        pytest.param("def load():\n    1 / 0\n", "raised ZeroDivisionError", id="divides by zero"),
    ],
)
def test_an_error_in_the_users_code_is_one_sentence(text, overrides, write):
    refused(f"{write(text)}:load", overrides)
