"""Samples text from a language model, token by token."""

from collections.abc import Sequence
from typing import Any

import numpy as np

_NEVER = (0, 1)  # padding and the unknown token are never sampled


def sample(
    model: Any,
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
        ids: the prompt, at least one token; the model reads as many of the last ones as it has
            positions. A shorter prompt is padded at the end, which a recurrent model ignores.
        num_tokens: number of tokens to add.
        temperature: divides the logits, above 0: below 1 more conservative, above 1 more random.
        top_k: sample only from the k most likely tokens; 0 for all.
        seed: of the draws, which use NumPy in float64 on every device.
    """
    random = np.random.default_rng(seed)
    text = [int(token) for token in ids]
    for _ in range(num_tokens):
        weights = next_weights(model, text, temperature=temperature, top_k=top_k)
        text.append(int(random.choice(len(weights), p=weights)))
    return text[len(ids) :]


def next_weights(
    model: Any, ids: Sequence[int], *, temperature: float = 1.0, top_k: int = 0
) -> Any:
    """Returns the probability of each token to come next, `(tokens,)` of float64."""
    positions = _num_positions(model) or len(ids)
    read = list(ids[-positions:])
    window = np.asarray([read + [0] * (positions - len(read))], np.int32)
    answers = np.asarray(model.predict_on_batch(window))
    logits = answers[0, len(read) - 1].astype(np.float64)
    logits[list(_NEVER)] = -np.inf
    if 0 < top_k < len(logits):
        logits[np.argsort(-logits, kind="stable")[top_k:]] = -np.inf
    weights = np.exp((logits - logits.max()) / temperature)
    return weights / weights.sum()


def _num_positions(model: Any) -> int | None:
    """Returns the number of positions of a model, `None` if a subclassed one does not state it."""
    shape: tuple[int | None, ...] = getattr(model, "input_shape", (None, None))
    return shape[1]
