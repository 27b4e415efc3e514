"""The user's own functions and classes as callbacks."""

from collections.abc import Sequence
from typing import Any

import keras

from samerun.config import Config
from samerun.errors import UserError
from samerun.user_code import (
    OwnFunction,
    describe_cause,
    import_function,
    own_functions,
    working_folder_first,
)

OWN = "own/"
"""The start of the names that checkpoints hold."""

_KEY = "training.callbacks"


def build_own(cfg: Config) -> dict[str, keras.callbacks.Callback]:
    """Returns the user's own callbacks, by the names that checkpoints hold.

    Args:
        cfg: `training.callbacks` and `training.params`.

    Raises:
        UserError: one does not exist, raises, is no Keras callback, or has a state that a
            checkpoint cannot hold.
    """
    named = [own for own in own_functions(cfg) if own.key.startswith(_KEY)]
    return {f"{OWN}{own.written}": _build(own) for own in named}


def _build(own: OwnFunction) -> keras.callbacks.Callback:
    where = f"{own.key}: {own.target}"
    with working_folder_first():
        function = import_function(own.key, own.target)
        try:
            made = function(**own.params)
        except (Exception, SystemExit) as error:
            raise UserError(f"{where}: raised {describe_cause(error)}.") from error
    if not isinstance(made, keras.callbacks.Callback):
        kind = type(made).__name__
        raise UserError(f"{where}: returned a {kind}, expected a keras.callbacks.Callback.")
    if has_state(made):
        _check_state(where, made)
    return made


def has_state(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback has `state()` and `restore(state)`, and so can be resumed exactly."""
    return all(callable(getattr(callback, name, None)) for name in ("state", "restore"))


def _check_state(where: str, callback: Any) -> None:
    """Saves and restores the state once, as a resumed run does."""
    try:
        state = callback.state()
        callback.restore(state)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{where}: its state() or restore() raised {describe_cause(error)}; both are called "
            "before training too, so set every attribute in __init__."
        ) from error
    wrong = _not_json(state)
    if wrong or not isinstance(state, dict):
        raise UserError(
            f"{where}: its state() returned {wrong or type(state).__name__}, expected a dict of "
            "numbers, strings, true, false, null, and lists and dicts of them: use float(…) or "
            ".tolist() for NumPy and Keras values."
        )


def _not_json(value: Any) -> str:
    """Returns the type of the first value that JSON would not give back; empty if there is none."""
    if isinstance(value, dict):
        wrong_key = next((key for key in value if type(key) is not str), None)
        if wrong_key is not None:
            return f"the key {wrong_key!r}"
        return next(filter(None, map(_not_json, value.values())), "")
    if type(value) is list:
        return next(filter(None, map(_not_json, value)), "")
    plain = value is None or type(value) in (bool, int, float, str)
    return "" if plain else f"a {type(value).__name__}"


def note_on_resume(callbacks: Sequence[tuple[str, keras.callbacks.Callback]]) -> str | None:
    """Returns why a resumed run may not be exact, in one sentence; `None` if it is.

    Args:
        callbacks: the user's own, with the names that checkpoints hold. One that keeps no attribute
            of its own has nothing to restore.
    """
    plain = set(vars(keras.callbacks.Callback()))
    lost = [
        name.removeprefix(OWN)
        for name, one in callbacks
        if not has_state(one) and set(vars(one)) - plain
    ]
    if not lost:
        return None
    has = "has" if len(lost) == 1 else "have"
    return (
        f"{_KEY}: {', '.join(lost)} {has} no state() and restore(state), so what it keeps in "
        "its attributes is reset, and the resumed run may differ from one without interruption."
    )
