"""What holds for every config, search space and schedule; hypothesis chooses the examples.

Nothing here needs TensorFlow; `test_properties_schedules.py` does. The examples are the same in
every run (`derandomize`): a failure here is a change in the code, not luck.
"""

import contextlib
import dataclasses
import enum
import functools
import types
import typing
import warnings

import hypothesis.strategies as st
import optuna
import pytest
from hypothesis import HealthCheck, assume, given, settings
from omegaconf import OmegaConf

from samerun import config, search
from samerun.config.composition import parse_sweep
from samerun.config.instances import as_first
from samerun.config.overrides import parse_override
from samerun.config.samplers import Sampler
from samerun.config.schema import GROUPS
from samerun.config.stored import apply_overrides
from samerun.config.training import Loss, Metric, Training
from samerun.errors import UserError
from samerun.folders import package_folder
from samerun.search.domains import Categorical, Dimension, Numeric, exact
from samerun.search.grammar import FieldType, parse_domain

optuna.logging.set_verbosity(optuna.logging.ERROR)
settings.register_profile(
    "fixed",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
FIXED = settings.get_profile("fixed")
TEXT = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12),
    st.sampled_from(
        ["1e-5", "null", "true", "0x1F", "1_000", "2026-01-01", "12:30:00", "~", "- a"]
    ),
    st.sampled_from(["a: b", "#a", "'", "!!python/none", "&a", "*a", "%", "|", " ", "=", "[1]"]),
    st.sampled_from(["${oc.env:HOME}", "${seed}", "$", "\\${seed}"]),
)
WORD = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
NAMED = {
    "loss": st.sampled_from([*map(str, Loss), "mine:loss"]),
    "metrics": st.lists(
        st.sampled_from([*map(str, Metric), "mine:metric"]), max_size=3, unique=True
    ),
    "callbacks": st.lists(st.just("mine:Callback"), max_size=1),
    "fold": st.sampled_from([None, "1/2", "2/5", "9999/9999"]),
    "folds": st.one_of(st.none(), st.integers(2, 1000)),
    "workers": st.just(1),  # more are only for several seeds or folds
}
"""Fields whose values name something, or depend on each other."""
NUMBERS = st.integers(-(10**9), 10**9).map(lambda n: n / 1000)


# ---------------------------------------------------------------- configs


def numbers(kind, allowed):
    """Numbers of a field's type, inside its range."""
    low = None if allowed is None else allowed.low
    high = None if allowed is None else allowed.high
    if kind is int:
        low = None if low is None else int(low) + bool(allowed.open_low)
        high = None if high is None else int(high) - bool(allowed.open_high)
        return st.integers(low, high if high is not None else (low or 0) + 10**9)
    return st.floats(
        low,
        high,
        exclude_min=bool(allowed and allowed.open_low),
        exclude_max=bool(allowed and allowed.open_high),
        allow_nan=False,
        allow_infinity=False,
    )


def of_type(kind, allowed, now):
    """Values that a field of this type may hold."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(of_type(each, allowed, now) for each in inner))
    if kind is type(None):
        return st.none()
    if origin is list:
        return st.lists(of_type(inner[0], allowed, None), max_size=3)
    if origin is dict:
        return st.dictionaries(WORD, of_type(inner[1], allowed, None), max_size=3)
    if kind is bool:
        return st.booleans()
    if kind in (int, float):
        return numbers(kind, allowed)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(list(kind))
    if dataclasses.is_dataclass(kind):
        return st.just(now) if now is None else changed(now)
    return TEXT if kind is str else st.just(now)


@st.composite
def changed(draw, node):
    """A config object like `node`, with other values in some fields."""
    hints = typing.get_type_hints(type(node))
    new = {}
    for field in dataclasses.fields(node):
        now = getattr(node, field.name)
        if field.name == "kind" or not draw(st.booleans()):
            continue
        if field.name == "params" and isinstance(node, Training):  # by the names of the functions
            continue
        allowed = field.metadata.get("range")
        kind = type(now) if dataclasses.is_dataclass(now) else hints[field.name]
        is_named = field.name in NAMED
        new[field.name] = draw(NAMED[field.name] if is_named else of_type(kind, allowed, now))
    return dataclasses.replace(node, **new)


@functools.cache
def bases():
    """A composed config of every option of every group, a few options at a time."""
    given_keys = {"path": "here", "target": "close"}
    of_models = {"path": "here", "target": "mine:build"}
    found = {group: [] for group in GROUPS}
    for number in range(max(map(len, GROUPS.values()))):
        overrides = []
        for group, kinds in GROUPS.items():
            kind = kinds[number % len(kinds)]
            overrides.append(f"{group}={kind.kind}")
            fields = {field.name for field in dataclasses.fields(kind)}
            keys = of_models if "params" in fields else given_keys
            overrides += [f"{group}.{key}={keys[key]}" for key in sorted(fields & set(keys))]
        whole = config.compose(overrides).config
        for group in GROUPS:
            found[group].append(getattr(whole, group))
    return whole, found


@st.composite
def configs(draw):
    """Any config that the command line could have made."""
    whole, found = bases()
    parts = {group: draw(changed(draw(st.sampled_from(nodes)))) for group, nodes in found.items()}
    made = draw(changed(dataclasses.replace(whole, **parts)))
    if made.seeds is not None:  # which is refused with `folds`
        made = dataclasses.replace(made, folds=None)
    if made.folds is not None:  # which is refused with another fold than the first one
        made = dataclasses.replace(made, dataset=dataclasses.replace(made.dataset, fold=None))
    return as_first(made)


@settings(FIXED, max_examples=40)
@given(configs())
def test_every_config_reads_back_equal_from_its_yaml(cfg):
    again = config.from_yaml(config.to_yaml(cfg))
    assert again == cfg
    assert config.fingerprint(again) == config.fingerprint(cfg)
    assert config.flatten(again) == config.flatten(cfg)


def test_a_stored_config_reads_no_variable_of_the_environment(monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    text = config.to_yaml(bases()[0]).replace("tags: {}", "tags: {a: '${oc.env:SECRET}'}")
    assert config.from_yaml(text).tracking.tags == {"a": "${oc.env:SECRET}"}
    again = apply_overrides(text, ["seed=3"])
    assert "hunter2" not in again.resolved + again.composed


@settings(FIXED, max_examples=40)
@given(configs())
def test_a_fingerprint_is_that_of_the_meaning_and_of_nothing_else(cfg):
    seed = dataclasses.replace(cfg, seed=cfg.seed + 1)
    named = dataclasses.replace(cfg.tracking, run_name="other", tags={"a": "b"})
    assert config.fingerprint(cfg) != config.fingerprint(seed)
    assert config.fingerprint(cfg) == config.fingerprint(dataclasses.replace(cfg, tracking=named))


@settings(FIXED, max_examples=12)
@given(st.data())
def test_the_leaves_of_a_config_are_the_overrides_that_compose_it(data):
    """Of numbers, switches and words; text with blanks and quotes is quoted by whoever types it."""
    whole, found = bases()
    plain = {
        group: [node for node in found[group] if not hasattr(node, "params")]  # free keys and texts
        for group in ("optimizer", "schedule")
    }
    node = data.draw(changed(data.draw(st.sampled_from(plain["optimizer"]))))
    shape = data.draw(changed(data.draw(st.sampled_from(plain["schedule"]))))
    cfg = dataclasses.replace(whole, optimizer=node, schedule=shape)
    overrides = [f"{key}={value}" for key, value in config.flatten(cfg).items()]
    assert config.compose(overrides).config == cfg


# ---------------------------------------------------------------- search spaces

KINDS = st.sampled_from(["any", "float", "int"])


def read(word, kind="any"):
    """The space of one word of the command line."""
    return parse_domain(parse_override(word, "key"), "key", FieldType(kind=kind), lambda group: ())


@settings(FIXED, max_examples=300)
@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.integers(-50, 50))
def test_a_range_holds_what_pythons_range_holds(start, stop, step):
    word = f"key=range({start},{stop},{step})"
    expected = sorted(range(start, stop, step)) if step else []
    if not expected:
        with pytest.raises(UserError, match="expected a step|is empty"):
            read(word)
        return
    space = read(word)
    assert (space.low, space.high, space.num_points) == (expected[0], expected[-1], len(expected))
    assert space.points == expected


@settings(FIXED, max_examples=200)
@given(NUMBERS, NUMBERS, st.floats(0.001, 1e3).map(lambda x: float(f"{x:.4g}")))
def test_a_range_of_fractions_leaves_its_end_out_and_stays_below_it(start, stop, step):
    assume(start < stop)
    assume((stop - start) / step < 10_000)
    space = read(f"key=range({start!r},{stop!r},{step!r})", "float")
    assert space.low == start
    assert space.high < stop
    assert space.high + 1.001 * step >= stop  # no further value would have been below the end
    assert space.num_points == len(set(space.points))


@settings(FIXED, max_examples=200)
@given(NUMBERS, NUMBERS, st.booleans())
def test_an_interval_holds_both_of_its_ends(one, other, is_log):
    low, high = sorted([one, other])
    text = f"interval({low!r},{high!r})"
    if is_log and low <= 0:
        return
    space = read(f"key=tag(log,{text})" if is_log else f"key={text}", "float")
    assert (space.low, space.high, space.is_log) == (low, high, is_log)
    assert [space.read(space.to_text(value)) for value in space.ends] == [low, high]


@settings(FIXED, max_examples=200)
@given(st.lists(st.one_of(st.integers(), NUMBERS, st.booleans(), WORD), min_size=2, max_size=6))
def test_choices_are_read_back_from_their_text(values):
    overrides = [{True: "true", False: "false"}.get(v, str(v)) if isinstance(v, bool) else str(v)
             for v in values]  # fmt: skip
    if len({exact(v) if isinstance(v, int | float) else v for v in values}) < len(values):
        with pytest.raises(UserError, match="twice"):
            read(f"key={','.join(overrides)}")
        return
    space = read(f"key={','.join(overrides)}")
    assert space.num_points == len(values)
    for value, word in zip(space.values, space.texts, strict=True):
        assert space.read(word) == value
        assert type(space.read(word)) is type(value)
        assert space.read(space.to_text(value)) == value


@st.composite
def spaces(draw):
    """A search space of up to four keys."""
    overrides = draw(
        st.lists(
            st.one_of(
                st.builds("range({},{})".format, st.integers(-5, 0), st.integers(2, 6)),
                st.builds("range({},{},0.25)".format, st.just(0), st.integers(1, 3)),
                st.builds("interval({},{})".format, st.integers(-3, 0), st.floats(0.5, 5)),
                st.builds("tag(log,interval(1e-5,{}))".format, st.floats(1e-3, 1)),
                st.builds("int(interval(1,{}))".format, st.integers(2, 9)),
                st.builds("tag(log,int(interval(1,{})))".format, st.integers(2, 64)),
                st.just("relu,tanh,elu"),
                st.just("true,false"),
                st.just("1,2,null"),
            ),
            min_size=1,
            max_size=4,
        )
    )
    entries = [Dimension(key=f"k{n}", space=read(f"k{n}={w}")) for n, w in enumerate(overrides)]
    return search.Space(entries=tuple(entries), fixed=())


def sweep(sampler):
    plain = OmegaConf.load(package_folder("conf") / "sweep" / "optuna.yaml")
    del plain["defaults"]
    return parse_sweep(OmegaConf.create({"sweep": OmegaConf.merge(plain, {"sampler": sampler})}))


CONFIGS = {sampler: sweep(sampler) for sampler in Sampler if sampler is not Sampler.gp}


@settings(FIXED, max_examples=60)
@given(spaces(), st.sampled_from(sorted(CONFIGS)), st.integers(0, 2**31))
def test_what_a_sampler_draws_is_in_the_space_and_written_to_the_last_bit(space, sampler, seed):
    """`gp` needs PyTorch: `test_search_samplers.py` looks at it where that is installed."""
    cfg = CONFIGS[sampler]
    try:
        search.check_sampler(cfg, space, 1)
    except UserError:
        assert sampler in (Sampler.grid, Sampler.brute_force)
        assert any(entry.space.num_points is None for entry in space.entries)
        return
    study = optuna.create_study()
    for number in range(min(8, space.num_points or 8)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of samplers that fall back on random ones
            study.sampler = search.build_sampler(cfg, space, seed, 1, number)
            trial = study.ask()
            values = space.suggest(trial)
        for entry in space.entries:
            check_drawn(entry, values[entry.key])
        study.tell(trial, float(number))


def check_drawn(entry, value):
    """A drawn value is one of the space's, and the same when it is read back."""
    space = entry.space
    if isinstance(space, Categorical):
        assert value in space.values
    else:
        assert isinstance(space, Numeric)
        assert space.low <= value <= space.high
        assert not space.step or value in space.points
        assert not space.is_int or int(value) == value
    assert space.read(space.to_text(value)) == value
    word = f"{entry.key}={space.to_text(value)}"
    written = parse_override(word).value
    assert written == value or str(written) == str(value)


# ---------------------------------------------------------------- overrides


@contextlib.contextmanager
def only_sentences():
    """Any other exception than a `UserError` is a fault."""
    with contextlib.suppress(UserError):
        yield


@settings(FIXED, max_examples=400)
@given(st.text(max_size=30), st.sampled_from(["model.dropout=", "seed=", "+tracking.tags.x=", ""]))
def test_any_override_is_understood_or_refused_in_one_sentence(text, key):
    with only_sentences():
        found = parse_override(key + text, "key")
        if found.is_sweep:
            parse_domain(found, "key", FieldType(kind="float"), lambda group: ["a", "b"])


GRAMMAR = "(),[]{}=:+-.~'\"\\ \t$*@/!%&|<>0123456789eEnaif" + "rangeintervalchoicetaglogsort"


@settings(FIXED, max_examples=600)
@given(st.text(GRAMMAR, max_size=25))
def test_overrides_made_of_the_grammars_own_signs_never_end_in_a_traceback(text):
    with only_sentences():
        found = parse_override(f"optimizer.learning_rate={text}", "key")
        if found.is_sweep:
            space = parse_domain(found, "key", FieldType(kind="any"), lambda group: ["a", "b"])
            assert space.num_points is None or space.num_points > 0


@settings(FIXED, max_examples=30)
@given(st.sampled_from(["seed", "model.units", "dataset.limit", "training.epochs"]), TEXT)
def test_any_value_composes_or_is_refused_in_one_sentence(key, text):
    with only_sentences():
        config.compose([f"{key}={text}"])
