"""The page of `samerun compare` in a real browser: accessible, and alone."""

import pytest

from samerun import cli
from support import pages
from support.compared import add, classified, probabilities

pytestmark = pytest.mark.skipif(pages.CHROMIUM is None, reason="needs chromium: see .ci/run")

needs_axe = pytest.mark.skipif(
    not pages.AXE.exists(),
    reason="axe-core is not installed: npm install --prefix .axe --no-save axe-core@4.14.1",
)


@pytest.fixture
def page(store, project):
    """A page with every part: a verdict, differences, curves, predictions and a matrix."""
    truth, predicted, confidence = classified()
    other = predicted.copy()
    other[:60] = (truth[:60] + 2) % 4
    for name, classes, overrides in (
        ("first", predicted, ()),
        ("second", other, ("optimizer.learning_rate=0.01", "tracking.run_name=second")),
    ):
        arrays = {"probabilities": probabilities(classes, confidence), "truth": truth}
        add(store, name, *overrides, predictions=arrays)
    assert cli.main(["compare", "first", "second", "--html", "page.html"]) == 0
    return project / "page.html"


@needs_axe
@pytest.mark.parametrize(
    ("is_dark", "width"),
    [
        pytest.param(True, 400, id="dark-400"),
        pytest.param(False, 1400, id="light-1400"),
        pytest.param(True, 1400, id="dark-1400", marks=pytest.mark.slow),
        pytest.param(False, 400, id="light-400", marks=pytest.mark.slow),
    ],
)
def test_axe_finds_no_violation(page, tmp_path, width, is_dark):
    found = pages.violations(page.read_text(), tmp_path, width=width, is_dark=is_dark)
    assert found == []


@needs_axe
def test_axe_would_find_one(page, tmp_path):
    broken = page.read_text().replace('lang="en"', "").replace("alt=", "data-alt=")
    rules = {rule for rule, _ in pages.violations(broken, tmp_path)}
    assert {"html-has-lang", "image-alt"} <= rules


def test_the_page_asks_the_network_for_nothing_and_would_not_get_it(page, tmp_path):
    dom, asked = pages.browse(page)
    assert "Learning curves" in dom
    assert asked == set()
    smuggled = page.read_text().replace(
        "<main>", '<main><img src="http://example.invalid/a.png"><script>document.title=1</script>'
    )
    copy = tmp_path / "smuggled.html"
    copy.write_text(smuggled)
    dom, asked = pages.browse(copy)
    assert asked == set()
    assert "<title>1<" not in dom
    open_copy = tmp_path / "without_policy.html"
    open_copy.write_text(smuggled.replace("Content-Security-Policy", "x"))
    dom, asked = pages.browse(open_copy)
    assert "http://example.invalid/a.png" in asked
    assert "<title>1<" in dom
