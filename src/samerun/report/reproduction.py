"""The page of a reproduced run: the verdict, what was compared, and how the two runs differ."""

from rich.console import Console
from rich.markup import escape

from samerun import tracking
from samerun.escaping import markdown
from samerun.replay import comparison, verdict
from samerun.replay.recorded import clean
from samerun.replay.reproduce import Reproduction
from samerun.replay.verdict import Agreement
from samerun.report import differences

PAGE = "reproduction.md"


def as_markdown(found: Reproduction) -> str:
    """Returns the page in Markdown."""
    first, second = found.first, found.second
    lines = [
        f"# Reproduction of {markdown(first.name)}",
        "",
        *verdict.as_lines(found.verdict),
        "",
        f"Recorded run `{first.id}`, new run `{second.id}`.",
        "",
        "## What was compared",
        "",
        *comparison.as_markdown(found.rows),
        "",
    ]
    page = differences.as_markdown(differences.read([first, second]))
    return "\n".join(lines) + "\n" + page.replace("\n## ", "\n### ").replace("# ", "## ", 1)


def write(found: Reproduction) -> None:
    """Stores the page among the artifacts of the new run.

    Args:
        found: the reproduction.
    """
    client = tracking.connect(tracking.resolve_uri(None))
    client.log_text(found.second.id, as_markdown(found), PAGE)


def show(found: Reproduction, out: Console) -> None:
    """Prints the verdict, the agreement in color.

    Args:
        found: the reproduction.
        out: where to print.
    """
    colors = {Agreement.exact: "green", Agreement.close: "yellow", Agreement.different: "red"}
    agreement = found.verdict.agreement
    head, *rest = found.verdict.sentences()
    out.print(f"\n[bold {colors[agreement]}]{agreement}[/]{escape(head.removeprefix(agreement))}")
    for line in rest:
        out.print(escape(line))
    out.print(f"run    {escape(clean(found.second.name))}  {found.second.id}")
