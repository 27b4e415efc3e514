"""Lending: which trials of an earlier study can be learned from, and what they are afterwards."""

import dataclasses
import functools
import json
import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from samerun import config, search
from samerun import tags as tag
from samerun.config.samplers import Sampler
from samerun.config.sweep import Budget
from samerun.errors import UserError
from samerun.report import study as study_report
from samerun.report.study_trials import counts, label_of, state_of, to_csv
from samerun.search import lending
from samerun.sweeper import limits
from support.sweeps import sweep_settings

RUN = "a" * 32
SPACE = ("model.dropout=interval(0,0.6)", "model.l2=tag(log,interval(1e-6,1e-2))")

compose = functools.cache(lambda overrides: config.compose(list(overrides)).config)


def parse(*overrides, params=None):
    given = ("model=mlp", *overrides)
    return search.parse_space(given, params or {}, compose=lambda some: compose(tuple(some)))


@pytest.fixture
def kept():
    return optuna.storages.InMemoryStorage()


def study_of(kept, name="night", direction="maximize", base=None, **settings):
    """Returns an empty study, with what a sweep stores about itself."""
    study = optuna.create_study(study_name=name, storage=kept, direction=direction)
    start = search.StudyStart(
        space={},
        objectives=["validation/accuracy"],
        directions=[direction],
        base=base or {"model.dropout": "0.1", "model.l2": "0.0", "optimizer": "adam"},
        branches="",
        threads=1,
        code={},
    )
    study.set_user_attr(tag.STUDY_START, dataclasses.asdict(start))
    sweep = search.settings_json(sweep_settings(**settings))
    search.store_for_workers(
        study, search.TrialSettings(metric="validation/accuracy", max_epochs=9, sweep=sweep)
    )
    return study


def add(study, value=0.5, state=TrialState.COMPLETE, curve=(), attrs=None, limits=None, **params):
    """Adds a trial; `dropout` and `l2` stand for their keys."""
    keys = {"dropout": "model.dropout", "l2": "model.l2"}
    values = {keys.get(name, name): given for name, given in params.items()}
    study.add_trial(
        create_trial(
            state=state,
            value=value if state is TrialState.COMPLETE else None,
            params=values,
            distributions={
                name: FloatDistribution(-99, 99)
                if isinstance(given, float)
                else CategoricalDistribution([given])
                for name, given in values.items()
            },
            intermediate_values=dict(enumerate(curve, start=1)),
            user_attrs={tag.TRIAL_RUN: RUN, **(attrs or {})},
            constraints=limits,
        )
    )


def points(study, space):
    return [one.point for one in lending.earlier_trials(study, space)[0]]


def lend(kept, earlier, name="day", space=None, constraints=(), max_epochs=9):
    """Returns a study to which all usable trials of an earlier one were lent."""
    space = space or parse(*SPACE)
    study = optuna.create_study(study_name=name, storage=kept, direction="maximize")
    lending.add_lent(
        study,
        space,
        lending.earlier_trials(earlier, space)[0],
        overrides=space.overrides,
        constraints=constraints,
        max_epochs=max_epochs,
    )
    return study


def test_only_completed_trials_with_finite_values_in_the_space_are_used_the_best_first(kept):
    study = study_of(kept)
    add(study, 0.7, dropout=0.1, l2=1e-3)
    add(study, 0.9, dropout=0.2, l2=1e-3)
    add(study, math.inf, dropout=0.3, l2=1e-3)
    add(study, 0.99, dropout=0.7, l2=1e-3)  # beyond the range
    for state in (TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING):
        add(study, state=state, dropout=0.4, l2=1e-3)
    assert [point["model.dropout"] for point in points(study, parse(*SPACE))] == [0.2, 0.1]


def test_the_best_of_a_minimized_objective_is_the_lowest(kept):
    study = study_of(kept, direction="minimize")
    for value in (0.7, 0.2, 0.5):
        add(study, value, dropout=value / 2, l2=1e-3)
    assert [point["model.dropout"] for point in points(study, parse(*SPACE))] == [0.1, 0.25, 0.35]


def test_a_trial_that_violates_a_constraint_is_not_used(kept):
    study = study_of(kept)
    add(study, 0.9, limits={"num_parameters<=50": 0.5}, dropout=0.1, l2=1e-3)
    add(study, 0.7, limits={"num_parameters<=50": -0.5}, dropout=0.2, l2=1e-3)
    assert [point["model.dropout"] for point in points(study, parse(*SPACE))] == [0.2]


def test_a_key_that_was_not_searched_has_the_value_that_all_trials_shared(kept):
    study = study_of(kept, base={"model.dropout": "0.1", "model.l2": "0.001"})
    add(study, 0.7, dropout=0.25)
    assert points(study, parse(*SPACE)) == [{"model.dropout": 0.25, "model.l2": 0.001}]


def test_a_key_that_is_no_longer_searched_is_left_out(kept):
    study = study_of(kept)
    add(study, 0.7, dropout=0.25, l2=1e-3, optimizer="adam")
    assert points(study, parse(SPACE[0])) == [{"model.dropout": 0.25}]


@pytest.mark.parametrize(("option", "is_used"), [("adam", True), ("sgd", False)])
def test_what_trials_shared_holds_only_below_the_option_that_they_shared(kept, option, is_used):
    base = {"optimizer": "adam", "optimizer.learning_rate": "0.001", "model.dropout": "0.1"}
    study = study_of(kept, base=base)
    add(study, 0.7, optimizer=option)
    space = parse("optimizer=adam,sgd", "optimizer.learning_rate=tag(log,interval(1e-4,1e-1))")
    if is_used:
        assert points(study, space) == [{"optimizer": "adam", "optimizer.learning_rate": 0.001}]
    else:
        with pytest.raises(UserError, match=r"there is no optimizer\.learning_rate in trial 0"):
            points(study, space)


def test_integers_and_choices_become_values_of_the_new_space(kept):
    study = study_of(kept, base={"dataset.batch_size": "32", "optimizer": "adam"})
    add(study, 0.7, **{"dataset.batch_size": 64.0, "optimizer": "sgd"})
    space = parse("dataset.batch_size=range(8,65,8)", "optimizer=adam,sgd")
    (point,) = points(study, space)
    assert point == {"optimizer": "sgd", "dataset.batch_size": 64}
    assert isinstance(point["dataset.batch_size"], int)


def without_trials(study):
    """No trial."""


def pruned_only(study):
    add(study, state=TrialState.PRUNED, dropout=0.1, l2=1e-3)


def beyond_the_range(study):
    add(study, 0.9, dropout=0.75, l2=1e-3)


def with_another_key(study):
    add(study, 0.9, **{"model.width": 3.0})


USELESS = {
    without_trials: "none of the 0 trials of study 'night' has completed",
    pruned_only: "none of the 1 trials of study 'night' has completed with a finite value",
    beyond_the_range: "(model.dropout=0.75 is not in 0 to 0.6 in trial 0)",
    with_another_key: "values in this search space (there is no model.dropout in trial 0)",
}


@pytest.mark.parametrize("fill", USELESS, ids=lambda one: one.__name__)
def test_a_study_with_nothing_to_learn_from_says_why(kept, fill):
    study = study_of(kept)
    fill(study)
    with pytest.raises(UserError) as error:
        points(study, parse(*SPACE))
    assert USELESS[fill] in str(error.value)
    assert str(error.value).endswith("name another study, or leave it out.")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("day", "received 'day', which is the study of this sweep, expected an earlier one."),
        ("nigth", "no study 'nigth' in the storage, expected one of 'night'. Did you mean 'night'"),
    ],
)
def test_a_study_that_cannot_be_read_is_one_sentence(kept, name, message):
    study_of(kept)
    optuna.create_study(study_name="day", storage=kept)
    with pytest.raises(UserError) as error:
        lending.earlier_study(kept, name, own="day")
    assert message in str(error.value)


def test_a_storage_without_another_study_says_so(kept):
    with pytest.raises(UserError, match="'night' in the storage, which has no other: leave it out"):
        lending.earlier_study(kept, "night", own="day")


def test_the_study_of_a_newer_version_is_not_read(kept):
    study_of(kept).set_user_attr(tag.SCHEMA, 99)
    with pytest.raises(UserError, match="'night' was recorded by samerun"):
        lending.earlier_study(kept, "night", own="day")


def test_the_names_in_a_message_are_harmless_and_few(kept):
    for number in range(12):
        optuna.create_study(study_name=f"\x1b[31m{number}", storage=kept)
    with pytest.raises(UserError) as error:
        lending.earlier_study(kept, "x\ny", own="day")
    assert "\x1b" not in str(error.value)
    assert "\n" not in str(error.value)
    assert "'�[31m2' and 2 more" in str(error.value)


@pytest.mark.parametrize(
    ("given", "names"),
    [(None, []), ("night", ["night"]), (["a", "b", "a"], ["a", "b"]), (2024, ["2024"])],
)
def test_one_study_or_a_list_of_them_is_given(given, names):
    assert lending.names_of(given) == names


@pytest.mark.parametrize("given", [True, {"night": 1}, ["night", None], 0.5])
def test_anything_else_is_refused(given):
    with pytest.raises(UserError, match="expected the name of an earlier study, or a list"):
        lending.names_of(given)


def test_a_lent_trial_is_a_finished_one_that_names_its_origin_and_its_run(kept):
    earlier = study_of(kept)
    attrs = {tag.TRIAL_SECONDS: 2.5, tag.TRIAL_EPOCHS: 9, tag.TRIAL_TEST: {"test/accuracy": 0.8}}
    add(earlier, 0.7, curve=[0.5, 0.7], attrs=attrs, dropout=0.25, l2=1e-3)
    (lent,) = lend(kept, earlier).trials
    assert (lent.state, lent.value) == (TrialState.COMPLETE, 0.7)
    assert lent.params == {"model.dropout": 0.25, "model.l2": 1e-3}
    assert lent.distributions["model.dropout"] == FloatDistribution(0, 0.6)
    assert lent.intermediate_values == {1: 0.5, 2: 0.7}
    assert lent.user_attrs[tag.TRIAL_RUN] == RUN
    assert lent.user_attrs[tag.TRIAL_OVERRIDES] == ["model.dropout=0.25", "model.l2=0.001"]
    assert attrs.items() <= lent.user_attrs.items()
    assert str(lending.origin_of(lent)) == "trial 0 of study night"


def test_lending_again_adds_nothing(kept):
    earlier, space = study_of(kept), parse(*SPACE)
    for value in (0.1, 0.2, 0.3):
        add(earlier, value, dropout=value, l2=1e-3)
    study = lend(kept, earlier)
    lending.add_lent(
        study,
        space,
        lending.earlier_trials(earlier, space)[0],
        overrides=space.overrides,
        constraints=(),
        max_epochs=9,
    )
    assert len(study.trials) == len(lending.lent_keys(study)) == 3
    assert lending.own_keys(study) == set()


def test_every_trial_of_a_study_that_is_not_lent_is_its_own(kept):
    earlier = study_of(kept)
    add(earlier, 0.7, dropout=0.5, l2=1e-3)
    study = lend(kept, earlier)
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)
    for number, state in enumerate(states):
        add(study, state=state, dropout=number / 10, l2=1e-3)
    study.enqueue_trial({"model.dropout": 0.4, "model.l2": 1e-3})
    own = [{"model.dropout": number / 10, "model.l2": 1e-3} for number in range(5)]
    assert lending.own_keys(study) == {lending.key_of(point) for point in own}
    assert lending.lent_keys(study) == [lending.key_of({"model.dropout": 0.5, "model.l2": 1e-3})]


def test_a_trial_that_is_lent_on_keeps_its_origin(kept):
    earlier = study_of(kept)
    add(earlier, 0.7, dropout=0.25, l2=1e-3)
    middle = lend(kept, earlier, "middle")
    (lent,) = lend(kept, middle, "late").trials
    assert lending.origin_of(lent) == lending.Origin(study="night", number=0)
    assert lent.user_attrs[tag.TRIAL_RUN] == RUN


def test_the_values_of_the_best_are_tried_first_where_they_are_not_lent(kept):
    study = study_of(kept)
    for number in range(8):
        add(study, number / 10, dropout=number / 20, l2=1e-3)
    add(study, 0.7, dropout=0.35, l2=1e-3)  # the best one's values again
    found, _ = lending.earlier_trials(study, parse(*SPACE))
    tried = lending.points_to_try(found, {found[2].key})
    assert [point["model.dropout"] for point in tried] == [0.35, 0.25, 0.2, 0.15]


def test_of_many_trials_only_the_best_are_considered(kept, monkeypatch):
    monkeypatch.setattr(lending, "MOST_TRIALS", 3)
    study = study_of(kept)
    for number in range(6):
        add(study, number / 10, dropout=number / 10, l2=1e-3)
    found, num_complete = lending.earlier_trials(study, parse(*SPACE))
    assert [one.trial.number for one in found] == [5, 4, 3]
    assert num_complete == 6


HOSTILE = {
    tag.TRIAL_RUN: ["no", "text"],
    tag.TRIAL_LENT: {"study": "../../etc", "trial": -1},
    tag.TRIAL_NAME: "\x1b[31m",
    tag.TRIAL_OVERRIDES: ["model=custom", "model.target=os:system"],
    tag.TRIAL_SECONDS: "1e9",
    tag.TRIAL_EPOCHS: -5,
    tag.TRIAL_TEST: {"<b>": 0.9, "test/x\n": 1.0, "test/accuracy": "high"},
}


def test_nothing_of_an_earlier_study_is_believed_but_numbers_in_the_space(kept):
    earlier = study_of(kept)
    add(earlier, 0.7, curve=[0.5, math.inf, math.nan], attrs=HOSTILE, dropout=0.25, l2=1e-3)
    (found,), _ = lending.earlier_trials(earlier, parse(*SPACE))
    assert found.origin == lending.Origin(study="night", number=0)
    (lent,) = lend(kept, earlier, max_epochs=3).trials
    attrs = lent.user_attrs
    assert lent.intermediate_values == {1: 0.5}
    assert attrs[tag.TRIAL_LENT] == {"study": "night", "trial": 0}
    assert attrs[tag.TRIAL_NAME] == "dropout=0.25 l2=0.001"
    assert attrs[tag.TRIAL_OVERRIDES] == ["model.dropout=0.25", "model.l2=0.001"]
    assert not {tag.TRIAL_SECONDS, tag.TRIAL_EPOCHS} & attrs.keys()
    assert attrs[tag.TRIAL_TEST] == {}


@pytest.mark.parametrize(
    "wrong",
    [3, "text", {"space": {}}, {"base": []}, {"objectives": "loss"}, {"code": {"a.py": 1}}],
)
def test_a_start_of_other_types_is_that_of_another_program(kept, wrong):
    study = study_of(kept)
    start = dict(study.user_attrs[tag.STUDY_START])
    study.set_user_attr(tag.STUDY_START, {**start, **wrong} if isinstance(wrong, dict) else wrong)
    if wrong == {"space": {}}:
        assert lending.earlier_start(study) is not None
    else:
        assert lending.earlier_start(study) is None


@pytest.mark.parametrize("text", ["[", "3", "[" * 100_000, None])
def test_settings_that_are_no_settings_are_none(kept, text):
    study = study_of(kept)
    stored = {"metric": None, "max_epochs": 1, "sweep": text}
    study.set_user_attr(tag.STUDY_SETTINGS, stored)
    assert lending.earlier_settings(study) == {}
    study.set_user_attr(tag.STUDY_SETTINGS, json.dumps(stored))
    assert lending.earlier_settings(study) == {}


def test_steps_that_are_seeds_are_no_curve(kept):
    earlier = study_of(kept, pruner="wilcoxon")
    add(earlier, 0.7, curve=[0.5, 0.7], dropout=0.25, l2=1e-3)
    assert lend(kept, earlier).trials[0].intermediate_values == {}


def test_lent_trials_have_a_state_and_a_label_of_their_own(kept):
    earlier = study_of(kept)
    add(earlier, 0.7, dropout=0.25, l2=1e-3)
    study = lend(kept, earlier)
    study.add_trial(create_trial(value=0.6))
    lent, own = study.trials
    assert [state_of(lent), state_of(own)] == ["LENT", "COMPLETE"]
    assert [label_of(lent), label_of(own)] == ["0 (lent: trial 0 of study night)", "1"]
    assert counts(study) == {"complete": 1, "lent": 1}
    rows = to_csv(study, ["validation/accuracy"], {0: (RUN, "")}, ["model.dropout"]).splitlines()
    assert rows[1].startswith(f"0,lent,0.7,0.25,{RUN},")
    assert rows[1].endswith("lent: trial 0 of study night")
    lines = dict(study_report.last_lines(study, objectives=["validation/accuracy"]))
    assert lines["trials"] == "1 complete, 1 lent"
    assert lines["best"] == "trial 0 (lent: trial 0 of study night)  validation/accuracy 0.7"


def test_the_page_says_that_the_best_trial_is_lent(kept):
    earlier = study_of(kept, "a_night")
    add(earlier, 0.7, dropout=0.25, l2=1e-3)
    page = study_report.to_markdown(
        lend(kept, earlier), definitions={}, objectives=["validation/accuracy"], children={}
    )
    assert "0.7 in trial 0 (lent: trial 0 of study a\\_night); 1 lent." in page
    assert "| 0 (lent: trial 0 of study a\\_night) | 0.7 |" in page


def budget(**given):
    none = {"seconds": None, "epochs": None, "target": None, "patience_trials": None}
    return Budget(**{**none, **given})


def test_a_budget_counts_what_was_trained_and_knows_what_was_lent(kept):
    earlier = study_of(kept)
    for value in (0.1, 0.2, 0.3):
        add(earlier, value, attrs={tag.TRIAL_EPOCHS: 9}, dropout=value, l2=1e-3)
    study = lend(kept, earlier)
    assert limits.reached(budget(epochs=1, patience_trials=1, target=0.4), study, 0.0) is None
    assert "target" in limits.reached(budget(target=0.3), study, 0.0)
    for _ in range(2):
        study.add_trial(create_trial(value=0.2, user_attrs={tag.TRIAL_EPOCHS: 5}))
    assert "epochs" in limits.reached(budget(epochs=10), study, 0.0)
    assert limits.reached(budget(epochs=11, patience_trials=3), study, 0.0) is None
    assert "in 2 trials" in limits.reached(budget(patience_trials=2), study, 0.0)


@pytest.mark.parametrize("sampler", [Sampler.grid, Sampler.brute_force])
def test_exhaustive_samplers_leave_out_what_is_lent(kept, sampler):
    earlier = study_of(kept, base={"model.dropout": "0.1"})
    space = parse("model.dropout=0.1,0.2,0.3")
    for value in (0.1, 0.3):
        add(earlier, value, dropout=value)
    study = lend(kept, earlier, space=space)
    cfg = sweep_settings(sampler=sampler)
    assert search.num_trials(cfg, space, len(lending.lent_keys(study))) == 1
    study.sampler = search.build_sampler(cfg, space, 0, 1, number=2)
    assert space.suggest(study.ask()) == {"model.dropout": 0.2}
    assert search.num_trials(cfg, space, 5) == 0


def test_tpe_draws_near_the_best_lent_trial_at_once(kept):
    earlier, space = study_of(kept), parse(SPACE[0])
    for number in range(30):
        dropout = number / 50
        add(earlier, -abs(dropout - 0.4), dropout=dropout)
    cfg, drawn = sweep_settings(sampler=Sampler.tpe), []
    for has_lent in (True, False):
        empty = optuna.create_study(study_name="empty", storage=kept, direction="maximize")
        study = lend(kept, earlier, space=space) if has_lent else empty
        found = []
        for number in range(8):
            study.sampler = search.build_sampler(cfg, space, 0, 1, number=number)
            found.append(space.suggest(study.ask())["model.dropout"])
        drawn.append(sum(abs(value - 0.4) for value in found))
        optuna.delete_study(study_name="empty", storage=kept)
    with_lent, without = drawn
    assert with_lent < without / 2


def test_a_sampler_that_does_not_learn_says_so():
    (note,) = lending.sampler_notes(Sampler.random)
    assert note.startswith("random does not learn from lent trials")
    for sampler in (Sampler.tpe, Sampler.gp, Sampler.grid, Sampler.brute_force):
        assert lending.sampler_notes(sampler) == []


UNAWARE = {
    "successive_halving": "successive_halving compares no trial with a lent one at its rungs; ",
    "hyperband": "hyperband compares no trial with a lent one at its rungs; ",
    "wilcoxon": "wilcoxon prunes no trial while the best one is lent.",
}


@pytest.mark.parametrize("pruner", ["median", "percentile", *UNAWARE])
def test_a_pruner_that_does_not_compare_with_lent_trials_says_so(kept, pruner):
    earlier, settings = study_of(kept), sweep_settings(pruner=pruner)
    for number in range(12):
        add(earlier, 0.9, curve=[0.9] * 9, dropout=number / 20, l2=1e-3)
    study = lend(kept, earlier, max_epochs=0 if pruner == "wilcoxon" else 9)
    study.pruner = search.build_pruner(settings, "maximize", 9)
    trial, pruned = study.ask(), []
    for epoch in range(1, 10):
        trial.report(0.1, epoch)
        pruned.append(trial.should_prune())
    notes = lending.pruner_notes(settings)
    assert any(pruned) is not bool(notes)
    assert all(note.startswith(UNAWARE[pruner]) for note in notes)


@pytest.mark.parametrize(
    ("changes", "others"),
    [
        ({"pruner": "successive_halving"}, "median, percentile, sweep.promote=true do."),
        ({"pruner": "patient", "patient.pruner": "hyperband"}, "median, percentile do."),
        ({"pruner": "hyperband", "promote": True}, ""),
        ({"pruner": "threshold"}, ""),
        ({"pruner": "none"}, ""),
    ],
)
def test_a_note_names_the_pruners_that_compare_with_lent_trials(changes, others):
    notes = lending.pruner_notes(sweep_settings(**changes))
    assert [note.partition("; ")[2] for note in notes] == ([others] if others else [])
