"""A Keras model together with the preprocessing of its training: raw input in, answers out."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import answers, images, sampling, series, tables, texts
from .description import columns_of
from .encoded import Array, Encoded, RefusedInput, listed

DESCRIPTION = "raw_input.json"
"""File that describes raw input and answers, beside MLflow's `MLmodel`."""
KERAS_FILE = Path("data", "model.keras")
FORMAT = 1
DEFAULTS: Mapping[str, Any] = {"length": 40, "temperature": 1.0, "top_k": 0, "seed": 0}
"""How a language model generates text."""

_ENCODERS: dict[str, Callable[[Mapping[str, Any], Any], Encoded]] = {
    "table": tables.encode,
    "image": images.encode,
    "series": series.encode,
}


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The answers to raw input.

    Args:
        columns: of the answers by name, each `(n * answers_per_row,)`.
        rows: position in the input of the example that each answer is for, ascending.
        refused: why the other rows are refused, by position.
    """

    columns: Mapping[str, Array]
    rows: Array
    refused: Mapping[int, str]


class RawModel:
    """A model of raw input.

    Args:
        description: of its input and its answers, as plain values.
        model: the Keras model.
    """

    def __init__(self, description: Mapping[str, Any], model: Any) -> None:
        if description.get("format") != FORMAT:
            raise RefusedInput(
                f"The model's {DESCRIPTION} has the format {description.get('format')!r}, expected "
                f"{FORMAT}: it was stored by another version of samerun."
            )
        self.description = description
        self.model = model
        self._lock = threading.Lock()  # a Keras model builds its graph in the first call

    @property
    def generates(self) -> bool:
        """Whether it is a language model."""
        return bool(self.description["task"] == "language_model")

    def encode(self, frame: Any, *, is_labeled: bool = False) -> Encoded:
        """Returns the examples as the Keras model takes them.

        Args:
            frame: a data frame, as for `answer`.
            is_labeled: accept a text without any known word, which a test split may have too.

        Raises:
            RefusedInput: a column is missing.
        """
        form = self.description["input"]
        if form["kind"] == "text":
            return texts.encode(form, frame, is_labeled=is_labeled)
        return _ENCODERS[form["kind"]](form, frame)

    def outputs(self, x: Array) -> Array:
        """Returns what the Keras model returns, in batches of the size of the evaluation.

        Args:
            x: `(n, *input_shape)`.
        """
        size = self.description["batch_size"]
        with self._lock:  # `predict` would copy all of x, and keep threads and batches ahead
            parts = [
                np.asarray(self.model.predict_on_batch(x[at : at + size]))
                for at in range(0, len(x), size)
            ]
        made: Array = np.concatenate(parts)
        return made.reshape(len(x), -1)

    def answer(self, frame: Any, params: Mapping[str, Any] | None = None) -> Answered:
        """Answers the rows of a data frame; rows that are refused do not disturb the others.

        Args:
            frame: a data frame with the columns of the training data: those of the file for a table
                or a series, `text`, `image`, `clip` or `prompt` otherwise.
            params: for a language model, some of `DEFAULTS`.

        Raises:
            RefusedInput: a column is missing.
        """
        if self.generates:
            return self._generated(frame, params or {})
        encoded = self.encode(frame)
        if not len(encoded.rows):
            return Answered(columns={}, rows=encoded.rows, refused=encoded.refused)
        columns = answers.table(self.description, self.outputs(encoded.x), encoded)
        per_row = len(next(iter(columns.values()))) // len(encoded.rows)
        rows = np.repeat(encoded.rows, per_row)
        return Answered(columns=columns, rows=rows, refused=encoded.refused)

    def predict(self, raw: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Answers raw input, all of it or none.

        Args:
            raw: a data frame, as for `answer`; where there is one column, also a list of its cells.
            params: as for `answer`.

        Returns:
            A data frame: `label`, `probability` and `probability_CLASS` for classes; a column per
            target for values; `step`, the date and the target for a forecast; `generated`, `next`
            and `probability` for a language model.

        Raises:
            RefusedInput: a column is missing, or a row is refused: the first one is named.
        """
        import pandas as pd

        frame = self._frame(raw)
        if not len(frame):
            raise RefusedInput("The input has no rows, expected one or more.")
        made = self.answer(frame, params)
        if made.refused:
            row, reason = min(made.refused.items())
            more = f" ({len(made.refused) - 1} more rows are refused)"
            raise RefusedInput(f"Row {row}: {reason}.{more if len(made.refused) > 1 else ''}")
        index = frame.index.take(made.rows) if len(made.rows) == len(frame) else None
        return pd.DataFrame(dict(made.columns), index=index)

    def _frame(self, raw: Any) -> Any:
        """The input as a data frame; a list or an array is the only column that there is."""
        import pandas as pd

        if isinstance(raw, pd.DataFrame):
            return raw
        form = self.description["input"]
        try:
            if isinstance(raw, Mapping):
                return pd.DataFrame(dict(raw))
            if "column" in form:
                cells = [raw] if isinstance(raw, str | bytes) else list(raw)
                return pd.DataFrame({form["column"]: pd.Series(cells, dtype=object)})
            names = form["columns"] if form["kind"] == "series" else form["numeric"]
            shape = np.shape(raw)
            if len(shape) == 2 and not form.get("categorical") and shape[1] == len(names):
                return pd.DataFrame(np.asarray(raw), columns=names)
        except (TypeError, ValueError):  # a number is no list; columns or rows differ in length
            pass
        needed = [name for name, _, is_required in columns_of(self.description) if is_required]
        raise RefusedInput(
            f"The input is a {type(raw).__name__}, expected a data frame or lists of equal length "
            f"with the columns {listed(needed)}."
        )

    def _generated(self, frame: Any, params: Mapping[str, Any]) -> Answered:
        form = self.description["input"]
        chosen = _settings(params)
        ids, refused = texts.ids_of(form, frame)
        words = texts.Words(form["vocabulary"])
        made: dict[str, list[Any]] = {"generated": [], "next": [], "probability": []}
        for prompt in ids:
            with self._lock:
                weights = sampling.next_weights(self.model, prompt.tolist())
                text = sampling.sample(self.model, prompt.tolist(), **chosen)
            made["generated"].append(words.text(text))
            made["next"].append(words.text([int(weights.argmax())]))
            made["probability"].append(float(weights.max()))
        rows = np.array([row for row in range(len(frame)) if row not in refused], np.int64)
        columns = {name: np.array(cells, object) for name, cells in made.items()}
        columns["probability"] = columns["probability"].astype(np.float64)
        return Answered(columns=columns, rows=rows, refused=refused)


def _settings(params: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in params.items() if value is not None}
    chosen: dict[str, Any] = {**DEFAULTS, **given}
    if unknown := sorted(set(params) - set(DEFAULTS)):
        raise RefusedInput(f"Received {listed(unknown)}, expected some of {listed(DEFAULTS)}.")
    for name in ("length", "top_k", "seed"):
        value = chosen[name]
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            raise RefusedInput(f"{name}: received {value!r}, expected an integer from 0.")
        if not 0 <= value < 1 << 31:
            raise RefusedInput(f"{name}: received {value!r}, expected an integer from 0.")
    heat = chosen["temperature"]
    is_number = isinstance(heat, int | float | np.number) and not isinstance(heat, bool)
    if not (is_number and 0 < heat < float("inf")):
        raise RefusedInput(
            f"temperature: received {heat!r}, expected a number above 0: top_k=1 always takes the "
            "most likely token."
        )
    if chosen["length"] > 10_000:
        raise RefusedInput(f"length: received {chosen['length']}, expected at most 10000 tokens.")
    return {"num_tokens": chosen.pop("length"), **chosen}


def load(folder: str | Path) -> RawModel:
    """Loads a stored model of raw input; nothing is unpickled.

    Args:
        folder: of the MLflow model.
    """
    import keras

    description = json.loads(Path(folder, DESCRIPTION).read_text("utf-8"))
    model = keras.saving.load_model(str(Path(folder, KERAS_FILE)), compile=False, safe_mode=True)
    return RawModel(description, model)
