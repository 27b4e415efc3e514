"""What the confirmation of a search says: its best trials by their means over fresh seeds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samerun import tags as tag
from samerun.escaping import markdown
from samerun.report.study_trials import (
    Commands,
    format_number,
    format_params,
    reason_of,
    state_of,
    test_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import optuna
    from optuna.trial import FrozenTrial

_NOTE = (
    "which chose, and so tends to be optimistic; fresh seeds remove the luck of a seed, not "
    "that of the validation data: report the test metric"
)


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A trial of a search that was trained again with fresh seeds.

    Args:
        number: of the search's trial.
        chosen_by: its objective in the search, by which it was chosen.
        values: seed and objective of each run with a fresh seed.
        mean: their mean.
        low: lower end of the 95 % t interval of the mean.
        high: its upper end.
        trial: the trial that trained it again; its number is another one.
    """

    number: int
    chosen_by: float
    values: tuple[tuple[int, float], ...]
    mean: float
    low: float
    high: float
    trial: "FrozenTrial"

    @property
    def run_id(self) -> str:
        """ID of the run above those with fresh seeds."""
        return str(self.trial.user_attrs.get(tag.TRIAL_RUN, ""))

    @property
    def interval(self) -> str:
        """The mean with its interval, as text."""
        low, high = format_number(self.low), format_number(self.high)
        return f"{format_number(self.mean)} (95 % {low} to {high})"


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """The best trials of a search, trained again with fresh seeds.

    Args:
        objective: logged name of the objective.
        ranked: the trials that were confirmed, the best mean first.
        first: number of the trial that led the search; `None` if none completed.
        comparison: which of them cannot be told apart; empty for a single one.
        missing: a sentence for each trial that was not confirmed.
    """

    objective: str
    ranked: tuple[Confirmed, ...]
    first: int | None
    comparison: str
    missing: tuple[str, ...]

    def sentence(self) -> str:
        """Returns the result in one line."""
        if not self.ranked:
            return "; ".join(["the best trials are not confirmed yet", *self.missing])
        best = self.ranked[0]
        led = "" if best.number == self.first else f"trial {self.first} led the search"
        head = (
            f"trial {best.number}, {self.objective} {best.interval} over "
            f"{len(best.values)} fresh seeds"
        )
        return "; ".join(filter(None, (head, self.comparison, led, *self.missing)))

    def rows(self, commands: Commands | None) -> list[tuple[str, str]]:
        """Returns what the screen shows: a label and a text for each line; at least one trial.

        Args:
            commands: returns what trains a trial again; omitted if `None`.
        """
        best = self.ranked[0]
        rows = [("confirmed", self.sentence())]
        tested = test_of(best.trial)
        if tested is not None:
            text = f"trial {best.number}  {tested[0]} {format_number(tested[1])}, the mean too"
            rows.append(("test", text))
        chosen_by = f"trial {best.number} had {format_number(best.chosen_by)} in the search"
        rows.append(("note", f"{chosen_by}, {_NOTE}"))
        rows.append(("with", format_params(best.trial.params)))
        return [*rows, *(commands(best.trial) if commands else ())]

    def section(self) -> list[str]:
        """Returns the table of a report in Markdown; no lines if nothing is confirmed."""
        if not self.ranked:
            return []
        seeds = [seed for seed, _ in self.ranked[0].values]
        tested = next((found[0] for found in map(test_of, self._trials()) if found), None)
        titles = [self.objective, "95 % of the mean", *([tested] if tested else []), "chosen by"]
        lines = [
            f"### Confirmed with {len(seeds)} fresh seeds, {min(seeds)} to {max(seeds)}",
            "",
            f"| trial | {' | '.join(map(markdown, titles))} | with | run |",
            "|---|" + "---|" * (len(titles) + 2),
        ]
        for one in self.ranked:
            found = test_of(one.trial)
            cells = [str(one.number), format_number(one.mean)]
            cells += [f"{format_number(one.low)} to {format_number(one.high)}"]
            if tested:
                cells += [format_number(found[1]) if found else ""]
            with_ = markdown(format_params(one.trial.params))
            cells += [format_number(one.chosen_by), with_, f"`{one.run_id}`"]
            lines.append(f"| {' | '.join(cells)} |")
        return [*lines, "", f"*Chosen by* is the value in the search, {_NOTE}.", ""]

    def _trials(self) -> "list[FrozenTrial]":
        return [one.trial for one in self.ranked]


def read_confirmation(
    objective: str,
    study: "optuna.Study",
    chosen: "Sequence[FrozenTrial]",
    again: "optuna.Study | None",
) -> Confirmation:
    """Returns what is known of the best trials of a search after they were trained again.

    Args:
        objective: logged name of the objective.
        study: the study of the search.
        chosen: its best trials, the best first.
        again: the study that trained them again; `None` before it has begun.
    """
    from samerun.statistics import over_seeds, ranking

    trials = {} if again is None else _by_number(again)
    found, missing = [], []
    for one in chosen:
        trial = trials.get(one.number)
        values = () if trial is None else _values(trial)
        if trial is not None and values:
            found.append(_confirmed(one, trial, values))
        elif trial is not None and trial.state.is_finished():
            why = reason_of(trial) or "no reason recorded"
            missing.append(f"trial {one.number} was not confirmed: {why}")
    sign = 1 if study.directions[0].name == "MINIMIZE" else -1
    found.sort(key=lambda one: sign * one.mean)  # stable: of equals, what the search preferred
    comparison = ""
    if len(found) > 1:
        comparisons = [over_seeds(found[0].values, other.values) for other in found[1:]]
        comparison = ranking(comparisons).sentence([f"trial {one.number}" for one in found])
    return Confirmation(
        objective=objective,
        ranked=tuple(found),
        first=chosen[0].number if chosen else None,
        comparison=comparison,
        missing=tuple(missing),
    )


def _by_number(again: "optuna.Study") -> "dict[int, FrozenTrial]":
    """Returns the trials of a confirmation by the numbers of those that they confirm."""
    trials = again.get_trials(deepcopy=False)
    return {t.user_attrs[tag.CONFIRMS]: t for t in trials if tag.CONFIRMS in t.user_attrs}


def _values(trial: "FrozenTrial") -> tuple[tuple[int, float], ...]:
    """Returns seed and objective of each run of a trial that completed and is feasible."""
    if state_of(trial) != "COMPLETE":
        return ()
    by_label = trial.user_attrs.get(tag.TRIAL_INSTANCES, {})
    return tuple((int(label.rpartition(" ")[2]), value) for label, value in by_label.items())


def _confirmed(
    chosen: "FrozenTrial", trial: "FrozenTrial", values: tuple[tuple[int, float], ...]
) -> Confirmed:
    from samerun.statistics import t_interval

    low, high = t_interval([value for _, value in values])
    return Confirmed(
        number=chosen.number,
        chosen_by=chosen.values[0],
        values=values,
        mean=trial.values[0],
        low=low,
        high=high,
        trial=trial,
    )
