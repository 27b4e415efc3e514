"""Stored models on new data: `predict`, `generate`, `evaluate`; a store is only data."""

import csv
import io
import json
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from samerun import cli, evaluation, tracking
from samerun.config import compose
from samerun.errors import UserError
from samerun.serving import logged, server, stored_model
from support.own_files import write_own_files
from support.stored_models import model_folder, store_model
from support.tables import mostly_slow

TABLE = ("dataset=table_csv", "dataset.path=table.csv", "model=mlp", "model.units=[3]")


@pytest.fixture
def files(project):
    write_own_files(project)
    return project


def store_tables():
    write_own_files(Path.cwd())
    targets = ("price", "town")
    return {target: store_model(*TABLE, f"dataset.target={target}")[0] for target in targets}


@pytest.fixture
def tables(project, recorded_runs):
    """IDs of stored models of a table by their target, copied with their store and the files."""
    return recorded_runs.copy("predicted_tables", store_tables)


def run(capsys, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def predictions(model, dataset):
    outputs = model.predict(dataset.test, verbose=0)
    return dataset.to_units(outputs.astype(np.float64))


def not_loaded(*given, **options):
    raise AssertionError("a mistake of the user's was found only after the model was loaded")


def test_rows_are_predicted_in_the_unit_of_the_target_and_wrong_ones_are_named(
    files, capsys, monkeypatch
):
    run_id, dataset, model = store_model(*TABLE, "dataset.target=price", "dataset.limit=8")
    lines = ["town,rooms,size,note", "Bonn,2,0.5,x", "Bonn,two,0.5,x", "Rome,1,0.25,", "Bonn,,1,"]
    (files / "new.csv").write_text("\n".join([*lines, "Celle,3,-1e0,", ""]))
    code, out, err = run(capsys, "predict", run_id, "new.csv")
    assert code == 1
    assert [row["line"] for row in rows_of(out)] == ["2", "4", "6"]
    assert err.splitlines() == [
        "refused: line 3: column rooms holds 'two', expected a finite number.",
        "refused: line 5: column rooms has no value, and the model was trained on complete rows.",
    ]
    columns = dataset.preprocessing.columns
    known = dict(zip(columns.categories[0], range(3), strict=True))
    place = {name: at for at, name in enumerate(columns.numeric)}
    raw = np.zeros((2, 3))
    for row, (size, rooms, town) in zip(raw, [(0.5, 2, "Bonn"), (-1, 3, "Celle")], strict=True):
        row[[place["size"], place["rooms"], 2]] = size, rooms, known[town]
    expected = dataset.to_units(model.predict(dataset.preprocessing(raw), verbose=0).astype(float))
    found = [float(row["price"]) for row in rows_of(out)]
    np.testing.assert_allclose(np.array(found)[[0, 2]], expected[:, 0], rtol=1e-6)

    code, out, err = run(capsys, "predict", run_id, "new.csv", "-o", "out.jsonl")
    assert (code, out) == (1, "")
    made = [json.loads(line) for line in (files / "out.jsonl").read_text().splitlines()]
    assert [row["price"] for row in made] == found
    (files / "link.csv").symlink_to("linked.csv")
    (files / "linked.csv").write_text("before")
    assert run(capsys, "predict", run_id, "new.csv", "-o", "link.csv")[0] == 1
    assert (files / "link.csv").is_symlink()
    assert (files / "linked.csv").read_text().startswith("line,price")
    assert run(capsys, "predict", run_id, "new.csv", "-o", "/dev/null")[0] == 1
    assert not Path("/dev/null").is_file()
    code, _, err = run(capsys, "predict", run_id, "new.csv", "-o", "/dev/full")
    assert (code, "-o: /dev/full cannot be written" in err) == (2, True)
    (files / "wrong.csv").write_text(f"{lines[0]}\nBonn,two,1,\n")
    code, _, err = run(capsys, "predict", run_id, "wrong.csv", "-o", "linked.csv")
    assert (code, "every row was refused" in err) == (2, True)
    assert (files / "linked.csv").read_text().startswith("line,price")

    (files / "semicolon.csv").write_text("\n".join(lines[:2]).replace(",", ";"))
    code, out, err = run(capsys, "predict", run_id, "semicolon.csv")
    assert (code, err) == (0, "")
    standard_input = io.BytesIO((files / "semicolon.csv").read_bytes())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=standard_input))
    assert run(capsys, "predict", run_id, "-") == (0, out, "")

    monkeypatch.setattr(logged, "load_file", not_loaded)
    (files / "other.csv").write_text("size,Town\n1,Bonn\n")
    code, out, err = run(capsys, "predict", run_id, "other.csv")
    assert (code, out) == (2, "")
    assert err == (
        "samerun: other.csv: its first line names size, Town and lacks rooms, town, expected size, "
        "rooms, town.\n"
    )


def test_texts_and_images_get_their_labels(files, capsys):
    texts, dataset, model = store_model(
        "dataset=text_csv", "dataset.path=texts.csv", "dataset.max_length=6", "model=cnn1d"
    )
    lines = [",word1 film", ',"  "', ",a film on ☃", ',"Ein neuer, ganz anderer Text."']
    (files / "new.csv").write_text("\n".join(["label,text", *lines, ""]), "utf-8")
    code, out, err = run(capsys, "predict", texts, "new.csv")
    assert code == 1
    known = dataset.vocabulary.size - 2
    assert err.splitlines() == [
        "refused: line 3: column text holds an empty text, expected one with words.",
        "refused: line 5: column text holds only unknown words: 'ein', 'neuer', 'ganz' and others; "
        f"expected at least one of the {known} words that the model knows.",
    ]
    made = rows_of(out)
    assert [row["line"] for row in made] == ["2", "4"]
    assert {row["label"] for row in made} <= {"blame", "praise"}
    shares = [float(row["probability_blame"]) + float(row["probability_praise"]) for row in made]
    np.testing.assert_allclose(shares, 1)
    code, out, err = run(capsys, "predict", texts, "texts")
    assert code == 0
    assert [row["file"] for row in rows_of(out)][:2] == ["blame/1.txt", "blame/11.txt"]

    sizes = ("dataset.height=8", "dataset.width=8", "dataset.path=pictures")
    images, _, _ = store_model("dataset=image_folder", *sizes, "model=mlp")
    (files / "pictures" / "cats" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    code, out, err = run(capsys, "predict", images, "pictures")
    assert code == 1
    assert err == (
        "refused: file cats/broken.png: column image holds a file that is a truncated PNG file.\n"
    )
    assert len(rows_of(out)) == 42
    code, out, err = run(capsys, "predict", images, "new.csv")
    assert code == 2
    assert "every row was refused" in err
    np.save(files / "new.npy", np.stack([np.full((8, 8, 3), level, np.uint8) for level in (9, 99)]))
    code, out, err = run(capsys, "predict", images, "new.npy")
    assert (code, err) == (0, "")
    assert [row["file"] for row in rows_of(out)] == ["new.npy[0]", "new.npy[1]"]


@pytest.mark.slow
def test_an_image_is_answered_without_the_messages_of_tensorflow(files, monkeypatch):
    """It is decoded with TensorFlow before the network is loaded, in a process of its own."""
    sizes = ("dataset.height=8", "dataset.width=8", "dataset.path=pictures")
    run_id, _, _ = store_model("dataset=image_folder", *sizes, "model=mlp")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    image = next((files / "pictures" / "cats").iterdir())
    command = [sys.executable, "-m", "samerun", "predict", run_id, str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["file"] for row in rows_of(done.stdout)] == [image.name]


def test_the_next_values_of_a_series_come_with_their_dates(files, capsys):
    first = date(2024, 1, 1)
    rows = [f"{first + timedelta(days=day)},{10 * day}" for day in range(60)]
    (files / "dated.csv").write_text("\n".join(["day,sales", *rows, ""]))
    run_id, dataset, model = store_model(
        "dataset=series_csv",
        "dataset.path=dated.csv",
        "dataset.target=sales",
        "dataset.date_column=day",
        "dataset.window=3",
        "dataset.horizon=2",
        "model=mlp",
    )
    code, out, _ = run(capsys, "predict", run_id, "dated.csv")
    assert code == 0
    made = rows_of(out)
    assert [(row["line"], row["step"], row["day"]) for row in made] == [
        ("61", "1", "2024-03-01"),
        ("61", "2", "2024-03-02"),
    ]
    x = dataset.preprocessing(np.array([[[570.0], [580.0], [590.0]]]))
    expected = dataset.to_units(model.predict(x, verbose=0).astype(float))
    np.testing.assert_allclose([float(row["sales"]) for row in made], expected[0], rtol=1e-6)
    (files / "short.csv").write_text("sales\n1\n")
    code, _, err = run(capsys, "predict", run_id, "short.csv")
    assert code == 2
    assert "the series has 1 rows, expected 3 time steps or more" in err


def test_a_language_model_generates_the_same_text_from_the_same_seed(tables, capsys, monkeypatch):
    run_id, _, _ = store_model(
        "dataset=python_docs", "dataset.context_length=6", "dataset.limit=8", "model=language_model"
    )
    line = ("generate", run_id, "--prompt", "the list", "--length", "5")
    code, first, _ = run(capsys, *line, "--seed", "1")
    assert code == 0
    assert len(first.split()) == 5
    assert run(capsys, *line, "--seed", "1")[1] == first
    assert run(capsys, *line, "--seed", "2")[1] != first
    monkeypatch.setattr(logged, "load_file", not_loaded)
    code, _, err = run(capsys, "generate", run_id, "--prompt", "qwxz zzyx.")
    assert (code, "only unknown words: 'qwxz' and 'zzyx'; expected" in err) == (2, True)
    code, _, err = run(capsys, *line, "--temperature", "0")
    assert (code, "expected a number above 0" in err) == (2, True)
    code, _, err = run(capsys, "generate", tables["price"], "--prompt", "a")
    assert (code, "trained no language model" in err) == (2, True)


def test_new_labeled_data_gets_the_report_of_a_run(tables, project, capsys):
    run_id = tables["town"]
    lines = (project / "table.csv").read_text().splitlines()
    (project / "new.csv").write_text("\n".join([lines[0], *lines[5:20], ""]))
    code, out, _ = run(capsys, "evaluate", run_id, "dataset.path=new.csv")
    assert code == 0
    assert out.startswith("new data accuracy 0.")
    assert "| log loss |" in out
    (project / "new.csv").write_text(f"{lines[0]}\n1,1,Rome,3\n")
    code, _, err = run(capsys, "evaluate", run_id, "dataset.path=new.csv")
    assert code == 2
    assert "received the class 'Rome', expected those of the run: Aachen, Bonn, Celle" in err

    number, dataset, model = store_model(*TABLE, "dataset.target=price")
    cfg = compose([]).config.evaluation
    report = evaluation.evaluate(model, dataset.test, dataset.spec, cfg, to_units=dataset.to_units)
    test = dataset.splits["test"].y[:, 0]
    kept = [line for line in lines[1:] if float(line.rpartition(",")[2]) in test.tolist()]
    (project / "new.csv").write_text("\n".join([lines[0], *kept, ""]))
    code, out, _ = run(capsys, "evaluate", number, "dataset.path=new.csv")
    assert code == 0
    assert f"{report.metrics['mean_absolute_error']:.3f}" in out


EVIL = "open('executed', 'w').close()\n"


def test_nothing_of_a_store_is_executed(tables, project, capsys):
    import keras

    run_id = tables["price"]
    folder = model_folder(run_id)
    (project / "served").mkdir()
    for file in folder.rglob("*.py"):
        file.write_text(EVIL)
    code, out, _ = run(capsys, "predict", run_id, "table.csv")
    assert code == 0
    assert len(rows_of(out)) == 40

    inputs = keras.Input((6,))
    outputs = keras.layers.Lambda(lambda x: x[:, :1], output_shape=(1,))(inputs)
    keras.Model(inputs, outputs).save(folder / "data" / "model.keras")
    code, _, err = run(capsys, "predict", run_id, "table.csv")
    assert code == 2
    assert "its model cannot be loaded without running code that it holds" in err
    assert "give --trust MODULE" in err
    with pytest.raises(UserError, match="without running code that it holds"):
        server.prepare(tracking.find_runs([run_id])[0], project / "served")
    (folder / "data" / "model.keras").write_bytes(b"PK no zip")
    code, _, err = run(capsys, "predict", run_id, "table.csv")
    assert (code, "is not a .keras file, or is damaged" in err) == (2, True)
    assert "--trust" not in err
    assert not (project / "executed").exists()


@pytest.mark.parametrize(
    "text",
    mostly_slow(
        ["no JSON", "[]", "{}", '{"format": 1, "input": {"kind": "table"}}', "[" * 100_000],
        "no JSON",
    ),
)
def test_a_description_of_another_kind_is_refused_in_a_sentence(tables, capsys, text):
    run_id = tables["price"]
    (model_folder(run_id) / "raw_input.json").write_text(text)
    code, _, err = run(capsys, "predict", run_id, "table.csv")
    assert code == 2
    assert err.startswith(f"samerun: Run {run_id}: ")
    assert err.count("\n") == 1


def test_a_description_that_is_too_large_is_not_copied(tables, capsys, monkeypatch):
    run_id = tables["price"]
    monkeypatch.setattr(stored_model, "_MOST_BYTES", 10)
    code, _, err = run(capsys, "predict", run_id, "table.csv")
    assert (code, "raw_input.json' of its model has" in err) == (2, True)


def test_a_run_of_an_earlier_version_is_described_from_what_it_recorded(files, capsys):
    run_id, _, _ = store_model(*TABLE, "dataset.target=town")
    code, expected, _ = run(capsys, "predict", run_id, "table.csv")
    (model_folder(run_id) / "raw_input.json").unlink()
    assert run(capsys, "predict", run_id, "table.csv") == (code, expected, "")
    run_id, _, _ = store_model(*TABLE, "dataset.target=price")
    (model_folder(run_id) / "raw_input.json").unlink()
    code, _, err = run(capsys, "predict", run_id, "table.csv")
    assert code == 2
    assert "did not store the scale of its target" in err
    shutil.rmtree(model_folder(run_id))
    code, _, err = run(capsys, "predict", run_id, "table.csv")
    assert code == 2
