"""Names of metrics: Keras's, and those that are logged."""


def logged_name(keras_name: str) -> str:
    """Returns `validation/accuracy` for Keras's `val_accuracy`, `train/loss` for `loss`."""
    if keras_name.startswith("val_"):
        return f"validation/{keras_name.removeprefix('val_')}"
    return f"train/{keras_name}"


def keras_name(logged: str) -> str:
    """Returns Keras's `val_accuracy` for `validation/accuracy`."""
    split, _, name = logged.partition("/")
    return f"val_{name}" if split == "validation" else name
