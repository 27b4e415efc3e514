"""What a user installs: the wheel in an empty environment, used in an empty folder."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

from support.environments import build_wheel, install, locked, new_environment
from support.project import PROGRAMS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def wheel(shared_folder):
    """The wheel, built once, whatever the number of test processes."""
    folder = shared_folder / "wheel"
    with FileLock(shared_folder / "wheel.lock"):
        if not folder.exists():
            build_wheel(ROOT, shared_folder / "wheel.new")
            (shared_folder / "wheel.new").rename(folder)
    (file,) = folder.glob("samerun-*.whl")
    return file


@pytest.mark.slow
def test_the_wheel_carries_every_config_file(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    for name in ("conf", "experiments"):
        for path in (ROOT / name).rglob("*.yaml"):
            assert f"samerun/{path.relative_to(ROOT).as_posix()}" in inside
    template = ROOT / "src" / "samerun" / "template"
    for path in template.rglob("*.in"):
        assert f"samerun/template/{path.relative_to(template).as_posix()}" in inside
    assert "samerun/py.typed" in inside


@pytest.mark.slow(seconds=50)
def test_the_wheel_trains_in_an_empty_environment_and_an_empty_folder(wheel, tmp_path):
    python = new_environment(tmp_path / "env")
    install(python, str(wheel), "-c", str(locked(tmp_path)))
    work = tmp_path / "work"
    work.mkdir()
    arguments = [python.with_name("samerun"), "train", "debug=fast"]
    done = subprocess.run(arguments, cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "score" in done.stdout
    assert (work / "mlflow.db").exists()


@pytest.mark.gallery  # some minutes: about twenty processes import TensorFlow
def test_all_that_init_writes_works_with_the_wheel_outside_of_the_repository(wheel):
    program = [sys.executable, PROGRAMS / "own_project_walk.py", "--wheel", wheel]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "0 failed"
