"""Modules whose code runs at their first use."""

import inspect
import sys
import threading
import time

import pytest

from samerun import deferred

SLOW = """
import time
from package import runs
runs.append(__name__)
time.sleep(0.1)
def used(): return "used"
LAST = 1
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that imports its module `later`, which is deferred, at once."""
    folder = tmp_path / "package"
    folder.mkdir()
    code = "runs = []\nfrom package import later as later, now as now\n"
    folder.joinpath("__init__.py").write_text(code)
    folder.joinpath("now.py").write_text("from package import runs\nruns.append(__name__)\n")
    folder.joinpath("later.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(deferred, "MODULES", ("package.later", "package.missing"))
    deferred.defer_modules()
    deferred.defer_modules()
    yield __import__("package")
    for name in [name for name in sys.modules if name.partition(".")[0] == "package"]:
        del sys.modules[name]


def test_the_code_of_a_deferred_module_runs_once_and_when_it_is_used(package):
    assert package.runs == ["package.now"]
    from package.later import used

    assert package.runs == ["package.now", "package.later"]
    assert used() == "used"
    assert package.later.LAST == 1
    assert package.runs.count("package.later") == 1
    with pytest.raises(AttributeError, match="module 'package.later' has no attribute 'absent'"):
        _ = package.later.absent


def test_a_look_through_all_modules_does_not_run_a_deferred_one(package):
    assert inspect.getmodule(threading.Thread.run.__code__) is threading  # asks all modules
    assert inspect.ismodule(package.later)
    assert not hasattr(package.later, "__wrapped__")
    assert package.later.__file__.endswith("later.py")
    assert "package.later" not in package.runs


def test_two_threads_get_all_of_a_deferred_module(package):
    found = []
    threads = [threading.Thread(target=lambda: found.append(package.later.LAST)) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.01)
    found.append(package.later.LAST)
    for thread in threads:
        thread.join()
    assert found == [1] * 5
    assert package.runs.count("package.later") == 1


def test_a_deferred_module_that_fails_is_run_again_and_a_missing_one_is_missing(package, tmp_path):
    file = tmp_path / "package" / "later.py"
    file.write_text("1 / 0\n")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            _ = package.later.used
    with pytest.raises(ModuleNotFoundError):
        __import__("package.missing")
