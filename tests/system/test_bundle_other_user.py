"""A bundle in another folder, of another user, without network: `samerun reproduce` says EXACT."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

USER = 65534  # the ID that Linux gives to a user it does not know
TABLE = ("dataset=table_csv", "dataset.path=data/table.csv", "dataset.target=y", "model=mlp")
SHORT = ("dataset.target_type=numbers", "model.units=[4]", "training.epochs=2", "tracking=lean")
ISOLATE = ["unshare", "--net", "--"]


def succeeds(command):
    return subprocess.run(command, capture_output=True).returncode == 0


def as_another_user():
    """The beginning of a command that runs it as another user and without network."""
    become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    if not succeeds([*become, "test", "-r", os.path.realpath(sys.executable)]):
        # Python is in a home that is closed to others: this user may read all and write nothing.
        become += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return [*ISOLATE, *become]


@pytest.fixture
def elsewhere():
    """An empty folder of the other user's."""
    folder = Path(tempfile.mkdtemp(prefix="samerun-elsewhere-"))
    os.chown(folder, USER, USER)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not succeeds([*ISOLATE, "true"]),
    reason="only root may become another user, and only some containers may leave the network",
)
def test_another_user_without_network_reproduces_a_bundle_exactly(project, elsewhere, samerun):
    Path("data").mkdir()
    rows = [f"{a},{a * a % 7},{3 * a % 11}" for a in range(80)]
    Path("data/table.csv").write_text("\n".join(["a,b,y", *rows, ""]))
    trained = samerun("train", *TABLE, *SHORT, cwd=project)
    assert trained.returncode == 0, trained.stderr
    written = samerun("bundle", "latest", "run.zip", "--data", cwd=project)
    assert written.returncode == 0, written.stderr
    shutil.copy("run.zip", elsewhere)
    os.chown(elsewhere / "run.zip", USER, USER)
    for name in ("data", "mlruns", "outputs"):
        shutil.rmtree(name)
    start = as_another_user()
    environment = {"PATH": os.environ["PATH"], "HOME": str(elsewhere)}

    def run(*arguments):
        command = [*start, sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=elsewhere, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import os; print(os.getuid())").strip() == str(USER)
    run("-m", "samerun", "unbundle", "run.zip")
    assert {file.stat().st_uid for file in elsewhere.rglob("mlruns/**/*.npz")} == {USER}
    devices = run("-c", "import socket; print(*dict(socket.if_nameindex()).values())")
    assert devices.split() == ["lo"]
    assert "EXACT: bit-for-bit identical" in run("-m", "samerun", "reproduce", "latest", "--exact")
