"""The search space of a sweep, for Optuna to sample and for Hydra as overrides."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samerun.config.overrides import parse_override
from samerun.config.short_names import short_setting
from samerun.errors import UserError, listed, nearest
from samerun.search.domains import Categorical, Dimension, Numeric

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Space:
    """A search space.

    Args:
        entries: its dimensions: groups first, conditional ones after what they depend on.
        fixed: the overrides that all trials share.
        notes: what was decided for the user, one sentence each.
    """

    entries: tuple[Dimension, ...]
    fixed: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def active(self, chosen: Mapping[str, Any]) -> Iterator[Dimension]:
        """Yields the dimensions that exist where these options are chosen."""
        return (entry for entry in self.entries if entry.holds(chosen))

    def suggest(self, trial: "optuna.Trial") -> Values:
        """Samples the values of a trial: groups first, then their keys.

        Raises:
            ValueError: the trial was started with a value that is not in this space.
        """
        values: Values = {}
        with warnings.catch_warnings():  # of a trial that was started with another range
            warnings.filterwarnings("ignore", "Inconsistent parameter values", RuntimeWarning)
            for entry in self.entries:
                if entry.holds(values):
                    values[entry.key] = _suggested(trial, entry)
        return values

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Returns values as overrides, without the fixed ones.

        Numbers are written without loss: parsing them returns the same bits.
        """
        return [
            f"{entry.prefix}{entry.key}={entry.space.to_text(values[entry.key])}"
            for entry in self.entries
            if entry.key in values
        ]

    def point(self, given: Mapping[str, Any]) -> Values:
        """Returns a point, such as that of a run, as values of the study.

        Args:
            given: values, or how overrides write them. Keys outside the space are left out, and so
                are those that do not exist where these options are chosen.

        Raises:
            UserError: a value is not in the space, or no key is.
        """
        values: Values = {}
        for entry in self.entries:
            if entry.key in given and entry.holds({**given, **values}):
                values[entry.key] = _read(entry, given[entry.key])
        if not values:
            known = [entry.key for entry in self.entries]
            hint = nearest(next(iter(given), ""), known)
            raise UserError(
                f"sweep.enqueue: received {dict(given)}, expected keys of the search space.{hint}"
            )
        return values

    def named(self, given: Mapping[str, Any]) -> Values:
        """Returns a point of `sweep.enqueue`, as `point` does for the values of a run.

        Args:
            given: values of keys in the space, or of those with one value for all trials.

        Raises:
            UserError: another key is among them, or a value is not in the space.
        """
        known = [entry.key for entry in self.entries]
        fixed = [parse_override(text).key for text in self.fixed]
        for key in map(str, given):
            if key not in known and key not in fixed:
                raise UserError(
                    f"sweep.enqueue: received {key}, which is not in the search space, expected "
                    f"{listed(known)}.{nearest(key, known)}"
                )
        return self.point(given)

    def branches(self) -> Iterator[dict[str, str]]:
        """Yields every combination of the groups' options, and of losses that have options."""
        yield from self._branches({}, [entry for entry in self.entries if entry.is_group])

    def _branches(
        self, chosen: dict[str, str], groups: Sequence[Dimension]
    ) -> Iterator[dict[str, str]]:
        if not groups:
            yield chosen
            return
        first, rest = groups[0], groups[1:]
        if not first.holds(chosen):
            yield from self._branches(chosen, rest)
            return
        assert isinstance(first.space, Categorical)
        for option in first.space.values:
            yield from self._branches({**chosen, first.key: str(option)}, rest)

    def corners(self, branch: Mapping[str, str]) -> Iterator[Values]:
        """Yields complete trials of a branch: one in the middle, then each end of each range.

        All other keys keep their middle, or their first choice.
        """
        entries = [entry for entry in self.active(branch) if not entry.is_group]
        middle = {**branch, **{entry.key: entry.space.middle for entry in entries}}
        yield middle
        for entry in entries:
            for end in entry.space.ends:
                if end != middle[entry.key]:
                    yield {**middle, entry.key: end}

    @property
    def is_finite(self) -> bool:
        """Whether every combination can be tried."""
        return all(entry.space.num_points is not None for entry in self.entries)

    @property
    def num_points(self) -> int | None:
        """The number of different trials; `None` if it is infinite."""
        if not self.is_finite:
            return None
        return sum(
            math.prod(e.space.num_points or 0 for e in self.active(branch) if not e.is_group)
            for branch in self.branches()
        )

    @property
    def is_conditional(self) -> bool:
        """Whether some key exists in some branches only."""
        return any(entry.when for entry in self.entries)

    def as_dict(self) -> dict[str, Any]:
        """Returns the space as plain values, equal for spaces with the same trials."""
        return {
            entry.key: {
                "space": entry.space.plain(),
                "when": {group: sorted(names) for group, names in sorted(entry.when.items())},
            }
            for entry in sorted(self.entries, key=lambda entry: entry.key)
        }

    def difference(self, other: Mapping[str, Any]) -> list[str]:
        """Returns the differences from a space that `as_dict` returned, one phrase each."""
        mine = self.as_dict()
        shown = {entry.key: str(entry) for entry in self.entries}
        return [
            f"{key} {_shown(other[key]) if key in other else 'absent'} → {shown.get(key, 'absent')}"
            for key in sorted({*mine, *other})
            if mine.get(key) != other.get(key)
        ]

    def short(self, values: Mapping[str, Any]) -> str:
        """Returns values for a run's name, such as `dropout=0.31 l2=0.0002 cosine`.

        For display: numbers have four digits, or fewer so that a setting has 20 characters.
        """
        lasts = [_last(entry.key) for entry in self.entries if not entry.is_group]
        settings, options = [], []
        for entry in self.entries:
            if entry.key not in values:
                continue
            text = entry.space.short(values[entry.key])
            last = _last(entry.key)
            if entry.is_group:
                options.append(f"{last}={text}" if text in ("none", "default") else text)
            else:
                key = last if lasts.count(last) == 1 else entry.key
                settings.append(short_setting(key, text))
        return " ".join([*settings, *options])


def distribution(space: Categorical | Numeric) -> "BaseDistribution":
    """Returns the distribution that Optuna samples; it includes both ends."""
    from optuna import distributions

    if isinstance(space, Categorical):
        return distributions.CategoricalDistribution(space.values)
    if space.is_int:
        low, high, step = int(space.low), int(space.high), int(space.step or 1)
        return distributions.IntDistribution(low, high, log=space.is_log, step=step)
    return distributions.FloatDistribution(space.low, space.high, log=space.is_log, step=space.step)


def _suggested(trial: "optuna.Trial", entry: Dimension) -> Any:
    space = entry.space
    if isinstance(space, Categorical):
        return trial.suggest_categorical(entry.key, space.values)
    if space.is_int:
        low, high, step = int(space.low), int(space.high), int(space.step or 1)
        return space.read(trial.suggest_int(entry.key, low, high, log=space.is_log, step=step))
    found = trial.suggest_float(entry.key, space.low, space.high, log=space.is_log, step=space.step)
    return space.read(found)


def _read(entry: Dimension, given: Any) -> Any:
    try:
        return entry.space.read(given)
    except ValueError as error:
        raise UserError(
            f"sweep.enqueue: received {entry.key}={given}, expected one of {entry.space}."
            if isinstance(entry.space, Categorical)
            else f"sweep.enqueue: received {entry.key}={given}, expected {entry.space}."
        ) from error


def _last(key: str) -> str:
    return key.replace("/", ".").rpartition(".")[2]


def _shown(plain: Mapping[str, Any]) -> str:
    """Returns a dimension that `as_dict` returned as text for a message."""
    kept = plain["space"]
    space: Categorical | Numeric
    if isinstance(kept, list):
        space = Categorical(tuple(kept), tuple(kept))
    else:
        ends = {name: kept[name] for name in ("low", "high", "step")}
        space = Numeric(**ends, is_int=kept["int"], is_log=kept["log"])
    when = {group: tuple(names) for group, names in plain["when"].items()}
    return str(Dimension(key="", space=space, when=when))
