"""Secrets planted in eight places are found nowhere: files, databases, screen, process list."""

import io
import os
import re
import stat
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from samerun import config
from samerun.cli import main
from samerun.config.secrets import check_secrets_given, hide_secrets
from samerun.errors import UserError
from samerun.privacy import keep_private
from support.mlflow_server import Server
from support.project import git
from support.warm import Warm

PLANTED = {
    place: f"planted-{number}-S3cret"
    for number, place in enumerate(
        ["user", "password", "query", "override", "tag", "environment", "untracked", "file"]
    )
}
OWN = """\
import keras

def build(spec, api_key, works):
    if not works:
        raise ValueError(f"the key {api_key} is refused")
    inputs = keras.Input(spec.input_shape)
    outputs = keras.layers.Dense(spec.num_outputs, activation="softmax")
    return keras.Model(inputs, outputs(keras.layers.Flatten()(inputs)))
"""


def _contents(file):
    """The bytes of a file and, of an archive, those of its members."""
    content = file.read_bytes()
    yield content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name.encode() + archive.read(name)


def _leaks(folder, *texts):
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    found = [
        f"{place} in {file.relative_to(folder)}"
        for file in files
        for content in _contents(file)
        for place, secret in PLANTED.items()
        if secret.encode() in content or secret in str(file)
    ]
    return found + [p for p, secret in PLANTED.items() if any(secret in text for text in texts)]


def _watched(arguments, folder, environment):
    """Runs a command; returns what it printed and the arguments of all processes it started."""
    process = Warm(
        [sys.executable, "-m", "samerun", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        umask=0o022,
    )
    typed = "\0".join([sys.executable, "-m", "samerun", *arguments, ""])
    seen = set()

    def look():
        while process.poll() is None:
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    # What the person typed stands there; also in a child before it calls exec.
                    if (arguments := place.read_text(errors="replace")) != typed:
                        seen.add(arguments)
                except OSError:
                    continue
            time.sleep(0.2)

    watcher = threading.Thread(target=look)
    watcher.start()
    printed, _ = process.communicate(timeout=280)
    watcher.join()
    return process.returncode, printed, seen


@pytest.fixture
def place(tmp_path):
    """A project in a git checkout, beside the secrets that a person has there."""
    project = tmp_path / "project"
    (project / "own" / "experiment").mkdir(parents=True)
    (project / "own_model.py").write_text(OWN)
    (project / "own/experiment/mine.yaml").write_text(
        "# @package _global_\ntracking:\n  tags:\n    db_password: " + PLANTED["file"] + "\n"
    )
    git(project, "init", "--quiet")
    git(project, "add", "own_model.py")
    git(project, "commit", "--quiet", "-m", "first")
    (project / ".env").write_text(f"X={PLANTED['untracked']}\n")
    (project / "notes.py").write_text(f"api_token = '{PLANTED['untracked']}'\n")
    return project


@pytest.mark.slow
def test_no_planted_secret_leaves_the_place_where_it_was_put(
    place, tmp_path_factory, prepared_database
):
    elsewhere = tmp_path_factory.mktemp("server")
    server = Server(elsewhere, prepared_database)
    environment = {**os.environ, "SERVICE_TOKEN": PLANTED["environment"]}
    environment["PYTHONPATH"] = str(place)
    environment.pop("MLFLOW_TRACKING_URI", None)
    arguments = [
        "train",
        "debug=fast",
        "dataset.limit=60",
        "model=custom",
        "tracking.log_model=false",
    ]
    arguments += ["model.target=own_model:build", f"+model.params.api_key={PLANTED['override']}"]
    arguments += [f"+tracking.tags.api_token={PLANTED['tag']}", "tracking.log_figures=false"]
    arguments += ["+tracking.tags.note=${oc.env:SERVICE_TOKEN}", "experiment=mine"]
    arguments += [f"hydra.searchpath=[file://{place}/own]"]
    at = f"127.0.0.1:{server.port}"
    printed, seen = [], set()
    try:
        for address, works in (
            (f"http://alice:{PLANTED['password']}@{at}", "true"),
            (f"http://{PLANTED['user']}@{at}", "false"),
            (f"postgresql://alice@127.0.0.1:1/x?password={PLANTED['query']}", "true"),
        ):
            more = [f"tracking.uri='{address}'", f"+model.params.works={works}"]
            code, text, others = _watched([*arguments, *more], place, environment)
            printed.append(text)
            seen |= others
            assert (code == 0) == (works == "true" and at in address), text
    finally:
        server.stop()
    assert "is refused" in printed[1]  # the error itself is shown
    stored = b"".join(file.read_bytes() for file in elsewhere.rglob("*.db"))
    assert b"api_token" in stored
    for file in (place / ".env", place / "notes.py", place / "own/experiment/mine.yaml"):
        file.unlink()  # where they were put
    assert _leaks(place, *printed, *seen) == []
    assert _leaks(elsewhere) == []
    (run_folder,) = {file.parent for file in place.rglob("history.csv")} or {None}
    assert run_folder is not None
    outputs = place / "outputs"
    for file in [outputs, *outputs.rglob("*")]:
        assert not stat.S_IMODE(file.lstat().st_mode) & 0o077, file


def test_a_run_of_the_library_is_private_too(project):
    cfg = config.compose(["model=mlp"]).config
    from samerun import tracking

    (project / "mlflow.db").unlink()
    with tracking.open_run(cfg, Path("runs/1")):
        assert stat.S_IMODE(Path("runs/1").stat().st_mode) == 0o700
    assert stat.S_IMODE((project / "mlflow.db").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [
        (0o755, 0o022, 0o077),
        (0o755, 0o777, 0o777),
        (0o2775, 0o022, 0o027),
        (0o2775, 0o002, 0o007),
        (0o2755, 0o022, 0o077),
    ],
)
def test_files_are_private_unless_a_group_shares_the_folder(
    tmp_path, monkeypatch, mode, before, after
):
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(mode)
    kept = os.umask(before)
    try:
        keep_private()
        assert os.umask(kept) == after
    finally:
        os.umask(kept)


def test_hydras_files_are_rewritten_without_secrets_and_stay_readable(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(
        "tracking:\n  uri: http://alice:hun ter2@h\n  tags: {api_token: planted}\n"
        "task: ['+tracking.tags.api_token=two planted words', seed=1]\nx: ${seed}\n"
    )
    hide_secrets(file)
    text = file.read_text()
    assert "planted" not in text
    assert "ter2" not in text
    assert "x: ${seed}" in text
    before = text
    hide_secrets(file)
    assert file.read_text() == before


def test_a_stored_config_names_the_secret_that_has_to_be_given_again(tmp_path):
    overrides = ["model=custom", "model.target=m:f", "+model.params.api_key=hunter2"]
    overrides += ["+tracking.tags.api_token=hunter2"]
    made = config.compose(overrides)
    assert "hunter2" not in f"{made.resolved}{made.composed}{made.overrides}"
    assert made.config.model.params["api_key"] == "hunter2"
    assert "hunter2" not in str(config.flatten(made.config))
    stored = config.from_yaml(made.resolved)
    assert config.fingerprint(stored) == config.fingerprint(made.config)
    with pytest.raises(UserError, match=r"model\.params\.api_key=VALUE"):
        check_secrets_given(stored)
    check_secrets_given(made.config)


def test_a_mistake_in_an_override_is_reported_without_its_secret(project, capsys):
    overrides = ["+tracking.tags.api_token=tag-S3cret-1", "tracking.uri=ftp://alice:pw-S3cret@h"]
    assert main(["train", *overrides]) == 2
    assert main(["train", "+sweep.api_token = x-S3cret-2"]) == 2
    assert not re.search("S3cret", "".join(capsys.readouterr()))
