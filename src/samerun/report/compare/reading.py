"""Reads everything that a comparison of several runs shows."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from samerun.command_line import line
from samerun.errors import UserError, listed
from samerun.replay.recorded import clean
from samerun.report import differences
from samerun.report.compare import curves, examples, metrics, predictions, verdict
from samerun.report.compare.curves import Overlay
from samerun.report.compare.examples import Example
from samerun.report.compare.predictions import ComparedPredictions
from samerun.report.compare.verdict import Verdict
from samerun.report.differences import Difference, Differences
from samerun.tracking import StoredRun

MOST_RUNS = 20
"""Runs of one comparison: more lines in one panel cannot be told apart."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Several runs side by side.

    Args:
        found: what differs among them.
        labels: a letter for each.
        headline: logged name of the main metric that they have in common; may be empty.
        verdict: which is the best, and whether that may be chance.
        overlays: their learning curves.
        predictions: which test examples some get right and others wrong.
        examples: pictures and texts of these, by position; empty where they were not asked for.
    """

    found: Differences
    labels: tuple[str, ...]
    headline: str
    verdict: Verdict
    overlays: tuple[Overlay, ...]
    predictions: ComparedPredictions
    examples: Mapping[int, Example] = field(default_factory=dict)

    @property
    def runs(self) -> tuple[StoredRun, ...]:
        """The runs."""
        return self.found.runs

    @property
    def names(self) -> list[str]:
        """The names of the runs, harmless in a terminal."""
        return [clean(run.name, 80) for run in self.runs]

    @property
    def only_setting(self) -> Difference | None:
        """The one key of the config in which the runs differ, if there is exactly one."""
        settings = [row for row in self.found.rows if row.is_setting]
        return settings[0] if len(settings) == 1 else None

    def is_best(self, place: int) -> bool:
        """Whether a run is, or belongs to, what really is the best."""
        best = self.verdict.best
        return best is not None and place in best.runs

    def value_sentence(self, row: Difference) -> str:
        """Returns what a setting is in each run: `0.001 in A, C; 0.01 in B`."""
        by_value: dict[str, list[str]] = {}
        for label, value in zip(self.labels, row.values, strict=True):
            by_value.setdefault(value, []).append(label)
        parts = (f"{value} in {listed(labels)}" for value, labels in by_value.items())
        return f"{row.what}: {'; '.join(parts)}"


def read(
    runs: Sequence[StoredRun],
    *,
    num_examples: int = 0,
    trusted: Sequence[str] = (),
) -> Compared:
    """Reads and compares runs.

    Args:
        runs: two to twenty.
        num_examples: of how many examples on which the runs disagree the data is read again, for
            pictures and texts; 0 reads no data.
        trusted: what of a recorded config may be imported and read here, as for `--trust`.

    Raises:
        UserError: there are too few or too many, one was not recorded by samerun, or the data here
            is not the data of the runs.
    """
    check_number(len(runs))
    found = differences.read(runs, trusted=trusted)
    labels = tuple(string.ascii_uppercase[: len(runs)])
    headline = metrics.headline_of(runs)
    compared = predictions.compare(runs)
    chosen = [one.index for one in compared.disagreements[:num_examples]]
    shown: Mapping[int, Example] = {}
    if num_examples and compared.stored:
        shown = examples.read(found.recorded, compared.stored, chosen, trusted)
    return Compared(
        found=found,
        labels=labels,
        headline=headline,
        verdict=verdict.judge(found, labels, headline, compared.test()),
        overlays=tuple(curves.read(runs, headline)),
        predictions=compared,
        examples=shown,
    )


def check_number(number: int, num_given: int | None = None) -> None:
    """Checks that this number of runs can be compared.

    Args:
        number: of runs.
        num_given: of arguments that name them, where one may stand for several runs.

    Raises:
        UserError: there are too few or too many.
    """
    if number < 2:
        raise UserError(
            f"received {number} run{'' if number == 1 else 's'}, expected at least 2 to compare: "
            f"{line('compare', 'ID', 'ID')}"
        )
    if number > MOST_RUNS and num_given is not None and num_given < number:
        raise UserError(
            f"received {num_given} arguments that stand for {number} runs (seeds or folds), "
            f"expected at most {MOST_RUNS} runs, since more cannot be read side by side: name "
            "fewer, or compare the means with "
            f"`{line('table', '…', '--by', 'KEY', '--metric', 'test/accuracy')}`."
        )
    if number > MOST_RUNS:
        raise UserError(
            f"received more than {MOST_RUNS} runs, expected at most {MOST_RUNS}, since more cannot "
            "be read side by side: name them, or narrow the filter."
        )
