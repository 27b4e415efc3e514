"""`samerun table`: numbers with the runs they follow from, and the check of a paper's numbers."""

import csv
import io
import json
import re

import numpy as np
import pytest

from samerun import cli, statistics, tracking
from support.recorded import connected

FLIPPED = {0: 0.93, 1: 0.95, 2: 0.94, 3: 0.96, 4: 0.95}
CNN = {0: 0.91, 1: 0.93, 2: 0.92, 3: 0.94, 4: 0.93}
MLP = {0: 0.81, 1: 0.84, 2: 0.82, 3: 0.83, 4: 0.80}


def recorder(folder):
    """Returns what records a finished run in the working folder's store, and returns its ID."""
    client = connected()
    experiment = tracking.experiment_id(client, "samerun")

    def make(model, seed, accuracy, *, status="FINISHED", correct=None, tags=(), **params):
        given = {"samerun.fingerprint": f"{model} {seed} {params}", **dict(tags)}
        run_id = client.create_run(experiment, run_name=f"{model} {seed}", tags=given).info.run_id
        known = {"model": model, "seed": str(seed), "optimizer.learning_rate": "0.001", **params}
        for key, value in known.items():
            client.log_param(run_id, key, value)
        client.log_metric(run_id, "test/accuracy", accuracy, step=1)
        client.log_metric(run_id, "test/log_loss", 1 - accuracy, step=1)
        if correct is not None:
            store_predictions(client, run_id, np.asarray(correct), folder)
        client.set_terminated(run_id, status)
        return run_id

    return make


@pytest.fixture
def record(project):
    """Records a finished run without training; returns its ID."""
    return recorder(project)


def store_predictions(client, run_id, correct, folder):
    truth = np.arange(len(correct), dtype=np.int32) % 2
    chosen = np.where(correct, truth, 1 - truth)
    file = folder / "predictions.npz"
    probabilities = np.eye(2, dtype=np.float32)[chosen]
    np.savez(file, probabilities=probabilities, truth=truth)
    client.log_artifact(run_id, str(file), "evaluation")
    client.set_tag(run_id, "samerun.data.test", "d" * 64)


def record_models():
    record = recorder(None)
    return {
        name: [record(name, seed, value) for seed, value in values.items()]
        for name, values in {"cnn": CNN, "mlp": MLP}.items()
    }


@pytest.fixture
def models(project, recorded_runs):
    """Five runs of two models; returns their IDs by model."""
    return recorded_runs.copy("ten_for_a_table", record_models)


def table(capsys, *arguments, code=0):
    assert cli.main(["table", *arguments]) == code
    found = capsys.readouterr()
    return found.out if code != 2 else found.err


BY = ("--by", "model", "--metric", "test/accuracy")


def test_a_mean_over_seeds_has_its_t_interval_and_names_its_runs(models, capsys):
    found = json.loads(table(capsys, *BY, "--json"))
    best, other = found["rows"]
    assert (best["by"], other["by"]) == ({"model": "cnn"}, {"model": "mlp"})
    cell = best["metrics"]["test/accuracy"]
    assert cell["runs"] == models["cnn"]
    assert cell["value"] == pytest.approx(0.926)
    assert (cell["low"], cell["high"]) == pytest.approx(statistics.t_interval([*CNN.values()]))
    verdict = found["verdicts"]["test/accuracy"]
    assert verdict["winner"] == "cnn"
    assert "paired t test over seeds" in verdict["sentence"]


def test_the_screen_shows_the_best_row_first_and_what_the_test_says(models, capsys):
    head, first, second, *_, last = table(capsys, *BY).strip().splitlines()
    assert re.match(r"model\s+test/accuracy\s+runs", head)
    assert re.match(r"cnn\s+0\.926 ± 0\.014\s+5", first)
    assert second.startswith("mlp")
    assert last == "test/accuracy: cnn is better than mlp (paired t test over seeds, 5 %)"


def test_only_a_winner_is_bold(record, models, capsys):
    assert r"\mathbf{0.926} \pm 0.014" in table(capsys, *BY, "--latex")
    assert "**0.926 ± 0.014**" in table(capsys, *BY, "--markdown")
    for seed, value in CNN.items():
        record("lstm", seed, value + (0.004 if seed % 2 else -0.003))
    for style in ("--latex", "--markdown"):
        text = table(capsys, *BY, style)
        assert "cannot be told apart" in text
        assert r"\mathbf" not in text
        assert "**" not in text


def test_rows_have_several_keys_and_columns_several_metrics(record, capsys):
    for rate in ("0.1", "0.01"):
        for seed in (0, 1):
            record("cnn", seed, 0.9 - seed / 100, **{"optimizer.learning_rate": rate})
    arguments = [*BY, "--by", "optimizer.learning_rate", "--metric", "test/log_loss"]
    rows = list(csv.DictReader(io.StringIO(table(capsys, *arguments, "--csv"))))
    assert {row["optimizer.learning_rate"] for row in rows} == {"0.1", "0.01"}
    assert [float(row["test/log_loss"]) for row in rows] == pytest.approx([0.105, 0.105])
    assert all(len(row["test/accuracy runs"].split()) == 2 for row in rows)
    assert {row["test/accuracy winner"] for row in rows} == {"false"}


def test_a_group_of_settings_is_named_by_the_leaves_that_differ(record, capsys):
    for rotation in ("0.0", "0.1"):
        leaves = {"dataset.augmentation.rotation": rotation, "dataset.augmentation.zoom": "0.0"}
        for seed in (0, 1):
            record("cnn", seed, 0.9 + seed / 100, **leaves)
    arguments = ["--by", "dataset/augmentation", "--metric", "test/accuracy", "--json"]
    rows = json.loads(table(capsys, *arguments))["rows"]
    assert {row["by"]["dataset/augmentation"] for row in rows} == {"0.0", "0.1"}


def test_only_finished_runs_count_and_the_same_run_twice_is_one(record, models, capsys):
    record("cnn", 9, 0.1, status="FAILED")
    record("cnn", 0, 0.91)  # the same seed and fingerprint
    found = json.loads(table(capsys, *BY, "--json"))
    assert found["rows"][0]["metrics"]["test/accuracy"]["runs"] == models["cnn"]
    assert found["notes"] == [
        "1 not counted: not finished",
        "cnn: 1 repeated runs of a seed count once",
    ]


def test_the_runs_are_those_of_ids_of_a_filter_or_of_a_group(record, models, client, capsys):
    parent = record("cnn", 0, 0.5, tags={"samerun.multirun": "2"})
    for run_id in models["mlp"][:2]:
        client.set_tag(run_id, "mlflow.parentRunId", parent)
    for arguments, expected in {
        (models["cnn"][0][:12], models["cnn"][1]): models["cnn"][:2],
        ("params.model = 'cnn'",): models["cnn"],
        (parent,): models["mlp"][:2],
    }.items():
        found = json.loads(table(capsys, *arguments, *BY, "--json"))
        assert found["rows"][0]["metrics"]["test/accuracy"]["runs"] == expected


def test_the_runs_of_seeds_count_instead_of_their_parent_and_folds_do_not(
    record, models, client, capsys
):
    parent = record("cnn", 0, 0.5, tags={"samerun.instances": "seeds"})
    for number, run_id in enumerate(models["cnn"]):
        client.set_tag(run_id, "mlflow.parentRunId", parent)
        client.set_tag(run_id, "samerun.instance", f"seed {number}")
    record("mlp", 7, 0.1, tags={"samerun.instance": "fold 1/5"})
    for arguments in ((parent,), ()):
        found = json.loads(table(capsys, *arguments, *BY, "--json"))
        assert found["rows"][0]["metrics"]["test/accuracy"]["runs"] == models["cnn"]
    assert found["notes"] == ["1 not counted: folds, which are no seeds of one config"]


def test_single_runs_have_wilsons_interval_and_are_paired_by_their_predictions(record, capsys):
    right = np.arange(200) % 10 != 0
    for name, correct in {"cnn": right, "mlp": right & (np.arange(200) % 7 != 0)}.items():
        record(name, 0, correct.mean(), correct=correct)
    found = json.loads(table(capsys, *BY, "--json"))
    cell = found["rows"][0]["metrics"]["test/accuracy"]
    assert (cell["low"], cell["high"]) == pytest.approx(statistics.wilson_interval(180, 200))
    assert found["verdicts"]["test/accuracy"]["winner"] == "cnn"
    assert "McNemar's test" in found["verdicts"]["test/accuracy"]["sentence"]
    assert "other seeds may reverse" in found["verdicts"]["test/accuracy"]["sentence"]
    assert r"$\mathbf{0.900}$ [$0.851$, $0.934$]" in table(capsys, *BY, "--latex")
    loss = json.loads(table(capsys, *BY, "--metric", "test/log_loss", "--json"))["verdicts"]
    assert "compared by test/accuracy only" in loss["test/log_loss"]["sentence"]


def test_a_single_run_beside_several_seeds_is_not_tested(record, models, capsys):
    record("lstm", 0, 0.99)
    found = json.loads(table(capsys, *BY, "--json"))["verdicts"]["test/accuracy"]
    assert found["winner"] is None
    assert "lstm has one run" in found["sentence"]


def test_a_metric_that_disagrees_with_the_stored_predictions_wins_nothing(record, capsys):
    record("cnn", 0, 0.99, correct=np.arange(100) % 2 == 0)
    record("mlp", 0, 0.90, correct=np.arange(100) % 10 != 0)
    found = json.loads(table(capsys, *BY, "--json"))["verdicts"]["test/accuracy"]
    assert found["winner"] is None
    assert "not the best predictions" in found["sentence"]


MISTAKES = {
    "no metric": (("--by", "model"), "--metric test/accuracy"),
    "another metric": (("--metric", "test/acuracy"), "Did you mean 'test/accuracy'?"),
    "another key": (("--by", "modle", "--metric", "test/accuracy"), "Did you mean 'model'?"),
    "a key twice": ((*BY, "--by", "model"), "received model twice"),
    "mixed configs": (("--metric", "test/accuracy"), "differ in model"),
    "no run fits": (("params.model = 'rnn'", *BY), "nothing to show"),
    "no filter": (("params.model ~ 'rnn' = 3", *BY), "MLflow does not understand"),
    "no such ID": (("ffffffff", *BY), "names no run"),
    "another ending": ((*BY, "-o", "paper.pdf"), "ends in .tex"),
    "no folder": ((*BY, "-o", "gone/paper.tex"), "cannot be written"),
    "no paper": (("--check", "gone.tex"), "cannot be read"),
    "check and more": (("--check", "paper.tex", *BY), "expected only a file"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_with_what_to_type(models, capsys, mistake):
    arguments, expected = MISTAKES[mistake]
    message = table(capsys, *arguments, code=2)
    assert expected in message
    assert message.count("\n") == 1


def test_runs_of_one_seed_with_other_code_are_not_mixed(record, models, capsys):
    record("cnn", 0, 0.5, tags={"samerun.fingerprint": "of other code"})
    assert "different code or data" in table(capsys, *BY, code=2)


@pytest.mark.parametrize("name", ["paper.tex", "paper.md"])
def test_a_paper_is_checked_digit_by_digit(models, project, capsys, name):
    table(capsys, *BY, "--metric", "test/log_loss", "-o", name)
    file, original = project / name, (project / name).read_text()
    assert "4 numbers checked, all follow" in table(capsys, "--check", name)
    shown = original[original.index("\nmlp" if name.endswith("tex") else "| mlp") :]
    digits = 0
    for number in re.finditer(r"\d\.\d+(?=[ $}])(?! %)", shown):
        start = original.rindex(shown) + number.start()
        for at in range(start, start + len(number[0])):
            if not original[at].isdigit():
                continue
            digits += 1
            changed = str((int(original[at]) + 1) % 10)
            file.write_text(original[:at] + changed + original[at + 1 :])
            message = table(capsys, "--check", name, code=1)
            assert "1 of 4 numbers no longer follow" in message
            assert "mlp, test/" in message
            assert "expected 0." in message
    assert digits >= 8


def test_rounding_and_leaving_out_an_interval_still_follow_but_rounding_wrongly_does_not(
    models, project, capsys
):
    table(capsys, *BY, "-o", "paper.tex")
    file, original = project / "paper.tex", (project / "paper.tex").read_text()
    for text in (r"$\mathbf{0.93} \pm 0.01$", "0.926", r"\textbf{0.9}"):
        file.write_text(original.replace(r"$\mathbf{0.926} \pm 0.014$", text))
        assert "2 numbers checked, all follow" in table(capsys, "--check", "paper.tex")
    for text in (r"$0.92 \pm 0.014$", "$0.926 \\pm $", "", "92.6", r"$0.926 \pm 0.014 \pm 1$"):
        file.write_text(original.replace(r"$\mathbf{0.926} \pm 0.014$", text))
        assert "line" in table(capsys, "--check", "paper.tex", code=1)


def test_a_bold_number_that_is_no_winner_is_named(models, project, capsys):
    table(capsys, *BY, "-o", "paper.tex")
    file = project / "paper.tex"
    file.write_text(file.read_text().replace("$0.82", r"$\mathbf{0.82}").replace("}0}", "0}"))
    assert "mlp, test/accuracy: bold, but cnn is better" in table(
        capsys, "--check", "paper.tex", code=1
    )


def test_a_run_that_is_gone_no_longer_carries_its_number(models, project, client, capsys):
    table(capsys, *BY, "-o", "paper.md")
    client.delete_run(models["cnn"][2])
    message = table(capsys, "--check", "paper.md", code=1)
    assert f"run {models['cnn'][2]} is not in the store" in message


def test_a_file_without_bound_numbers_is_refused(models, project, capsys):
    (project / "paper.tex").write_text("accuracy 0.926 % of 5 runs\n")
    assert "no number in it names its runs" in table(capsys, "--check", "paper.tex", code=2)


HOSTILE = r"<b>&_%|$\input{x} --> % samerun: a, b = " + "0" * 32


def test_a_key_that_the_first_run_lacks_counts_too(record, capsys):
    record("cnn", 0, 0.9)
    record("cnn", 1, 0.9, **{"model.dropout": "0.1"})
    record("cnn", 2, 0.9, **{"model.dropout": "0.5"})
    message = table(capsys, *BY, code=2)
    assert "differ in model.dropout" in message


def test_the_runs_of_a_paper_are_read_at_once(models, project, capsys, monkeypatch):
    table(capsys, *BY, "-o", "paper.md")
    made = []
    monkeypatch.setattr(
        "samerun.report.table_check.Catalog", lambda uri: made.append(uri) or tracking.Catalog(uri)
    )
    assert "all follow" in table(capsys, "--check", "paper.md")
    assert len(made) == 1


def test_a_name_from_the_store_stays_text_in_every_format(record, project, capsys):
    for seed in (0, 1):
        record(HOSTILE, seed, 0.9 + seed / 100)
        record("=1+1", seed, 0.8 + seed / 100)
    latex = table(capsys, *BY, "--latex")
    assert r"\&\_\%\textbar{}\$\textbackslash{}input\{x\}" in latex
    markdown = table(capsys, *BY, "--markdown")
    assert "<b>" not in markdown
    assert markdown.count("<!--") == 3
    assert "'=1+1" in table(capsys, *BY, "--csv")
    for name, text in {"paper.tex": latex, "paper.md": markdown}.items():
        (project / name).write_text(text)
        assert "2 numbers checked, all follow" in table(capsys, "--check", name)
