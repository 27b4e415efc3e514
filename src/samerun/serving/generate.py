"""Text from a language model."""

from collections.abc import Mapping
from typing import Any

from samerun.errors import UserError
from samerun.raw_model import RawModel, RefusedInput


def generate(model: RawModel, prompt: str, params: Mapping[str, Any]) -> str:
    """Returns how a language model continues a text.

    Args:
        model: the model.
        prompt: the beginning.
        params: `length`, `temperature`, `top_k` and `seed`.

    Raises:
        UserError: the model is no language model, or a number is out of range.
    """
    if not model.generates:
        raise UserError(
            "samerun generate: the run trained no language model, expected one such as of "
            "`samerun train experiment=python_docs_lstm`; `samerun predict` takes this one."
        )
    try:
        made = model.predict([prompt], params)
    except RefusedInput as error:
        raise UserError(f"samerun generate: {error}") from error
    return str(made["generated"].iloc[0])
