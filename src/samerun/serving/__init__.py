"""Uses a stored model: predictions on new data, a scoring server, an evaluation on new data."""

from samerun.serving.stored_model import open_model
