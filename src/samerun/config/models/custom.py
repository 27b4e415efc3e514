"""A user's own model."""

from typing import Any, ClassVar

from samerun.config.fields import a_path, config
from samerun.config.models.base import Model
from samerun.config.spec import Task


@config
class CustomModel(Model):
    """A user's own function: `target(spec, **params)` returns an uncompiled `keras.Model`.

    Using this config imports the module: a config from elsewhere is code from elsewhere.

    Args:
        target: `package.module:function`, in the working directory or installed.
        params: its keyword arguments.
    """

    tasks: ClassVar[tuple[Task, ...]] = tuple(Task)

    kind: str = "custom"
    target: str
    params: dict[str, Any] = a_path()


KINDS: tuple[type[Model], ...] = (CustomModel,)
