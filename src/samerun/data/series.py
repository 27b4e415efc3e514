"""Time series: windows, each within one split."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from samerun.config import Layout, Task
from samerun.config.datasets import Dataset
from samerun.config.datasets.series import GoogleStock, Series, SeriesCsv
from samerun.data.csv_file import Table, read_csv
from samerun.data.source import Outline, Source, SourceKind, Split, Windows
from samerun.data.splits import Array, Sizes, contiguous, window_starts
from samerun.errors import UserError, listed, nearest

PRICES = ("open", "high", "low", "close", "volume", "adj_close")


@dataclass(frozen=True)
class _Steps:
    """A series: `values` (steps, features), `target` (steps,), `dates` (steps,) or `None`."""

    values: Array
    target: Array
    dates: Array | None


def _outline(cfg: Series, num_steps: int, unit: str) -> Outline:
    starts = window_starts(cfg, num_steps, cfg.window + cfg.horizon, gap=cfg.gap)
    return Outline(
        task=Task.forecast,
        layout=Layout.sequence,
        input_shape=(cfg.window, len(cfg.features) or 1),
        num_outputs=cfg.horizon,
        num_examples=sum(map(len, starts.values())),
        sizes=Sizes(**{name: len(places) for name, places in starts.items()}),
        unit=unit,
    )


def _split(cfg: Series, steps: _Steps, starts: range) -> Split:
    """The examples that start at `starts`, which are consecutive."""
    last = slice(starts.start + cfg.window - 1, starts.stop + cfg.window - 1)
    first = slice(last.start + 1, last.stop + 1)  # the step after each window
    values = steps.values[starts.start : last.stop]
    targets = steps.target[first.start : first.stop + cfg.horizon - 1]
    windows = sliding_window_view(values, cfg.window, axis=0)
    known = steps.target[last, np.newaxis].astype(np.float32)
    return Split(
        x=windows.transpose(0, 2, 1),  # a view: windows share the memory of the series
        y=sliding_window_view(targets, cfg.horizon),
        times=None if steps.dates is None else steps.dates[first],
        latest=np.repeat(known, cfg.horizon, axis=1),
        windows=Windows(values, cfg.window),
    )


def _source(cfg: Series, steps: _Steps, unit: str) -> Source:
    num_steps = len(steps.target)
    starts = window_starts(cfg, num_steps, cfg.window + cfg.horizon, gap=cfg.gap)
    known = contiguous(cfg, num_steps, cfg.gap)["train"]
    return Source(
        outline=_outline(cfg, num_steps, unit),
        in_order={name: _split(cfg, steps, places) for name, places in starts.items() if places},
        measured=steps.values[known.start : known.stop],
    )


@cache
def _google_prices() -> Array:
    """The table in matplotlib's sample data, found without importing matplotlib."""
    spec = find_spec("matplotlib")
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0] if folders else "", "mpl-data", "sample_data", "goog.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            prices: Array = file["price_data"]
            return prices
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"dataset=google_stock: matplotlib's sample data is missing at {path}: reinstall "
            "matplotlib, for example with pip install --force-reinstall matplotlib."
        ) from error


def _google_steps(cfg: GoogleStock) -> _Steps:
    features = cfg.features or [cfg.target]
    for key, name in [("target", cfg.target), *(("features", name) for name in features)]:
        if name not in PRICES:
            raise UserError(
                f"dataset.{key}: received '{name}', expected one of {listed(PRICES)}."
                f"{nearest(name, PRICES)}"
            )
    prices = _google_prices()
    values = np.stack([prices[name].astype(np.float64) for name in features], axis=1)
    return _Steps(values, prices[cfg.target].astype(np.float64), prices["date"])


def _google_unit(cfg: GoogleStock) -> str:
    return "shares" if cfg.target == "volume" else "$"


def outline_google_stock(cfg: GoogleStock) -> Outline:
    """Returns the outline of the share prices.

    Raises:
        UserError: a column is unknown, or window and horizon are longer than a split.
    """
    return _outline(cfg, len(_google_steps(cfg).target), _google_unit(cfg))


def load_google_stock(cfg: GoogleStock) -> Source:
    """Loads the share prices.

    Raises:
        UserError: see `outline_google_stock`.
    """
    return _source(cfg, _google_steps(cfg), _google_unit(cfg))


def _numbers(table: Table, name: str, key: str) -> Array:
    """The cells of a column as float64."""
    values = np.empty(len(table.rows))
    for row, cell in enumerate(table.column(name, key)):
        try:
            values[row] = float(cell)
        except ValueError:
            values[row] = np.nan
        if not np.isfinite(values[row]) or abs(values[row]) > np.finfo(np.float32).max:
            raise UserError(
                f"{table.path}: line {table.lines[row]}: column '{name}' holds '{cell}', expected "
                "a number: fill it in or remove the line."
            )
    return values


def _moment(cell: str) -> datetime:
    """Parses an ISO date or time; one with an offset is converted to UTC."""
    moment = datetime.fromisoformat(cell.strip())
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _dates(table: Table, name: str) -> Array:
    moments: list[datetime] = []
    for line, cell in zip(table.lines, table.column(name, "dataset.date_column"), strict=True):
        try:
            moment = _moment(cell)
        except (ValueError, OverflowError) as error:  # year 1 in other time zones
            raise UserError(
                f"{table.path}: line {line}: column '{name}' holds '{cell}', expected an ISO date "
                "or time such as 2024-12-31 or 2024-12-31T18:00."
            ) from error
        if moments and moment <= moments[-1]:
            wrong = "occurs twice" if moment == moments[-1] else "is earlier than the previous one"
            raise UserError(
                f"{table.path}: line {line}: the date {cell} {wrong}, expected increasing dates: "
                "sort the file by date and keep one line per date."
            )
        moments.append(moment)
    return _as_datetime64(moments)


def _as_datetime64(moments: Sequence[datetime]) -> Array:
    return np.array(moments, dtype="datetime64[us]")


def _csv_steps(cfg: SeriesCsv) -> _Steps:
    table = read_csv(cfg.path, cfg.separator)
    target = _numbers(table, cfg.target, "dataset.target")
    features = [_numbers(table, name, "dataset.features") for name in cfg.features]
    dates = _dates(table, cfg.date_column) if cfg.date_column else None
    return _Steps(np.stack(features or [target], axis=1), target, dates)


def outline_series_csv(cfg: SeriesCsv) -> Outline:
    """Returns the outline of the file.

    Raises:
        UserError: the file or a column is missing, a value is missing, dates do not increase, or
            there are fewer steps than window and horizon need.
    """
    return _outline(cfg, len(_csv_steps(cfg).target), "")


def load_series_csv(cfg: SeriesCsv) -> Source:
    """Loads the series.

    Raises:
        UserError: see `outline_series_csv`.
    """
    return _source(cfg, _csv_steps(cfg), "")


SOURCES: dict[type[Dataset], SourceKind] = {
    GoogleStock: SourceKind(outline=outline_google_stock, load=load_google_stock),
    SeriesCsv: SourceKind(outline=outline_series_csv, load=load_series_csv),
}
