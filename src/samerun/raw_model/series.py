"""Windows of a time series in the data's own unit, and the dates of what follows them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from .encoded import Array, Encoded, RefusedInput, check_columns, scaled, shown

WINDOW, STEP = "window", "step"
"""Column that groups the rows of several windows; column that numbers the answers of each."""
DATES = "dates"
"""Where `encode` leaves the dates of the answers."""


def encode(form: Mapping[str, Any], frame: Any) -> Encoded:
    """Takes the last steps of one series, or of each window, and scales them.

    Args:
        form: the input's description.
        frame: a data frame with one row per time step, in order; with the column `window`, the rows
            of equal value are one window.
    """
    check_columns(frame.columns, form["columns"])
    length, refused = form["window"], {}
    names, groups = _groups(frame)
    windows, days, kept = [], [], []
    for name, rows in zip(names, groups, strict=True):
        try:
            if len(rows) < length:
                raise RefusedInput(f"has {len(rows)} rows, expected {length} time steps or more")
            part = frame.iloc[rows]
            values = _values(part.iloc[-length:], form["columns"])
            days.append(_next_dates(form, part))
        except RefusedInput as error:
            what = "the series" if name is None else f"window {shown(name)}"
            refused[int(rows[0]) if len(rows) else 0] = f"{what} {error}"
            continue
        windows.append(values)
        kept.append((int(rows[-1]), name))
    x = np.stack(windows) if windows else np.zeros((0, length, len(form["columns"])))
    return Encoded(
        x=scaled(x, form["scaling"]),
        rows=np.array([row for row, _ in kept], np.int64),
        refused=refused,
        columns=_columns(form, [name for _, name in kept], days),
    )


def _groups(frame: Any) -> tuple[list[Any], list[Array]]:
    """Names and row positions of the windows, in the order in which they begin."""
    if WINDOW not in frame.columns:
        return [None], [np.arange(len(frame))]
    places: dict[Any, list[int]] = {}
    for row, name in enumerate(frame[WINDOW].tolist()):
        places.setdefault(name, []).append(row)
    return list(places), [np.array(rows) for rows in places.values()]


def _values(part: Any, columns: Any) -> Array:
    made = np.empty((len(part), len(columns)))
    for place, name in enumerate(columns):
        column = part[name]
        if column.dtype.kind in "iuf":
            made[:, place] = column.to_numpy(np.float64, na_value=np.nan)
        else:
            made[:, place] = [_number(cell, name) for cell in column]
        if not (np.abs(made[:, place]) <= np.finfo(np.float32).max).all():
            raise RefusedInput(f"lacks a finite number in column {name}, expected one in each row")
    return made


def _number(cell: Any, name: str) -> float:
    """A cell of a column that also has others than numbers, outside of this window perhaps."""
    if cell is None or type(cell).__name__ == "NAType":
        return np.nan
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, int | float | np.number):
        raise RefusedInput(f"holds {shown(cell)} in column {name}, expected numbers")
    try:
        return float(cell)
    except OverflowError:  # an integer of JSON has any length
        return np.inf


def _dates(column: Any) -> list[datetime]:
    moments: list[datetime] = []
    for cell in column.tolist():
        moment = _moment(cell)
        if moments and moment <= moments[-1]:
            raise RefusedInput(f"has the date {shown(cell)} after a later one, expected time order")
        moments.append(moment)
    return moments


def _moment(cell: Any) -> datetime:
    """Parses an ISO date or time; one with an offset is converted to UTC."""
    try:
        moment = cell if isinstance(cell, datetime) else datetime.fromisoformat(cell.strip())
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, AttributeError, OverflowError) as error:
        raise RefusedInput(
            f"has the date {shown(cell)}, expected an ISO date or time such as 2024-12-31"
        ) from error


def _next_dates(form: Mapping[str, Any], part: Any) -> list[str] | None:
    """Dates of the steps that follow a window; `None` if it has none, or no rule."""
    if form["date"] not in part.columns:
        return None
    moments = _dates(part[form["date"]])
    if not form["frequency"]:
        return None
    try:
        return [_text(moment) for moment in following(form, moments[-1])]
    except (OverflowError, ValueError) as error:
        raise RefusedInput(
            f"ends on {_text(moments[-1])}, expected a date that {form['horizon']} more can follow"
        ) from error


def _columns(form: Mapping[str, Any], names: Any, days: Any) -> dict[str, Array]:
    """Columns of the answer: the window where there are several, and the dates of its steps."""
    made: dict[str, Array] = {}
    if names and names[0] is not None:
        made[WINDOW] = np.array(names, object)
    if days and all(one is not None for one in days):
        made[DATES] = np.array(days, object)
    return made


def _text(moment: datetime) -> str:
    return moment.isoformat().removesuffix("T00:00:00")


def following(form: Mapping[str, Any], moment: datetime) -> list[datetime]:
    """Returns the dates of the steps that follow a moment.

    Args:
        form: the input's description; its `frequency` is `{"seconds": n}`, `{"weekdays": n}` or
            `{"months": n}`. Holidays are not known.
        moment: of the last known step.
    """
    (unit, number), *_ = form["frequency"].items()
    dates = []
    for step in range(1, form["horizon"] + 1):
        if unit == "seconds":
            dates.append(moment + timedelta(seconds=number * step))
        elif unit == "weekdays":
            dates.append(_weekdays_later(moment, number * step))
        else:
            dates.append(_months_later(moment, int(number * step)))
    return dates


def _weekdays_later(moment: datetime, number: int) -> datetime:
    while number:
        moment += timedelta(days=1)
        number -= moment.weekday() < 5
    return moment


def _months_later(moment: datetime, number: int) -> datetime:
    """The same day of a later month; of the last day of a month, the last day."""
    is_last = (moment + timedelta(days=1)).month != moment.month
    years, month = divmod(moment.year * 12 + moment.month - 1 + number, 12)
    after = datetime(years + (month == 11), (month + 1) % 12 + 1, 1)
    days = (after - timedelta(days=1)).day
    return moment.replace(
        year=years, month=month + 1, day=days if is_last else min(moment.day, days)
    )


def frequency(moments: Any) -> dict[str, float] | None:
    """Returns how the dates of a series follow each other, `None` if by no rule.

    Args:
        moments: datetime64 `(n,)`, ascending.
    """
    dates = [moment.item() for moment in np.asarray(moments, "datetime64[us]")]
    steps = np.diff(np.asarray(moments, "datetime64[us]")).astype(np.int64)
    if len(steps) and (steps == steps[0]).all():
        return {"seconds": float(steps[0]) / 1e6}
    if len(steps) < 2:
        return None
    months = np.diff([moment.year * 12 + moment.month for moment in dates])
    if months[0] > 0 and (months == months[0]).all():
        rule = {"window": 1, "horizon": 1, "frequency": {"months": int(months[0])}}
        if all(following(rule, a) == [b] for a, b in zip(dates[:-1], dates[1:], strict=True)):
            return {"months": int(months[0])}
    day = 86_400_000_000
    is_daily = (steps % day == 0).all() and np.median(steps) == day
    if is_daily and all(moment.weekday() < 5 for moment in dates):
        return {"weekdays": 1}
    return None
