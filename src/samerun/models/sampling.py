"""Text out of a language model, token by token."""

from collections.abc import Sequence

import keras
import numpy as np

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
        ids: the beginning; its last ones are read, as many as the model has positions.
        num_tokens: how many tokens to add.
        temperature: divides the logits: below 1 is tamer, above 1 wilder.
        top_k: only the most likely so many tokens can come; 0 for all.
        seed: of the draws, in float64 on NumPy: no device's own generator is asked.
    """
    random = np.random.default_rng(seed)
    positions = model.input_shape[1] or len(ids)
    text = [int(token) for token in ids]
    for _ in range(num_tokens):
        window = np.asarray([text[-positions:]], np.int32)
        logits = np.asarray(model.predict_on_batch(window))[0, -1].astype(np.float64)
        logits[list(_NEVER)] = -np.inf
        if 0 < top_k < len(logits):
            logits[np.argsort(-logits, kind="stable")[top_k:]] = -np.inf
        weights = np.exp((logits - logits.max()) / temperature)
        text.append(int(random.choice(len(weights), p=weights / weights.sum())))
    return text[len(ids) :]
