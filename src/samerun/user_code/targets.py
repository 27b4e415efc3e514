"""Which functions of the user's own a config names, and how they are named."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samerun.config.datasets.images import CustomDataset
from samerun.config.models.custom import CustomModel
from samerun.config.optimizers import CustomOptimizer
from samerun.config.own import is_component
from samerun.config.root import Config
from samerun.config.schedules import CustomSchedule
from samerun.config.training import is_own, name_of
from samerun.errors import UserError

DATA = "data"
"""What `--trust` takes for the paths and the data of a run that this machine did not record."""

_CUSTOM = (CustomModel, CustomDataset, CustomOptimizer, CustomSchedule)


def is_function(part: object) -> bool:
    """Whether a part of a config is built by a function of the user's own."""
    return isinstance(part, _CUSTOM) or is_component(part)


def where(group: str, part: Any) -> str:
    """Returns what names the user's function of a part: `model.target`, or `model=mine`."""
    return f"{group}={part.kind}" if is_component(part) else f"{group}.target"


def components_of(cfg: Config) -> list[str]:
    """Returns the modules that declare the components of the user's own that a config chooses."""
    parts = (*_groups(cfg).values(), *cfg.training.params.values())
    return list(dict.fromkeys(type(part).__module__ for part in parts if is_component(part)))


@dataclass(frozen=True, kw_only=True)
class OwnFunction:
    """A function of the user's own, as a config names it.

    Args:
        key: the config's key, such as `model.target`.
        target: `package.module:function`.
        params_key: the key of its keyword arguments, such as `model.params`.
        params: these arguments.
        written: what the config names it by: the target, or the name of a component.
    """

    key: str
    target: str
    params_key: str
    params: Mapping[str, Any]
    written: str

    @property
    def name(self) -> str:
        """The name of a loss, a metric or a callback, under which a metric is logged."""
        return name_of(self.written)

    @property
    def trust(self) -> str:
        """What `--trust` has to name: the function that the config names, or a component's package.

        A package called `data` is named with its module, since `data` stands for the run's data.
        """
        return self.target if self.written == self.target else _package(self.target)


def _groups(cfg: Config) -> dict[str, Any]:
    """Returns the parts of a config that may be built by a function of the user's own, by key."""
    return {
        "dataset": cfg.dataset,
        "dataset.augmentation": getattr(cfg.dataset, "augmentation", None),
        "model": cfg.model,
        "optimizer": cfg.optimizer,
        "schedule": cfg.schedule,
    }


def own_functions(cfg: Config) -> list[OwnFunction]:
    """Returns the user's own functions, in the order in which a run needs them."""
    found = [
        OwnFunction(
            key=where(group, part),
            target=part.target,
            params_key=group if is_component(part) else f"{group}.params",
            params=part.params,
            written=part.kind if is_component(part) else part.target,
        )
        for group, part in _groups(cfg).items()
        if is_function(part)
    ]
    training = cfg.training
    named = {"training.loss": training.loss} if is_own(training.loss) else {}
    for key, names in (("metrics", training.metrics), ("callbacks", training.callbacks)):
        own = {f"training.{key}[{n}]": name for n, name in enumerate(names) if is_own(name)}
        named |= own
    for key, written in named.items():
        name = name_of(written)
        params = training.params.get(name, {})
        is_typed = is_component(params)
        found.append(
            OwnFunction(
                key=key,
                target=params.target if is_typed else written,
                params_key=f"training.params.{name}",
                params=params.params if is_typed else params,
                written=written,
            )
        )
    return found


def targets(cfg: Config) -> dict[str, str]:
    """Returns the names of the user's own functions, such as `my_code:build`, by config key."""
    return {function.key: function.target for function in own_functions(cfg)}


def trust_names(cfg: Config) -> tuple[str, ...]:
    """Returns what `--trust` has to name before a stored config imports the user's own code.

    A function is named in full: with its module alone, whoever may write to the store could choose
    another function of that module.
    """
    packages = map(_package, components_of(cfg))
    return tuple(dict.fromkeys([*(one.trust for one in own_functions(cfg)), *packages]))


def _package(target: str) -> str:
    top = re.split("[.:]", target)[0]
    return target if top == DATA else top


def split(key: str, target: str) -> tuple[str, str]:
    """Returns the module and the function of `package.module:function`.

    Raises:
        UserError: it has another format; what may have been meant is proposed.
    """
    module, colon, name = target.partition(":")
    parts = (*module.split("."), *name.split("."))
    if colon and not module.endswith(".py") and all(part.isidentifier() for part in parts):
        return module, name
    meant = re.sub(r"\.py$", "", re.sub(r"\.py:", ":", target.removeprefix("./")))
    meant = meant.replace("::", ":").replace("/", ".").replace("\\", ".")
    if ":" not in meant and target.endswith(".py"):
        meant += ":FUNCTION"
    elif ":" not in meant and "." in meant:
        meant = ":".join(meant.rsplit(".", 1))
    meant = meant.removesuffix("()")
    is_valid = re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*", meant)
    proposal = f": give {typed(key, meant)}" if is_valid else f", such as {typed(key, 'my_code:f')}"
    raise UserError(
        f"{key}: received '{target}', expected package.module:function without .py{proposal}."
    )


def typed(key: str, target: str) -> str:
    """Returns what to type for another target: `KEY=TARGET`, or an entry of a list."""
    return target if "[" in key else f"{key}={target}"
