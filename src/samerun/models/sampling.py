"""Samples text from a language model, token by token."""

from collections.abc import Sequence

import keras

from samerun.errors import UserError
from samerun.raw_model import sampling


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
        ids: the prompt, at least one token; the model reads as many of the last ones as it has
            positions. A shorter prompt is padded at the end, which a recurrent model ignores.
        num_tokens: number of tokens to add.
        temperature: divides the logits, above 0: below 1 more conservative, above 1 more random.
        top_k: sample only from the k most likely tokens; 0 for all.
        seed: of the draws, which use NumPy in float64 on every device.

    Raises:
        UserError: the prompt is empty, or a number is out of range.
    """
    _check(ids, num_tokens, temperature, top_k)
    return sampling.sample(
        model,
        ids,
        num_tokens=num_tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
    )


def _check(ids: Sequence[int], num_tokens: int, temperature: float, top_k: int) -> None:
    if not len(ids):
        raise UserError("sample: received no ids, expected at least one token.")
    if not temperature > 0:
        raise UserError(
            f"sample: received temperature {temperature:g}, expected a number above 0: top_k=1 "
            "always takes the most likely token."
        )
    for name, value in (("num_tokens", num_tokens), ("top_k", top_k)):
        if value < 0:
            raise UserError(f"sample: received {name} {value}, expected 0 or more.")
