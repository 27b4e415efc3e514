"""Losses, metrics, callbacks and augmentations of a package of your own: typed like its models."""

import re
import shutil
import sys

import pytest
import yaml

from samerun import cli, config, identity, user_code
from samerun.cli.completion import candidates
from samerun.config.composition import compose
from samerun.config.paths import paths
from samerun.config.stored import apply_overrides
from samerun.errors import UserError
from samerun.replay.trust import check_trusted, trusts_components
from samerun.search import parse_space
from samerun.sweeper.trial_configs import TrialConfigs
from support.compared import add
from support.own_parts import ALL, imports_undone, write_parts

FUNCTIONS = """
import keras


def confidence(y_true, y_pred):
    return keras.ops.max(y_pred, axis=-1)


def stripe(image, seed, width, table):
    return image
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A project as `samerun init` writes it, with a metric and an augmentation more."""
    folder = tmp_path_factory.mktemp("parts") / "mine"
    write_parts(folder, FUNCTIONS)
    return folder


@pytest.fixture
def mine(written, monkeypatch):
    """The project as the working folder; nothing is written into it."""
    monkeypatch.chdir(written)
    with imports_undone("mine"):
        yield written


@pytest.fixture
def changing(written, tmp_path, monkeypatch):
    """A copy of the project as the working folder, which the test changes."""
    shutil.copytree(written, tmp_path / "mine", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path / "mine")
    with imports_undone("mine"):
        yield tmp_path / "mine"


def test_they_are_typed_with_the_values_of_their_files(mine):
    cfg = compose([*ALL, "training.params.focal.gamma=3", "dataset.augmentation.width=4"]).config
    params = cfg.training.params
    assert (params["focal"].gamma, params["shrink_bias"].start) == (3.0, 0.9)
    assert params["confidence"].params == {}
    assert cfg.dataset.augmentation.params == {"width": 4, "table": "a.csv"}
    assert cfg.dataset.augmentation.flip_horizontal is False
    assert {one.key: one.target for one in user_code.own_functions(cfg)} == {
        "dataset.augmentation=stripe": "mine.images:stripe",
        "training.loss": "mine.training:focal",
        "training.metrics[1]": "mine.images:confidence",
        "training.callbacks[0]": "mine.training:Shrink",
    }


def test_an_experiment_names_them_with_options(changing):
    text = "# @package _global_\ntraining: {loss: focal, params: {focal: {gamma: 5}}}\n"
    (changing / "experiments/experiment/five.yaml").write_text(text)
    assert compose(["experiment=five"]).config.training.params["focal"].gamma == 5.0
    given = ["experiment=five", "training.params.focal.gamma=6"]
    assert compose(given).config.training.params["focal"].gamma == 6.0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("training.loss=focl", "Did you mean `training.loss=focal`?"),
        ("loss=focal", "loss: there is no such key. Did you mean `training.loss=focal`?"),
        ("training.metrics=[focal]", "training.metrics: received 'focal', expected one of"),
        ("training.callbacks=[shrink_bais]", "`training.callbacks=[shrink_bias]`?"),
        ("training.params.focal.gamma=3", "Did you mean `training.loss=focal`?"),
        (
            "training.loss=focal training.params.focal.gama=3",
            "focal.gama: there is no such key. Did you mean `training.params.focal.gamma=3`?",
        ),
        ("training.loss=focal training.params.focal.gamma=x", "'x', expected a number"),
        (
            "training.loss=focal training.params.focal.gamma=-1",
            "training.params.focal.gamma: received -1, expected a number at least 0",
        ),
        ("training.loss=focal training.params.focal=3", "training.params.focal: new keys"),
        ("training.loss=focal training.params.gamma=3", "training.params.NAME.gamma=…"),
        ("training.loss=soft", "A class of your own needs the file conf/loss/soft.yaml."),
        (
            "training.loss=focal training.metrics=[mine.other:focal]",
            "expected names that differ",
        ),
        (
            "dataset/augmentation=stripe dataset.augmentation.width=0",
            "dataset.augmentation.width: received 0, expected a number above 0",
        ),
        (
            "dataset/augmentation=stripe dataset.augmentation.widht=2",
            "Did you mean `dataset.augmentation.width=2`?",
        ),
    ],
)
def test_a_mistake_is_one_sentence(mine, overrides, message):
    with pytest.raises(UserError) as caught:
        compose(overrides.split())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_schema_before_the_option_it_starts_from_is_one_sentence(changing):
    file = changing / "conf/dataset/augmentation/stripe.yaml"
    first, *others = file.read_text().splitlines()
    swapped = re.sub(r"(none), (\S+),", r"\2, \1,", first)
    assert swapped != first
    file.write_text("\n".join([swapped, *others]))
    with pytest.raises(UserError, match=r"defaults: \[none, /schema/dataset/augmentation/stripe"):
        compose(["dataset/augmentation=stripe"])


def test_three_kinds_have_different_names(changing):
    place = changing / "src/mine/components.py"
    place.write_text(place.read_text().replace('kind: str = "confidence"', 'kind: str = "focal"'))
    with pytest.raises(UserError, match="there is another metric=focal"):
        compose(["training.loss=focal"])


def test_a_stored_config_is_read_back_and_needs_trust(mine):
    cfg = compose(ALL).config
    text = config.to_yaml(cfg)
    assert config.from_yaml(text) == cfg
    assert config.from_yaml(text, own_code=True) == cfg
    for override in ALL:
        with pytest.raises(UserError, match="give --trust mine"):
            check_trusted(compose([override]).config, ["data"])
    check_trusted(cfg, ["mine"])
    other = apply_overrides(text, ["training.loss=huber", "training.params.shrink_bias.start=0.5"])
    assert other.config.training.params.keys() == {"confidence", "shrink_bias"}
    assert other.config.training.params["shrink_bias"].start == 0.5


def test_what_this_process_trains_may_be_resumed_with_the_names_of_its_config(mine):
    for override in ALL:
        cfg = compose([override]).config
        names = user_code.trust_names(cfg)
        assert names == ("mine",)
        check_trusted(config.from_yaml(config.to_yaml(cfg)), names)
        assert trusts_components(names)


def test_an_argument_called_kind_stays_in_a_recorded_config(mine):
    words = ["training.loss=mine.training:pull", "+training.params.pull.kind=pull"]
    text = config.to_yaml(compose(words).config)
    again = apply_overrides(text, ["training.epochs=2"]).config
    assert again.training.params == config.from_yaml(text).training.params
    assert again.training.params == {"pull": {"kind": "pull"}}
    assert apply_overrides(text, []).config == config.from_yaml(text)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.metrics=5", "training.metrics: received '5'"),
        ("training.metrics=true", "training.metrics: received 'True'"),
        ("training.callbacks=1", "training.callbacks: received '1'"),
        ("training.loss=5", "training.loss"),
        ("training.metrics=[{a:1}]", "training.metrics"),
        ("training.callbacks=[{a:1}]", "training.callbacks"),
    ],
)
def test_names_of_another_type_are_one_sentence(mine, override, message):
    text = config.to_yaml(compose(["training.loss=focal"]).config)
    plain = yaml.safe_load(text)
    key, _, value = override.removeprefix("training.").partition("=")
    plain["training"][key] = yaml.safe_load(value.replace(":", ": "))
    attempts = (
        lambda: compose([override]),
        lambda: apply_overrides(text, [override]),
        lambda: config.from_yaml(yaml.safe_dump(plain)),
        lambda: apply_overrides(yaml.safe_dump(plain), []),
    )
    for attempt in attempts:
        with pytest.raises(UserError) as caught:
            attempt()
        assert message.partition(":")[0] in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_recorded_one_is_read_without_its_package(changing, store, monkeypatch, capsys):
    monkeypatch.chdir(changing)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{changing.parent}/mlflow.db")
    text = config.to_yaml(compose(ALL).config)
    (changing / "src/mine/components.py").write_text("open('imported', 'w').close()\n")
    config.schema.forget_own()
    cfg = config.from_yaml(text)
    assert cfg.training.params["focal"].gamma == 2.0
    assert config.from_yaml(config.to_yaml(cfg)) == cfg
    assert user_code.components_of(cfg) == ["mine.components"]
    assert paths(cfg)["dataset.augmentation.table"] == "a.csv"
    with pytest.raises(UserError, match="give --trust mine"):
        check_trusted(cfg, [])
    add(store, "plain")
    store({"config/resolved.yaml": text}, name="theirs")
    for command, code in ((["diff", "theirs", "plain"], 0), (["resume", "theirs"], 2)):
        assert cli.main(command) == code
    assert "training.params.focal.gamma" in capsys.readouterr().out
    assert not (changing / "imported").exists()


def test_a_recorded_one_is_refused_elsewhere(mine, tmp_path_factory, monkeypatch):
    cfg = compose(ALL).config
    plain = yaml.safe_load(config.to_yaml(cfg))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    for group in ("dataset", "training"):
        with pytest.raises(UserError, match="received '(stripe|focal)', expected a component"):
            config.from_yaml(
                yaml.safe_dump(
                    yaml.safe_load(config.to_yaml(compose([]).config)) | {group: plain[group]}
                )
            )


def test_its_files_and_its_options_are_part_of_the_fingerprint(mine):
    first = compose(ALL).config
    assert {"mine/components.py", "mine/training.py"} <= set(identity.code_files(first))
    for override in ("training.params.focal.gamma=3", "dataset.augmentation.width=3"):
        assert config.fingerprint(compose([*ALL, override]).config) != config.fingerprint(first)
    logged = config.parameters(first)
    assert logged["training.params.focal.gamma"] == "2.0"
    assert logged["dataset.augmentation"] == "stripe"
    assert "training.params.focal" not in logged


def test_an_option_is_swept_with_its_type_and_each_trial_has_all_of_them(mine):
    swept = [
        "training.params.shrink_bias.start=0.1,0.2",
        "dataset.augmentation.width=interval(1,4)",
    ]
    space = parse_space([*ALL, *swept], {})
    values = next(space.corners(next(iter(space.branches()), {})))
    assert isinstance(values["dataset.augmentation.width"], int)
    configs = TrialConfigs(lambda given: config.composition.compose_with_hydra(given)[1], space, 1)
    made = configs.composition({**values, "training.params.shrink_bias.start": 0.2})
    assert made.config.training.params["shrink_bias"].start == 0.2
    assert made.config.training.params["focal"].gamma == 2.0
    again = compose(made.overrides).config
    assert again.training == made.config.training
    with pytest.raises(UserError, match=r"`training.params.focal.gamma="):
        parse_space(["training.loss=focal", "training.params.focal.gama=interval(1,2)"], {})


def test_a_loss_is_swept(mine):
    space = parse_space(["training.loss=huber,focal"], {})
    configs = TrialConfigs(lambda given: config.composition.compose_with_hydra(given)[1], space, 1)
    for loss, names in (("huber", set()), ("focal", {"focal"})):
        made = configs.composition({"training.loss": loss}).config.training
        assert made.params.keys() == names


def with_both(*swept, params=None):
    """Returns a space of two losses, one with an option, and what its trials train with."""
    space = parse_space(["training.loss=huber,focal", *swept], params or {})
    configs = TrialConfigs(lambda given: config.composition.compose_with_hydra(given)[1], space, 1)
    points = [point for branch in space.branches() for point in space.corners(branch)]
    made = [configs.composition(point) for point in points]
    assert [compose(one.overrides).config.training for one in made] == [
        one.config.training for one in made
    ]
    return space, [one.config for one in made]


def test_an_option_of_one_loss_is_searched_with_that_loss_only(mine):
    space, made = with_both("training.params.focal.gamma=interval(0,3)")
    assert space.notes == (
        "training.params.focal.gamma is searched with training.loss=focal only: huber has no such "
        "key.",
    )
    (gamma,) = [one for one in space.entries if one.when]
    assert (gamma.key, gamma.when) == ("training.params.focal.gamma", {"training.loss": ("focal",)})
    params = [cfg.training.params for cfg in made]
    assert params[0] == {}
    assert [one["focal"].gamma for one in params[1:]] == [1.5, 0.0, 3.0]
    with pytest.raises(UserError, match="contains -1, expected a number at least 0"):
        with_both("training.params.focal.gamma=-1,2")
    with pytest.raises(UserError, match="`training.params.focal.gamma=1,2`"):
        with_both("training.params.focal.gama=1,2")
    assert with_both("training.params.focal.gamma=1,2")[0].num_points == 3


def test_a_single_value_of_an_option_of_one_loss_counts_with_that_loss(mine):
    _, made = with_both("training.params.focal.gamma=5")
    assert [cfg.training.params.keys() for cfg in made] == [set(), {"focal"}]
    assert made[1].training.params["focal"].gamma == 5.0


def test_a_sweep_without_and_with_a_callback_searches_the_options_of_the_callback(mine):
    callbacks = "training.callbacks=[],[shrink_bias]"
    _, made = with_both(callbacks, "training.params.shrink_bias.start=0.1,0.2")
    found = [(cfg.training.loss, cfg.training.params.get("shrink_bias")) for cfg in made]
    starts = [(loss, part and part.start) for loss, part in found]
    assert {at for _, at in starts} == {None, 0.1, 0.2}
    assert starts[:2] == [("huber", None), ("focal", None)]


def test_a_function_of_ones_own_is_searched_with_its_arguments(mine):
    losses = "training.loss=huber,mine.training:focal"
    space = parse_space([losses, "+training.params.focal.gamma=1,2"], {})
    configs = TrialConfigs(lambda given: config.composition.compose_with_hydra(given)[1], space, 1)
    points = [point for branch in space.branches() for point in space.corners(branch)]
    made = [configs.composition(point).config.training.params for point in points]
    assert made == [{}, {"focal": {"gamma": 1}}, {"focal": {"gamma": 2}}]


def test_any_key_may_be_searched_with_one_loss_only(mine):
    params = {"seed": {"when": {"training.loss": "focal"}, "space": "1,2"}}
    assert [cfg.seed for cfg in with_both(params=params)[1]] == [0, 1, 2]
    wrong = (("focl", "received 'focl'.*Did you mean 'focal'"), (3, "an option of"))
    for name, part in wrong:
        params["seed"]["when"] = {"training.loss": name}
        with pytest.raises(UserError, match=part):
            with_both(params=params)


def test_completion_offers_them_and_imports_nothing(changing):
    (changing / "src/mine/components.py").write_text("raise SystemExit('imported')\n")

    def after(line):
        return [word for word, _ in candidates(f"samerun train {line}", {"train": ""}, str)]

    assert after("training.loss=f") == ["training.loss=focal"]
    assert after("training.metrics=[accuracy,c") == ["training.metrics=[accuracy,confidence"]
    assert after("training.params.") == [
        "training.params.focal.gamma=",
        "training.params.shrink_bias.start=",
    ]
    assert after("training.loss=focal dataset/augmentation=st") == ["dataset/augmentation=stripe"]
    assert after("dataset/augmentation=stripe dataset.augmentation.w") == [
        "dataset.augmentation.width="
    ]
    assert not {"loss=", "metric=", "callback="} & {*after("")}
    assert "mine.components" not in sys.modules


def test_the_one_function_is_checked_before_tensorflow_is_imported(changing, capsys):
    (changing / "src/mine/training.py").write_text("def focal(y_true, y_pred):\n    pass\n")
    assert cli.main(["train", "experiment=rings", "training.loss=focal"]) == 2
    printed = capsys.readouterr().err
    assert "training.params.focal: received 'gamma', but focal has no argument" in printed
    assert printed.count("\n") == 1
