"""samerun: the same run, every time."""

__version__ = "0.1.0"
