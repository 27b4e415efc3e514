"""What a sweep makes of its settings, with workers that answer at once."""

import time

import pytest

from samerun import search, tracking
from samerun.errors import UserError
from support.sweeps import Killed, runs, states, study
from support.tables import mostly_slow

SQUARE = ("model.dropout=0.1,0.2", "model.l2=0.0,0.1")


def killed(*arguments, **options):
    raise Killed


BAD = {
    "a point in part": (
        ["sweep.sampler=grid", "sweep.enqueue=[{model.dropout:0.2}]"],
        SQUARE,
        "without model.l2",
    ),
    "a point with a typo": (
        ["sweep.enqueue=[{model.dropout:0.2,model.L2:0.1}]"],
        SQUARE,
        "Did you mean 'model.l2'?",
    ),
    "a point that is a number": (["sweep.enqueue=[3]"], SQUARE, "sweep.enqueue: received 3"),
    "two numbers of trials": (["sweep.n_trials=2,3"], SQUARE, "sweep.n_trials: received '2,3'"),
    "two samplers": (["sweep.sampler=random,grid"], SQUARE, "received 'random,grid'"),
    "two sweeps": (["sweep=regularisation,schedules"], SQUARE, "sweep: received 'regularisation,"),
    "a run to try first that is not there": (
        ["sweep.enqueue=[deadbeef]"],
        SQUARE,
        "'deadbeef'",
    ),
    "limits of a pruner the wrong way round": (
        ["sweep.pruner=threshold", "sweep.threshold.lower=2", "sweep.threshold.upper=1"],
        SQUARE,
        "sweep.threshold: Optuna rejects these options (lower should be smaller than upper)",
    ),
    "the database of the runs": (
        ["sweep.storage=sqlite:///mlflow.db"],
        SQUARE,
        "sweep.storage: received sqlite:///",
    ),
    "a server of runs that is not there": (
        ["tracking.uri=http://127.0.0.1:9"],
        SQUARE,
        "nothing listens there",
    ),
}


@pytest.mark.parametrize(
    "case", mostly_slow(BAD, "a point with a typo", "a server of runs that is not there")
)
def test_a_mistake_is_one_sentence_before_there_is_a_study(worker, project, capsys, case):
    (project / "optuna.db").unlink()
    overrides, space, message = BAD[case]
    assert worker.sweep(*overrides, space=space) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert runs() == []
    assert worker.tasks == []
    assert not (project / "optuna.db").exists()


def test_a_grid_with_a_point_to_try_first_tries_every_combination_once(
    worker, project, monkeypatch
):
    overrides = ("sweep.sampler=grid", "sweep.enqueue=[{model.dropout:0.2,model.l2:0.1}]")
    with monkeypatch.context() as patched:
        patched.setattr(tracking, "create_child", killed)
        with pytest.raises(Killed):
            worker.sweep(*overrides, space=SQUARE, n=40)
    assert states() == ["RUNNING"]
    assert worker.sweep(*overrides, space=SQUARE, n=40) == 0
    found = [tuple(trial.params.values()) for trial in study().trials]
    assert found[0] == (0.2, 0.1)
    assert sorted(found) == [(0.1, 0.0), (0.1, 0.1), (0.2, 0.0), (0.2, 0.1)]


def test_a_folder_that_cannot_be_made_is_one_sentence(worker, project, capsys):
    (project / "multirun").write_text("not a folder")
    assert worker.sweep() == 2
    err = capsys.readouterr().err
    assert f"hydra.sweep.dir: {project}/multirun/s cannot be " in err
    assert "Traceback" not in err


def test_a_database_that_is_damaged_meanwhile_is_one_sentence(worker, project, capsys):
    def damage(task, outcome):
        for file in (project / "optuna.db-wal", project / "optuna.db-shm"):
            file.unlink(missing_ok=True)
        size = (project / "optuna.db").stat().st_size
        with (project / "optuna.db").open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        return outcome

    worker.answer = damage
    assert worker.sweep(n=2) == 2
    err = capsys.readouterr().err
    assert "the file is damaged: correct it" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("place", ["/proc", "letter"])
def test_a_storage_in_a_folder_that_takes_no_file_is_refused_at_once(tmp_path, place):
    (tmp_path / "letter").write_text("not a folder")
    folder, began = tmp_path / place, time.monotonic()
    with pytest.raises(UserError, match=f"in {folder} ") as caught:
        search.open_storage(f"sqlite:///{folder}/x.db")
    assert "another process" not in str(caught.value)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("model.dropout=0.1,0.2", "model.dropout=0.1,0.2,0.3"),
        pytest.param(
            "training.epochs=range(4,8)", "training.epochs=range(1,4)", marks=pytest.mark.slow
        ),
        pytest.param(
            "model.dropout=interval(0.3,0.6)",
            "model.dropout=interval(0,0.2)",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_space_that_an_interrupted_trial_does_not_fit_is_refused(
    worker, project, capsys, monkeypatch, before, after
):
    with monkeypatch.context() as patched:
        patched.setattr(tracking, "create_child", killed)
        with pytest.raises(Killed):
            worker.sweep(space=(before,))
    assert worker.sweep("sweep.extend=true", space=(after,)) == 2
    err = capsys.readouterr().err
    assert "sweep.extend: existing trials of the study do not fit the new space" in err
    assert "Traceback" not in err
    assert states() == ["RUNNING"]
    assert worker.tasks == []
    assert worker.sweep(space=(before,)) == 0
    assert states() == ["COMPLETE"] * 3


@pytest.mark.slow
def test_options_that_the_storage_cannot_change_are_refused_and_nothing_is_written(
    worker, project, capsys
):
    assert worker.sweep(space=("optimizer=adam,sgd",), n=2) == 0
    assert worker.sweep("sweep.extend=true", space=("optimizer=adam,sgd,muon",), n=3) == 2
    assert "do not fit the new space of optimizer" in capsys.readouterr().err
    assert worker.sweep(space=("optimizer=adam,sgd",), n=3) == 0
    assert states() == ["COMPLETE"] * 3


@pytest.mark.parametrize(
    ("word", "longest"),
    [
        ("training.epochs=30,60", 60),
        pytest.param("training.epochs=range(5,16,5)", 15, marks=pytest.mark.slow),
        pytest.param("seed=1,2", 20, marks=pytest.mark.slow),
    ],
)
def test_pruners_know_the_longest_trial_of_the_space(worker, project, word, longest):
    assert worker.sweep("sweep.pruner=hyperband", space=(word,), n=1) == 0
    assert study().user_attrs["samerun.trial"]["max_epochs"] == longest
