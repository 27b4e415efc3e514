"""How Sphinx builds the documentation: `make docs`."""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import reference
from docutils import nodes

import samerun

project = "samerun"
author = "The samerun developers"
version = release = samerun.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["notebooks/*.md", "**/mlruns", "**/outputs", "**/multirun"]
# A notebook's page is its .ipynb, with results; the others are what it leaves where it is run.
nb_execution_mode = "off"  # `make notebooks` runs them; a test does as well
myst_heading_anchors = 3
myst_enable_extensions = ["deflist", "fieldlist"]
smartquotes = False  # values are shown as they are typed
highlight_language = "text"

autodoc_typehints = "description"
autodoc_member_order = "bysource"
toc_object_entries = False  # each function has a heading already
napoleon_numpy_docstring = False
default_role = "literal"  # docstrings have `code` in single backticks

html_theme = "pydata_sphinx_theme"
html_title = f"samerun {version}"
html_static_path = ["_static"]
html_search_scorer = str(Path(__file__).with_name("_static") / "scorer.js")
html_css_files = ["samerun.css"]
html_js_files = [("samerun.js", {"defer": "defer"})]
html_show_sourcelink = False
html_copy_source = False
# These have no pages beside them, so that their sidebar would be empty.
html_sidebars = dict.fromkeys(("index", "faq", "coming-from", "numbers"), [])
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 4,
    "show_toc_level": 2,
    "collapse_navigation": True,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sphinx = False

ROOT = Path(__file__).parents[1]
PAGES_ABOVE = {
    "CONTRIBUTING.md": "docs/project/contributing.md",
    "CHANGELOG.md": "docs/project/changelog.md",
    "README.md": "docs/index.md",
    "SECURITY.md": "docs/security.md",
    "experiments/README.md": "docs/reference/experiments.md",
}
"""Where a file beside docs/ is on the site."""
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]*)(#[^)\s]*)?\)")


def complete(app, name, source):
    """Puts generated parts and files beside docs/ into a page, and its links to such files right.

    A link to a file that is not on the site, such as a module, becomes its text.
    """
    page = Path(app.srcdir, f"{name}.md")
    text = source[0]
    found = re.fullmatch(r"<!-- page: (\S+) -->\s*", text)
    origin = ROOT / found[1] if found else page
    if found:
        text = origin.read_text(encoding="utf-8")
    text = _LINK.sub(lambda link: _on_site(link, origin, page), text)
    text = reference.completed(text)
    if name == "decisions/README":
        text += "\n```{toctree}\n:hidden:\n:glob:\n\n[0-9]*\n```\n"
    source[0] = text


def _on_site(link, origin, page):
    label, target, anchor = link[1], link[2], link[3] or ""
    if not target or ":" in target:
        return link[0]
    path = Path(os.path.normpath(origin.parent / target)).relative_to(ROOT).as_posix()
    path = PAGES_ABOVE.get(path, path)
    if not path.startswith("docs/"):
        return label
    return f"[{label}]({os.path.relpath(ROOT / path, page.parent)}{anchor})"


def name_corners(app, doctree):
    """Makes the empty corner of a data frame a cell: a screen reader expects a text of a header."""
    for node in doctree.findall(nodes.raw):
        text = node.astext()
        if "<th></th>" in text:
            node.children = [nodes.Text(text.replace("<th></th>", "<td></td>"))]


def list_external_links(app, error):
    """Writes the addresses that pages link to, each with the pages: what a reader may find dead."""
    if error is not None:
        return
    found = {}
    for page in sorted(app.env.found_docs):
        for link in app.env.get_doctree(page).findall(nodes.reference):
            if link.get("refuri", "").startswith(("http:", "https:")):
                found.setdefault(link["refuri"], []).append(page)
    lines = [f"{address}  {', '.join(dict.fromkeys(found[address]))}" for address in sorted(found)]
    Path(app.outdir, "external-links.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")


def setup(app):
    """Registers what this file adds to Sphinx."""
    app.connect("build-finished", list_external_links)
    app.connect("source-read", complete)
    app.connect("doctree-read", name_corners)
