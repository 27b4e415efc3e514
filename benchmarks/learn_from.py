"""What `sweep.learn_from` saves: epochs to the same value, with and without an earlier study.

    python benchmarks/learn_from.py [--seeds 10] [--trials 20] [--json FILE]

A network of one hidden layer, in NumPy, on scikit-learn's digits with noise; dropout and L2 are
searched, 20 epochs a trial, by TPE with the median pruner, one trial at a time, with the code of a
sweep. An earlier study of as many trials has other seeds, and is of

- the same runs: its trials are lent, as finished results with their curves;
- other data, 300 digits instead of 600: the values of its best trials are tried first.

Lent results are known before the first epoch, so the first kind has no ratio to a value. Printed
are the epochs that a search alone takes until it is as good as the earlier study, the epochs of all
trials with and without it, and which of the two searches knows the better trial in the end.

For the second kind, the target of a seed is the worse of the two best values that both searches
have after all trials, so that both reach it. The ratio is the number of epochs until then with the
earlier study, divided by the number without it.
"""

import functools
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna
from harness import Figure, arguments_of, finish, middle
from sklearn.datasets import load_digits

from samerun import search
from samerun import tags as tag
from samerun.config import compose
from samerun.config.composition import parse_sweep
from samerun.config.sweep import Sweep
from samerun.search import lending
from samerun.sweeper.composition import compose_sweep

EPOCHS = 20
SPACE = ("model=mlp", "model.dropout=interval(0,0.8)", "model.l2=tag(log,interval(1e-6,1e-1))")
LIMIT = 1.0
Array = np.ndarray[Any, np.dtype[Any]]


@functools.cache
def data(num: int) -> tuple[Array, Array, Array, Array]:
    """Returns noisy digits: training images and labels, validation images and labels."""
    digits, random = load_digits(), np.random.default_rng(0)
    images = digits.data / 16 + random.normal(0, 0.4, digits.data.shape)
    order = random.permutation(len(images))
    train, validation = order[:num], order[1000:]
    labels = np.eye(10)[digits.target]
    return images[train], labels[train], images[validation], labels[validation]


def train(num: int, dropout: float, l2: float, report: Callable[[float, int], bool]) -> None:
    """Trains a network with Adam; stops where `report` says so.

    Args:
        num: number of training images.
        dropout: share of the hidden units that a step leaves out.
        l2: factor of the squared weights in the loss.
        report: called with the validation loss and the number of each epoch; whether to stop.
    """
    x, y, x_validation, y_validation = data(num)
    random = np.random.default_rng(0)
    weights = [random.normal(0, 0.1, shape) for shape in ((64, 64), (64,), (64, 10), (10,))]
    moments = [(np.zeros_like(one), np.zeros_like(one)) for one in weights]
    step = 0
    for epoch in range(1, EPOCHS + 1):
        for chosen in np.array_split(random.permutation(num), num // 50):
            step += 1
            hidden = np.maximum(x[chosen] @ weights[0] + weights[1], 0)
            mask = (random.random(hidden.shape) >= dropout) / (1 - dropout)
            error = (softmax(hidden * mask @ weights[2] + weights[3]) - y[chosen]) / len(chosen)
            back = (error @ weights[2].T) * mask * (hidden > 0)
            slopes = (x[chosen].T @ back, back.sum(0), (hidden * mask).T @ error, error.sum(0))
            for place, slope in enumerate(slopes):
                slope = slope + (2 * l2 * weights[place] if place in (0, 2) else 0)
                first, second = moments[place]
                first += 0.1 * (slope - first)
                second += 0.001 * (slope**2 - second)
                rate = 0.005 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                weights[place] -= rate * first / (np.sqrt(second) + 1e-7)
        hidden = np.maximum(x_validation @ weights[0] + weights[1], 0)
        likely = softmax(hidden @ weights[2] + weights[3])
        if report(float(-np.log((likely * y_validation).sum(1) + 1e-12).mean()), epoch):
            return


def softmax(values: Array) -> Array:
    """Returns the probabilities of classes."""
    powers: Array = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@dataclass(frozen=True)
class Search:
    """A search and what it takes from an earlier one.

    Args:
        num: number of training images.
        seed: seed of the sampler.
        trials: number of trials that it trains.
        lent: trials of an earlier study that are results.
        points: values to try first.
    """

    num: int
    seed: int
    trials: int
    lent: tuple[lending.EarlierTrial, ...] = ()
    points: tuple[dict[str, Any], ...] = ()

    def run(self) -> tuple[optuna.Study, list[tuple[int, float]]]:
        """Runs it; returns the study, and epochs and best loss so far after each trial."""
        settings, space = sweep_settings(), search_space()
        pruner = search.build_pruner(settings, "minimize", EPOCHS)
        study = optuna.create_study(direction="minimize", pruner=pruner, study_name="earlier")
        lending.add_lent(
            study,
            space,
            self.lent,
            overrides=space.overrides,
            constraints=(),
            max_epochs=EPOCHS,
        )
        for point in self.points:
            study.enqueue_trial(point)
        bests: list[tuple[int, float]] = []
        epochs, best = 0, float("inf")
        for number in range(self.trials):
            study.sampler = search.build_sampler(settings, space, self.seed, 1, number)
            trial = study.ask()
            values = space.suggest(trial)
            curve: list[float] = []

            def report(
                value: float, epoch: int, trial: Any = trial, curve: list[float] = curve
            ) -> bool:
                curve.append(value)
                trial.report(value, epoch)
                return bool(trial.should_prune())

            train(self.num, values["model.dropout"], values["model.l2"], report)
            epochs += len(curve)
            if len(curve) < EPOCHS:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(trial, min(curve))
                best = min(best, min(curve))
            bests.append((epochs, best))
        return study, bests


@functools.cache
def sweep_settings() -> Sweep:
    """Returns the settings of `sweep=optuna`."""
    with compose_sweep(["-m", "sweep=optuna", *SPACE]) as (_, node, _):
        return parse_sweep(node)


@functools.cache
def search_space() -> search.Space:
    """Returns the search space."""
    return search.parse_space(SPACE, {}, compose=lambda some: compose(list(some)).config)


@dataclass(frozen=True)
class Pair:
    """A search after an earlier study, and the same search alone.

    Args:
        earlier: the best value of the earlier study.
        learned: epochs and best value so far after each trial of the search that has learned.
        alone: the same of the other one.
    """

    earlier: float
    learned: list[tuple[int, float]]
    alone: list[tuple[int, float]]

    def ratio(self) -> float:
        """Returns the ratio of the epochs until both are as good as the worse one in the end."""
        target = max(self.alone[-1][1], self.learned[-1][1])
        return until(self.learned, target) / until(self.alone, target)


def until(bests: Sequence[tuple[int, float]], target: float) -> float:
    """Returns the epochs until a trial that completed is as good as a value; infinite: never."""
    return next((epochs for epochs, best in bests if best <= target), math.inf)


def compared(seed: int, num_trials: int, *, same: bool) -> Pair:
    """Runs both searches after an earlier study of the same runs, or of other data."""
    earlier, before = Search(600 if same else 300, 1000 + seed, num_trials).run()
    settings = search.settings_json(sweep_settings())
    earlier.set_user_attr(tag.STUDY_SETTINGS, {"metric": "", "max_epochs": 1, "sweep": settings})
    trials, _ = lending.earlier_trials(earlier, search_space())
    alone = Search(600, seed, num_trials)
    taken = {"lent": tuple(trials)} if same else {"points": lending.points_to_try(trials, ())}
    return Pair(before[-1][1], replace(alone, **taken).run()[1], alone.run()[1])


def print_lent(pairs: Sequence[Pair]) -> Figure:
    """Prints what lent trials change; returns the ratio of the epochs of all trials."""
    alone = sorted(until(pair.alone, pair.earlier) for pair in pairs)
    knows = [min(pair.earlier, pair.learned[-1][1]) - pair.alone[-1][1] for pair in pairs]
    better, worse = sum(one < 0 for one in knows), sum(one > 0 for one in knows)
    own = sum(pair.learned[-1][1] < pair.earlier for pair in pairs)
    print(f"lent: epochs alone to the earlier best: {[f'{one:g}' for one in alone]}")
    print(f"lent: it knows a better trial in the end in {better}, a worse one in {worse} searches")
    print(f"lent: one of its own is better than the earlier best in {own} of {len(pairs)}")
    ratios = [pair.learned[-1][0] / pair.alone[-1][0] for pair in pairs]
    return middle("lent: epochs of all trials, ratio", ratios, LIMIT)


def main() -> int:
    """Compares searches of both kinds for each seed and prints the ratios."""
    parser = arguments_of(__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=20)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds = range(given.seeds)
    lent = [compared(seed, given.trials, same=True) for seed in seeds]
    figures = [print_lent(lent)]
    tried = [compared(seed, given.trials, same=False) for seed in seeds]
    ratios = [pair.ratio() for pair in tried]
    print(f"values tried first: {[f'{one:.2g}' for one in sorted(ratios)]}")
    figures.append(middle("values tried first: epochs to the same value, ratio", ratios, LIMIT))
    return finish(figures, given.json, {"seeds": given.seeds, "trials": given.trials})


if __name__ == "__main__":
    sys.exit(main())
