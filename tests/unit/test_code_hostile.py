"""A commit or a clone whose git settings would run programs: samerun runs none of them."""

from types import SimpleNamespace

import pytest

from samerun import provenance
from samerun.config import compose
from samerun.replay import code_diff, worktree
from samerun.replay.recorded import Provenance
from support.project import git

MARK = "program-ran"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A git clone with one commit to check out, and a program that leaves a mark when it runs."""
    top = tmp_path / "clone"
    (top / "src").mkdir(parents=True)
    git(top, "init", "--quiet")
    (top / "src" / "model.py").write_text("x = 1\n")
    program = tmp_path / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / MARK}\ncat\n")
    program.chmod(0o755)
    monkeypatch.chdir(top)
    return SimpleNamespace(top=top, program=program, mark=tmp_path / MARK)


def checked_out(clone):
    """Checks the clone's last commit out as `samerun reproduce --code` does; returns its files."""
    recorded = SimpleNamespace(commit=git(clone.top, "rev-parse", "HEAD"), patch=None, left_out={})
    run = SimpleNamespace(id="0" * 32, folder=clone.top)
    stored = SimpleNamespace(provenance=recorded, run=run, cfg=compose([]).config)
    clone.mark.unlink(missing_ok=True)  # the commands that made the commit may have run it
    with worktree.checked_out(stored, ()) as made:
        return {
            str(path.relative_to(made.folder)): path.read_text()
            for path in made.folder.rglob("*")
            if path.is_file() and ".git" not in path.parts and path.name != ".git"
        }


def commit(clone):
    git(clone.top, "add", "-A")
    git(clone.top, "commit", "--quiet", "--allow-empty", "-m", "all")


@pytest.mark.parametrize("kind", ["smudge", "process"])
@pytest.mark.parametrize("is_required", ["true", "false"])
def test_a_filter_that_the_commit_asks_for_does_not_run(clone, kind, is_required):
    (clone.top / ".gitattributes").write_text("*.py filter=evil\n")
    commit(clone)
    git(clone.top, "config", f"filter.evil.{kind}", str(clone.program))
    git(clone.top, "config", "filter.evil.required", is_required)
    assert checked_out(clone)["src/model.py"] == "x = 1\n"
    assert not clone.mark.exists()


@pytest.mark.parametrize("hook", ["post-checkout", "reference-transaction", "post-index-change"])
def test_a_hook_does_not_run(clone, hook):
    commit(clone)
    hooks = clone.top / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / hook).write_text(clone.program.read_text())
    (hooks / hook).chmod(0o755)
    assert checked_out(clone)["src/model.py"] == "x = 1\n"
    assert not clone.mark.exists()


def test_a_file_system_monitor_of_the_clone_does_not_run(clone):
    commit(clone)
    git(clone.top, "config", "core.fsmonitor", str(clone.program))
    assert checked_out(clone)["src/model.py"] == "x = 1\n"
    assert not clone.mark.exists()


def test_a_submodule_is_not_fetched(clone):
    (clone.top / ".gitmodules").write_text(
        f'[submodule "lib"]\n\tpath = lib\n\turl = ext::{clone.program}\n\tupdate = checkout\n'
    )
    commit(clone)
    linked = git(clone.top, "rev-parse", "HEAD")
    git(clone.top, "update-index", "--add", "--cacheinfo", f"160000,{linked},lib")
    git(clone.top, "commit", "--quiet", "-m", "submodule")
    git(clone.top, "config", "submodule.recurse", "true")
    git(clone.top, "config", "submodule.lib.url", f"ext::{clone.program}")
    git(clone.top, "config", "protocol.ext.allow", "always")
    found = checked_out(clone)
    assert found["src/model.py"] == "x = 1\n"
    assert not [name for name in found if name.startswith("lib")]
    assert not clone.mark.exists()


@pytest.fixture
def changed(clone):
    """The clone with a change and a new file that are not committed; returns where it is."""
    commit(clone)
    (clone.top / "src" / "model.py").write_text("x = 2\n")
    (clone.top / "new.py").write_text("y = 1\n")
    return clone


def armed(clone, setting):
    """Sets the program under a git setting, or as a hook, of the clone."""
    if "." in setting:
        git(clone.top, "config", setting, str(clone.program))
    else:
        hooks = clone.top / ".git" / "hooks"
        hooks.mkdir(exist_ok=True)
        clone.program.rename(hooks / setting)
    clone.mark.unlink(missing_ok=True)


PROGRAMS = ["core.fsmonitor", "diff.external", "post-index-change"]


@pytest.mark.parametrize("setting", PROGRAMS)
def test_recording_the_code_of_a_run_runs_no_program_of_the_clone(changed, setting):
    armed(changed, setting)
    code = provenance.collect("samerun train", changed.top).code
    assert "+x = 2" in code.diff
    assert "+y = 1" in code.diff
    assert not changed.mark.exists()


def test_recording_the_code_of_a_run_runs_no_program_of_a_submodule(changed, tmp_path):
    git(changed.top, "clone", "--quiet", ".", "lib")
    linked = git(changed.top, "rev-parse", "HEAD")
    git(changed.top, "update-index", "--add", "--cacheinfo", f"160000,{linked},lib")
    (changed.top / ".gitmodules").write_text('[submodule "lib"]\n\tpath = lib\n\turl = ./lib\n')
    commit(changed)
    git(changed.top / "lib", "config", "core.fsmonitor", str(changed.program))
    (changed.top / "lib" / "src" / "model.py").write_text("x = 3\n")
    changed.mark.unlink(missing_ok=True)
    assert "lib" in provenance.collect("samerun train", changed.top).code.diff
    assert not changed.mark.exists()


@pytest.mark.parametrize("setting", PROGRAMS)
def test_comparing_two_recorded_states_runs_no_program_of_the_clone(changed, setting):
    first = Provenance(commit=git(changed.top, "rev-parse", "HEAD"), patch="")
    git(changed.top, "add", "-A")
    git(changed.top, "commit", "--quiet", "-m", "second")
    second = Provenance(commit=git(changed.top, "rev-parse", "HEAD"), patch="")
    armed(changed, setting)
    assert "+x = 2" in code_diff.between(first, second, None)
    assert not changed.mark.exists()
