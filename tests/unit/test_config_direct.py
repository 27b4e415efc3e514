"""Configs that are made without OmegaConf are those that it makes."""

import copy
import re
from dataclasses import make_dataclass
from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from samerun.config import composition, direct, quick_yaml
from samerun.config.direct import build_config
from samerun.config.root import as_dict
from samerun.config.schema import GROUPS, options
from samerun.config.stored import apply_overrides, from_yaml, to_yaml
from samerun.config.sweep import Sweep
from samerun.config.yaml_limits import install
from samerun.errors import UserError
from support.project import composed
from support.sweeps import sweep_settings

GIVEN = {
    "custom": ["target=mine:build"],
    "series_csv": ["path=a.csv", "target=b"],
    "table_csv": ["path=a.csv", "target=b"],
    **{name: ["path=a"] for name in ("image_folder", "npz", "video_folder")},
    **{name: ["path=a"] for name in ("text_csv", "text_folder")},
}
PLAIN = as_dict(composed("model=mlp", "schedule=step"))


@pytest.mark.parametrize(
    ("group", "option"), [(group, option) for group in GROUPS for option in options(group)]
)
def test_every_option_is_built_as_omegaconf_does(group, option):
    given = [f"{group}.{override}" for override in GIVEN.get(option, ())]
    plain = as_dict(composed(f"{group}={option}", *given))
    built = build_config(plain)
    assert built == composition._convert(plain)
    assert as_dict(built) == plain
    assert [type(value) for value in vars(built).values()] == [
        type(value) for value in vars(composition._convert(plain)).values()
    ]


def test_the_settings_of_a_sweep_are_built_as_omegaconf_does():
    plain = as_dict(sweep_settings())
    assert direct.build_object(Sweep, plain) == composition._convert_sweep(plain)
    given = plain | {"enqueue": [{"model.dropout": 0.1}, "1234"], "params": {"seed": "1,2"}}
    assert direct.build_object(Sweep, given) == composition._convert_sweep(given)
    to_convert = plain | {"n_trials": "7"}
    assert direct.build_object(Sweep, to_convert) is None
    assert composition.parse_sweep(OmegaConf.create({"sweep": to_convert})).n_trials == 7


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "3"),
        ("seed", True),
        ("seed", 1.0),
        ("optimizer.learning_rate", "0.1"),
        ("optimizer.learning_rate", False),
        ("training.jit_compile", "true"),
        ("training.metrics", "accuracy"),
        ("training.metrics", [1]),
        ("training.precision", "float3"),
        ("training.params", {1: 2}),
        ("model.kind", "mlp2"),
        ("model.units", [3, "4"]),
        ("model", None),
        ("dataset.name", "${oc.env:HOME}"),
        ("tracking.run_name", "???"),
        ("training.params", {"a": ["${b}"]}),
        ("more", 1),
    ],
)
def test_what_is_to_be_converted_or_refused_is_left_to_omegaconf(key, value):
    plain = copy.deepcopy(PLAIN)
    *groups, name = key.split(".")
    part = plain
    for group in groups:
        part = part[group]
    part[name] = value
    assert build_config(plain) is None


def test_a_missing_key_is_left_to_omegaconf():
    assert build_config({key: value for key, value in PLAIN.items() if key != "seed"}) is None


def test_an_integer_is_a_number():
    plain = copy.deepcopy(PLAIN)
    plain["optimizer"]["learning_rate"] = 1
    rate = build_config(plain).optimizer.learning_rate
    assert (rate, type(rate)) == (1.0, float)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), values, max_size=4))
def test_yaml_is_written_and_read_as_omegaconf_does(plain):
    def escaped(value):
        return composition.escape_interpolations(value)

    plain = escaped(plain)
    text = quick_yaml.dump(plain)
    assert text == OmegaConf.to_yaml(OmegaConf.create(plain))
    read = quick_yaml.load(text)
    assert read is None or read == OmegaConf.to_container(OmegaConf.create(text), resolve=False)


def test_the_config_of_a_run_is_read_quickly():
    assert quick_yaml.load(quick_yaml.dump(PLAIN)) == PLAIN


LEVELS = [f"a0: &a0 [{','.join('1' * 10)}]"]
LEVELS += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 8)]


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",
        "[1, 2",
        "just text",
        "- 1",
        "",
        "a: !!python/object/apply:os.system [x]",
        "a: " + "[" * 200 + "]" * 200,
        "a: " + "[" * 20_000,
        "- " * 100_000 + "1",
        "x: &x {y: *x}",
        "\n".join(LEVELS),
    ],
    ids=range(11),
)
def test_what_no_dumper_writes_is_left_to_omegaconf(text):
    install()
    assert quick_yaml.load(text) is None


class Level(Enum):
    low = 1


@pytest.mark.parametrize(
    ("field_type", "value"),
    [
        (int | str, "3"),
        (int | str | None, 3),
        (dict[int, str], {1: "a"}),
        (dict[Level, int], {"low": 1}),
        (dict, {"a": 1}),
        (list, [1]),
        (list[int | str], [1]),
    ],
)
def test_a_type_that_only_omegaconf_converts_is_left_to_it(field_type, value):
    kind = make_dataclass("Kind", [("x", field_type)], kw_only=True)
    with pytest.raises(TypeError):
        direct._object(kind, {"x": value})


def test_a_number_that_no_float_holds_is_one_sentence():
    huge = "1" * 400
    message = r"^optimizer.learning_rate: received an integer of hundreds of digits, expected"
    with pytest.raises(UserError, match=message):
        composed(f"optimizer.learning_rate={huge}")
    stored = to_yaml(composed())
    with pytest.raises(UserError, match=message):
        apply_overrides(stored, [f"optimizer.learning_rate={huge}"])
    with pytest.raises(UserError, match=message):
        from_yaml(re.sub("learning_rate: .*", f"learning_rate: {huge}", stored))


def test_a_key_that_is_no_text_is_refused_since_it_would_be_recorded_as_text():
    given = ["model=custom", "model.target=mine:build"]
    message = r"^model.params.t\[0\].a: received 1 as a key of a mapping, expected text"
    with pytest.raises(UserError, match=message):
        composed(*given, "+model.params.t=[{a: {1: 2}}]")
    assert composed(*given, "+model.params.t={a: 2}").model.params == {"t": {"a": 2}}


@pytest.mark.parametrize(
    "text", ["a: !!str 1\n", "a: !\n", "a:\t1\n", "\ufeffa: 1\n", "~: 1\n", "a: [{~: 1}]\n"]
)
def test_what_the_two_yaml_parsers_read_differently_is_left_to_omegaconf(text):
    assert quick_yaml.load(text) is None
