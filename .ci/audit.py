#!/usr/bin/env python3
"""Asks for known vulnerabilities of what requirements.lock pins; `make audit` runs it.

It fails for a vulnerability that has a fixed version, and prints one that has none: there is
nothing to install yet, and whether samerun is affected is for a person to judge. Where the advisory
data cannot be reached it prints one line that says so and succeeds.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# What is not applied although there is a fix: ID -> (why samerun is not affected, or what the fix
# would break; the day after which this is looked at again). Nothing is ignored without an end.
IGNORED: dict[str, tuple[str, date]] = {}


def verdict(
    report: Mapping[str, Any], today: date, ignored: Mapping[str, tuple[str, date]]
) -> tuple[int, list[str]] | None:
    """Returns the exit code and the lines to print; None if nothing was looked up.

    Args:
        report: its JSON.
        today: the present day.
        ignored: as `IGNORED`.
    """
    packages = report["dependencies"]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        return None
    lines, code = [], 0
    for package in packages:
        for found in package.get("vulns", ()):
            names = {found["id"], *found.get("aliases", ())}
            reasons = [ignored[name] for name in names if name in ignored]
            place = f"audit: {package['name']} {package['version']}: {found['id']}"
            if any(until >= today for _, until in reasons):
                lines.append(f"{place} is ignored until {reasons[0][1]}: {reasons[0][0]}")
            elif not found["fix_versions"]:
                lines.append(f"{place} has no fixed version yet")
            else:
                lines.append(f"{place} is fixed in {', '.join(found['fix_versions'])}: `make lock`")
                code = 1
    if unknown:
        lines.append(f"audit: not in the advisory data: {', '.join(unknown)}")
    lines.append(f"audit: {len(packages) - len(unknown)} of {len(packages)} packages looked up")
    return code, lines


def ask(service: str) -> dict[str, Any] | str:
    """Returns the report of pip-audit with one source of advisories, or why there is none."""
    command = [Path(sys.executable).with_name("pip-audit"), "--require-hashes", "--disable-pip"]
    command += ["-r", ROOT / "requirements.lock", "--format", "json", "--vulnerability-service"]
    command += [service, "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        report: dict[str, Any] = json.loads(done.stdout)
    except (ValueError, subprocess.TimeoutExpired, OSError) as error:
        said = done.stderr.strip() if isinstance(error, ValueError) else str(error)
        return (said.splitlines() or ["no answer"])[-1]
    return report


def main() -> int:
    """Asks PyPI, then OSV; the first that knows any of the packages decides."""
    reasons = []
    for service in ("pypi", "osv"):
        report = ask(service)
        if not isinstance(report, str):
            result = verdict(report, date.today(), IGNORED)
            if result is not None:
                print("\n".join(result[1]))
                return result[0]
            report = "it knows none of the packages"
        reasons.append(f"{service}: {report[:100]}")
    print(f"audit: skipped, no advisory data can be reached ({'; '.join(reasons)})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
