"""Where a run comes from: commits, uncommitted work, packages, and no secrets."""

import importlib.metadata
import socket
import subprocess
import sys

import pytest

from samerun import provenance, tracking, uncommitted
from support.project import git


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


def test_the_files_of_the_package_are_read_once_until_one_changes(tmp_path, monkeypatch):
    package, reads = tmp_path / "samerun", []
    (package / "data").mkdir(parents=True)
    for name in ("a.py", "data/b.py"):
        (package / name).write_text("1")
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    read = provenance.digest_of_file
    monkeypatch.setattr(provenance, "digest_of_file", lambda path: reads.append(1) or read(path))
    before, digest = provenance.package_files(), provenance.collect("", tmp_path).code.digest
    assert list(before) == ["samerun/a.py", "samerun/data/b.py"]
    assert digest == provenance.digest_of_files([package / "data/b.py", package / "a.py"], package)
    reads.clear()
    assert provenance.package_files() == before
    assert not reads
    (package / "data" / "b.py").write_text("2")
    after = provenance.package_files()
    assert [name for name in after if after[name] != before[name]] == ["samerun/data/b.py"]


def test_the_installed_packages_are_read_once_in_a_process(monkeypatch):
    def found():
        return provenance.collect("samerun train"), provenance.distributions_of(["keras"])

    before = found()
    for name in ("distribution", "distributions", "packages_distributions"):
        monkeypatch.setattr(importlib.metadata, name, lambda *_: pytest.fail("read again"))
    assert found() == before


def test_the_packages_are_those_that_their_complete_metadata_has():
    every = [(one.metadata["Name"], one.version) for one in importlib.metadata.distributions()]
    assert provenance.packages() == dict(every)
    known = importlib.metadata.packages_distributions()
    tops = ["keras", "numpy", "yaml", "google", "pytest", "typing_extensions", "not_installed"]
    for top in tops:
        assert provenance.distributions_of([top]) == sorted(set(known.get(top, ())))
    assert known["typing_extensions"]  # a file, not a folder


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


SECRETS = {
    ".env": "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n",
    "id_rsa": "-----BEGIN OPENSSH PRIVATE KEY-----\nplanted-1\n",
    "credentials.json": '{"password": "planted-2"}\n',
    "conf/secrets.yaml": "a: planted-3\n",
    "my_token.txt": "planted-4\n",
    "settings.yaml": "password: hunter2-planted-5\n",
    "hub.py": 'hf_token = "planted-6-abcdef"\n',
    "notebook.ipynb": '{"source": ["login(\\"hf_' + "aB3" * 12 + '\\")"]}\n',
    "client.py": 'url = "http://alice:planted7@h"\n',
    "notes.md": "key: AKIA" + "IOSFODNN7EXAMPLE\n",
}


def test_untracked_files_with_secrets_are_left_out_and_named(checkout):
    for name, content in SECRETS.items():
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(content)
    (checkout / "tokenizer.py").write_text("num_tokens = 12\npad_token = '<pad>'\n")
    code = provenance.collect("samerun train", checkout).code
    assert set(code.left_out) == set(SECRETS)
    assert "planted" not in code.diff
    assert "tokenizer.py" in code.diff
    assert code.left_out[".env"] == "may hold secrets"
    assert code.left_out["hub.py"] == "seems to hold a secret"
    assert ".env (may hold secrets)" in uncommitted.sentence(code.left_out)


def test_a_tracked_file_is_left_out_when_its_changes_hold_a_secret(checkout):
    for name in ("code.py", "other.py", ".env"):
        (checkout / name).write_text("x = 1\n")
    git(checkout, "add", "--force", ".")
    git(checkout, "commit", "--quiet", "-m", "second")
    (checkout / "code.py").write_text("x = 1\npassword = 'planted-8'\n")
    (checkout / "other.py").write_text("x = 3\n")
    (checkout / ".env").write_text("X=planted-9\n")
    code = provenance.collect("samerun train", checkout).code
    assert set(code.left_out) == {"code.py", ".env"}
    assert "planted" not in code.diff
    assert "+x = 3" in code.diff
    assert code.is_dirty


def test_a_secret_that_was_removed_is_not_recorded_either(checkout):
    (checkout / "code.py").write_text("api_key = 'planted-10-x'\n")
    git(checkout, "commit", "--quiet", "-am", "by mistake")
    (checkout / "code.py").write_text("x = 1\n")
    code = provenance.collect("samerun train", checkout).code
    assert code.diff == ""
    assert code.left_out == {"code.py": "seems to hold a secret"}
    assert code.is_dirty


def test_code_that_reads_secrets_from_elsewhere_is_recorded(checkout):
    (checkout / "code.py").write_text(
        "import os\n"
        "password = os.environ['PASSWORD']\n"
        "uri = f'postgresql://{user}:{password}@{host}/db'\n"
        "digest = '" + "0f" * 32 + "'\n"
        "def login(token: str, password: str = '') -> None: ...\n"
    )
    code = provenance.collect("samerun train", checkout).code
    assert code.left_out == {}
    assert "os.environ" in code.diff


def test_links_binary_files_and_folders_of_data_are_named_without_being_read(checkout):
    (checkout / "link.py").symlink_to("/etc/passwd")
    (checkout / "picture.py").write_bytes(b"\0\1\2")
    (checkout / "images").mkdir()
    for number in range(50):
        (checkout / "images" / f"{number}.png").write_bytes(b"x")
    code = provenance.collect("samerun train", checkout).code
    assert code.left_out == {
        "link.py": "is a link",
        "picture.py": "is binary",
        "images/": "50 files: is no source",
    }
    assert code.diff == ""
    assert uncommitted.sentence(code.left_out).count("png") == 0


def test_the_scanner_reaches_for_no_network(checkout, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("network"))
    (checkout / "code.py").write_text("slack = 'xoxb-" + "123456789012-abcdefABCDEF'\n")
    assert provenance.collect("samerun train", checkout).code.left_out


def test_the_scanner_is_not_loaded_by_a_quick_answer(tmp_path):
    arguments = (
        "import sys, samerun.cli, samerun.provenance; print('detect_secrets' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"


def test_command_and_environment_are_recorded_without_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_X", "http://alice:planted@h")
    found = provenance.collect("samerun train +tracking.tags.api_token=planted", tmp_path)
    assert found.command == "samerun train +tracking.tags.api_token=***"
    assert found.environment["TF_ENABLE_X"] == "http://alice:***@h"


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [("a_runtime", "a_runtime==1.2"), ("a_runtime_gpu", "a-runtime-gpu==1.2"), (None, "a_runtime")],
)
def test_a_module_is_pinned_by_the_package_that_has_it(
    distribution, expected, tmp_path, monkeypatch
):
    if distribution:
        folder = tmp_path / f"{distribution}-1.2.dist-info"
        folder.mkdir()
        name = expected.partition("==")[0]
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (folder / "top_level.txt").write_text("a_runtime\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert tracking.pinned(["a_runtime"], {}) == [expected]
