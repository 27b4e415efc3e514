"""Runs of another person's store: none of their code runs, each is refused in one sentence."""

import dataclasses
import functools
import io
import json
import os
import sqlite3

import numpy as np
import pytest

from samerun import cli, config, tracking
from samerun.errors import UserError
from samerun.replay import isolated, recorded, worktree
from samerun.tracking import local
from support.project import git

PLAIN = ["training.epochs=1", "model=mlp"]
NEW_FILE = (
    "diff --git a/{0} b/{0}\nnew file mode 100644\n--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+x\n"
)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@functools.cache
def resolved(*overrides):
    return config.compose([*PLAIN, *overrides]).resolved


def refused(capsys, *overrides):
    """Runs a command that has to be refused; returns its sentence."""
    assert cli.main(list(overrides)) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize("flags", [["--check"], ["--dry-run"], []])
def test_a_config_that_names_os_system_runs_nothing(store, project, capsys, flags):
    overrides = ["model=custom", "model.target=os:system", "+model.params.command=touch ran"]
    run_id = store({"config/resolved.yaml": resolved(*overrides)})
    message = refused(capsys, "reproduce", run_id, *flags)
    assert "os:system" in message
    assert "--trust" in message
    assert not (project / "ran").exists()


def test_a_data_set_that_names_a_function_runs_nothing(store, project, capsys):
    overrides = ["dataset=custom", "dataset.target=os:system", "+dataset.params.command=touch ran"]
    run_id = store({"config/resolved.yaml": resolved(*overrides)})
    assert "os:system" in refused(capsys, "reproduce", run_id)
    assert not (project / "ran").exists()


@pytest.mark.parametrize("trusted", ["my_code", "my_code:build", "my_code:os.system"])
def test_a_trusted_module_lends_nothing_that_it_imports(store, project, capsys, trusted):
    (project / "my_code.py").write_text("import os\n\ndef build(spec):\n    pass\n")
    words = ["model=custom", "model.target=my_code:os.system", "+model.params.command=touch ran"]
    run_id = store({"config/resolved.yaml": resolved(*words)})
    for flags in ([], ["--check"], ["--dry-run"]):
        message = refused(capsys, "reproduce", run_id, *flags, "--trust", trusted)
        assert "my_code:os.system" in message
    assert not (project / "ran").exists()


def test_a_refusal_has_no_command_that_a_store_wrote(store, capsys):
    words = ["model=custom", "model.target='x:f; touch ran'"]
    run_id = store({"config/resolved.yaml": resolved(*words)})
    assert "give --trust MODULE if" in refused(capsys, "reproduce", run_id)


def test_what_is_trusted_is_only_what_was_named(store, capsys):
    run_id = store({"config/resolved.yaml": resolved("model=custom", "model.target=os:system")})
    for trusted in ("posix", "o", "os.path", "recorded-code"):
        assert "--trust" in refused(capsys, "reproduce", run_id, "--trust", trusted)


@pytest.mark.parametrize(
    "seed",
    [
        "${oc.env:SECRET}",
        '"\\x24{oc.env:SECRET}"',
        '"$\\u007boc.env:SECRET}"',
        "!!python/object/apply:os.system ['touch ran']",
        "!!int 0",
        "&a 0",
    ],
)
def test_a_config_with_more_than_values_is_not_used(store, project, capsys, monkeypatch, seed):
    monkeypatch.setenv("SECRET", "41")
    text = resolved().replace("\nseed: 0", f"\nseed: {seed}")
    assert seed in text
    run_id = store({"config/resolved.yaml": text})
    assert "not written by samerun" in refused(capsys, "reproduce", run_id, "--check")
    assert not (project / "ran").exists()


def test_aliases_of_aliases_do_not_fill_the_memory(store, capsys):
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n"
    for one, other in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{other}: &{other} [{','.join([f'*{one}'] * 9)}]\n"
    assert "alias" in refused(capsys, "reproduce", store({"config/resolved.yaml": bomb}))


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "", "\0"])
def test_a_config_that_is_none_is_one_sentence(store, capsys, text):
    run_id = store({"config/resolved.yaml": text})
    assert refused(capsys, "reproduce", run_id).count("\n") == 1


def test_a_run_that_samerun_did_not_record_is_recognized(store, capsys):
    assert "was not made by samerun" in refused(capsys, "reproduce", store({"a.txt": "x"}))


def test_a_pickle_where_arrays_belong_is_not_loaded(store, project):
    buffer = io.BytesIO()
    evil = np.array([Evil(f"touch {project / 'ran'}")], dtype=object)
    np.savez(buffer, probabilities=evil)
    run_id = store({"evaluation/predictions.npz": buffer.getvalue()})
    (run,) = tracking.find_runs([run_id])
    with pytest.raises(UserError, match="something else than plain arrays"):
        recorded.predictions(run)
    assert not (project / "ran").exists()


CLIMBING = [
    "../outside",
    "../../../secret",
    "a/../../b",
    "config/../../../../secret",
    "{project}/secret",
    "/etc/passwd",
    "a\\b",
    "",
]


@pytest.mark.parametrize("path", CLIMBING)
def test_a_path_that_climbs_out_of_the_artifacts_is_not_read(store, project, path):
    (project / "secret").write_text("s")
    (run,) = tracking.find_runs([store({"a.txt": "x"})])
    with pytest.raises(UserError, match="leads out of"):
        tracking.read_artifact(run, path.format(project=project))


def test_a_link_among_the_artifacts_does_not_lead_out(store, project):
    (project / "secret").write_text("the secret")
    run_id = store({"config/resolved.yaml": resolved()})
    (target,) = project.glob(f"mlruns/*/{run_id}/artifacts/config/resolved.yaml")
    target.unlink()
    target.symlink_to(project / "secret")
    (run,) = tracking.find_runs([run_id])
    with pytest.raises(UserError) as caught:
        recorded.read(run)
    assert "the secret" not in str(caught.value)


@pytest.mark.parametrize("is_said", [True, False])
def test_an_artifact_that_is_too_large_is_refused_unfetched_where_its_size_is_listed(
    store, capsys, monkeypatch, is_said
):
    from mlflow import MlflowClient
    from mlflow.entities import FileInfo

    run_id = store({"config/resolved.yaml": "a: " + 200_000 * "x"})
    fetched = []
    fetch = MlflowClient.download_artifacts

    def noted(client, run, path, folder):
        fetched.append(path)
        return fetch(client, run, path, folder)

    monkeypatch.setattr(MlflowClient, "download_artifacts", noted)
    monkeypatch.setattr(local, "artifact_folder", lambda *_: None)  # as on a server
    if not is_said:
        silent = [FileInfo("config/resolved.yaml", False, None)]
        monkeypatch.setattr(MlflowClient, "list_artifacts", lambda *_: silent)
    message = refused(capsys, "reproduce", run_id)
    assert "its config/resolved.yaml has 200003 bytes, expected at most 200000" in message
    assert bool(fetched) is not is_said


def test_a_file_that_is_too_large_is_refused(store, capsys):
    run_id = store({"config/resolved.yaml": "a: " + 200_000 * "x"})
    message = refused(capsys, "reproduce", run_id)
    assert "its config/resolved.yaml has 200003 bytes, expected at most 200000" in message


@pytest.mark.parametrize("place", ["elsewhere", "/etc", "", "{project}/secrets", "a\0b"])
def test_a_folder_that_a_database_names_for_artifacts_is_not_opened(store, project, place):
    (project / "secrets").mkdir()
    (project / "secrets/key.txt").write_text("the secret")
    run_id = store({"a.txt": "x"})
    with sqlite3.connect(project / "mlflow.db") as database:
        query = "update runs set artifact_uri = ?"
        database.execute(query, (place.format(project=project),))
    database.close()
    (run,) = tracking.find_runs([run_id])
    assert tracking.list_artifacts(run) == ["a.txt"]


@pytest.mark.parametrize(
    "changes", [{"id": "../secrets"}, {"id": "a" * 31}, {"experiment_id": "../secrets"}]
)
def test_a_run_whose_ids_are_none_of_mlflows_has_no_folder(store, project, changes):
    run_id = store({"a.txt": "x"})
    (run,) = tracking.find_runs([run_id])
    for place in (f"mlruns/{run.experiment_id}/{'a' * 31}", "mlruns/secrets", f"secrets/{run_id}"):
        (project / place / "artifacts").mkdir(parents=True)
    uri = tracking.resolve_uri(None)
    assert local.artifact_folder(run, uri) is not None
    assert local.artifact_folder(dataclasses.replace(run, **changes), uri) is None


def test_links_below_the_artifacts_are_neither_listed_nor_followed(store, project):
    (project / "secrets").mkdir()
    (project / "secrets/key.txt").write_text("the secret")
    run_id = store({"a.txt": "x"})
    (folder,) = project.glob(f"mlruns/*/{run_id}/artifacts")
    (folder / "file.txt").symlink_to(project / "secrets/key.txt")
    (folder / "folder").symlink_to(project / "secrets")
    (run,) = tracking.find_runs([run_id])
    assert tracking.list_artifacts(run) == ["a.txt"]
    for path in ("file.txt", "folder/key.txt"):
        with pytest.raises(UserError, match="cannot be read"):
            tracking.read_artifact(run, path)


@pytest.fixture
def checkout(project):
    git(project, "init", "--quiet")
    (project / ".gitignore").write_text("mlruns\nmlflow.db*\noutputs\n")
    git(project, "add", ".gitignore")
    git(project, "commit", "--quiet", "-m", "first")
    return git(project, "rev-parse", "HEAD")


def with_code(commit, patch=""):
    code = {"commit": commit, "branch": "main", "left_out": [], "digest": "0" * 64}
    artifacts = {
        "config/resolved.yaml": resolved(),
        "provenance/provenance.json": json.dumps({"code": code, "packages": {}}),
    }
    return artifacts | ({"provenance/uncommitted.diff": patch} if patch else {})


OUTSIDE = {
    "up": NEW_FILE.format("../ran"),
    "far up": NEW_FILE.format("a/../../ran"),
    "hooks": NEW_FILE.format(".git/hooks/post-checkout"),
    "hooks elsewhere": NEW_FILE.format("part/.GIT/config"),
    "quoted": NEW_FILE.format("ran").replace("b/ran", '"b/\\056\\056/ran"'),
    "link": NEW_FILE.format("link").replace("100644", "120000").replace("+x", "+/tmp"),
    "absolute": NEW_FILE.format("/tmp/samerun_ran"),
    "submodule": NEW_FILE.format("part").replace("100644", "160000"),
    "no patch": "rm -rf /\n",
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_a_patch_that_leaves_the_tree_is_refused(tmp_path, kind):
    with pytest.raises(UserError, match="of it runs"):
        worktree.check_patch(OUTSIDE[kind], tmp_path)


@pytest.mark.parametrize("kind", ["up", "link"])
def test_such_a_patch_is_never_applied(store, checkout, project, capsys, kind):
    run_id = store(with_code(checkout, OUTSIDE[kind]))
    asked = ["reproduce", run_id, "--code"]
    assert "--trust recorded-code" in refused(capsys, *asked)
    assert "nothing of it runs" in refused(capsys, *asked, "--trust", "recorded-code")
    assert not (project.parent / "ran").exists()
    assert len(git(project, "worktree", "list").splitlines()) == 1


def test_a_folder_that_the_store_names_is_no_proof_that_the_patch_is_ours(
    store, checkout, project, capsys
):
    patch = NEW_FILE.format("new.py")
    folder = project / "prepared"
    (folder / "artifacts/provenance").mkdir(parents=True)
    (folder / "artifacts/provenance/uncommitted.diff").write_text(patch)
    (folder / "run.json").write_text(json.dumps({"id": "another run"}))
    run_id = store(with_code(checkout, patch), folder=str(folder))
    assert "--trust recorded-code" in refused(capsys, "reproduce", run_id, "--code")


@pytest.mark.parametrize("commit", ["--upload-pack=touch ran", "HEAD", "0" * 40, "master; ls"])
def test_a_commit_that_is_none_is_not_given_to_git(store, checkout, project, capsys, commit):
    message = refused(capsys, "reproduce", store(with_code(commit)), "--code")
    assert "is not in the clone" in message
    assert not (project / "ran").exists()


@pytest.mark.parametrize(
    "line",
    [
        "--no-binary=:all:",
        "evil @ file:///tmp/evil",
        "-e .",
        "git+https://example.invalid/a",
        "numpy",
        "numpy==2; touch ran",
    ],
)
def test_a_list_of_packages_holds_names_and_versions_only(line):
    with pytest.raises(UserError, match="nothing is installed"):
        isolated.pinned(f"keras==3.0\n{line}\n")


def test_samerun_itself_is_never_taken_from_an_index():
    assert isolated.pinned("samerun==0.1.0\npip==1\nnumpy==2.1.0\n") == ["numpy==2.1.0"]


def test_a_name_cannot_speak_to_the_terminal(store, project, capsys):
    run_id = store({"a.txt": "x"}, name="\x1b]0;owned\x07\x1b[2J")
    assert "\x1b" not in refused(capsys, "reproduce", run_id)


def test_a_patch_inside_the_tree_is_fine(tmp_path):
    worktree.check_patch(NEW_FILE.format("part/.gitignore"), tmp_path)


def test_a_config_of_plain_values_is_checked_without_pyyamls_own_parser(monkeypatch):
    for name in ("scan", "safe_load"):
        monkeypatch.setattr(recorded.yaml, name, lambda *_: pytest.fail("the slow parser"))
    recorded.check_values_only(resolved())
