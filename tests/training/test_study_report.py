"""What a sweep shows and leaves behind: plots, pages, a table of trials, the screen."""

import csv
import io
import math
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from rich.console import Console

from samerun import config, tracking
from samerun.command_line import line
from samerun.config.pruners import Pruner
from samerun.config.sweep import Sweep
from samerun.plots.style import save
from samerun.report import progress, study_figures, study_pages, study_trials
from samerun.report import study as study_report
from samerun.report.progress import Progress
from samerun.report.study_axis import Scale
from support.tables import mostly_slow

CHROMIUM = shutil.which("chromium")
SPACE = {
    "optimizer": "adam, sgd",
    "optimizer.learning_rate": "tag(log, interval(1e-5, 0.1))",
    "optimizer.momentum": "interval(0.5, 0.99) when optimizer=sgd",
    "model.dropout": "interval(0, 0.6)",
}
METRIC = "validation/accuracy"


@pytest.fixture(autouse=True, scope="module")
def quiet_optuna():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def one_objective(num_trials, *, direction="maximize"):
    """Some trials complete, some are pruned, one fails, one gives NaN."""
    study = optuna.create_study(
        study_name="night",
        direction=direction,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    for number in range(num_trials):
        trial = study.ask()
        rate = trial.suggest_float("optimizer.learning_rate", 1e-5, 1e-1, log=True)
        if trial.suggest_categorical("optimizer", ["adam", "sgd"]) == "sgd":
            trial.suggest_float("optimizer.momentum", 0.5, 0.99)
        trial.suggest_float("model.dropout", 0, 0.6)
        if number == 2:
            trial.report(math.nan, 1)
            trial.set_user_attr("samerun.reason", "validation/loss is nan at epoch 1")
            study.tell(trial, state=TrialState.FAIL)
            continue
        state = TrialState.COMPLETE
        for epoch in range(1, 6):
            value = 0.97 - 0.1 * abs(math.log10(rate) + 3) - 0.5 * math.exp(-epoch)
            trial.report(value, epoch)
            if trial.should_prune():
                state = TrialState.PRUNED
                break
        study.tell(trial, value if state == TrialState.COMPLETE else None, state=state)
    return study


def two_objectives(num_trials=12):
    study = optuna.create_study(
        study_name="pareto",
        directions=["maximize", "minimize"],
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    for _ in range(num_trials):
        trial = study.ask()
        size = trial.suggest_int("model.filters", 4, 64, log=True)
        dropout = trial.suggest_float("model.dropout", 0, 0.6)
        study.tell(trial, [0.99 - 0.5 / size - 0.1 * dropout, 100.0 * size**2])
    return study


def children_of(study):
    return {trial.number: (f"{trial.number:032x}", f"run-{trial.number}") for trial in study.trials}


def repeats(trial):
    train = line("train", f"seed={trial.number}")
    return [("reproduce", line("reproduce", f"{trial.number:08x}")), ("command", train)]


def described(study, objectives=(METRIC,), **more):
    return study_report.to_markdown(
        study,
        definitions=SPACE,
        objectives=list(objectives),
        children=children_of(study),
        **more,
    )


def drawn(study, objectives=(METRIC,)):
    names = study_trials.parameters(study)
    return study_figures.draw(study, list(objectives), names)


def reported(study, objectives=(METRIC,)):
    """Draws the figures and the page with them; the importances take a second each time."""
    figures, missing = drawn(study, objectives)
    names = study_trials.parameters(study)
    page = study_pages.page(study, list(objectives), names, list(figures), missing)
    return figures, missing, page


@pytest.fixture(scope="module")
def night():
    return one_objective(16)


@pytest.fixture(scope="module")
def of_night(night):
    return reported(night)


@pytest.fixture(scope="module")
def front():
    study = two_objectives()
    return study, *reported(study, [METRIC, "num_parameters"])


def test_everything_arrives_in_the_store(project, night):
    cfg = config.compose([]).config
    with tracking.open_run(cfg, project / "sweep", name="night") as run:
        notes = study_report.write(
            night,
            run,
            project / "sweep" / "report",
            definitions=SPACE,
            objectives=[METRIC],
            children=children_of(night),
            commands=repeats,
        )
    assert notes == []
    (stored,) = tracking.find_runs(["night"])
    pictures = {"history", "importances", "slices", "parallel_coordinates", "intermediate_values"}
    assert set(tracking.list_artifacts(stored, "plots")) == {f"plots/{n}.png" for n in pictures}
    assert tracking.read_artifact(stored, "trials.csv").count(b"\n") == 17
    assert b"Parameter importance" in tracking.read_artifact(stored, "plots.html")
    text = tracking.read_artifact(stored, "study.md").decode()
    assert all(command in text for _, command in repeats(night.best_trial))
    assert stored.tags["mlflow.note.content"].strip() == text.strip()


@pytest.mark.slow
def test_nothing_heavy_is_imported_before_it_is_needed():
    code = """
import sys
import samerun.report.progress, samerun.report.study
for name in ("tensorflow", "keras", "mlflow", "optuna", "plotly", "matplotlib"):
    assert name not in sys.modules, name
import optuna
from samerun.report import study as study_report, study_figures, study_pages
from samerun.tracking import NullRun
study = optuna.create_study()
study.add_trial(optuna.trial.create_trial(value=1.0))
figures, missing = study_figures.draw(study, ["loss"], [])
study_pages.page(study, ["loss"], [], list(figures), missing)
study_report._write_tensorboard(study, NullRun(), ["loss"])
for name in ("tensorflow", "keras"):
    assert name not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_table_of_trials_holds_every_value_as_it_is(night):
    names = study_trials.parameters(night, SPACE)
    assert names == list(SPACE)
    text = study_trials.to_csv(night, [METRIC], children_of(night), names)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["number"]) for row in rows] == [trial.number for trial in night.trials]
    for row, trial in zip(rows, night.trials, strict=True):
        has_momentum = trial.params["optimizer"] == "sgd"
        assert bool(row["optimizer.momentum"]) == has_momentum
        assert float(row["model.dropout"]) == trial.params["model.dropout"]
        assert row["run_id"] == f"{trial.number:032x}"
        if trial.state == TrialState.COMPLETE:
            assert (row["state"], float(row[METRIC])) == ("complete", trial.value)
            assert row["epochs"] == "5"
    assert rows[2]["state"] == "failed"
    assert rows[2]["reason"] == "validation/loss is nan at epoch 1"
    assert {"pruned", "complete", "failed"} == {row["state"] for row in rows}


@pytest.mark.parametrize("direction", mostly_slow(["maximize", "minimize"], "minimize"))
def test_the_page_names_the_best_trial_and_how_to_have_it_again(direction):
    study = one_objective(12, direction=direction)
    best = study.best_trial
    text = described(study, commands=repeats)
    assert f"in trial {best.number}; " in text.splitlines()[0]
    assert "\n".join(command for _, command in repeats(best)) in text
    shown = [int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    complete = study.get_trials(states=[TrialState.COMPLETE])
    ranked = sorted(complete, key=lambda t: t.value, reverse=direction == "maximize")
    assert shown == [trial.number for trial in ranked[:5]]
    for key, definition in SPACE.items():
        assert f"| `{key}` | `{definition}` |" in text
    assert "`RandomSampler`, pruner `MedianPruner`" in text
    assert "- trial 2: validation/loss is nan at epoch 1" in text


def test_a_study_of_two_objectives_shows_its_front(front):
    study, figures, missing, page = front
    objectives = [METRIC, "num_parameters"]
    text = described(study, objectives)
    shown = {int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert shown == {trial.number for trial in study.best_trials}
    assert missing == {}
    assert set(figures) == set(study_figures.TITLES) - {"intermediate_values"}
    assert re.findall("<h2>([^<]*Pareto front)<", page) == [
        "Trials on the Pareto front",
        "Pareto front",
    ]
    assert "History: num_parameters" in page
    rows = study_report.last_lines(study, objectives=objectives)
    assert dict(rows)["front"].count("trial") == len(study.best_trials)


def test_a_maximized_objective_is_judged_by_its_high_values():
    study = optuna.create_study(directions=["maximize", "minimize"])
    space = {"a": optuna.distributions.FloatDistribution(0, 1)}
    for value in (0.1, 0.9):
        study.add_trial(
            optuna.create_trial(params={"a": value}, distributions=space, values=[value, value])
        )
    low, high = study.trials
    first, second = (study_figures.signed(study, position) for position in (0, 1))
    assert first(high) < first(low)
    assert second(low) < second(high)


@pytest.mark.parametrize("num_failed", mostly_slow([0, 3], 3))
def test_a_study_without_a_result_has_a_page_that_states_it(num_failed):
    study = optuna.create_study(study_name="none")
    for _ in range(num_failed):
        trial = study.ask()
        trial.suggest_float("model.dropout", 0, 1)
        study.tell(trial, state=TrialState.FAIL)
    text = described(study)
    assert text.startswith("**3 failed; " if num_failed else "**no trial yet; ")
    figures, missing, page = reported(study)
    assert figures == {}
    assert len(missing) == 5
    assert "Needs 1 completed trials; there are 0." in page
    rows = study_report.last_lines(study, objectives=[METRIC])
    why = ("best", "none, since no trial completed: trials.csv holds the reasons")
    assert rows == ([("trials", "3 failed"), why] if num_failed else [("trials", "none")])


@pytest.mark.parametrize("pruner", Pruner)
def test_where_all_were_pruned_the_end_names_the_setting_to_loosen(pruner):
    study = optuna.create_study()
    study.set_user_attr("samerun.pruner", pruner.value)
    study.tell(study.ask(), state=TrialState.PRUNED)
    (_, (word, message)) = study_report.last_lines(study, objectives=[METRIC])
    assert word == "best"
    assert message.startswith("none, since no trial completed: try sweep.pruner=none")
    if pruner is not Pruner.none:
        name, _, option = study_report.LOOSER[pruner].partition(".")
        assert option in Sweep.__dataclass_fields__[name].type.__dataclass_fields__
        assert message.endswith(f", or a larger sweep.{name}.{option}")


def test_the_end_says_how_to_repeat_the_best_trial(night):
    rows = study_report.last_lines(night, objectives=[METRIC], commands=repeats)
    assert rows[-2:] == repeats(night.best_trial)


def test_plots_that_need_two_trials_are_left_out_with_a_line():
    study = optuna.create_study()
    trial = study.ask()
    trial.suggest_float("model.dropout", 0, 1)
    study.tell(trial, 0.5)
    figures, missing = drawn(study)
    assert set(figures) == {"history"}
    assert missing["Parameter importance"] == "Needs 2 completed trials; there are 1."
    assert "reported" in missing["Intermediate values"]


def test_a_parameter_of_a_pruned_trial_only_does_not_keep_the_page_from_being_drawn():
    study = one_objective(8)
    trial = study.ask()
    trial.suggest_int("schedule.first_cycle_epochs", 1, 3)
    study.tell(trial, state=TrialState.PRUNED)
    names = study_trials.parameters(study)
    assert "schedule.first_cycle_epochs" in names
    slices = study_figures.draw(study, [METRIC], names)[0]["slices"]
    drawn = [axes.get_xlabel() for axes in slices.axes if axes.get_visible()]
    assert "model.dropout" in drawn
    assert "schedule.first_cycle_epochs" not in drawn
    page = study_pages.page(study, [METRIC], names, list(study_figures.TITLES)[:4], {})
    assert "model.dropout" in page


def test_the_importance_of_a_parameter_that_few_trials_had_brings_no_warning(tmp_path):
    study = optuna.create_study()
    for number in range(6):
        trial = study.ask()
        trial.suggest_float("model.dropout", 0, 0.6)
        if number == 0:
            trial.suggest_float("optimizer.momentum", 0.5, 0.99)
        study.tell(trial, number)
    names = ["model.dropout", "optimizer.momentum"]
    figures, missing = study_figures.draw(study, ["validation/loss"], names)
    assert "importances" in figures
    assert not [title for title in missing if "mportance" in title]
    page = study_pages.page(study, ["validation/loss"], names, ["importances"], {})
    assert "Parameter importance" in page


def test_awkward_values_are_drawn(tmp_path):
    """One choice only, equal numbers, logarithms of whole numbers, infinity, long words."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for value in (1.0, 2.0, math.inf, 4.0):
        trial = study.ask()
        trial.suggest_categorical("schedule", ["constant"])
        trial.suggest_categorical("a", [None, True, 3, "a_very_long_word_that_has_no_end"])
        trial.suggest_int("model.dense", 8, 8)
        trial.suggest_int("model.filters", 1, 4096, log=True)
        trial.report(math.nan, 1)
        study.tell(trial, value)
    figures, missing, page = reported(study)
    assert missing == {}
    for name, figure in figures.items():
        save(figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert (headings[0], len(headings)) == ("Best trials", 6)


def test_names_of_parameters_are_inside_the_figures(of_night):
    figures, _, _ = of_night
    for name, figure in figures.items():
        figure.draw_without_rendering()
        drawn_on = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert drawn_on.x0 >= 0, name
        assert drawn_on.y0 >= 0, name
        assert drawn_on.x1 <= width, name
        assert drawn_on.y1 <= height, name


def test_a_logarithmic_parameter_has_a_logarithmic_axis(night):
    distribution = night.trials[0].distributions["optimizer.learning_rate"]
    scale = Scale.of([1e-5, 1e-1], distribution)
    assert scale.position(1e-3) == pytest.approx(0.5)
    assert [word for _, word in scale.ticks()] == ["1e-5", "0.0001", "0.001", "0.01", "0.1"]
    assert Scale.of([0.0, 1.0], None).position(0.25) == 0.25
    assert np.isnan(Scale.of([0.0, 1.0], None).position(math.nan))


def test_a_value_alone_stands_in_the_middle_and_whole_numbers_are_marked_whole():
    assert Scale.of([0.9, 0.9], None).position(0.9) == pytest.approx(0.5)
    rates = optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True)
    assert Scale.of([1e-3, 1e-3], rates).position(1e-3) == pytest.approx(0.5)
    seeds = optuna.distributions.IntDistribution(0, 9)
    assert [word for _, word in Scale.of([0, 9], seeds).ticks()] == ["0", "3", "6", "9"]


def test_trials_at_one_point_of_the_front_share_a_label():
    study = optuna.create_study(directions=["maximize", "minimize"])
    for values in ([0.9, 500.0], [0.9, 500.0], [0.99, 20000.0], [0.5, 20000.0]):
        study.tell(study.ask(), values)
    figures, _ = study_figures.draw(study, [METRIC, "num_parameters"], [])
    axes = figures["pareto_front"].axes[0]
    assert [text.get_text() for text in axes.texts] == ["0, 1", "2"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")


def test_the_page_of_plots_starts_with_the_best_trials_and_what_repeats_them(night):
    names = study_trials.parameters(night)
    repeats = lambda trial: [("reproduce", f"again <{trial.number}>"), ("command", "train")]  # noqa: E731
    page = study_pages.page(night, [METRIC], names, [], {}, commands=repeats)
    table = page[page.index("<table>") : page.index("</table>")]
    best = study_trials.best_trials(night)[:5]
    assert re.findall(r"<tr><td>(\d+)</td>", table) == [str(trial.number) for trial in best]
    for trial in best:
        assert f"<code>again &lt;{trial.number}&gt;</code><br><code>train</code>" in table
    study = two_objectives()
    front = study_pages.page(study, [METRIC, "num_parameters"], [], [], {})
    assert "Pareto front" in front
    assert front.count("<tr><td>") == len(study.best_trials)


def test_no_line_of_the_page_of_plots_is_white_on_white(night):
    names = study_trials.parameters(night)
    scales = []
    for name in ("slices", "parallel_coordinates"):
        for _, figure in study_pages._DRAWERS[name](night, [METRIC], names):
            study_pages._style(figure)
            for trace in figure.data:
                parts = (getattr(trace, "marker", None), getattr(trace, "line", None))
                scales += [p.colorscale for p in parts if getattr(p, "colorscale", None)]
    assert scales
    for scale in scales:
        for _, color in scale:
            assert min(int(color[at : at + 2], 16) for at in (1, 3, 5)) < 200, color


def test_the_page_of_plots_needs_no_network(of_night):
    _, _, page = of_night
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page)
    assert page.count("<script>/**") == 1


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
@pytest.mark.parametrize("of", ["night", "front"])
def test_the_page_draws_in_a_browser_without_a_network(of_night, front, tmp_path, of):
    *_, page = {"night": of_night, "front": front}[of]
    (tmp_path / "plots.html").write_text(page)
    with tempfile.TemporaryDirectory() as profile:
        arguments = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        arguments += ["--disable-background-networking", "--disable-sync", "--disable-quic"]
        arguments += ["--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"]
        arguments += [f"--user-data-dir={profile}", "--virtual-time-budget=15000", "--dump-dom"]
        arguments.append((tmp_path / "plots.html").as_uri())
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    sections = re.findall(r"<section>.*?</section>", done.stdout, re.DOTALL)
    assert len(sections) == page.count("<section>") >= 5
    for section in sections:
        assert "main-svg" in section


@pytest.mark.slow
def test_tensorboard_shows_a_row_for_each_trial(night, tmp_path):
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    for _ in range(2):  # a resumed sweep writes its report again
        study_report.write(
            night,
            tracking.NullRun(tmp_path),
            tmp_path / "report",
            definitions=SPACE,
            objectives=[METRIC],
            children={},
        )
    read = plugin_event_multiplexer.EventMultiplexer()
    read.AddRunsFromDirectory(str(tmp_path / "tensorboard"))
    read.Reload()
    provider = data_provider.MultiplexerDataProvider(read, str(tmp_path))
    tab = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    asked = context.RequestContext()
    page = tab.experiment_from_metadata(asked, "", True, tab.hparams_metadata(asked, ""), [])
    assert {column.name for column in page.hparam_infos} == set(SPACE)
    assert [column.name.tag for column in page.metric_infos] == [METRIC]
    request = api_pb2.ListSessionGroupsRequest(slice_size=100)
    request.allowed_statuses.extend([api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE])
    request.col_params.add().metric.tag = METRIC
    request.col_params.add().hparam = "model.dropout"
    rows = list_session_groups.Handler(asked, tab, "", request).run().session_groups
    assert len(rows) == len(night.trials)
    for row in rows:
        trial = night.trials[int(row.name)]
        assert row.hparams["model.dropout"].number_value == trial.params["model.dropout"]
        shown = [value.value for value in row.metric_values]
        is_complete = trial.state == TrialState.COMPLETE
        assert shown == (pytest.approx([trial.value]) if is_complete else [])


def recorded(*, is_terminal, **more):
    """A sweep of six trials on two workers, by a clock of its own."""
    now = [0.0]
    out = Console(file=io.StringIO(), width=80, force_terminal=is_terminal, highlight=False)
    show = Progress(out, 6, [METRIC], ["maximize"], workers=2, clock=lambda: now[0], **more)
    show.started(0, "dropout=0.3 l2=0.0002 cosine")
    show.started(1, "dropout=0.02 l1=0.00001 l2=0.00021 exponential learning_rate=0.0013 adamw")
    now[0] = 10.0
    show.epoch(0, 20, 20, 0.9512)
    show.epoch(1, 3, 20, 0.81)
    show.ended(0, "COMPLETE", [0.9512], 10.0)
    show.started(2, "dropout=0.6 [constant]")
    now[0] = 12.0
    show.ended(2, "PRUNED", [0.4], 2.0, "at epoch 2")
    show.started(3, "dropout=0.1 cosine")
    return show, out


def plain(show):
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(show.table())
    return console.file.getvalue()


def test_the_table_shows_trials_under_way_the_best_counts_and_time_left():
    show, _ = recorded(is_terminal=True, study="night")
    show.close()
    text = plain(show)
    assert "2/6 trials" in text
    assert "1 complete, 1 pruned, 2 running" in text
    assert "best 0.9512  trial 0  dropout=0.3 l2=0.0002 cosine" in text
    assert re.search(r"1 +3/20 .* 0\.81 +0:12 +dropout=0\.02", text)
    assert re.search(r"3 +starts .* 0:00 +dropout=0\.1 cosine", text)
    # The mean is 6 s: trial 1 is due, trial 3 and two more have 6 s each on two workers.
    assert show.seconds_left() == pytest.approx(9.0)
    assert "about 0:09 left" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_a_terminal_gets_a_line_above_the_table_for_each_trial_that_ended():
    show, out = recorded(is_terminal=True)
    show.close([("best", "trial 0"), ("again", "samerun reproduce " + "0" * 80)])
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.file.getvalue())
    assert re.search(r"trial 0  complete +0\.9512 +10\.0 s  best  dropout=0\.3", text)
    assert re.search(r"trial 2  pruned +0\.4 +2\.0 s +at epoch 2 · dropout=0\.6 \[constant\]", text)
    assert "samerun reproduce " + "0" * 80 in text


def test_a_pipe_gets_one_whole_line_a_trial():
    show, out = recorded(is_terminal=False)
    show.ended(1, "FAIL", None, 15.0, "validation/loss is nan: lower optimizer.learning_rate")
    show.close()
    lines = out.file.getvalue().splitlines()
    assert len(lines) == 3
    assert "\x1b" not in out.file.getvalue()
    assert lines[0].startswith("1/6  trial 0  complete    0.9512")
    assert lines[2].startswith("3/6  trial 1  failed")
    assert lines[2].endswith("learning_rate=0.0013 adamw")


def test_what_an_earlier_start_did_counts():
    out = Console(file=io.StringIO(), width=80)
    show = Progress(out, 10, ["loss"], ["minimize"])
    show.counts({"COMPLETE": 3, "FAIL": 1}, [(2, [0.5], "a=1")], paused=[6, 7])
    show.started(4, "a=2")
    show.ended(4, "complete", [0.7], 1.0)
    show.started(5, "a=3")
    show.left(5)
    text = plain(show)
    assert "5/10 trials" in text
    assert "4 complete, 1 failed, 0 running, 2 paused" in text
    assert "best 0.5  trial 2  a=1" in text
    assert " best " not in out.file.getvalue()


def test_of_several_objectives_the_front_is_shown():
    out = Console(file=io.StringIO(), width=80)
    show = Progress(out, 4, ["accuracy", "size"], ["maximize", "minimize"])
    for number, values in enumerate([(0.9, 500), (0.8, 600), (0.95, 900), (0.95, 800)]):
        show.started(number, f"a={number}")
        show.ended(number, "complete", values, 1.0)
    text = plain(show)
    assert "2 on the Pareto front" in text
    assert "best accuracy 0.95  trial 3  a=3" in text
    assert "best size 500  trial 0  a=0" in text
    assert [" front " in line for line in out.file.getvalue().splitlines()] == [
        True,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.123456, "0.1235"), (12345, "12,345"), (3.0, "3"), (1e-5, "1e-05"), (True, "True")]
    + [(None, "None"), ("cosine", "cosine"), (math.inf, "inf"), (math.nan, "nan")],
)
def test_values_are_written_for_people(value, expected):
    assert study_trials.format_number(value) == expected


def test_the_console_of_a_sweep_cuts_what_a_live_table_cannot_show():
    assert progress.console().soft_wrap is False
