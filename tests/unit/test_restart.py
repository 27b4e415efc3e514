"""A restarted run resumes from none of its checkpoints, wherever they are."""

import shutil
from pathlib import Path

import pytest

from samerun import checkpoints, config, tracking
from samerun import tags as tag
from samerun.checkpoints import TrainingState
from samerun.errors import UserError
from samerun.replay import restart, resume


def by_id(run_id):
    (run,) = tracking.find_runs([run_id])
    return run


def write(run, epoch, number):
    """Writes a checkpoint and uploads it, as a run with a server does."""
    folder = run.folder / "checkpoints"
    checkpoints.write(folder, TrainingState(epoch=epoch, step=0, arrays={}, meta={}), is_best=True)
    run.log_file(checkpoints.for_upload(folder, number), "checkpoints")


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_a_run_that_is_to_begin_again_does_not_continue_from_a_checkpoint(
    client, monkeypatch, caplog, is_elsewhere
):
    monkeypatch.setattr(resume, "_check_code", lambda *_: None)
    cfg, folder = config.compose().config, Path("1")

    def found():
        state = resume.find_state(by_id(run.id), cfg, uri=None)
        return None if state is None else state.epoch

    with tracking.open_run(cfg, folder) as run:
        for number in range(3):
            write(run, number + 1, number)
    if is_elsewhere:
        shutil.rmtree(folder)
    assert found() == 3
    restart.discard_checkpoints_if_requested(by_id(run.id), uri=None)
    assert found() == 3  # no restart was requested

    restart.request_restart(client, run.id)
    restart.discard_checkpoints_if_requested(by_id(run.id), uri=None)
    assert found() is None
    assert caplog.messages == []  # nothing is damaged

    with tracking.reopen_run(Path("2") if is_elsewhere else folder, run_id=run.id) as again:
        write(again, 1, 0)
    restart.discard_checkpoints_if_requested(by_id(run.id), uri=None)
    assert found() == 1
    shutil.rmtree("2" if is_elsewhere else folder)
    assert found() == 1


@pytest.mark.parametrize("other", ["machine", "folder"])
def test_a_run_that_continued_elsewhere_resumes_from_its_newest_checkpoint(
    client, monkeypatch, caplog, other
):
    monkeypatch.setattr(resume, "_check_code", lambda *_: None)
    cfg, folder = config.compose().config, Path("1")

    def found():
        return resume.find_state(by_id(run.id), cfg, uri=None).epoch

    with tracking.open_run(cfg, folder) as run:
        write(run, 1, 0)
    shutil.copytree(folder, "here")
    with tracking.reopen_run(folder, run_id=run.id) as again:
        write(again, 2, 1)
    shutil.rmtree(folder)
    Path("here").rename(folder)  # as it is where the run began
    key, value = (tag.HOST, "other") if other == "machine" else (tag.FOLDER, "/elsewhere/1")
    client.set_tag(run.id, key, value)
    assert found() == 2
    checkpoints.write(
        folder / "checkpoints", TrainingState(epoch=3, step=0, arrays={}, meta={}), is_best=False
    )
    assert found() == 3  # which was not uploaded

    def unavailable(*_, **__):
        raise UserError("The file cannot be read.")

    monkeypatch.setattr(tracking, "download_artifact", unavailable)
    assert found() == 3
    assert "The file cannot be read" in caplog.text
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="cannot be read"):
        found()
