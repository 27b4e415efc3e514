"""Uses a stored model: predictions on new data, a scoring server."""
