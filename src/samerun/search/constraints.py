"""Constraints of a sweep: limits on logged values that its best trial has to satisfy.

Optuna's samplers `tpe`, `gp`, `nsga2` and `nsga3` read them from the study and prefer trials that
keep them.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samerun.config.root import Config
from samerun.config.samplers import Sampler
from samerun.config.spec import DataSpec
from samerun.config.sweep import Sweep
from samerun.errors import Infeasible, UserError, listed, nearest
from samerun.search.objectives import NUM_PARAMETERS, objective_names

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

EPOCH_SECONDS = ("system/epoch_seconds", "speed/epoch_seconds")
"""The names of the median duration of an epoch: the present one, and the one of earlier studies."""

SUPPORTED = (Sampler.tpe, Sampler.gp, Sampler.nsga2, Sampler.nsga3)
"""The samplers that take constraints into account."""

_FORM = re.compile(r"\s*([^\s<>=]+)\s*(<=|>=)\s*(\S+)\s*")


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A limit on a logged value.

    Args:
        name: logged name of the value.
        is_upper: whether the value may not be above the bound; otherwise not below.
        bound: the bound, which itself is allowed.
    """

    name: str
    is_upper: bool
    bound: float

    def __str__(self) -> str:
        return f"{self.name}{'<=' if self.is_upper else '>='}{self.bound:g}"

    def violation(self, value: float) -> float:
        """Returns by how much a value violates it, in Optuna's sense: feasible if at most 0.

        Relative to the bound: samplers add the violations of several constraints.
        """
        excess = value - self.bound if self.is_upper else self.bound - value
        return excess / (abs(self.bound) or 1.0)


def parse_constraints(sweep: Sweep) -> tuple[Constraint, ...]:
    """Returns the constraints of a sweep.

    Raises:
        UserError: one is not NAME<=NUMBER or NAME>=NUMBER, or is given twice.
    """
    found: dict[str, Constraint] = {}
    for text in sweep.constraints:
        match = _FORM.fullmatch(text)
        bound = _number(match[3]) if match else None
        if match is None or bound is None:
            raise UserError(
                f"sweep.constraints: received '{text}', expected NAME<=NUMBER or NAME>=NUMBER, "
                f"such as '{NUM_PARAMETERS}<=50000'."
            )
        one = Constraint(name=match[1], is_upper=match[2] == "<=", bound=bound)
        key = f"{EPOCH_SECONDS[0] if one.name in EPOCH_SECONDS else one.name}{match[2]}"
        if key in found:
            raise UserError(
                f"sweep.constraints: received two limits {one.name}{match[2]}…, expected one."
            )
        found[key] = one
    return tuple(found.values())


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def check_constraints(sweep: Sweep, cfg: Config, spec: DataSpec) -> None:
    """Checks the constraints of a sweep against the config of a branch.

    Raises:
        UserError: one is malformed, or the value is not logged.
    """
    known = (*objective_names(cfg, spec), *EPOCH_SECONDS)
    for one in parse_constraints(sweep):
        if one.name not in known:
            raise UserError(
                f"sweep.constraints: received '{one}', expected one of {listed(known[:-1])}."
                f"{nearest(one.name.replace('val_', 'validation/'), known)}"
            )


def violations(
    constraints: Sequence[Constraint], value_of: Callable[[str], float | None]
) -> dict[str, float]:
    """Returns how much each constraint is violated; at most 0: not at all.

    Args:
        constraints: the constraints.
        value_of: returns a value by its logged name; `None` if it could not be measured, as the
            duration of an epoch in a run that was resumed after the last one.
    """
    found = {}
    for one in constraints:
        value = value_of(one.name)
        found[str(one)] = 0.0 if value is None else one.violation(value)
    return found


def check_model(constraints: Sequence[Constraint], num_parameters: int) -> None:
    """Refuses a model that violates a constraint, before it is trained.

    Raises:
        Infeasible: it does.
    """
    own = [one for one in constraints if one.name == NUM_PARAMETERS]
    found = violations(own, lambda _: float(num_parameters))
    if any(value > 0 for value in found.values()):
        text = reason(own, {NUM_PARAMETERS: float(num_parameters)})
        raise Infeasible(f"{text}, known before training", found)


def reason(constraints: Sequence[Constraint], values: Mapping[str, float]) -> str:
    """Returns which constraints the values violate, and the values."""
    return " and ".join(
        f"{one.name} is {values[one.name]:,.6g}, not {'<=' if one.is_upper else '>='}{one.bound:g}"
        for one in constraints
        if one.name in values and one.violation(values[one.name]) > 0
    )


def is_feasible(trial: "FrozenTrial") -> bool:
    """Whether a trial violates no constraint that is known of it."""
    return all(value <= 0 for value in trial.constraints.values())


def constraint_notes(sweep: Sweep) -> list[str]:
    """Returns what the sampler does with constraints that a user may not expect."""
    if not sweep.constraints or sweep.sampler in SUPPORTED:
        return []
    return [
        f"{sweep.sampler} does not take sweep.constraints into account: infeasible trials are as "
        f"likely as others; {listed(SUPPORTED)} avoid them."
    ]
