"""Restores a preprocessing from the plain values that its `as_dict` returned."""

from typing import Any

import numpy as np

from samerun.config.datasets.base import Side
from samerun.data.encoding import table_encoding
from samerun.data.preprocessing import Preprocessing, Scaling, Tokenization
from samerun.data.vocabulary import Vocabulary


def from_dict(values: dict[str, Any]) -> Preprocessing:
    """Returns the preprocessing whose `as_dict` returned these values."""
    if values["kind"] == "scaling":
        return Scaling(*(np.asarray(values[name], np.float32) for name in ("offset", "scale")))
    if values["kind"] == "table":
        scaling = from_dict(values["scaling"])
        assert isinstance(scaling, Scaling)
        return table_encoding(values, scaling)
    tokens = values["vocabulary"]
    return Tokenization(
        Vocabulary.from_dict(tokens) if tokens else None,
        values["length"],
        Side(values["padding"]),
        Side(values["truncating"]),
    )
