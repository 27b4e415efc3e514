"""Search spaces: the overrides that define them, what Optuna and Hydra receive, bad input."""

import copy
import dataclasses
import functools
import json
import subprocess
import sys

import optuna
import pytest
from omegaconf import OmegaConf

from samerun import config, search
from samerun.config import schema
from samerun.config.composition import parse_sweep, stored_sweep
from samerun.config.pruners import Pruner
from samerun.config.sweep import Sweep
from samerun.errors import UserError
from samerun.folders import package_folder
from samerun.search.domains import Numeric
from samerun.search.objectives import (
    Objectives,
    check_sweep,
    default_direction,
    direction_notes,
    directions_of,
    loss_keys,
    loss_notes,
    objectives_of,
)
from support.sweeps import sweep_settings

compose = functools.cache(lambda overrides: config.compose(list(overrides)).config)


def parse(*overrides, params=None, **options):
    return search.parse_space(
        overrides, params or {}, compose=lambda some: compose(tuple(some)), **options
    )


def entry(space, key):
    return next(one for one in space.entries if one.key == key)


@pytest.mark.parametrize(
    ("word", "low", "high", "step", "is_int", "is_log"),
    [
        ("model.dropout=interval(0,0.6)", 0.0, 0.6, None, False, False),
        ("model.l2=tag(log,interval(1e-6,1e-2))", 1e-6, 1e-2, None, False, True),
        ("model.kernel_size=interval(1,5)", 1, 5, 1, True, False),
        ("model.kernel_size=range(1,5)", 1, 4, 1, True, False),
        ("dataset.batch_size=range(8,64,8)", 8, 56, 8, True, False),
        ("dataset.batch_size=range(8,65,8)", 8, 64, 8, True, False),
        ("dataset.batch_size=range(5,0,-2)", 1, 5, 2, True, False),
        ("dataset.batch_size=tag(log,interval(4,64))", 4, 64, 1, True, True),
        ("seed=range(3)", 0, 2, 1, True, False),
        ("model.dropout=range(0,0.9,0.3)", 0.0, 0.6, 0.3, False, False),
        ("model.dropout=range(0.1,0.6,0.1)", 0.1, 0.5, 0.1, False, False),
        ("schedule.warmup_epochs=range(0,3)", 0.0, 2.0, 1.0, False, False),
        ("schedule.warmup_epochs=interval(0,3)", 0.0, 3.0, None, False, False),
        ("schedule.warmup_epochs=int(interval(0,3))", 0, 3, 1, True, False),
        ("schedule.warmup_epochs=tag(int,interval(0,3))", 0, 3, 1, True, False),
        ("schedule.decay_epochs=interval(5,20)", 5.0, 20.0, None, False, False),
        ("training.early_stopping.patience_epochs=interval(1,9)", 1, 9, 1, True, False),
    ],
)
def test_numbers_are_those_of_the_override_that_the_key_takes(
    word, low, high, step, is_int, is_log
):
    space = parse(word).entries[0].space
    wanted = Numeric(low=low, high=high, step=step, is_int=is_int, is_log=is_log)
    assert space == wanted
    assert type(space.low) is type(low)


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("model.activation=relu,tanh", ["relu", "tanh"]),
        ("model.activation=choice(relu,tanh)", ["relu", "tanh"]),
        ("model.filters=[8],[16,32]", ["[8]", "[16,32]"]),
        ("model.batch_norm=true,false", [True, False]),
        ("model.dropout=0,0.5", [0.0, 0.5]),
        ("model.kernel_size=3,5", [3, 5]),
        ("schedule.decay_epochs=null,5", [None, 5.0]),
        ("schedule=constant,cosine", ["constant", "cosine"]),
        ("schedule=glob(co*)", ["constant", "cosine", "cosine_restarts"]),
        ("dataset/augmentation=none,flip", ["none", "flip"]),
        ("+tracking.tags.course='a b',c", ["a b", "c"]),
    ],
)
def test_choices_keep_their_kind_and_come_back_as_overrides(word, values):
    space = parse(word)
    one = space.entries[0]
    assert list(one.space.values) == values
    for value in values:
        (again,) = space.overrides({one.key: value})
        assert compose((again,)).seed == 0
        assert one.space.read(value) == one.space.read(again.partition("=")[2]) == value


@pytest.mark.parametrize("group", ["model", "dataset", "optimizer", "schedule"])
def test_a_pattern_leaves_out_a_function_that_nobody_named_and_says_so(group):
    space = parse(f"{group}=glob(*)")
    (one,) = space.entries
    assert set(one.space.values) == {*schema.options(group)} - {"custom"}
    (note,) = space.notes
    assert f"{group}=glob(*) leaves out custom" in note
    function = f"{group}.target=choice(my_code:build)"
    assert function in note
    space = parse(f"{group}=glob(*)", function)
    assert "custom" in entry(space, group).space.values
    assert "custom" in entry(space, f"{group}.target").when[group]
    assert parse(f"{group}=glob(cust*)").entries[0].space.values == ("custom",)


def test_a_choice_is_shown_without_hydras_escape():
    (one,) = parse("training.loss=my_code:mild,my_code:harsh").entries
    assert str(one.space) == "my_code:mild, my_code:harsh"
    assert one.space.short("my_code:mild") == "my_code:mild"


def test_group_choices_come_first_and_conditional_keys_last():
    space = parse(
        "model.dropout=0.1,0.2",
        "optimizer.momentum=interval(0.5,0.9)",
        "seed=1,2",
        "optimizer=adam,sgd",
        "schedule=constant,cosine",
    )
    keys = [one.key for one in space.entries]
    assert keys == ["optimizer", "schedule", "model.dropout", "seed", "optimizer.momentum"]


def test_the_overrides_of_the_sweep_itself_are_no_part_of_a_trial():
    space = parse("experiment=digits_cnn", "model.dropout=0.1,0.2", "sweep.sampler=gp", "seed=3")
    assert space.fixed == ("experiment=digits_cnn", "seed=3")


def test_the_command_line_replaces_the_space_of_a_key_in_the_file():
    params = {"model.dropout": "interval(0,0.2)", "model.l2": "0.1,0.2", "model.l1": 0.3}
    space = parse("model.dropout=interval(0,0.5)", "model.l2=0.4", params=params)
    assert space.fixed == ("model.l1=0.3", "model.l2=0.4")
    assert [(one.key, one.space.high) for one in space.entries] == [("model.dropout", 0.5)]


MOMENTUM = {"optimizer.momentum": {"when": {"optimizer": "sgd"}, "space": "interval(0.5,0.99)"}}


def test_a_conditional_key_is_there_in_its_branch_only():
    space = parse("optimizer=adam,sgd", params=OmegaConf.create(MOMENTUM))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(20):
        values = space.suggest(study.ask())
        seen.add(values["optimizer"])
        assert ("optimizer.momentum" in values) == (values["optimizer"] == "sgd")
    assert seen == {"adam", "sgd"}


def test_a_single_value_with_a_condition_is_that_of_its_branch_only():
    params = {"model.dropout": {"when": {"optimizer": "sgd"}, "space": "0.5"}}
    space = parse("model=mlp", "optimizer=sgd,adam", params=params)
    assert entry(space, "model.dropout").when == {"optimizer": ("sgd",)}
    assert entry(space, "model.dropout").space.values == (0.5,)
    assert not [word for word in space.fixed if "dropout" in word]


def test_a_key_that_some_branches_lack_is_searched_in_the_others_and_reported():
    space = parse("optimizer=adam,sgd,rmsprop", "optimizer.momentum=interval(0.5,0.99)")
    assert entry(space, "optimizer.momentum").when == {"optimizer": ("sgd", "rmsprop")}
    assert space.notes == (
        "optimizer.momentum is searched with optimizer=sgd,rmsprop only: adam has no such key.",
    )


def test_a_condition_keeps_to_the_options_that_are_left():
    params = {
        "optimizer": "adam,sgd,rmsprop",
        "optimizer.momentum": {
            "when": {"optimizer": ["sgd", "rmsprop"]},
            "space": "interval(0.5,0.99)",
        },
    }
    narrowed = parse("optimizer=adam,sgd", params=params)
    assert entry(narrowed, "optimizer.momentum").when == {"optimizer": ("sgd",)}
    fixed = parse("optimizer=sgd", params=params)
    assert entry(fixed, "optimizer.momentum").when == {}
    other = parse("optimizer=adam", "seed=1,2", params=params)
    assert [one.key for one in other.entries] == ["seed"]
    assert other.notes == (
        "optimizer.momentum is not searched, since it requires optimizer=sgd,rmsprop.",
    )


def test_a_key_of_some_experiments_is_tried_with_these():
    space = parse("experiment=digits_cnn,lenet5_digits", "model.filters=[8],[16]")
    assert entry(space, "model.filters").when == {"experiment": ("digits_cnn",)}


def test_a_group_inside_a_group_depends_on_it():
    space = parse(
        "dataset.augmentation.rotation=interval(0,0.1)",
        "dataset/augmentation=none,flip",
        "dataset=digits,diabetes",
    )
    assert list(space.branches()) == [
        {"dataset": "digits", "dataset/augmentation": "none"},
        {"dataset": "digits", "dataset/augmentation": "flip"},
        {"dataset": "diabetes"},
    ]


def test_branches_and_corners_are_whole_trials():
    space = parse("optimizer=adam,sgd", "model.dropout=interval(0,0.6)", params=MOMENTUM)
    assert list(space.branches()) == [{"optimizer": "adam"}, {"optimizer": "sgd"}]
    assert list(space.corners({"optimizer": "adam"})) == [
        {"optimizer": "adam", "model.dropout": 0.3},
        {"optimizer": "adam", "model.dropout": 0.0},
        {"optimizer": "adam", "model.dropout": 0.6},
    ]
    assert len(list(space.corners({"optimizer": "sgd"}))) == 5


def test_points_are_counted_in_every_branch():
    params = {"optimizer.nesterov": {"when": {"optimizer": "sgd"}, "space": "true,false"}}
    space = parse("optimizer=adam,sgd", "seed=range(3)", params=params)
    assert space.is_finite
    assert space.num_points == 3 + 6
    assert parse("model.dropout=interval(0,0.6)").num_points is None


def test_a_trial_gets_the_number_of_the_study_to_the_last_bit():
    space = parse("model.l2=tag(log,interval(1e-6,1e-2))", "model.dropout=range(0.1,0.6,0.1)")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(3):
        values = space.suggest(study.ask())
        cfg = config.compose(space.overrides(values)).config
        assert cfg.model.l2 == values["model.l2"]
        assert cfg.model.dropout == values["model.dropout"]
        assert values["model.dropout"] in (0.1, 0.2, 0.3, 0.4, 0.5)


def test_a_space_is_compared_with_one_that_was_written_down():
    space = parse("optimizer=adam,sgd", "model.dropout=interval(0,0.6)", params=MOMENTUM)
    kept = json.loads(json.dumps(space.as_dict()))
    other_order = parse("model.dropout=interval(0,0.6)", "optimizer=adam,sgd", params=MOMENTUM)
    assert other_order.as_dict() == kept
    assert other_order.difference(kept) == []
    changed = parse("optimizer=adam,sgd", "model.dropout=interval(0,0.5)", "seed=1,2")
    assert changed.difference(kept) == [
        "model.dropout 0 to 0.6 → 0 to 0.5",
        "optimizer.momentum 0.5 to 0.99 with optimizer=sgd → absent",
        "seed absent → 1, 2",
    ]


def test_short_names_contain_the_choices():
    space = parse(
        "model.dropout=interval(0,0.6)",
        "model.l2=tag(log,interval(1e-6,1e-2))",
        "schedule=constant,cosine",
        "model.batch_norm=true,false",
        "dataset/augmentation=none,flip",
    )
    values = {
        "model.dropout": 0.312345,
        "model.l2": 2e-4,
        "schedule": "cosine",
        "model.batch_norm": True,
        "dataset/augmentation": "none",
    }
    assert space.short(values) == (
        "dropout=0.3123 l2=0.0002 batch_norm=true cosine augmentation=none"
    )


def test_a_named_point_is_read_however_it_is_written():
    space = parse(
        "optimizer=adam,sgd",
        "model.filters=[8],[16,32]",
        "model.batch_norm=true,false",
        "model.kernel_size=interval(1,5)",
        "model.dropout=interval(0,0.6)",
        params=MOMENTUM,
    )
    given = {
        "optimizer": "sgd",
        "model.filters": [16, 32],
        "model.batch_norm": "True",
        "model.kernel_size": "3",
        "model.dropout": "0.25",
        "optimizer.momentum": 0.9,
        "model.l2": "0.1",
    }
    assert space.point(given) == {
        "optimizer": "sgd",
        "model.filters": "[16,32]",
        "model.batch_norm": True,
        "model.kernel_size": 3,
        "model.dropout": 0.25,
        "optimizer.momentum": 0.9,
    }
    assert "optimizer.momentum" not in space.point({**given, "optimizer": "adam"})


def test_a_typo_beside_keys_that_vary_is_refused_where_the_point_was_written():
    space = parse("model=mlp", "model.dropout=interval(0,0.6)", "model.l2=interval(0,0.1)")
    given = {"model.dropout": 0.2, "model": "mlp"}
    assert space.named(given) == {"model.dropout": 0.2}
    with pytest.raises(UserError, match=r"received model\.L2, which.*Did you mean 'model\.l2'\?"):
        space.named({**given, "model.L2": 0.05})
    assert space.point({**given, "training.epochs": "20"}) == {"model.dropout": 0.2}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"model.dropout": 0.7}, "model.dropout=0.7, expected 0 to 0.6"),
        ({"model.dropout": "much"}, "model.dropout=much, expected 0 to 0.6"),
        ({"optimizer": "adm"}, "optimizer=adm, expected one of adam, sgd"),
        ({"seed": 1.5}, "seed=1.5, expected 0 to 2"),
        ({"model.droput": 0.1}, "Did you mean 'model.dropout'?"),
    ],
)
def test_a_point_outside_the_space_is_refused(given, sentence):
    space = parse("optimizer=adam,sgd", "model.dropout=interval(0,0.6)", "seed=range(3)")
    with pytest.raises(UserError, match=r"^sweep\.enqueue: ") as caught:
        space.point(given)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "params", "sentence"),
    [
        ([], {}, "expected one such as model.dropout='interval(0,0.6)'"),
        (["seed=3"], {}, "sweep=regularisation"),
        (["model.droput=interval(0,1)"], {}, "Did you mean `model.dropout='interval(0,1)'`?"),
        (["wings=1,2"], {}, "wings: there is no such key."),
        (["optimizer.momentum=0.1,0.9"], {}, "with optimizer=adam, only with sgd, rmsprop"),
        (["optimizer=adam,lion", "optimizer.momentum=0.1,0.9"], {}, "with optimizer=adam,lion"),
        (["model.dropout=interval(1,0)"], {}, "first: interval(0,1)"),
        (["model.l2=tag(log,interval(0,1))"], {}, "from 0, expected"),
        (["model.l2=tag(log,range(0.1,1,0.1))"], {}, "log and a step"),
        (["model.dropout=interval(0,1.5)"], {}, "1.5, expected a number at least"),
        (["model.dropout=0.1,2"], {}, "2, expected a number at least 0"),
        (["model.l2=interval(0,inf)"], {}, "expected two finite"),
        (["model.dropout=range(0.5,0.1,0.1)"], {}, "range(0.5,0.1,0.1), which is empty"),
        (["model.dropout=range(0.1,0.5,0)"], {}, "expected a step other than 0"),
        (["model.kernel_size=interval(1.5,3)"], {}, "1.5 to 3, expected integers"),
        (["model.dropout=0.1,0.1"], {}, "model.dropout: received 0.1 twice"),
        (["model.dropout=tag(steep,interval(0,0.5))"], {}, "tag steep, expected log, int or float"),
        (["model.dropout=tag(log,choice(0.1,0.2))"], {}, "log applies to numeric ranges"),
        (["model.dropout=shuffle(0.1,0.2)"], {}, "leave out shuffle and sort"),
        (["model.activation=sort(relu,tanh)"], {}, "leave out shuffle and sort"),
        (["model.activation=interval(1,5)"], {}, "expected a list of choices such as a,b,c"),
        (
            ["model.dropout=interval(0"],
            {},
            "received 'interval(0', expected a value, or a search space",
        ),
        (["model.dropout=interval(0)"], {}, "received 'interval(0)', expected"),
        (["model.dropout"], {}, "received 'model.dropout', expected KEY=VALUE"),
        (["schedule=constant,cosin"], {}, "received 'cosin', expected one of"),
        (["schedule=glob(z*)"], {}, "no option of schedule matches"),
        (["schedule=interval(0,1)"], {}, "expected a list of choices such as a,b,c"),
        (["model.kind=cnn,mlp"], {}, "vary the group itself, as in model=a,b"),
        (["sweep.n_trials=1,2"], {}, "received '1,2', but this is a setting of the sweep"),
        ([], {"model.dropout": [0.1, 0.2]}, "sweep.params.model.dropout: received [0.1, 0.2]"),
        ([], {"seed": {"spaces": "1,2"}}, "received spaces, expected"),
        (
            ["optimizer=adam,sgd"],
            {"optimizer.momentum": {"when": {"optimizer": "sdg"}, "space": "0.5,0.9"}},
            "when.optimizer: received 'sdg', expected one of",
        ),
        (
            ["optimizer=adam,sgd"],
            {"optimizer.momentum": {"when": {"optimizer": ["adam", "sgd"]}, "space": "0.5,0.9"}},
            "when: optimizer=adam has no such key",
        ),
        (
            ["optimizer=adam"],
            {"optimizer.momentum": {"when": {"optimizer": "sgd"}, "space": "0.5,0.9"}},
            "the search space is empty: optimizer.momentum is not",
        ),
        ([], {"seed": {"when": {"model.dropout": "1"}, "space": "1,2"}}, "is not a config group"),
        ([], {"seed": {"when": "sgd", "space": "1,2"}}, "expected {GROUP: OPTION}"),
        *(
            (
                [],
                {"seed": {"when": {"optimizer": odd}, "space": "1,2"}},
                f"optimizer: received {message}",
            )
            for odd, message in ((3, "3"), (None, "null"), ([], "[]"), ([3], "'3'"))
        ),
        (
            [],
            {
                "optimizer": {"when": {"schedule": "cosine"}, "space": "adam,sgd"},
                "schedule": {"when": {"optimizer": "adam"}, "space": "cosine,step"},
            },
            "circular",
        ),
    ],
)
def test_a_space_that_cannot_be_is_refused_in_one_sentence(overrides, params, sentence):
    with pytest.raises(UserError) as caught:
        parse(*overrides, params=params)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def sweep(**changes):
    plain = OmegaConf.load(package_folder("conf") / "sweep" / "optuna.yaml")
    del plain["defaults"]
    made = parse_sweep(OmegaConf.create({"sweep": plain}))
    for name, value in changes.items():
        object.__setattr__(made, name, value)
    return made


@functools.cache
def digits():
    from samerun import data

    cfg = compose(("experiment=digits_cnn",))
    return cfg, data.describe(cfg.dataset)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"objectives": ["validation/acuracy"]},
            "Did you mean `sweep.objectives=[validation/accuracy]`?",
        ),
        ({"objectives": ["val_loss"]}, "Did you mean `sweep.objectives=[validation/loss]`?"),
        ({"objectives": ["validation/loss", "num_parameters"]}, "use sweep.pruner=none"),
        ({"objectives": ["num_parameters"]}, "use sweep.pruner=none"),
        ({"objectives": ["test/accuracy"]}, "use sweep.pruner=none"),
        ({"pruner": Pruner.threshold}, "sweep.threshold: received no limit"),
    ],
)
def test_an_aim_that_cannot_be_is_refused_in_one_sentence(changes, sentence):
    with pytest.raises(UserError) as caught:
        check_sweep(sweep(**changes), *digits())
    assert sentence in str(caught.value)


@pytest.mark.parametrize(("key", "limit"), [("target", 0.5), ("patience_trials", 3)])
def test_a_budget_of_one_objective_is_refused_with_several(key, limit):
    both = ["validation/loss", "num_parameters"]
    made = sweep(objectives=both, pruner=Pruner.none)
    check_sweep(made, *digits())
    object.__setattr__(made.budget, key, limit)
    with pytest.raises(UserError, match=rf"^sweep\.budget\.{key}: received {limit:g} with 2 obj"):
        check_sweep(made, *digits())


def test_hyperband_needs_an_epoch_for_its_first_rung():
    cfg, spec = digits()
    made = sweep(pruner=Pruner.hyperband)
    check_sweep(made, cfg, spec)
    object.__setattr__(made.hyperband, "min_epochs", 21)
    with pytest.raises(UserError, match=r"received 21, expected at most training\.epochs \(20\)"):
        check_sweep(made, cfg, spec)


@pytest.mark.parametrize(
    ("objectives", "given", "directions"),
    [
        ([], "maximize", ("maximize",)),
        (["validation/accuracy"], "minimize", ("minimize",)),
        (["validation/accuracy", "validation/loss"], "minimize", ("minimize", "minimize")),
        (["validation/accuracy", "num_parameters"], ["auto", "maximize"], ("maximize", "maximize")),
    ],
)
def test_a_given_direction_is_used_and_shown_if_the_name_implies_the_other(
    objectives, given, directions
):
    made = sweep(objectives=objectives, direction=given)
    cfg, _ = digits()
    found = Objectives.of(made, cfg)
    assert found.directions == directions
    others = sum(default_direction(name) != one for name, one in zip(*as_rows(found), strict=True))
    assert len(direction_notes(found)) == others > 0


@pytest.mark.parametrize(
    ("experiment", "key", "objectives", "instead"),
    [
        ("digits_cnn", "training.label_smoothing", [], "validation/accuracy"),
        ("digits_cnn", "training.params.focal.gamma", [], "validation/accuracy"),
        ("digits_cnn", "training.params.other.gamma", [], None),
        ("digits_cnn", "training.class_weights", [], None),  # they weigh the training split only
        ("digits_cnn", "training.loss", ["validation/accuracy"], None),
        (
            *("digits_cnn", "training.loss", ["num_parameters", "test/loss"]),
            "num_parameters,test/accuracy",
        ),
        ("regression_mlp", "training.loss", [], "validation/mean_absolute_error"),
    ],
)
def test_a_search_of_the_loss_itself_is_warned_of_comparing_losses(
    experiment, key, objectives, instead
):
    from samerun import data

    cfg = copy.deepcopy(compose((f"experiment={experiment}",)))
    if "params" in key:
        object.__setattr__(cfg.training, "loss", "package.losses:focal")
    made = sweep(objectives=objectives or ["validation/loss"])
    searched = loss_keys(["model.dropout", key], [cfg])
    found = loss_notes(searched, Objectives.of(made, cfg), cfg, data.describe(cfg.dataset))
    if instead is None:
        assert found == []
    else:
        (sentence,) = found
        assert sentence.startswith(f"{key} changes the loss itself")
        assert sentence.endswith(f": give sweep.objectives=[{instead}].")


def as_rows(objectives):
    return objectives.names, objectives.directions


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("minimise", "received 'minimise', expected one of auto, minimize, maximize"),
        (["maximize", "auto", "auto"], "such as sweep.direction=[maximize,minimize]"),
    ],
)
def test_a_wrong_direction_is_refused_in_one_sentence(given, sentence):
    cfg, _ = digits()
    made = sweep(objectives=["validation/accuracy", "num_parameters"], direction=given)
    with pytest.raises(UserError) as caught:
        Objectives.of(made, cfg)
    assert sentence in str(caught.value)


WILCOXON = {
    "one run each": ((), {}, "add seeds=5 or folds=5"),
    "three seeds": (("seeds=3",), {}, "expected at least 5: seeds=5."),
    "five folds": (("folds=5",), {"wilcoxon": {"p_threshold": 0.05}}, "at least 6: folds=6."),
    "inner pruner": (
        ("seeds=9",),
        {"pruner": "patient", "patient": {"pruner": "wilcoxon"}},
        "sweep.patient.pruner: received wilcoxon, whose steps are seeds or folds",
    ),
}


@pytest.mark.parametrize("case", WILCOXON)
def test_wilcoxon_needs_enough_seeds_or_folds_to_prune_by(case):
    overrides, changes, sentence = WILCOXON[case]
    cfg = compose(("experiment=digits_cnn", *overrides))
    with pytest.raises(UserError) as caught:
        check_sweep(sweep_settings(**{"pruner": "wilcoxon", **changes}), cfg, digits()[1])
    assert sentence in str(caught.value)


@pytest.mark.parametrize("objective", ["validation/loss", "test/accuracy"])
def test_wilcoxon_compares_any_objective_of_enough_seeds(objective):
    cfg = compose(("experiment=digits_cnn", "seeds=5"))
    check_sweep(sweep(pruner=Pruner.wilcoxon, objectives=[objective]), cfg, digits()[1])


def test_a_sweep_recorded_with_the_wilcoxon_of_epochs_is_read_but_not_continued():
    recorded = {**config.as_dict(sweep()), "wilcoxon": {"p_threshold": 0.1, "startup_epochs": 2}}
    assert stored_sweep(json.dumps(recorded)) == sweep()
    for changes in ({"pruner": "wilcoxon"}, {"patient": {"pruner": "wilcoxon"}}):
        with pytest.raises(UserError, match=r"^sweep\.pruner: .* wilcoxon of an earlier version"):
            stored_sweep(json.dumps({**recorded, **changes}))


@pytest.mark.parametrize(
    ("objectives", "directions"),
    [
        ([], ("minimize",)),
        (["validation/accuracy"], ("maximize",)),
        (["validation/accuracy", "num_parameters"], ("maximize", "minimize")),
    ],
)
def test_the_direction_follows_the_name_by_default(objectives, directions):
    made = sweep(objectives=objectives, pruner=Pruner.none)
    cfg, spec = digits()
    check_sweep(made, cfg, spec)
    assert directions_of(made, objectives_of(made, cfg)) == directions


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("workers", 0, "sweep.workers: received 0, expected a number at least 1"),
        ("n_trials", 0, "sweep.n_trials: received 0, expected a number above 0"),
        ("sampler", "tp", "sweep.sampler: received 'tp', expected one of auto, tpe"),
        ("samler", "tpe", "sweep.samler: there is no such key. Did you mean `sweep.sampler`"),
        ("median", {"warmup": 1}, "Did you mean `sweep.median.warmup_epochs`?"),
    ],
)
def test_a_setting_of_a_sweep_that_cannot_be_is_refused(key, value, sentence):
    plain = OmegaConf.load(package_folder("conf") / "sweep" / "optuna.yaml")
    del plain["defaults"]
    node = OmegaConf.create({"sweep": OmegaConf.merge(plain, {key: value})})
    with pytest.raises(UserError) as caught:
        parse_sweep(node)
    assert sentence in str(caught.value)


def test_a_sweep_without_settings_is_refused_with_what_to_give():
    with pytest.raises(UserError, match=r"sweep=optuna"):
        parse_sweep(OmegaConf.create({"sweep": None}))


def test_no_spaces_need_tensorflow_and_no_overrides_need_optuna():
    program = (
        "import sys; from samerun import search; "
        "s = search.parse_space(['seed=range(3)', 'schedule=constant,cosine'], {}); "
        "assert len(list(s.branches())) == 2; "
        "print([m for m in ('tensorflow', 'keras', 'mlflow', 'optuna', 'pandas', 'torch') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_setting_of_a_sweep_stands_in_its_file():
    plain = OmegaConf.load(package_folder("conf") / "sweep" / "optuna.yaml")
    assert set(plain) - {"defaults"} == {one.name for one in dataclasses.fields(Sweep)}
