"""Where a run comes from: commits, uncommitted work, packages, and no secrets."""

import importlib.metadata
import subprocess

import pytest

from conftest import git
from samerun import provenance


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "code.py").write_text("x = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_a_clean_checkout_has_a_commit_and_no_diff(checkout):
    code = provenance.collect("samerun train", checkout).code
    assert len(code.commit) == 40
    assert code.branch == "main"
    assert not code.is_dirty


def test_changed_and_new_files_stand_in_the_diff_and_apply_again(checkout, tmp_path_factory):
    (checkout / "code.py").write_text("x = 2\n")
    (checkout / "new name.py").write_text("y = 1\n")
    (checkout / "data.bin").write_bytes(b"\0" * 1_100_000)
    code = provenance.collect("samerun train", checkout).code
    assert code.is_dirty
    assert code.left_out == {"data.bin": "is no source"}
    other = tmp_path_factory.mktemp("other") / "clone"
    git(checkout, "clone", "--quiet", ".", str(other))
    subprocess.run(["git", "apply", "-"], cwd=other, input=code.diff.encode(), check=True)
    assert (other / "code.py").read_text() == "x = 2\n"
    assert (other / "new name.py").read_text() == "y = 1\n"


def test_outside_a_checkout_the_package_is_still_known(tmp_path):
    code = provenance.collect("samerun train", tmp_path).code
    assert code.commit is None
    assert not code.is_dirty
    assert len(code.digest) == 64


def test_the_digest_follows_contents_and_names(tmp_path):
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("1")
    second.write_text("2")
    before = provenance.digest_of_files([first, second], tmp_path)
    assert before == provenance.digest_of_files([second, first], tmp_path)
    second.write_text("3")
    assert before != provenance.digest_of_files([first, second], tmp_path)


def test_only_variables_that_can_change_a_result_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret")
    monkeypatch.setenv("TF_TOKEN_app_terraform_io", "secret of another program")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    found = provenance.collect("samerun train", tmp_path).environment
    assert found["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert not any("TOKEN" in name for name in found)


def test_each_file_of_the_package_has_a_digest_and_the_build_of_tensorflow_too():
    files = provenance.package_files()
    assert "samerun/provenance.py" in files
    assert all(len(digest) == 64 for digest in files.values())
    found = provenance.collect("samerun train")
    assert len(found.tensorflow_build) > 40
    assert found.machine.processor


def test_the_installed_packages_are_read_once_in_a_process(monkeypatch):
    def found():
        return provenance.collect("samerun train"), provenance.distributions_of(["keras"])

    before = found()
    for name in ("distribution", "distributions", "packages_distributions"):
        monkeypatch.setattr(importlib.metadata, name, lambda *_: pytest.fail("read again"))
    assert found() == before


def test_the_identity_follows_config_code_and_data():
    identity = provenance.identity("c", {"a.py": "1"}, {"train": "2"})
    assert identity == provenance.identity("c", {"a.py": "1"}, {"train": "2"})
    others = {
        provenance.identity("d", {"a.py": "1"}, {"train": "2"}),
        provenance.identity("c", {"a.py": "3"}, {"train": "2"}),
        provenance.identity("c", {"b.py": "1"}, {"train": "2"}),
        provenance.identity("c", {"a.py": "1"}, {"test": "2"}),
    }
    assert len(others | {identity}) == 5


def test_a_distribution_has_one_name_however_it_is_spelled():
    spelled = ("ML_Dtypes", "ml.dtypes", "ml--dtypes")
    assert {provenance.normalized(name) for name in spelled} == {"ml-dtypes"}
    needed = provenance.requirements("samerun")
    assert {"hydra-core", "scikit-learn"} <= needed
    assert not {"ruff", "distributed"} & needed  # of extras
