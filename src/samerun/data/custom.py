"""The user's own function as a dataset."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from samerun import user_code
from samerun.config.datasets import Dataset
from samerun.config.datasets.images import CustomDataset
from samerun.data import arrays
from samerun.data.source import Array, Outline, Source, SourceKind
from samerun.errors import UserError
from samerun.user_code import describe_cause, import_function, working_folder_first


def _where(cfg: Any) -> str:
    return f"{user_code.where('dataset', cfg)}: {cfg.target}"


def _error(cfg: Any, sentence: str) -> UserError:
    return UserError(f"{_where(cfg)}: {sentence}")


def _arrays(cfg: Any) -> dict[str, Array]:
    """Calls the function; checks only that it returns arrays under the expected names."""
    with working_folder_first():
        load = import_function(user_code.where("dataset", cfg), cfg.target)
        try:
            returned = load(**cfg.params)
        except (Exception, SystemExit) as error:
            raise _error(cfg, f"raised {describe_cause(error)}.") from error
    expected = f"expected a dict of NumPy arrays {' '.join(arrays.OFFICIAL)}, or x y"
    if not isinstance(returned, Mapping):
        raise _error(cfg, f"returned a {type(returned).__name__}, {expected}.")
    names = arrays.names_of(_where(cfg), {str(name) for name in returned})
    for name in names:
        if not isinstance(returned[name], np.ndarray):
            raise _error(cfg, f"returned {name} as a {type(returned[name]).__name__}, {expected}.")
    # TensorFlow accepts only the byte order of this machine.
    found = {name: returned[name] for name in names}
    return {n: a.astype(a.dtype.newbyteorder("="), copy=False) for n, a in found.items()}


def _outline(cfg: Any, found: dict[str, Array]) -> Outline:
    where = _where(cfg)
    headers = [arrays.Header(name, array.shape, array.dtype) for name, array in found.items()]
    arrays.check(where, headers)
    targets = list(found.values())[1::2]
    are_labels = arrays.are_labels(headers[1])
    labels = [arrays.as_labels(y) for y in targets] if are_labels else []
    return arrays.outline(cfg, where, headers, labels)


def outline_custom(cfg: Any) -> Outline:
    """Returns the outline of the function's arrays, by calling the function.

    The function is called more than once per run, so it should be fast or cache its result:
    decorating it with `functools.cache` is enough.

    Raises:
        UserError: the function does not exist, raises, or returns something else.
    """
    return _outline(cfg, _arrays(cfg))


def load_custom(cfg: Any) -> Source:
    """Calls the function and returns its arrays.

    Raises:
        UserError: see `outline_custom`, or a value that is not finite.
    """
    found = _arrays(cfg)
    return arrays.source(_where(cfg), _outline(cfg, found), found)


OWN = SourceKind(outline=outline_custom, load=load_custom)
"""For components of the user's own too."""
SOURCES: dict[type[Dataset], SourceKind] = {CustomDataset: OWN}
