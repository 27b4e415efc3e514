"""Which code of a recorded config may be imported: only what the user names."""

from collections.abc import Sequence

from samerun import user_code
from samerun.config import Config
from samerun.config.own import declaring_module
from samerun.errors import UserError

DATA = "data"
"""What `--trust` takes for the paths and the data of a run that this machine did not record."""


def check_plain(text: str) -> None:
    """Checks that a stored config holds values only.

    `${oc.env:AWS_SECRET_ACCESS_KEY}` would put a secret of this machine into the config, and with
    it into the store it came from. What samerun stores is resolved.

    Args:
        text: YAML of the stored config.

    Raises:
        UserError: it holds an interpolation.
    """
    if "${" in text:
        raise UserError(
            "The stored config holds an interpolation, ${…}; only values are expected: it was not "
            "written by samerun and is not used."
        )


def check_trusted(cfg: Config, trusted: Sequence[str]) -> None:
    """Checks that a stored config imports nothing but modules that were named.

    Another person may have written a config in a store; importing what it names would run their
    code.

    Args:
        cfg: the stored config.
        trusted: names of modules or packages, or complete targets; a package includes its modules.
            `data` stands for the data of the run and is no module here.

    Raises:
        UserError: it would import something else.
    """
    for key, target in user_code.targets(cfg).items():
        module = target.partition(":")[0]
        if target in trusted or _is_trusted(module, trusted):
            continue
        top = module.partition(".")[0] or "MODULE"
        raise UserError(
            f"{key}: the stored run names {target!r}, which would be imported and run: give "
            f"--trust {target if top == DATA else top} if that code is yours or you have read it."
        )


def trusts_components(trusted: Sequence[str]) -> bool:
    """Whether the module of the working folder that declares components may be imported.

    Args:
        trusted: as for `check_trusted`.
    """
    module = declaring_module()
    return bool(module) and _is_trusted(module, trusted)


def _is_trusted(module: str, trusted: Sequence[str]) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in trusted if name != DATA)
