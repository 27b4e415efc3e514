"""Several runs side by side: the verdict, what differs, metrics, curves and predictions."""

from samerun.report.compare.reading import Compared, read
