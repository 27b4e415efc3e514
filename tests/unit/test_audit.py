"""The audit of the lock file: what fails, what is printed, what is never passed over in silence."""

import importlib.util
from datetime import date
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / ".ci" / "audit.py"
TODAY = date(2026, 11, 24)


@pytest.fixture(scope="module")
def audit():
    spec = importlib.util.spec_from_file_location("audit", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(name, **vulnerability):
    given = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"], **vulnerability}
    return {"name": name, "version": "1.0", "vulns": [given] if vulnerability else []}


SKIPPED = {"name": "own", "skip_reason": "Dependency not found on PyPI"}


def test_a_vulnerability_with_a_fix_fails_and_names_the_version(audit):
    report = {"dependencies": [package("a"), package("b", fix_versions=["2.0"])]}
    code, lines = audit.verdict(report, TODAY, {})
    assert code == 1
    assert "b 1.0: PYSEC-1 is fixed in 2.0" in lines[0]


def test_a_vulnerability_without_a_fix_is_printed_and_passes(audit):
    code, lines = audit.verdict({"dependencies": [package("b", fix_versions=[])]}, TODAY, {})
    assert code == 0
    assert "has no fixed version yet" in lines[0]


@pytest.mark.parametrize("name", ["PYSEC-1", "CVE-1"])
def test_an_ignored_vulnerability_has_a_reason_and_an_end(audit, name):
    report = {"dependencies": [package("b", fix_versions=["2.0"])]}
    ignored = {name: ("the function is not called", TODAY)}
    code, lines = audit.verdict(report, TODAY, ignored)
    assert code == 0
    assert "ignored until 2026-11-24: the function is not called" in lines[0]
    assert audit.verdict(report, date(2026, 11, 25), ignored)[0] == 1


def test_an_audit_without_look_ups_reports_that_it_was_skipped(audit, monkeypatch, capsys):
    """As pip-audit answers behind a mirror that has no advisories: with success."""
    answers = {"pypi": {"dependencies": [SKIPPED, SKIPPED]}, "osv": "no route to host"}
    monkeypatch.setattr(audit, "ask", answers.get)
    assert audit.main() == 0
    output = capsys.readouterr().out
    assert output.startswith("audit: skipped")
    assert "pypi: it knows none of the packages; osv: no route to host" in output


def test_packages_that_were_not_looked_up_are_named(audit):
    code, lines = audit.verdict({"dependencies": [SKIPPED, package("a")]}, TODAY, {})
    assert code == 0
    assert "not in the advisory data: own" in lines[0]
    assert "1 of 2 packages looked up" in lines[-1]
