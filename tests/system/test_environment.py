"""The environment of `samerun reproduce --env`: which installer, from where, and a real one."""

import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

from samerun.errors import UserError
from samerun.replay import environment

RULES = ["--no-deps", "--only-binary", ":all:", "--no-binary", "antlr4-python3-runtime"]
TINY = [
    "model=mlp",
    "debug=fast",
    "tracking=lean",
]


def program(folder, text="exit 0", name="uv"):
    """Writes an executable script and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder beside the interpreter and one on `PATH`, both empty."""
    beside, on_path = tmp_path / "beside", tmp_path / "path"
    beside.mkdir()
    on_path.mkdir()
    monkeypatch.setattr(environment.sys, "executable", str(beside / "python"))
    monkeypatch.setattr(environment.sysconfig, "get_path", lambda name: str(beside))
    monkeypatch.setenv("PATH", str(on_path))
    return {"beside": beside, "path": on_path}


@pytest.mark.parametrize(
    ("has_uv", "chosen"),
    [(["beside"], "beside"), (["path"], "path"), (["beside", "path"], "beside"), ([], None)],
)
def test_uv_is_taken_from_beside_the_interpreter_then_from_the_path(places, has_uv, chosen):
    for place in has_uv:
        program(places[place])
    python, file = Path("/env/bin/python"), Path("/env.txt")
    uv = environment.find_uv()
    arguments = environment.command(uv, python, file)
    if chosen is None:
        start = [str(python), "-m", "pip", "install", "--quiet"]
    else:
        start = [str(places[chosen] / "uv"), "pip", "install", "--quiet", "--python", str(python)]
    assert arguments == [*start, *RULES, "-r", str(file)]


def test_a_uv_in_the_working_folder_is_not_run(places, tmp_path, monkeypatch):
    program(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".{os.pathsep}{places['path']}")
    assert environment.find_uv() is None


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder with one tiny wheel, which is all that pip's settings offer."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    facts = "tiny_thing-1.2.dist-info"
    with zipfile.ZipFile(folder / "tiny_thing-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_thing.py", "answer = 42\n")
        wheel.writestr(
            f"{facts}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.2\n"
        )
        wheel.writestr(
            f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        names = ["tiny_thing.py", f"{facts}/METADATA", f"{facts}/WHEEL", f"{facts}/RECORD"]
        wheel.writestr(f"{facts}/RECORD", "".join(f"{name},,\n" for name in names))
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")  # pip takes it from the working folder
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture(scope="session")
def empty(made_once):
    """An environment that holds pip only."""

    def make(folder):
        assert environment._new(folder / "environment") is None

    return made_once("empty_environment", make) / "environment"


@pytest.fixture
def copies(empty, monkeypatch):
    """New environments are copies of one: to make one takes seconds."""

    def copy(folder):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(empty, folder, symlinks=True)

    monkeypatch.setattr(environment, "_new", copy)


def made(folder, *packages):
    """Makes an environment; returns what the package in it answers, and what was printed."""
    out = Console(file=io.StringIO(), width=200)
    python = environment.make(folder / "environment", packages, out)
    arguments = [str(python), "-c", "import tiny_thing; print(tiny_thing.answer)"]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return answer.stdout.strip(), out.file.getvalue()


def test_pip_installs_the_packages_where_uv_fails(wheels, copies, tmp_path, monkeypatch, caplog):
    broken = program(
        tmp_path / "bin", f"echo ran >>{tmp_path}/ran; echo error: no luck >&2; exit 1"
    )
    monkeypatch.setattr(environment, "find_uv", lambda: broken)
    answer, printed = made(tmp_path, "tiny-thing==1.2")
    assert answer == "42"
    assert "Installing 1 recorded packages with uv ..." in printed
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert [record.getMessage() for record in caplog.records] == [
        "uv failed (error: no luck); pip installs the packages, which takes minutes."
    ]


def test_a_package_that_no_installer_finds_is_one_sentence(wheels, copies, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "find_uv", lambda: None)
    with pytest.raises(UserError, match=r"cannot be installed: ERROR: .*tiny-thing==9") as raised:
        made(tmp_path, "tiny-thing==9")
    assert "\n" not in str(raised.value)


def test_uv_looks_where_pip_looks_and_passwords_are_not_on_its_command_line(
    wheels, copies, tmp_path, monkeypatch
):
    fake = program(
        tmp_path / "bin", f'pwd >{tmp_path}/ran; echo "$@" >>{tmp_path}/ran; env >>{tmp_path}/ran'
    )
    monkeypatch.setattr(environment, "find_uv", lambda: fake)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:password@index.invalid/packages")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://more.invalid/packages")
    environment.make(tmp_path / "environment", ["tiny-thing==1.2"], Console(file=io.StringIO()))
    folder, overrides, *variables = (tmp_path / "ran").read_text().splitlines()
    assert folder == tmp_path.anchor
    assert "password" not in overrides
    assert "--no-index" not in overrides
    assert "UV_INDEX_URL=https://me:password@index.invalid/packages" in variables
    assert "UV_EXTRA_INDEX_URL=https://more.invalid/packages" in variables
    assert f"UV_FIND_LINKS={wheels}" in variables


@pytest.fixture
def uv():
    """The real uv."""
    found = environment.find_uv()
    if found is None:
        pytest.skip("needs uv")
    return found


def test_uv_installs_wheels_and_obeys_no_settings_of_the_working_folder(
    uv, wheels, copies, tmp_path, caplog
):
    (tmp_path / "uv.toml").write_text("this is no TOML")
    assert made(tmp_path, "tiny-thing==1.2")[0] == "42"
    assert not caplog.records


def test_uv_builds_no_source_distribution(uv, wheels, copies, tmp_path, monkeypatch, caplog):
    source = tmp_path / "tiny_source-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(tmp_path / 'built')!r}, 'w')\n")
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: tiny-source\nVersion: 1.0\n")
    shutil.make_archive(str(wheels / "tiny_source-1.0"), "gztar", tmp_path, source.name)
    with pytest.raises(UserError, match="tiny-source==1.0"):
        made(tmp_path, "tiny-source==1.0")
    assert "tiny-source" in caplog.text
    assert not (tmp_path / "built").exists()


@pytest.mark.slow(seconds=60)
def test_a_run_is_exact_in_an_environment_of_its_recorded_packages(uv, project, samerun):
    trained = samerun("train", *TINY, "tracking.run_name=tiny", cwd=project)
    assert trained.returncode == 0, trained.stderr
    again = samerun("reproduce", "tiny", "--env", cwd=project)
    assert again.returncode == 0, again.stderr
    assert "recorded packages with uv" in again.stdout
    assert "uv failed" not in again.stderr
    assert "EXACT:" in again.stdout
