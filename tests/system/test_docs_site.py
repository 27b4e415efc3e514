"""The documentation in a real browser: search finds what newcomers ask, pages are accessible."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import pages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(pages.CHROMIUM is None, reason="needs chromium: see .ci/run"),
]

ROOT = Path(__file__).parents[2]
QUESTIONS = {
    "how do I install it": "how-to/first-steps",
    "tab completion in zsh": "how-to/first-steps",
    "train on my own images": "how-to/own-data",
    "what is a config group": "how-to/compose",
    "override a value on the command line": "how-to/compose",
    "use a gpu": "how-to/gpu",
    "mixed precision": "how-to/gpu",
    "jupyter notebook": "how-to/notebooks",
    "resume after slurm preemption": "how-to/preemption",
    "out of memory": "how-to/gpu",
    "command not found": "how-to/troubleshooting",
    "hyperparameter search": "how-to/sweeps",
    "is the difference significant": "how-to/compare",
    "latex table": "how-to/compare",
    "five seeds mean and interval": "how-to/seeds-and-folds",
    "predict on new data": "how-to/use-a-model",
    "onnx": "how-to/export-and-promote",
    "own loss function": "how-to/custom-components",
    "send a run to a colleague": "how-to/share-a-run",
    "exit code 143": "reference/exit-codes",
    "model.dropout": "reference/config/model",
    "delete checkpoints": "how-to/retention",
}
"""What a newcomer types, and the page that is among the first three results."""
_ASK = """
const questions = QUESTIONS, found = {};
const frames = questions.map(one => {
  const frame = document.createElement("iframe");
  frame.src = "search.html?q=" + encodeURIComponent(one);
  document.body.append(frame);
  return frame;
});
const poll = () => {
  frames.forEach((frame, index) => {
    const root = frame.contentDocument;
    const items = root ? [...root.querySelectorAll("#search-results ul.search > li > a")] : [];
    if (items.length > 0)
      found[questions[index]] = items.slice(0, 12).map(item => item.getAttribute("href"));
  });
  document.title = btoa(unescape(encodeURIComponent(JSON.stringify(found))));
  setTimeout(poll, 200);
};
poll();
"""


@pytest.fixture(scope="session")
def site(made_once):
    """The site, built as `make docs` does."""

    def build(folder):
        command = [sys.executable, "-m", "sphinx", "-q", "--fail-on-warning", str(ROOT / "docs")]
        done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr

    return made_once("site", build)


@pytest.fixture(scope="module")
def results(site):
    """The pages that the search finds for each question, the best first."""
    page = site / f"questions-{os.getpid()}.html"  # other test processes use the same site
    script = _ASK.replace("QUESTIONS", json.dumps([*QUESTIONS]))
    page.write_text(f"<!DOCTYPE html><body><script>{script}</script>")
    dom, _ = pages.browse(page, "--allow-file-access-from-files")
    title = re.search("<title>([A-Za-z0-9+/=]+)</title>", dom)
    found = json.loads(base64.b64decode(title[1]))
    return {
        question: list(dict.fromkeys(re.sub(r"\.html.*", "", one) for one in hits))
        for question, hits in found.items()
    }


@pytest.mark.parametrize("question", QUESTIONS)
def test_search_finds_the_page_among_the_first_three(results, question):
    assert QUESTIONS[question] in results.get(question, [])[:3]


def test_links_to_other_sites_are_listed_with_their_pages(site):
    lines = (site / "external-links.txt").read_text().splitlines()
    assert len(lines) > 20
    assert any(line.startswith("https://hydra.cc  ") for line in lines)
    assert [line for line in lines if line.startswith("http://") and "127.0.0.1" not in line] == []


def test_search_works_in_a_folder_without_server_or_network(site, results):
    page = site / f"alone-{os.getpid()}.html"
    page.write_text('<script>location = "search.html?q=preemption"</script>')
    dom, asked = pages.browse(page)
    assert "how-to/preemption.html" in dom
    assert asked == set()


@pytest.mark.skipif(
    not pages.AXE.exists(),
    reason="axe-core is not installed: npm install --prefix .axe --no-save axe-core@4.14.1",
)
@pytest.mark.parametrize(
    ("is_dark", "width"), [(False, 1400), (True, 500)], ids=["light", "dark and narrow"]
)
@pytest.mark.parametrize(
    "name",
    [
        "index",
        "how-to/sweeps",
        "reference/commands",
        "reference/config/training",
        "notebooks/own_arrays",
        "notebooks/text_reviews",
    ],
)
def test_axe_finds_no_violation(site, name, is_dark, width):
    assert pages.violations_beside(site / f"{name}.html", is_dark=is_dark, width=width) == []
