"""Long tables of cases: the quick tests take the most telling rows, `.ci/run` takes all of them."""

import pytest


def mostly_slow(rows, *quick):
    """Returns the rows of a table as parameters of a test, all but a few of them marked as slow.

    Args:
        rows: values, tuples of values, or parameters.
        quick: the rows that are not slow, each by its ID or, if it has none, by its first values;
            the first row if none is given.
    """
    rows = [_parameter(row) for row in rows]
    kept = [_place(rows, one) for one in quick] or [0]
    return [
        row
        if at in kept
        else pytest.param(*row.values, id=row.id, marks=[*row.marks, pytest.mark.slow])
        for at, row in enumerate(rows)
    ]


def _parameter(row):
    if isinstance(row, type(pytest.param())):
        return row
    return pytest.param(*row) if isinstance(row, tuple) else pytest.param(row)


def _place(rows, one):
    """Where the row with this ID or these first values is."""
    first = one if isinstance(one, tuple) else (one,)
    (place,) = [
        at
        for at, row in enumerate(rows)
        if (row.values[: len(first)] == first if row.id is None else row.id == one)
    ]
    return place
