"""What Python and notebooks show of samerun: its names, its mistakes and its results."""

import traceback
from pathlib import Path

import pytest

import samerun
from samerun import errors
from samerun.command_line import line
from samerun.result import InstancesResult, Result
from samerun.sweeper.result import SweepResult, TrialResult

RESULT = Result(
    run_id="0123456789abcdef" * 2,
    run_name="<b>dropout=0.3</b> · cnn digits x7fq",
    folder=Path("/runs/<i>"),
    metrics={"test/accuracy": 0.98333, "test/<script>": 1.0},
    history={"train/loss": [0.5] * 300},
    best_epoch=17,
    weights_digest="ab" * 32,
    sentence="test accuracy 0.983 (95 % 0.969-0.994), majority baseline 0.100 & <u>",
    objective=0.1,
    epoch_seconds=1.0,
    model=object(),
)


def test_the_module_lists_its_public_names_and_has_them():
    assert set(samerun.__all__) <= set(dir(samerun))
    for name in dir(samerun):
        assert getattr(samerun, name) is not None
    assert {"train", "sweep", "Result", "UserError"} <= set(dir(samerun))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        samerun.trian  # noqa: B018


@pytest.mark.parametrize("name", ["train", "sweep"])
@pytest.mark.parametrize("overrides", [["model=cn"], ["sweep=optuna", "model.dropot=0.1,0.2"]])
def test_a_mistake_from_python_is_a_few_lines(name, overrides, project):
    with pytest.raises(samerun.UserError) as caught:
        getattr(samerun, name)(overrides)
    lines = "".join(traceback.format_exception(caught.value)).splitlines()
    assert lines[-1].startswith("samerun.errors.UserError: ")
    assert len(lines) < 14, "\n".join(lines)
    assert caught.value.__cause__ is None


def test_a_mistake_in_a_notebook_is_its_sentence_alone():
    error = samerun.UserError("model: received 'cn', expected one of cnn.\x1b[31m")
    assert error._render_traceback_() == [
        "samerun: model: received 'cn', expected one of cnn.�[31m"
    ]


def test_an_interrupt_leaves_a_function_as_a_sentence_that_says_how_to_resume():
    @errors.raises_mistakes_shortly
    def interrupted():
        error = KeyboardInterrupt()
        error.add_note("Resume with: samerun resume 0123\x1b[31m")
        raise error

    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted()
    assert caught.value.__cause__ is None
    assert errors.classify(caught.value).cause is errors.Cause.interrupted
    first, *hints = caught.value._render_traceback_()
    assert first == "samerun: interrupted."
    assert hints[0] == "Resume with: samerun resume 0123�[31m"
    assert 'samerun.resume("latest")' in hints[1]


def test_a_result_is_shown_short_and_in_a_notebook_escaped():
    shown = repr(RESULT)
    assert "01234567" in shown
    assert RESULT.sentence in shown
    assert len(shown) < 200
    page = RESULT._repr_html_()
    for name in ("0.98333", "17 of 300", line("reproduce", "01234567"), "&lt;script&gt;"):
        assert name in page
    for tag in ("<b>dropout", "<i>", "<script", "<u>"):
        assert tag not in page


def test_the_result_of_several_runs_is_shown_short():
    given = dict.fromkeys(("metrics", "std", "low", "high"), {"test/accuracy": 0.9})
    result = InstancesResult(
        run_id="ab" * 16,
        run_name="five seeds",
        folder=Path("outputs"),
        labels=("seed 0", "seed 1"),
        children=(RESULT, RESULT),
        history={"train/loss": [0.5] * 1000},
        sentence="accuracy 0.9 (95 % 0.85 to 0.95)",
        objective=0.9,
        **given,
    )
    assert repr(result) == (
        "<Results of 2 runs, abababab, five seeds: accuracy 0.9 (95 % 0.85 to 0.95)>"
    )


def test_the_result_of_a_sweep_is_shown_short_and_in_a_notebook_escaped():
    trial = TrialResult(
        number=4,
        run_id="cd" * 16,
        params={"model.dropout": 0.32122489, "optimizer": "adam"},
        values={"validation/loss": 0.064663},
        overrides=("model=mlp",),
    )
    result = SweepResult(
        study="night<u>",
        run_id="ab" * 16,
        best=(trial,),
        run_ids={number: f"{number:032x}" for number in range(300)},
        reason="sweep.timeout",
    )
    assert repr(result) == (
        "<SweepResult of study night<u>, 300 trials: "
        "trial 4, validation/loss 0.064663 with model.dropout=0.3212 optimizer=adam>"
    )
    page = result._repr_html_()
    for shown in ("night&lt;u&gt;", "cd" * 16, line("show", "abababab"), "sweep.timeout"):
        assert shown in page
    assert "<u>" not in page


def test_an_option_that_is_an_address_is_refused_without_its_password():
    with pytest.raises(errors.UserError, match="experiment.*: received") as caught:
        samerun.compose(["experiment=postgresql://ann:hidden1@host/db"])
    assert "hidden1" not in str(caught.value)
