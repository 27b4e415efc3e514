"""The best trials of a search are trained again with fresh seeds, and ranked by their means.

The workers answer at once; the last test trains.
"""

import contextlib
import dataclasses
import json
import math
from pathlib import Path

import optuna
import pytest
from scipy import stats

import samerun
from samerun import config, tracking
from samerun import tags as tag
from samerun.replay.recorded import read
from samerun.replay.results import read_result
from samerun.report import study as study_report
from samerun.search.optuna_internals import reopen_trial
from samerun.search.outcome import EndState, TrialOutcome, write_outcome
from samerun.sweeper import console, ledger
from support.sweeps import (
    Killed,
    children,
    copy_store,
    instant_executor,
    runs,
    states,
    study,
    sweep_in,
)
from support.tables import mostly_slow

CONFIRM = ("sweep.confirm.top=2", "sweep.confirm.seeds=3")
GRID = ("model.dropout=0.1,0.2,0.3,0.4",)
FIXED = ("sweep.sampler=grid", "sweep.pruner=none")
NAME = "s-confirm-1000-1002"


def seeds_of(task):
    return range(task.node.seed, task.node.seed + (task.node.seeds or 0))


def answer(mean, noise=lambda dropout, seed: 0.0):
    """Answers with a loss of `mean` for a trial of the search, and more for one with fresh seeds.

    Args:
        mean: the loss over all seeds, by dropout.
        noise: what is added to it for a seed.
    """

    def of(task, outcome):
        dropout = float(task.node.model.dropout)
        if task.node.seeds is None:  # the best of these was lucky
            return outcome
        each = {f"seed {one}": mean[dropout] + noise(dropout, one) for one in seeds_of(task)}
        value = math.fsum(each.values()) / len(each)
        values = dict.fromkeys(task.objectives.names, value)
        test = {"test/log_loss": value + 1}
        return dataclasses.replace(outcome, values=values, by_instance=each, test=test)

    return of


MEANS = {0.1: 0.5, 0.2: 0.3, 0.3: 0.6, 0.4: 0.7}
"""The search prefers a dropout of 0.1, fresh seeds one of 0.2."""


def noisy(dropout, seed):
    return {1000: -0.01, 1001: 0.0, 1002: 0.01}[seed] * (1 if dropout < 0.15 else 1.5)


@pytest.fixture(scope="module")
def searched(prepared_database, prepared_study_database, tmp_path_factory):
    """A grid of four trials whose best two were confirmed.

    Returns:
        Its folder, a copy of all files in it, the trials that were trained, and the screen.
    """
    folder, kept = tmp_path_factory.mktemp("searched"), tmp_path_factory.mktemp("kept")
    databases = prepared_database, prepared_study_database
    worker, screen = sweep_in(
        folder, databases, *FIXED, *CONFIRM, answer=answer(MEANS, noisy), space=GRID, n=4
    )
    copy_store(folder, kept)
    return folder, kept, worker.tasks, screen


@pytest.fixture
def confirmed(searched, monkeypatch):
    """A worker in the folder of that search, as it was left; the screen by its first words."""
    folder, kept, tasks, screen = searched
    copy_store(kept, folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)
    worker = instant_executor(monkeypatch)
    worker.answer, worker.tasks, worker.screen = answer(MEANS, noisy), [*tasks], words_of(screen)
    return worker


def lines_of(capsys):
    """The lines of the screen, by their first word."""
    return words_of(capsys.readouterr().out)


def words_of(screen):
    return dict(line.split(None, 1) for line in screen.splitlines() if line.strip())


def by_dropout(name="s"):
    return {trial.params["model.dropout"]: trial for trial in study(name).trials}


def parent():
    (found,) = [run for run in runs() if "mlflow.parentRunId" not in run]
    return found


def test_the_best_trials_are_trained_again_with_the_same_fresh_seeds(confirmed):
    again = confirmed.tasks[4:]
    assert [task.node.model.dropout for task in again] == [0.1, 0.2]
    assert {seeds_of(task) for task in again} == {range(1000, 1003)}
    assert states(NAME) == ["COMPLETE"] * 2
    searched = by_dropout()
    for dropout, trial in by_dropout(NAME).items():
        assert trial.user_attrs[tag.CONFIRMS] == searched[dropout].number
        assert trial.value == pytest.approx(MEANS[dropout])
    for task in again:
        assert {"seeds=3", "seed=1000"} <= {*task.overrides}
        cfg = config.compose(list(task.overrides)).config
        assert (cfg.seed, cfg.seeds, cfg.model.dropout) == (1000, 3, task.node.model.dropout)


def test_what_chose_a_winner_is_not_its_headline(confirmed):
    first, second = by_dropout()[0.2].number, by_dropout()[0.1].number
    lines = confirmed.screen
    low, high = stats.t.interval(0.95, 2, loc=0.3, scale=stats.sem([0.285, 0.3, 0.315]))
    head = f"trial {first}, validation/loss 0.3 (95 % {low:.4g} to {high:.4g}) over 3 fresh seeds; "
    assert lines["confirmed"].startswith(head)
    assert (
        f"trial {first} is better than trial {second} (paired t test over seeds, 5 %)"
        in (lines["confirmed"])
    )
    assert lines["confirmed"].endswith(f"trial {second} led the search")
    assert "best" not in lines
    assert lines["test"] == f"trial {first}  test/log_loss 1.3, the mean too"
    assert lines["note"].startswith(f"trial {first} had 0.2 in the search, which chose")
    assert "seeds=3" in lines["command"]
    assert lines["with"] == "model.dropout=0.2"
    (best,) = [run for run in children() if run.get(tag.CONFIRMS) == str(first)]
    assert lines["reproduce"].endswith(f"samerun reproduce {best['id'][:8]}")
    assert parent()[tag.BEST] == best["id"]
    assert parent()[tag.RESULT] == f"confirmed: {lines['confirmed']}"
    (stored,) = tracking.find_runs([parent()["id"]])
    assert stored.metrics["sweep/confirmed"] == pytest.approx(0.3)
    assert stored.metrics["sweep/confirmed_low"] == pytest.approx(low)
    assert stored.metrics["sweep/best"] == pytest.approx(0.1)


def test_the_page_begins_with_the_confirmed_mean(worker, project, monkeypatch):
    pages = []

    def write(plan, study, run, confirmation=None):
        found = {"definitions": {}, "objectives": plan.objectives.names, "children": {}}
        pages.append(study_report.to_markdown(study, confirmation=confirmation, **found))

    monkeypatch.setattr(console, "write_report", write)
    worker.answer = answer(MEANS, noisy)
    assert worker.sweep(*FIXED, *CONFIRM, space=GRID, n=4) == 0
    before, page = pages
    assert before.startswith("**the best trials are not confirmed yet; 4 complete.**")
    number = by_dropout()[0.2].number
    assert page.startswith(f"**trial {number}, validation/loss 0.3 (95 % ")
    table = page.partition("### Confirmed with 3 fresh seeds, 1000 to 1002")[2].splitlines()[2:6]
    title = "validation/loss | 95 % of the mean | test/log\\_loss | chosen by"
    assert table[0] == f"| trial | {title} | with | run |"
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table[2:]]
    assert [row[1] for row in cells] == ["0.3", "0.5"]
    assert [row[4] for row in cells] == ["0.2", "0.1"]
    assert all(row[6].strip("`") in {run["id"] for run in children()} for row in cells)


def test_trials_that_chance_may_have_ordered_are_not_told_apart(confirmed, capsys):
    noise = {1000: -0.01, 1001: 0.0, 1002: 0.01, 1003: 0.0}
    confirmed.answer = answer(
        {**MEANS, 0.2: 0.4999}, lambda dropout, seed: noise[seed] * (1 if dropout < 0.15 else 1.5)
    )
    four = ("sweep.confirm.top=2", "sweep.confirm.seeds=4")
    assert confirmed.sweep(*FIXED, *four, space=GRID, n=4) == 0
    numbers = [by_dropout()[dropout].number for dropout in (0.2, 0.1)]
    told = f"trial {numbers[0]} and trial {numbers[1]} cannot be told apart (paired t test"
    assert told in capsys.readouterr().out


def test_one_trial_alone_has_a_mean_and_no_verdict(confirmed, capsys):
    confirmed.tasks.clear()
    confirmed.answer = answer(MEANS)
    alone = ("sweep.confirm.top=1", "sweep.confirm.seeds=4")
    assert confirmed.sweep(*FIXED, *alone, space=GRID, n=4) == 0
    assert lines_of(capsys)["confirmed"].endswith(" over 4 fresh seeds")
    assert len(confirmed.tasks) == 1


def test_the_same_command_again_trains_nothing_and_more_trials_are_confirmed_too(confirmed, capsys):
    confirmed.tasks.clear()
    assert confirmed.sweep(*FIXED, *CONFIRM, space=GRID, n=4) == 0
    assert confirmed.tasks == []
    shown = lines_of(capsys)
    for label in ("confirmed", "test", "note", "with", "reproduce", "command"):
        assert shown[label] == confirmed.screen[label]
    three = ("sweep.confirm.top=3", "sweep.confirm.seeds=3")
    assert confirmed.sweep(*FIXED, *three, space=GRID, n=4) == 0
    assert [task.node.model.dropout for task in confirmed.tasks] == [0.3]
    assert states(NAME) == ["COMPLETE"] * 3


def test_without_confirmation_the_same_command_takes_no_earlier_one_for_its_result(confirmed):
    assert parent()[tag.RESULT].startswith("confirmed: ")
    assert confirmed.sweep(*FIXED, space=GRID, n=4) == 0
    assert parent()[tag.RESULT] == ""
    (stored,) = tracking.find_runs([parent()["id"]])
    ends = ("", "_low", "_high")
    assert all(math.isnan(stored.metrics[f"sweep/confirmed{end}"]) for end in ends)
    best = by_dropout()[0.1].number
    (run,) = [
        one for one in children() if one["samerun.trial"] == str(best) and (tag.CONFIRMS not in one)
    ]
    assert parent()[tag.BEST] == run["id"]


@pytest.mark.slow
def test_what_was_interrupted_and_is_not_among_the_best_any_more_is_not_trained(worker, project):
    worker.answer = answer(MEANS, noisy)

    def interrupt_at(number):
        def interrupt(task):
            if len(worker.tasks) == number:
                raise KeyboardInterrupt

        worker.tasks.clear()
        worker.before_submit = interrupt

    def confirm(top):
        options = (f"sweep.confirm.top={top}", "sweep.confirm.seeds=3")
        return worker.sweep(*FIXED, *options, space=GRID, n=4)

    def trained():
        return [task.node.model.dropout for task in worker.tasks]

    interrupt_at(4)
    with pytest.raises(KeyboardInterrupt):
        confirm(3)
    assert states(NAME) == ["RUNNING", "WAITING", "WAITING"]
    interrupt_at(1)
    with pytest.raises(KeyboardInterrupt):
        confirm(2)
    assert states(NAME) == ["COMPLETE", "RUNNING", "PRUNED"]
    interrupt_at(None)
    assert confirm(1) == 0
    assert trained() == []
    assert states(NAME) == ["COMPLETE", "PRUNED", "PRUNED"]
    assert confirm(3) == 0
    assert trained() == [0.2, 0.3]
    assert parent()[tag.RESULT].startswith(f"confirmed: trial {by_dropout()[0.2].number}, ")


@pytest.fixture
def confirm(worker, project):
    """Runs a search of three dropouts in a range, with its confirmation; returns what it trains."""
    worker.answer = answer({0.1: 0.5, 0.2: 0.3, 0.5: 0.6}, noisy)

    def run(top, highest=0.6):
        worker.tasks.clear()
        points = "sweep.enqueue=[{model.dropout:0.1},{model.dropout:0.2},{model.dropout:0.5}]"
        fixed = ("sweep.sampler=random", "sweep.pruner=none", "sweep.confirm.seeds=3")
        given = (points,) if highest > 0.5 else ("sweep.extend=true",)
        space = (f"model.dropout=interval(0,{highest})",)
        assert worker.sweep(*fixed, *given, f"sweep.confirm.top={top}", space=space) == 0
        return [task.node.model.dropout for task in worker.tasks]

    return run


@contextlib.contextmanager
def killed_in(monkeypatch, target, name, call):
    """Kills the process at one call of a function."""
    real, calls = getattr(target, name), []

    def killed(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            raise Killed
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(target, name, killed)
        with pytest.raises(Killed):
            yield


@pytest.mark.parametrize("gap", mostly_slow(["before it ends", "before its run is created"]))
def test_an_interrupted_trial_whose_value_the_range_has_lost_is_left_out(confirm, monkeypatch, gap):
    where = (ledger, "tell") if gap == "before it ends" else (tracking, "create_child")
    with killed_in(monkeypatch, *where, call=6):
        confirm(3)
    assert states(NAME) == ["COMPLETE", "COMPLETE", "RUNNING"]
    assert confirm(3, highest=0.3) == []
    assert states(NAME) == ["COMPLETE", "COMPLETE", "PRUNED"]
    ends = [run["status"] for run in children() if run.get(tag.CONFIRMS) == "2"]
    assert ends == (["KILLED"] if gap == "before it ends" else [])


@pytest.mark.slow
def test_an_interrupted_trial_that_had_ended_keeps_its_result_where_others_are_best(
    confirm, monkeypatch
):
    with killed_in(monkeypatch, ledger, "tell", call=6):
        confirm(3)
    values = {"validation/loss": 0.6}
    ended = TrialOutcome(state=EndState.complete, values=values)
    folder = Path("multirun/s/confirm-1000-1002/2")
    folder.mkdir(exist_ok=True)
    write_outcome(folder, ended)
    assert confirm(2) == []
    assert states(NAME) == ["COMPLETE"] * 3
    assert study(NAME).trials[2].value == 0.6


@pytest.mark.slow
def test_a_trial_that_was_almost_left_out_is_confirmed_once(confirm, monkeypatch):
    with killed_in(monkeypatch, ledger, "tell", call=4):
        confirm(3)
    assert states(NAME) == ["RUNNING", "WAITING", "WAITING"]

    def killed(study, frozen, reason):
        reopen_trial(study, frozen).set_user_attr(tag.REASON, reason)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("samerun.sweeper.ledger.end_without_run", killed)
        with pytest.raises(Killed):
            confirm(1)
    assert confirm(3) == [0.1, 0.2, 0.5]
    assert states(NAME) == ["COMPLETE"] * 3
    assert not any(trial.user_attrs.get(tag.REASON) for trial in study(NAME).trials)
    assert confirm(3) == []


def test_other_seeds_are_another_study(confirmed):
    confirmed.tasks.clear()
    confirmed.answer = answer({**MEANS, 0.2: 0.35})
    four = ("sweep.confirm.top=2", "sweep.confirm.seeds=4")
    assert confirmed.sweep(*FIXED, *four, space=GRID, n=4) == 0
    assert len(confirmed.tasks) == 2
    assert states("s-confirm-1000-1003") == ["COMPLETE"] * 2
    (stored,) = tracking.find_runs([parent()["id"]])
    assert stored.metrics["sweep/confirmed"] == pytest.approx(0.35)
    assert states(NAME) == ["COMPLETE"] * 2


def test_seeds_that_the_search_used_are_no_fresh_ones(worker, project):
    worker.answer = lambda task, outcome: dataclasses.replace(
        outcome, by_instance={f"seed {one}": 0.5 for one in seeds_of(task)}
    )
    assert worker.sweep(*FIXED, *CONFIRM, "seed=7", "seeds=1000", space=GRID, n=4) == 0
    searched = {seed for task in worker.tasks[:4] for seed in seeds_of(task)}
    fresh = {seed for task in worker.tasks[4:] for seed in seeds_of(task)}
    assert fresh == {1007, 1008, 1009}
    assert not fresh & searched


def test_a_limit_of_time_holds_for_each_run(worker, project):
    worker.answer = answer(MEANS, noisy)
    assert worker.sweep(*FIXED, *CONFIRM, "sweep.trial_seconds=10", space=GRID, n=4) == 0
    settings = [study(name).user_attrs[tag.STUDY_SETTINGS]["sweep"] for name in ("s", NAME)]
    assert [json.loads(one)["trial_seconds"] for one in settings] == [10.0, 30.0]


def test_a_trial_that_fails_with_fresh_seeds_is_named_and_the_others_are_ranked(
    worker, project, capsys
):
    good = answer(MEANS, noisy)

    def fails(task, outcome):
        if task.node.seeds is not None and task.node.model.dropout == 0.1:
            return dataclasses.replace(outcome, state=EndState.nan, reason="it diverged")
        return good(task, outcome)

    worker.answer = fails
    assert worker.sweep(*FIXED, *CONFIRM, space=GRID, n=4) == 0
    lines = lines_of(capsys)
    first, second = by_dropout()[0.2].number, by_dropout()[0.1].number
    assert lines["confirmed"].startswith(f"trial {first}, validation/loss 0.3 ")
    assert lines["confirmed"].endswith(f"trial {second} was not confirmed: it diverged")


def test_trials_of_equal_values_are_confirmed_once(worker, project):
    worker.answer = answer(MEANS)
    points = "sweep.enqueue=[{model.dropout:0.1},{model.dropout:0.2}]"
    space = ("model.dropout=0.1,0.2",)
    assert worker.sweep("sweep.sampler=random", *CONFIRM, points, space=space, n=6) == 0
    assert [task.node.model.dropout for task in worker.tasks[6:]] == [0.1, 0.2]


GAPS = {
    "before the study of the confirmation has a trial": (optuna.Study, "enqueue_trial", 1),
    "between two of its trials": (optuna.Study, "enqueue_trial", 2),
    "before the first ends": (ledger, "tell", 5),
    "before the second ends": (ledger, "tell", 6),
}


@pytest.mark.parametrize(
    "gap",
    mostly_slow(GAPS, "between two of its trials"),
)
def test_a_confirmation_that_is_killed_is_continued(worker, project, monkeypatch, gap):
    owner, name, at = GAPS[gap]
    real, calls = getattr(owner, name), []

    def killed(*arguments, **options):
        calls.append(1)
        if len(calls) == at:
            raise Killed
        return real(*arguments, **options)

    worker.answer = answer(MEANS, noisy)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killed)
        with pytest.raises(Killed):
            worker.sweep(*FIXED, *CONFIRM, space=GRID, n=4)
    assert worker.sweep(*FIXED, *CONFIRM, space=GRID, n=4) == 0
    assert states() == ["COMPLETE"] * 4
    assert states(NAME) == ["COMPLETE"] * 2
    number = by_dropout()[0.2].number
    assert parent()[tag.RESULT].startswith(f"confirmed: trial {number}, validation/loss 0.3 ")
    again = [run for run in children() if tag.CONFIRMS in run]
    assert len({run[tag.CONFIRMS] for run in again}) == len(again) == 2
    assert len(children()) == 6


def test_a_search_that_was_stopped_confirms_nothing_until_it_has_ended(worker, project):
    worker.answer = answer(MEANS, noisy)

    def interrupt(task):
        if len(worker.tasks) == 2:
            raise KeyboardInterrupt

    worker.before_submit = interrupt
    with pytest.raises(KeyboardInterrupt):
        worker.sweep(*FIXED, *CONFIRM, space=GRID, n=4)
    assert len(worker.tasks) == 2
    worker.before_submit = lambda task: None
    assert worker.sweep(*FIXED, *CONFIRM, space=GRID, n=4) == 0
    assert states(NAME) == ["COMPLETE"] * 2


MISTAKES = {
    "sweep.confirm.top=5": "sweep.confirm.top: received 5, expected at most the number of trials, ",
    "sweep.confirm.top=-1": "sweep.confirm.top: received -1, expected a number at least 0",
    "sweep.confirm.top=2 sweep.confirm.seeds=1": "sweep.confirm.seeds: received 1, expected",
    "sweep.confirm.top=2 folds=3": "received 2 with folds=3",
    "sweep.confirm.top=2 seed=1,2": "received 2 with seed in the search space",
    "sweep.confirm.top=2 sweep.objectives=[validation/loss,num_parameters] sweep.pruner=none": (
        "received 2 with 2 objectives"
    ),
}


@pytest.mark.parametrize("given", MISTAKES)
def test_a_confirmation_that_does_not_fit_is_refused_before_there_is_a_study(
    worker, project, capsys, given
):
    assert worker.sweep(*given.split()) == 2
    error = capsys.readouterr().err
    assert MISTAKES[given] in error
    assert len(error.splitlines()) == 1
    assert worker.tasks == []
    assert runs() == []


QUICK = (
    "sweep=grid",
    "sweep.executor=inline",
    "sweep.study=s",
    "training.epochs=1",
    "tracking=lean",
    "model=mlp",
    "model.units=[4]",
    "dataset.limit=60",
    "optimizer.learning_rate=0.001,0.03",
    "sweep.confirm.top=2",
    "sweep.confirm.seeds=2",
)


@pytest.mark.slow
def test_each_confirmed_value_is_that_of_a_run_that_was_trained(project):
    result = samerun.sweep([*QUICK])
    first, second = result.confirmation.ranked
    assert result.best[0].number == first.number
    assert first.mean <= second.mean
    for one in (first, second):
        (stored,) = tracking.find_runs([one.run_id])
        below = tracking.find_by_tags(read(stored).cfg, {"mlflow.parentRunId": stored.id})
        found = {(read(run).cfg.seed, read_result(run).objective) for run in below}
        assert found == {*one.values}
        assert [seed for seed, _ in one.values] == [1000, 1001]
        assert one.mean == pytest.approx(stored.metrics["validation/loss"], rel=1e-12)
    assert {one.name for one in Path("multirun/s/confirm-1000-1001").glob("[0-9]*")} == {"0", "1"}
    (sweep,) = tracking.find_runs([result.run_id])
    text = tracking.read_artifact(sweep, "study.md").decode()
    assert text.startswith(f"**trial {first.number}, validation/loss ")
    assert f"samerun reproduce {first.run_id[:8]}\n" in text
