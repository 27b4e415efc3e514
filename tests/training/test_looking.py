"""`samerun tensorboard`: links to event files of this machine's own runs, and copies of others."""

import contextlib
import json
import os
import sys
from pathlib import Path

import pytest

from samerun import cli, tracking
from support.tables import mostly_slow


@pytest.fixture
def shown(monkeypatch):
    """The links and the copied files that TensorBoard would be given; it is not started."""
    found = {}

    class Server:
        def wait(self):
            return 0

    @contextlib.contextmanager
    def look(command, environment, *, is_quiet):
        for entry in Path(command[command.index("--logdir") + 1]).iterdir():
            files = {str(f.relative_to(entry)): f.read_text() for f in entry.rglob("*.*")}
            found[entry.name] = os.readlink(entry) if entry.is_symlink() else files
        yield Server()

    tensorboard_command = sys.modules["samerun.cli.tensorboard_command"]  # not its function
    monkeypatch.setattr(tensorboard_command, "serve", look)
    monkeypatch.setattr(tensorboard_command, "wait_for", lambda *_: None)
    monkeypatch.setattr(tensorboard_command, "check_port", lambda *_: None)
    return found


@pytest.fixture
def recorded(store, project):
    """Makes a run that this machine recorded, with event files in its folder; returns its ID."""

    def make(name, has_events=True):
        folder = project / "outputs" / str(len(list(project.glob("outputs/*"))))
        (folder / "tensorboard").mkdir(parents=True) if has_events else folder.mkdir(parents=True)
        run_id = store({}, name=name, folder=str(folder))
        facts = {"id": run_id, "name": "n", "uri": tracking.resolve_uri(None), "experiment_id": "1"}
        (folder / "run.json").write_text(json.dumps(facts))
        return run_id, folder

    return make


@pytest.mark.parametrize(
    "name",
    mostly_slow(
        ["{out}/LINK", "../../LINK", "..", ".", "a/b", "\x1b]0;owned\x07", "x" * 500, "ü= 1"],
        "{out}/LINK",
        "\x1b]0;owned\x07",
    ),
)
def test_a_run_is_shown_under_a_name_that_leads_nowhere(
    recorded, shown, tmp_path_factory, capsys, name
):
    out = tmp_path_factory.mktemp("out")
    run_id, folder = recorded(name.format(out=out))
    assert cli.main(["tensorboard", run_id]) == 0
    ((link, target),) = shown.items()
    assert target == str(folder / "tensorboard")
    assert link.endswith(f"-{run_id[:8]}")
    assert not os.listdir(out)
    assert "\x1b" not in "".join(capsys.readouterr())


def test_two_runs_of_one_name_are_two(recorded, shown):
    first, second = recorded("same")[0], recorded("same")[0]
    assert cli.main(["tensorboard", first, second, first[:12]]) == 0
    assert sorted(shown) == sorted(f"same-{run_id[:8]}" for run_id in (first, second))


def test_a_folder_that_only_the_store_names_is_not_shown(
    store, recorded, shown, tmp_path_factory, capsys
):
    theirs = tmp_path_factory.mktemp("theirs")
    (theirs / "tensorboard").mkdir()
    foreign = store({}, name="\x1b[2Jforeign", folder=str(theirs))
    assert cli.main(["tensorboard", foreign]) == 2
    message = capsys.readouterr().err
    assert "TensorBoard has nothing to show" in message
    assert "\x1b" not in message
    run_id, _ = recorded("mine")
    assert cli.main(["tensorboard", foreign, run_id]) == 0
    assert list(shown) == [f"mine-{run_id[:8]}"]
    assert "no event files" in capsys.readouterr().err


def test_event_files_of_a_run_of_another_machine_are_copied_from_the_store(store, shown):
    foreign = store({}, name="theirs", folder="/nowhere")
    client = tracking.connect(tracking.resolve_uri(None))
    client.log_text(foreign, "points", "tensorboard/train/events.out.tfevents.1")
    client.log_text(foreign, "page", "tensorboard/plugins/page.html")
    client.log_text(foreign, "other", "other/events.out.tfevents.1")
    assert cli.main(["tensorboard", foreign]) == 0
    assert shown == {f"theirs-{foreign[:8]}": {"train/events.out.tfevents.1": "points"}}


def test_the_address_of_the_requested_tab_is_printed_alone_on_its_line(recorded, shown, capsys):
    run_id, _ = recorded("mine")
    for arguments, tab in (([], "scalars"), (["--tab", "hparams"], "hparams")):
        assert cli.main(["tensorboard", run_id, "--port", "6010", *arguments]) == 0
        assert f"http://localhost:6010/#{tab}" in capsys.readouterr().out.splitlines()
    with pytest.raises(SystemExit):
        cli.main(["tensorboard", run_id, "--tab", "curves"])
    assert "hparams" in capsys.readouterr().err


def test_a_run_without_event_files_is_named(recorded, shown, capsys):
    run_id, _ = recorded("bare", has_events=False)
    assert cli.main(["tensorboard", run_id]) == 2
    assert "no event files" in capsys.readouterr().err
