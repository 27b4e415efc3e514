"""The comparison of several runs on a screen."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from samerun.escaping import for_screen
from samerun.replay.recorded import clean
from samerun.report import differences, side_by_side
from samerun.report.compare import curves, metrics
from samerun.report.compare.predictions import Disagreement, Prediction
from samerun.report.compare.reading import Compared
from samerun.report.side_by_side import SideRow

_MOST_METRICS = 12
_MOST_EXAMPLES = 20
_MOST_CELLS = 5  # of a confusion matrix
_LONGEST_TEXT = 160


def show(made: Compared, out: Console) -> None:
    """Prints the comparison: first the verdict, then what differs, then the rest.

    Args:
        made: the comparison.
        out: where to print.
    """
    _show_runs(made, out)
    for line in made.verdict.sentences():
        out.print(escape(for_screen(line)))
    out.print(f"\n{escape(for_screen(setting_sentence(made)))}")
    differences.show_parts(made.found, made.labels, out)
    _show_metrics(made, out)
    _show_curves(made, out)
    _show_predictions(made, out)


def setting_sentence(made: Compared) -> str:
    """Returns the sentence about the config: the one key that differs, or how many do."""
    if made.only_setting is not None:
        return f"Exactly one setting differs: {made.value_sentence(made.only_setting)}."
    number = sum(row.is_setting for row in made.found.rows)
    return f"{number} settings differ." if number else "No setting differs."


def _show_runs(made: Compared, out: Console) -> None:
    table = Table.grid(padding=(0, 2))
    for place, (label, run) in enumerate(zip(made.labels, made.runs, strict=True)):
        value = ""
        if made.headline:
            value = f"{made.headline} {metrics.with_interval(run, made.headline)}"
        mark = "best" if made.is_best(place) else ""
        status = "" if run.status == "FINISHED" else clean(run.status).lower()
        cells = (made.names[place], run.id[:8], value, mark, status)
        table.add_row(f"[bold]{label}[/]", *map(escape, cells))
    out.print(table)
    out.print()


def _show_metrics(made: Compared, out: Console) -> None:
    rows = metrics.rows(made.found, made.headline)
    out.print("\n[bold]Metrics[/]")
    out.print(differences.summary(made.found))
    if not rows:
        return
    shown = []
    for row in rows[:_MOST_METRICS]:
        cells = tuple(
            f"[bold]{escape(cell)}[/]" if row.is_headline and made.is_best(place) else escape(cell)
            for place, cell in enumerate(row.cells)
        )
        shown.append(SideRow(lead=(escape(clean(row.name, 60)),), values=cells))
    side_by_side.show(shown, made.labels, out)
    if len(rows) > _MOST_METRICS:
        out.print(f"[dim]and {len(rows) - _MOST_METRICS} more: --html or --json has all[/]")


def _show_curves(made: Compared, out: Console) -> None:
    if not made.overlays:
        return
    out.print("\n[bold]Learning curves[/]")
    for overlay in made.overlays:
        table = Table.grid(padding=(0, 2))
        for label, (blocks, ends) in zip(made.labels, curves.lines(overlay), strict=True):
            table.add_row(f"[bold]{label}[/]", blocks, f"[dim]{escape(ends)}[/]")
        out.print(escape(clean(overlay.metric)))
        out.print(table)


def _show_predictions(made: Compared, out: Console) -> None:
    found = made.predictions
    out.print("\n[bold]Predictions[/]")
    for note in found.notes:
        out.print(escape(for_screen(note)))
    if not found.stored:
        return
    out.print(escape(count_sentence(made)))
    chosen = found.disagreements[:_MOST_EXAMPLES]
    if chosen:
        has_text = any(one.text for one in made.examples.values())
        rows = [_example(made, one, has_text) for one in chosen]
        lead = ["example", "truth", *(["text"] if has_text else [])]
        side_by_side.show(rows, made.labels, out, lead)
    for change in found.confusions:
        cells = change.cells()[:_MOST_CELLS]
        if cells:
            labels = made.labels[change.first], made.labels[change.second]
            listed = ", ".join(f"{true} as {made_} {n:+d}" for true, made_, n in cells)
            out.print(escape(f"Confusion matrix, {labels[0]} − {labels[1]}: {listed}"))


def count_sentence(made: Compared) -> str:
    """Returns how many test examples the runs disagree on."""
    found = made.predictions
    total, number = found.stored[0].num_examples, found.num_disagreements
    split = found.stored[0].split
    if not found.is_classification:
        return f"The errors differ for {number} of {total} {split} examples."
    if not number:
        return f"The runs get the same {split} examples right and wrong, of {total}."
    return f"{number} of {total} {split} examples: right in some of the runs, wrong in others."


def _example(made: Compared, one: Disagreement, has_text: bool) -> SideRow:
    lead, values = [str(one.index), escape(one.truth)], []
    for prediction in one.predictions:
        color = "red" if prediction.is_wrong else "green"
        text = escape(prediction_text(prediction))
        values.append(text if prediction.confidence is None else f"[{color}]{text}[/]")
    if has_text:
        example = made.examples.get(one.index)
        lead.append(escape(clean(example.text if example else "", _LONGEST_TEXT)))
    return SideRow(lead=tuple(lead), values=tuple(values))


def prediction_text(one: Prediction) -> str:
    """Returns a prediction for a cell: the class with its probability, or the number and error."""
    if one.confidence is not None:
        return f"{'✗' if one.is_wrong else '✓'} {one.text} {one.confidence:.2f}"
    return f"{one.text} (error {one.error:.3g})".strip() if one.text else f"loss {one.error:.3g}"
