"""The names that Optuna keeps private, in the one file that may use them, and in its version."""

import ast
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

import samerun
from samerun.search.optuna_internals import (
    Grid,
    ask,
    bracket_of,
    contains,
    end_without_run,
    reopen_trial,
    set_attributes,
    tell,
)
from samerun.search.storage import open_storage

SOURCE = Path(samerun.__file__).parent
FILE = SOURCE / "search" / "optuna_internals.py"


def attributes(path):
    """Returns the private attributes that a file reads from anything but `self`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            is_dunder = node.attr.startswith("__")
            is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not is_dunder and not is_own:
                found.add(node.attr)
    return found


@pytest.mark.parametrize("folder", ["search", "sweeper", "report"])
def test_no_other_file_uses_a_private_name_of_optuna(folder):
    private = attributes(FILE)
    assert private == {
        "_trial_id",
        "_storage",
        "_study_id",
        "_contains",
        "_pruners",
        "_try_initialization",
        "_get_bracket_id",
        "_cached_frozen_trial",
        "_thread_local",
    }
    for path in sorted((SOURCE / folder).rglob("*.py")):
        assert path == FILE or not attributes(path) & private, path


def test_the_names_mean_what_they_meant_in_the_pinned_version():
    assert optuna.__version__.startswith("5.")
    study = optuna.create_study()
    trial = study.ask()
    frozen = study.get_trials()[0]
    stored = study._storage.get_all_trials(study._study_id, deepcopy=False)
    assert [one.number for one in stored] == [trial.number]
    assert study._storage.get_trial(frozen._trial_id).number == trial.number
    grid = Grid({"a": [1, 2], "b": [3]}, seed=0)
    assert sorted(grid._all_grids) == [(1, 3), (2, 3)]
    assert grid._param_names == ["a", "b"]
    assert grid._same_search_space(grid._search_space)


def test_asking_and_telling_read_no_more_than_they_have_to(tmp_path, monkeypatch):
    storage, reads = open_storage(f"sqlite:///{tmp_path / 'study.db'}"), []
    study = optuna.create_study(storage=storage)
    every = type(storage).get_all_trials

    def count(self, *arguments, **options):
        reads.append(arguments)
        return every(self, *arguments, **options)

    monkeypatch.setattr(type(storage), "get_all_trials", count)
    trial = ask(study, any_waits=False)
    tell(study, trial.number, [0.5], TrialState.COMPLETE)
    tell(study, trial.number, [0.7], TrialState.COMPLETE)  # this step may be repeated
    assert reads == []
    study.enqueue_trial({"x": 0.25})
    waiting = ask(study, any_waits=True)
    assert waiting.suggest_float("x", 0, 1) == 0.25
    assert [(one.number, one.values) for one in study.trials] == [(0, [0.5]), (1, None)]


def test_brackets_are_those_in_which_hyperband_prunes():
    pruner = optuna.pruners.HyperbandPruner(1, 9, reduction_factor=3)
    study = optuna.create_study(study_name="s", pruner=pruner)
    for _ in range(20):
        study.ask()
    found = [bracket_of(study, trial) for trial in study.get_trials()]
    assert set(found) == {0, 1, 2} == set(range(len(pruner._pruners)))
    for bracket in range(3):
        ours = [number for number, one in enumerate(found) if one == bracket]
        within = pruner._create_bracket_study(study, bracket).get_trials(deepcopy=False)
        assert [trial.number for trial in within] == ours
        rate = pruner._pruners[bracket]._min_early_stopping_rate
        assert rate == bracket


def test_a_trial_has_one_bracket_with_any_other_pruner():
    study = optuna.create_study(pruner=optuna.pruners.SuccessiveHalvingPruner())
    study.ask()
    assert bracket_of(study, study.get_trials()[0]) == 0


@pytest.mark.parametrize("kind", ["memory", "file", "database"])
def test_several_attributes_of_a_trial_are_set_at_once(tmp_path, kind):
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "log"))
    storages = {
        "memory": lambda: None,
        "file": lambda: optuna.storages.JournalStorage(backend),
        "database": lambda: open_storage(f"sqlite:///{tmp_path / 'optuna.db'}"),
    }
    study = optuna.create_study(storage=storages[kind]())
    trial = study.ask()
    trial.set_user_attr("b", 0)
    set_attributes(trial, {"a": "x", "b": {"c": 1.5}})
    assert trial.user_attrs == {"a": "x", "b": {"c": 1.5}}
    assert study.trials[0].user_attrs == {"a": "x", "b": {"c": 1.5}}


def test_attributes_of_which_one_cannot_be_stored_leave_a_database_as_it_was(tmp_path):
    study = optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path / 'optuna.db'}"))
    trial = study.ask()
    with pytest.raises(TypeError):
        set_attributes(trial, {"a": 1, "b": object()})
    assert study.trials[0].user_attrs == trial.user_attrs == {}


def test_a_trial_that_waits_can_be_ended():
    study = optuna.create_study()
    study.enqueue_trial({"a": 0.5})
    study.enqueue_trial({"a": 0.7})
    end_without_run(study, study.get_trials()[0], "not needed")
    assert study.trials[0].state.name == "PRUNED"
    assert study.trials[0].user_attrs == {"samerun.reason": "not needed"}
    assert study.ask().suggest_float("a", 0, 1) == 0.7


@pytest.mark.parametrize("is_running", [False, True])
def test_a_study_with_a_trial_that_was_ended_without_a_run_can_be_copied(is_running):
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="from")
    study.enqueue_trial({"a": 0.5})
    if is_running:
        study.ask()
    end_without_run(study, study.get_trials()[0], "not needed")
    optuna.copy_study(
        from_study_name="from", from_storage=storage, to_storage=storage, to_study_name="to"
    )
    (copied,) = optuna.load_study(study_name="to", storage=storage).trials
    assert copied.state.name == "PRUNED"
    assert copied.datetime_start is not None


def test_a_reopened_trial_has_its_values_and_takes_further_ones():
    study = optuna.create_study()
    value = study.ask().suggest_float("a", 0, 1)
    (frozen,) = study.get_trials()
    again = reopen_trial(study, frozen)
    assert again.suggest_float("a", 0, 1) == value
    again.suggest_int("b", 0, 9)
    study.tell(again.number, 0.5)
    (ended,) = study.trials
    assert set(ended.params) == {"a", "b"}


def test_whether_a_value_belongs_to_another_range():
    before = IntDistribution(1, 9)
    assert contains(IntDistribution(3, 5), before, 4)
    assert not contains(IntDistribution(3, 5), before, 6)
    assert contains(FloatDistribution(0, 1), FloatDistribution(0, 2), 1.0)
