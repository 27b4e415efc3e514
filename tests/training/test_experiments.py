"""Every experiment by its command, and data and code of a user's own."""

import csv
import json
import os
import re
import shutil

import numpy as np
import pytest
from omegaconf import OmegaConf

from samerun import config, experiments, tracking
from samerun.cli import main
from samerun.data.images import MNIST_SHA256
from samerun.errors import UserError
from samerun.folders import package_folder
from support import official_files, resuming
from support.project import PROGRAMS
from support.resuming import run_in

ENTRIES = {entry.name: entry for entry in experiments.load_experiments()}
EMBEDDED = {name: entry for name, entry in ENTRIES.items() if entry.is_embedded}
SPACES = {space.name: space for space in experiments.load_search_spaces()}
FOLDER = package_folder("experiments")
DOWNLOADED = {"cifar10", "cifar100", "fashion_mnist", "imdb", "mnist", "reuters"}
NO_NETWORK = {  # a port without a server: a download fails at once instead of after a while
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://[::1]:9"),
    **dict.fromkeys(("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"), ""),
}
LEAN = ("tracking.log_model=false", "tracking.tensorboard=false")


def finished():
    """Returns the one run of this folder, which has to be finished."""
    (run,) = tracking.find_runs()
    assert run.status == "FINISHED", run.tags.get("samerun.reason")
    return run


# The gallery.


def test_the_gallery_page_is_what_the_command_prints(samerun, tmp_path):
    done = samerun("experiments", "--markdown", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = (FOLDER / "README.md").read_text("utf-8")
    assert written == done.stdout, "run `make gallery`"
    assert all(f"| [`{name}`](experiment/{name}.yaml) |" in written for name in ENTRIES)
    assert all(f"| [`{name}`](sweep/{name}.yaml) |" in written for name in SPACES)


def test_the_list_has_one_line_for_every_file(samerun, tmp_path):
    done = samerun("experiments", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines, rest, spaces, last = done.stdout.split("\n\n")
    named = [line.split()[0] for line in lines.splitlines()]
    assert named == sorted(path.stem for path in (FOLDER / "experiment").rglob("*.yaml"))
    named_spaces = [line.split()[0] for line in spaces.splitlines()]
    assert named_spaces == sorted(path.stem for path in (FOLDER / "sweep").rglob("*.yaml"))
    assert all(
        ENTRIES[name].what in line for name, line in zip(named, lines.splitlines(), strict=True)
    )
    assert "samerun train experiment=" in rest
    assert "samerun train -m experiment=digits_cnn sweep=" in last


@pytest.mark.parametrize("name", ENTRIES)
def test_a_header_states_what_its_source_and_its_command(name):
    entry = ENTRIES[name]
    lines = (FOLDER / "experiment" / f"{name}.yaml").read_text("utf-8").splitlines()
    given = dict(
        line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line
    )
    assert (given["What"], given["Source"]) == (entry.what, entry.source)
    assert given["Command"] == entry.command == f"samerun train experiment={name}"
    assert len(entry.what) > 10
    assert set(entry.runs.split()) <= set(ENTRIES)
    if entry.is_embedded:
        assert entry.score()[0].startswith(("test/", "validation/"))


@pytest.mark.parametrize("name", SPACES)
def test_a_search_space_states_what_its_command_and_its_result(name):
    space = SPACES[name]
    head = (FOLDER / "sweep" / f"{name}.yaml").read_text("utf-8").splitlines()
    assert f"# Command: {space.command}" in head
    assert len(space.what) > 10
    cfg = OmegaConf.load(FOLDER / "sweep" / f"{name}.yaml")
    assert f"{cfg.n_trials} trials" in space.measured
    assert re.search(r", \d+ s$", space.measured)


@pytest.mark.parametrize("name", ENTRIES)
def test_what_needs_a_download_names_a_twin_that_does_not(name):
    entry = ENTRIES[name]
    if entry.runs:
        assert all(ENTRIES[run].is_embedded for run in entry.runs.split())
        return
    (file,) = (FOLDER / "experiment").rglob(f"{name}.yaml")
    (kind,) = re.findall(r"^  - override /dataset: (\w+)$", file.read_text("utf-8"), re.MULTILINE)
    assert entry.is_embedded == (kind not in DOWNLOADED)
    assert entry.twin in EMBEDDED if not entry.is_embedded else entry.twin in ("", *EMBEDDED)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        pytest.param(["experiment=tour"], ["-m", "{tour}"], id="alone"),
        pytest.param(["-m", "experiment=tour"], ["-m", "{tour}"], id="multirun"),
        pytest.param(
            ["experiment=tour", "seed=1,2", "--multirun"],
            ["-m", "{tour}", "seed=1,2"],
            id="overrides",
        ),
        pytest.param(["experiment=digits_cnn"], ["experiment=digits_cnn"], id="another"),
        pytest.param(["model=mlp"], ["model=mlp"], id="none"),
    ],
)
def test_the_tour_stands_for_a_multirun_of_its_three(overrides, expected):
    tour = "experiment=digits_cnn,digits_lstm_rows,docstrings_simple_rnn"
    assert ENTRIES["tour"].runs.replace(" ", ",") == tour.partition("=")[2]
    assert experiments.expand(overrides) == [word.format(tour=tour) for word in expected]


def test_a_score_that_cannot_be_read_is_refused():
    entry = experiments.Experiment(name="mine", what="a", source="b", measured="98 %")
    with pytest.raises(UserError, match=r"mine.yaml: received 'Measured: 98 %'"):
        entry.score()


# The scores.


def is_near(metric, reached, written):
    """Shares of right answers by 0.03 of all; errors and perplexities by 5 % of themselves."""
    is_error = any(word in metric for word in ("error", "perplexity", "loss"))
    return abs(reached - written) <= (0.05 * written if is_error else 0.03)


@pytest.mark.gallery
@pytest.mark.parametrize("name", EMBEDDED)
def test_an_experiment_reaches_its_score(name, project, monkeypatch):
    metric, written = EMBEDDED[name].score()
    assert written > 0, "its header has no measured value yet"
    for key, value in NO_NETWORK.items():
        monkeypatch.setenv(key, value)
    # In this process: with one each, the 18 longest took 1,023 s instead of 882.
    assert main(EMBEDDED[name].command.split()[1:]) == 0
    reached = finished().metrics[metric]
    assert is_near(metric, reached, written), f"{metric}: {reached:.4g}, written down {written:.4g}"


# Files of the official formats.


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if not entry.runs])
def test_an_experiment_is_built_and_trains_two_steps(name, tmp_path, monkeypatch):
    """`make gallery-check` trains them to their scores."""
    cfg = config.compose([f"experiment={name}"]).config
    kind = cfg.dataset.kind
    if kind in official_files.WRITERS:
        official_files.prepare(kind, tmp_path / "keras", monkeypatch)
    run = run_in(tmp_path / "run")
    limit = f"dataset.limit={2 * cfg.dataset.batch_size}"
    result = resuming.train([f"experiment={name}", limit, "training.epochs=1"], run)
    assert {step for key, step in run.points if key == "train/step_loss"} == {1, 2}
    assert all(np.isfinite(value) for value in result.metrics.values())


def train_on(kind, overrides, project, monkeypatch):
    """Runs an experiment on official files of our own making, without a network."""
    official_files.prepare(kind, project / "keras", monkeypatch)
    for key, value in NO_NETWORK.items():
        monkeypatch.setenv(key, value)
    assert main(["train", *overrides]) == 0
    run = finished()
    assert run.tags["samerun.dataset"] == kind
    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides", "params"),
    [
        pytest.param(
            "mnist_cnn",
            ["training.epochs=1"],
            {"model": "cnn", "dataset.batch_size": "32", "dataset.view": "image"},
            id="mnist_cnn",
        ),
        pytest.param(
            "mnist_lstm_rows",
            ["training.epochs=1", "dataset.batch_size=16"],
            {"model": "lstm", "dataset.view": "rows", "model.units": "[50]"},
            id="mnist_lstm_rows",
        ),
        pytest.param(
            "cifar10_cnn",
            ["training.epochs=1", "dataset.limit=1600"],
            {"model": "cnn", "model.filters": "[32,64,64]", "dataset.batch_size": "64"},
            id="cifar10_cnn",
        ),
    ],
)
def test_pictures_of_the_official_format_train_from_the_command_line(
    name, overrides, params, project, monkeypatch
):
    kind = name.partition("_")[0]
    run = train_on(kind, [f"experiment={name}", "tracking=lean", *overrides], project, monkeypatch)
    assert params.items() <= run.params.items()
    assert run.params["training.epochs"] == "1"
    assert run.metrics["test/accuracy"] > 0.25  # the labels are written into the pictures
    assert {"train/loss", "validation/accuracy", "test/log_loss"} <= set(run.metrics)


@pytest.mark.slow
def test_reviews_of_the_official_format_keep_keras_numbers_of_words(project, monkeypatch):
    overrides = ["dataset.max_length=8", "model.units=[8]", "training.epochs=1"]
    run = train_on("imdb", ["experiment=imdb_simple_rnn", *overrides], project, monkeypatch)
    assert (run.params["model"], run.params["dataset.max_length"]) == ("simple_rnn", "8")
    assert {"test/accuracy", "test/log_loss", "validation/accuracy"} <= set(run.metrics)
    folder = run.folder / "artifacts"
    tokens = json.loads((folder / "data" / "preprocessing.json").read_text())["vocabulary"][
        "tokens"
    ]
    assert (len(tokens), tokens[4], tokens[-1]) == (10_000, "word1", f"word{official_files.LAST}")
    # The model takes the texts themselves; a word that is not among the most frequent is unknown.
    given = json.loads((folder / "model" / "input_example.json").read_text())
    reviews = [
        [f"word1 {opinion} word{official_files.LAST} \ufffd"] for opinion in ("word2", "word3")
    ]
    assert len(given["data"]) == 2
    assert all(row in reviews for row in given["data"])


def test_without_a_network_the_message_names_the_file_and_its_place(project, samerun):
    environment = {**os.environ, **NO_NETWORK, "KERAS_HOME": str(project / "keras")}
    done = samerun("train", "dataset=mnist", cwd=project, env=environment)
    assert done.returncode == 2, done.stderr
    (sentence,) = done.stderr.splitlines()
    assert all(word in sentence for word in ("mnist.npz", MNIST_SHA256))
    assert str(project / "keras" / "datasets") in sentence
    assert "Traceback" not in done.stdout + done.stderr


# A folder of a user's own.


def jpegs(project):
    """Real JPEG files of two classes, taken apart by their color."""
    from PIL import Image

    random = np.random.default_rng(0)
    for name, channel in (("poppies", 0), ("cornflowers", 2)):
        (project / "pictures" / name).mkdir(parents=True)
        for number in range(40):
            picture = random.integers(0, 80, (20, 24, 3)).astype(np.uint8)
            picture[..., channel] += 150
            Image.fromarray(picture).save(project / "pictures" / name / f"{number}.jpg")


def write_csv(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def table(project):
    """Two numbers and a category; the price is made of all three."""
    random = np.random.default_rng(0)
    rows = []
    for size, rooms in zip(random.uniform(30, 150, 200), random.integers(1, 6, 200), strict=True):
        town = ("Aachen", "Bonn")[rooms % 2]
        rows.append([f"{size:.1f}", rooms, town, f"{2 * size + (50 if town == 'Bonn' else 0):.2f}"])
    write_csv(project / "flats.csv", ["size", "rooms", "town", "price"], rows)


def code(project):
    """A package of the user's own in this folder, and a file that its function reads."""
    (project / "mine").mkdir()
    (project / "mine" / "__init__.py").touch()
    shutil.copy(PROGRAMS / "own_folder_code.py", project / "mine" / "parts.py")
    (project / "slope.txt").write_text("0.5")


def texts(project):
    """Sentences whose class is given by one of their words."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(200):
        word, label = (("lovely", "praise"), ("dreadful", "blame"))[number % 2]
        filler = [f"filler{rank}" for rank in random.integers(0, 30, 5)]
        rows.append([" ".join([*filler[:3], word, *filler[3:]]), label])
    write_csv(project / "reviews.csv", ["text", "label"], rows)


def series(project):
    """A wave with a date a step."""
    days = np.datetime64("2024-01-01") + np.arange(200)
    values = 20 + 5 * np.sin(np.arange(200) / 5)
    rows = [[str(day), f"{value:.4f}"] for day, value in zip(days, values, strict=True)]
    write_csv(project / "sales.csv", ["date", "sales"], rows)


@pytest.mark.parametrize(
    ("make", "overrides", "metric", "is_learned"),
    [
        pytest.param(
            jpegs,
            "dataset=image_folder dataset.path=pictures dataset.height=16 dataset.width=16 "
            "model=cnn model.filters=[4] model.dense_units=[4] dataset.batch_size=8 "
            "training.epochs=5 optimizer.learning_rate=0.01",
            "test/accuracy",
            lambda value: value > 0.9,
            id="image_folder",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            code,
            "dataset=custom dataset.target=mine.parts:load +dataset.params.path=slope.txt "
            "+dataset.params.num=300 model=custom model.target=mine.parts:build "
            "+model.params.width=8 training.epochs=10 optimizer.learning_rate=0.03",
            "test/accuracy",
            lambda value: value > 0.8,
            id="custom",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            code,
            "model=custom model.target=mine.parts:build +model.params.width=16 training.epochs=5 "
            "optimizer.learning_rate=0.01",
            "test/accuracy",
            lambda value: value > 0.5,
            id="custom_model",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            code,
            "dataset=custom dataset.target=mine.parts:load +dataset.params.path=slope.txt "
            "+dataset.params.num=300 model=mlp training.epochs=10 optimizer.learning_rate=0.01",
            "test/accuracy",
            lambda value: value > 0.8,
            id="custom_dataset",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            table,
            "dataset=table_csv dataset.path=flats.csv dataset.target=price model=mlp "
            "training.epochs=20 optimizer.learning_rate=0.01",
            "test/r2",
            lambda value: value > 0.8,
            id="table_csv",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            texts,
            "dataset=text_csv dataset.path=reviews.csv dataset.vocabulary_size=50 "
            "dataset.max_length=8 model=gru model.units=[8] model.embedding_dim=8 "
            "training.epochs=8 optimizer.learning_rate=0.03",
            "test/accuracy",
            lambda value: value > 0.9,
            id="text_csv",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            series,
            "dataset=series_csv dataset.path=sales.csv dataset.target=sales "
            "dataset.date_column=date dataset.window=10 model=lstm model.units=[8] "
            "training.epochs=10 optimizer.learning_rate=0.03",
            "test/mean_absolute_error",
            lambda value: value < 1.5,
            id="series_csv",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_data_and_code_of_a_users_own_train_with_one_command(
    make, overrides, metric, is_learned, project, samerun
):
    make(project)
    before = {path.name for path in project.iterdir()}
    # As the installed command does, Python does not look into the working folder by itself.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = samerun("train", *overrides.split(), *LEAN, cwd=project, env=environment)
    assert done.returncode == 0, done.stderr
    run = finished()
    assert is_learned(run.metrics[metric]), run.metrics
    for word in overrides.split():
        key, value = word.removeprefix("+").split("=")
        assert run.params[key] == value
    new = {path.name for path in project.iterdir()} - before
    assert new <= {"mlflow.db.lock", "mlruns", "outputs"}, "something was written elsewhere"
