"""Datasets of time series; the values are in `conf/dataset/`."""

from samerun.config.datasets.base import Cells, Dataset, HeldOut, Scaled, ScaledTarget
from samerun.config.fields import a_path, above, at_least, config


@config
class Series(Dataset, HeldOut, Scaled, ScaledTarget):
    """What time series share: windows, split in time order.

    The steps are cut into training, validation and test part, in this order, and an example is in
    one part with all its inputs and all its targets.

    Args:
        features: input columns; empty: the target only.
        target: column to predict.
        window: input time steps.
        horizon: number of time steps after the window to predict, all at once.
        gap: time steps dropped at the end of the training and the validation split, for series with
            correlations longer than a window.
    """

    features: list[str]
    target: str
    window: int = above(0)
    horizon: int = above(0)
    gap: int = at_least(0)


@config
class GoogleStock(Series):
    """Daily prices of the Google share from August 2004 to October 2008, from matplotlib."""

    kind: str = "google_stock"


@config
class SeriesCsv(Series, Cells):
    """A user's own time series in a CSV file, one line per time step.

    Args:
        path: path of the file, whose first line holds the column names.
        date_column: column of ascending ISO dates or times; `null`: none.
    """

    kind: str = "series_csv"
    path: str = a_path()
    date_column: str | None


KINDS: tuple[type[Dataset], ...] = (GoogleStock, SeriesCsv)
