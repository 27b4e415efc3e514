"""Data sets of time series; the values live in `conf/dataset/`."""

from samerun.config.datasets.base import Dataset, HeldOut, Scaled, ScaledTarget
from samerun.config.fields import a_path, above, at_least, config


@config
class Series(Dataset, HeldOut, Scaled, ScaledTarget):
    """What time series share: windows, divided in the order of time.

    The steps are cut into training, validation and test part, in this order, and an example lies in
    one part with all its inputs and all its targets.

    Args:
        features: columns a model sees; empty for the target alone.
        target: column to be predicted.
        window: steps a model sees.
        horizon: how many of the steps that follow the window are predicted, all of them at once.
        gap: steps left out at the end of the training and of the validation part, for values that
            hang on each other over more than a window.
    """

    features: list[str]
    target: str
    window: int = above(0)
    horizon: int = above(0)
    gap: int = at_least(0)


@config
class GoogleStock(Series):
    """Daily prices of the Google share from August 2004 to October 2008, out of matplotlib."""

    kind: str = "google_stock"


@config
class SeriesCsv(Series):
    """A user's own time series in a CSV file, one line a step.

    Args:
        path: the file, whose first line names the columns.
        date_column: column of ISO dates or times, which must rise; `null` for none.
    """

    kind: str = "series_csv"
    path: str = a_path()
    date_column: str | None


KINDS: tuple[type[Dataset], ...] = (GoogleStock, SeriesCsv)
