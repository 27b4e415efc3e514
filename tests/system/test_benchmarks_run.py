"""The programs that `make bench` runs against other tools work, with sizes that measure nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.gallery  # installs 3 GB of competitors
@pytest.mark.parametrize(
    "line",
    [
        "whole_process.py --images 1000 --epochs 1 --pairs 1 --goal extra",
        "search.py --seeds 0 --trials 3 --most 3 --epochs 2 --limit 60",
    ],
    ids=["whole_process", "search"],
)
def test_every_competitor_runs(tmp_path, line):
    program, *arguments = line.split()
    file = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks" / program), *arguments, "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    found = json.loads(file.read_text())
    assert {"what", "value", "low", "high", "goal", "met"} == set(found["figures"][0])
    assert all(isinstance(one["value"], int | float) for one in found["figures"])
    competitors = {name for name, value in found["detail"].items() if isinstance(value, list)}
    assert len(competitors) == 4
    assert "samerun" in competitors
