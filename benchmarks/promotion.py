"""Promotion against Optuna's pruner: epochs to the same best trial, on stored learning curves.

    python benchmarks/promotion.py [--orders 100] [--workers 1] [--json FILE] [OVERRIDE …]

`curves/NAME.csv` has the learning curves of 48 trials of a real sweep that were all trained to
their last epoch: number, direction, value after each epoch. Nothing is trained here: trials report
these values, in an order drawn from each seed, and two schedulers decide. Optuna's
`SuccessiveHalvingPruner` stops trials, as without `sweep.promote`; samerun's `Promotion`, the code
of a sweep with `sweep.promote=true`, pauses and continues them. Both have the defaults of
`sweep.successive_halving`.

A trial's value is that of its best epoch, as `sweep.objective_from` has it, and only trials that
complete count. The target of an order is the worse of the two best values that the schedulers have
after all 48 trials, so that both reach it. The ratio is the number of epochs until promotion does,
divided by the number until stopping does. In how many orders promotion ends with a worse best, and
how many epochs all trials take, is printed beside it.
"""

import math
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from harness import Figure, arguments_of, finish
from optuna.trial import FrozenTrial, TrialState

from samerun import tags as tag
from samerun.config.composition import parse_sweep
from samerun.config.sweep import Sweep
from samerun.errors import TrialPaused
from samerun.search import build_promotion, build_pruner
from samerun.search.trial import StudyTrial
from samerun.sweeper.composition import compose_sweep

CURVES = Path(__file__).resolve().parent / "curves"
LIMIT = 0.7


@dataclass
class Replay:
    """A sweep whose trials report stored values.

    Args:
        curves: values after each epoch, of each trial in the order in which they start.
        direction: `minimize` or `maximize`.
        settings: the sweep.
        workers: number of trials that train at a time, one epoch each in turn.
    """

    curves: list[list[float]]
    direction: str
    settings: Sweep
    workers: int
    bests: list[tuple[int, float]] = field(default_factory=list)
    """Epochs trained until then, all trials together, and the value of a trial that completed."""
    epochs: int = 0

    def __post_init__(self) -> None:
        self.length = max(map(len, self.curves))
        self.sign = 1 if self.direction == "minimize" else -1
        pruner = build_pruner(self.settings, self.direction, self.length)
        self.study = optuna.create_study(
            study_name="s", direction=self.direction, pruner=pruner, sampler=None
        )
        self.promotion = build_promotion(self.settings, self.study, self.length)
        self.trials: list[optuna.Trial] = []
        self.reached: dict[int, int] = {}
        self.running: dict[int, StudyTrial] = {}

    def run(self) -> None:
        """Runs it to its end."""
        while self.fill():
            for number in list(self.running):
                self.train_epoch(number)

    def fill(self) -> bool:
        """Gives each free worker a trial, as the loop of a sweep does; whether any has one."""
        while len(self.running) < self.workers:
            number = self.promoted(is_last=False)
            if number is None and len(self.trials) < len(self.curves):
                number = len(self.trials)
                self.trials.append(self.study.ask())
            if number is None and not self.running:
                number = self.promoted(is_last=True)
            if number is None:
                break
            trial = self.trials[number]
            trial.set_user_attr(tag.STATE, "")
            self.running[number] = StudyTrial(
                self.study, trial, [], "value", None, promotion=self.promotion
            )
        return bool(self.running)

    def promoted(self, *, is_last: bool) -> int | None:
        """Returns the number of the paused trial that is to continue, if there is one."""
        if self.promotion is None:
            return None
        found: FrozenTrial | None = self.promotion.choose(self.study.get_trials(), is_last=is_last)
        return None if found is None else found.number

    def train_epoch(self, number: int) -> None:
        """Reports the next value of a trial, and pauses, prunes or ends it."""
        worker, trial, curve = self.running[number], self.trials[number], self.curves[number]
        epoch = self.reached[number] = self.reached.get(number, 0) + 1
        self.epochs += 1
        worker.report(curve[epoch - 1], epoch)
        if not worker.should_stop(ends=epoch == len(curve)) and epoch < len(curve):
            return
        del self.running[number]
        try:
            worker.raise_if_stopped()
        except TrialPaused:
            paused = {**trial.user_attrs.get(tag.TRIAL_PAUSED, {}), str(epoch): 0.0}
            trial.set_user_attr(tag.TRIAL_PAUSED, paused)
            trial.set_user_attr(tag.STATE, "paused")
        except optuna.TrialPruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            best = min(curve, key=lambda value: self.sign * value)
            self.study.tell(trial, best)
            self.bests.append((self.epochs, best))

    def best(self) -> float:
        """Returns the value of the best trial that completed."""
        return min((value for _, value in self.bests), key=lambda value: self.sign * value)

    def epochs_to(self, target: float) -> int:
        """Returns the epochs after which a completed trial is at least as good as the target."""
        return next(
            epochs for epochs, value in self.bests if self.sign * value <= self.sign * target
        )


def read(file: Path) -> tuple[str, list[list[float]]]:
    """Returns direction and curves of a file."""
    rows = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines()]
    return rows[0][1], [[float(value) for value in row[2:]] for row in rows]


def sweep_settings(given: Sequence[str], *, promotes: bool) -> Sweep:
    """Returns the settings of a sweep with successive halving, with further overrides."""
    overrides = ["sweep=optuna", "sweep.pruner=successive_halving", "model.dropout=choice(0,0.5)"]
    overrides += [f"sweep.promote={str(promotes).lower()}", *given]
    with compose_sweep(["-m", *overrides]) as (_, node, _):
        return parse_sweep(node)


@dataclass(frozen=True)
class Compared:
    """Epochs of an order to the target, those of all trials, and whether promotion ends worse."""

    stopping: int
    promotion: int
    all_stopping: int
    all_promotion: int
    is_worse: bool


def compare(
    direction: str, order: list[list[float]], both: Sequence[Sweep], workers: int
) -> Compared:
    """Replays an order with both schedulers."""
    stopping, promoting = (Replay(order, direction, settings, workers) for settings in both)
    stopping.run()
    promoting.run()
    target = max(stopping.best(), promoting.best(), key=lambda value: stopping.sign * value)
    return Compared(
        stopping.epochs_to(target),
        promoting.epochs_to(target),
        stopping.epochs,
        promoting.epochs,
        target != stopping.best(),
    )


def main() -> int:
    """Replays each file of curves in many orders and prints the ratios."""
    parser = arguments_of(__doc__)
    parser.add_argument("--orders", type=int, default=100, help="orders of the trials")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "overrides", nargs="*", help="such as sweep.successive_halving.min_epochs=2"
    )
    given = parser.parse_args()
    both = [sweep_settings(given.overrides, promotes=promotes) for promotes in (False, True)]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    figures, detail = [], {}
    print(f"{'curves':<16}{'stopping':>10}{'promotion':>11}{'all epochs':>12}{'worse':>8}")
    for file in sorted(CURVES.glob("*.csv")):
        direction, curves = read(file)
        orders = [random.Random(n).sample(curves, len(curves)) for n in range(given.orders)]
        found = [compare(direction, order, both, given.workers) for order in orders]
        total = statistics.median(one.all_promotion / one.all_stopping for one in found)
        worse = sum(one.is_worse for one in found) / len(found)
        stopping = statistics.median(one.stopping for one in found)
        promoting = statistics.median(one.promotion for one in found)
        print(f"{file.stem:<16}{stopping:>10g}{promoting:>11g}{total:>12.2f}{worse:>8.0%}")
        ratios = sorted(one.promotion / one.stopping for one in found)
        num = len(ratios) - 1
        low, high = ratios[num // 4], ratios[math.ceil(num * 3 / 4)]
        what = f"{file.stem}: epochs to the same best, promotion / stopping"
        figures.append(Figure(what, statistics.median(ratios), LIMIT, low, high))
        detail[file.stem] = {"orders": len(found), "all_epochs": total, "worse": worse}
    return finish(figures, given.json, detail)


if __name__ == "__main__":
    sys.exit(main())
