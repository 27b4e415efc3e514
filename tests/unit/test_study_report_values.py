"""What the report of a study says about the value of its best trial."""

import dataclasses
from types import SimpleNamespace

import optuna
import pytest
from optuna.distributions import IntDistribution

from samerun import config
from samerun import tags as tag
from samerun.command_line import program
from samerun.report.study import last_lines, to_markdown
from samerun.search import StudyStart
from samerun.sweeper import console


def study_of(*values, tested):
    study = optuna.create_study(direction="minimize")
    for value in values:
        trial = study.ask()
        if tested:
            trial.set_user_attr(tag.TRIAL_TEST, {"test/log_loss": value + 0.1})
        study.tell(trial, value)
    return study


def page_and_lines(study, name):
    page = to_markdown(study, definitions={}, objectives=[name], children={})
    return page, dict(last_lines(study, objectives=[name]))


def test_the_best_value_is_called_optimistic_and_the_test_metric_stands_beside_it():
    page, lines = page_and_lines(study_of(0.5, 0.3, 0.4, tested=True), "validation/loss")
    assert lines["test"] == "trial 1  test/log_loss 0.4"
    assert "validation/loss chose among 3 trials and their epochs" in lines["note"]
    assert "optimistic" in lines["note"]
    assert f"{lines['note']}." in page.splitlines()
    assert "| trial | validation/loss | test/log\\_loss | with |" in page
    rows = [row.split(" | ")[1:3] for row in page.splitlines() if row.startswith(("| 0", "| 1"))]
    assert sorted(rows) == [["0.3", "0.4"], ["0.5", "0.6"]]


@pytest.mark.parametrize(
    ("run_id", "expected"), [("; touch ran", None), ("a" * 32, f"{'a' * 8} --trust my_code:build")]
)
def test_a_run_is_in_a_line_to_type_by_an_id_only(run_id, expected):
    trial = optuna.trial.create_trial(value=0.5, user_attrs={tag.TRIAL_RUN: run_id})
    cfg = config.compose(["model=custom", "model.target=my_code:build"])
    plan = SimpleNamespace(configs=SimpleNamespace(composition=lambda values: cfg))
    rows = dict(console.commands(plan, trial))
    assert rows.get("reproduce") == (expected and f"{program()} reproduce {expected}")


def test_a_study_recorded_without_test_metrics_is_shown_without_them():
    page, lines = page_and_lines(study_of(0.5, 0.3, tested=False), "validation/loss")
    assert "test" not in lines
    assert "| trial | validation/loss | with |" in page


def test_what_is_no_validation_metric_or_was_not_chosen_among_others_has_no_note():
    for study, name in (
        (study_of(0.5, 0.3, tested=True), "num_parameters"),
        (study_of(0.5, tested=True), "validation/loss"),
    ):
        page, lines = page_and_lines(study, name)
        assert "note" not in lines
        assert "optimistic" not in page


def test_the_note_names_the_line_that_confirms_the_best():
    for values, top in (((0.5, 0.3, 0.4, 0.2), 3), ((0.5, 0.3), 2)):
        study = study_of(*values, tested=False)
        _, lines = page_and_lines(study, "validation/loss")
        line = f"sweep.study={study.study_name} sweep.confirm.top={top} sweep.confirm.seeds=5"
        assert line in lines["note"]


@pytest.mark.parametrize("why", ["folds", "seed"])
def test_where_nothing_can_be_confirmed_no_line_is_named(why):
    study = study_of(0.5, 0.3, tested=False)
    if why == "folds":
        start = StudyStart(
            space={},
            objectives=["validation/loss"],
            directions=["minimize"],
            base={"folds": "3"},
            branches="",
            threads=None,
            code={},
        )
        study.set_user_attr(tag.STUDY_START, dataclasses.asdict(start))
    else:
        trial = study.ask({"seed": IntDistribution(0, 3)})
        study.tell(trial, 0.4)
    _, lines = page_and_lines(study, "validation/loss")
    assert "optimistic" in lines["note"]
    assert "sweep.confirm" not in lines["note"]
