"""The model as MLflow's `python_function` flavor loads it."""

from typing import Any

from .encoded import RefusedInput
from .model import RawModel, load


class ServedModel:
    """A model of raw input whose refusals are MLflow's bad requests.

    Args:
        raw: the model.
    """

    def __init__(self, raw: RawModel) -> None:
        self.raw = raw

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Answers raw input.

        Args:
            model_input: a data frame, or a list of texts or images.
            params: of a language model: `length`, `temperature`, `top_k`, `seed`.

        Raises:
            MlflowException: the input is refused; it is a bad request, status 400.
        """
        from mlflow.exceptions import MlflowException

        try:
            return self.raw.predict(model_input, params)
        except RefusedInput as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


def _load_pyfunc(path: str) -> ServedModel:
    return ServedModel(load(path))
