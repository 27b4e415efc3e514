"""Text out of a language model, token by token."""

from collections.abc import Sequence

import keras
import numpy as np

from samerun.errors import UserError

_NEVER = (0, 1)  # padding and the unknown token are no words


def sample(
    model: keras.Model,
    ids: Sequence[int],
    *,
    num_tokens: int,
    temperature: float,
    top_k: int,
    seed: int,
) -> list[int]:
    """Continues a text; the same arguments give the same text.

    Args:
        model: a language model: ids `(batch, positions)` -> logits `(batch, positions, tokens)`.
        ids: the beginning, at least one token; its last ones are read, as many as the model has
            positions. A shorter one is padded behind, where no recurrent model looks.
        num_tokens: how many tokens to add.
        temperature: divides the logits: below 1 is tamer, above 1 wilder; above 0.
        top_k: only the most likely so many tokens can come; 0 for all.
        seed: of the draws, in float64 on NumPy: no device's own generator is asked.

    Raises:
        UserError: no beginning, or a number out of its range.
    """
    _check(ids, num_tokens, temperature, top_k)
    random = np.random.default_rng(seed)
    positions = _num_positions(model) or len(ids)
    text = [int(token) for token in ids]
    for _ in range(num_tokens):
        read = text[-positions:]
        window = np.asarray([read + [0] * (positions - len(read))], np.int32)
        answers = np.asarray(model.predict_on_batch(window))
        logits = answers[0, len(read) - 1].astype(np.float64)
        logits[list(_NEVER)] = -np.inf
        if 0 < top_k < len(logits):
            logits[np.argsort(-logits, kind="stable")[top_k:]] = -np.inf
        weights = np.exp((logits - logits.max()) / temperature)
        text.append(int(random.choice(len(weights), p=weights / weights.sum())))
    return text[len(ids) :]


def _num_positions(model: keras.Model) -> int | None:
    """Returns how many tokens a model reads; a user's subclassed one need not say."""
    shape: tuple[int | None, ...] = getattr(model, "input_shape", (None, None))
    return shape[1]


def _check(ids: Sequence[int], num_tokens: int, temperature: float, top_k: int) -> None:
    if not len(ids):
        raise UserError("sample: received no ids, expected at least one token to begin with.")
    if not temperature > 0:
        raise UserError(
            f"sample: received temperature {temperature:g}, expected a number above 0: top_k=1 "
            "always takes the most likely token."
        )
    for name, value in (("num_tokens", num_tokens), ("top_k", top_k)):
        if value < 0:
            raise UserError(f"sample: received {name} {value}, expected 0 or more.")
