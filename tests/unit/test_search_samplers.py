"""Samplers and pruners: the ends of every space, the same trials again, who can do what."""

import functools
import importlib.util

import optuna
import pytest

from samerun import config, search
from samerun.config.pruners import Pruner
from samerun.config.samplers import Sampler
from samerun.errors import UserError
from support.sweeps import sweep_settings as sweep

NEEDS_TORCH = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="the extra samerun[gp] is not installed"
)
SAMPLERS = [  # slow with torch: .ci/run installs it for the slow tests only
    pytest.param(sampler, marks=[NEEDS_TORCH, pytest.mark.slow] if sampler is Sampler.gp else [])
    for sampler in Sampler
]
optuna.logging.set_verbosity(optuna.logging.ERROR)


compose = functools.cache(lambda overrides: config.compose(list(overrides)).config)


def parse(*overrides, params=None):
    return search.parse_space(overrides, params or {}, compose=lambda some: compose(tuple(some)))


def ask(study, cfg, space, seed=0):
    """Draws the next trial as the sweeper does."""
    number = len(study.get_trials(deepcopy=False))
    study.sampler = search.build_sampler(cfg, space, seed, len(study.directions), number)
    trial = study.ask()
    return trial, space.suggest(trial)


def result(values):
    """A smooth function of all numbers of a trial, and of the lengths of its choices."""
    return sum(
        len(value) if isinstance(value, str) else float(value or 0) ** 2
        for value in values.values()
    )


def run(study, cfg, space, num_trials, seed=0):
    drawn = []
    while len(study.get_trials(deepcopy=False)) < num_trials:
        trial, values = ask(study, cfg, space, seed)
        drawn.append(values)
        study.tell(trial, [result(values)] * len(study.directions))
    return drawn


ENDS = [
    ("model.dropout=range(0.1,0.4,0.1)", {0.1, 0.2, 0.3}),
    ("model.kernel_size=range(1,4)", {1, 2, 3}),
    ("model.kernel_size=interval(1,3)", {1, 2, 3}),
    ("dataset.batch_size=range(8,25,8)", {8, 16, 24}),
    ("model.activation=relu,tanh,elu", {"relu", "tanh", "elu"}),
    ("model.kernel_size=tag(log,range(1,4))", {1, 2, 3}),
]
SAME = [Sampler.tpe, Sampler.random, Sampler.qmc, Sampler.grid, Sampler.brute_force]


@pytest.mark.parametrize("sampler", SAME)
@pytest.mark.parametrize(("word", "values"), ENDS)
def test_all_samplers_agree_on_the_ends(sampler, word, values):
    space = parse(word)
    cfg = sweep(sampler=sampler)
    tries = len(values) if sampler in (Sampler.grid, Sampler.brute_force) else 30
    drawn = run(optuna.create_study(), cfg, space, tries)
    assert {trial[space.entries[0].key] for trial in drawn} == values


@pytest.mark.parametrize("sampler", [Sampler.tpe, Sampler.random, Sampler.qmc])
@pytest.mark.parametrize(
    ("word", "low", "high"),
    [
        ("model.dropout=interval(0.1,0.6)", 0.1, 0.6),
        ("model.l2=tag(log,interval(1e-6,1e-2))", 1e-6, 1e-2),
    ],
)
def test_no_sampler_leaves_an_interval(sampler, word, low, high):
    space = parse(word)
    drawn = run(optuna.create_study(), sweep(sampler=sampler), space, 30)
    assert all(low <= trial[space.entries[0].key] <= high for trial in drawn)
    assert len({trial[space.entries[0].key] for trial in drawn}) == 30


MIXED = [
    "model.kernel_size=range(1,5)",
    "model.dropout=range(0,0.6,0.1)",
    "model.activation=relu,tanh,elu",
]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_worker_and_one_seed_give_the_same_trials_again(sampler):
    space, cfg = parse(*MIXED), sweep(sampler=sampler, nsga={"population_size": 4})
    first = run(optuna.create_study(), cfg, space, 14)
    assert run(optuna.create_study(), cfg, space, 14) == first
    assert run(optuna.create_study(), cfg, space, 14, seed=1) != first


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_resumed_sweep_draws_the_values_of_an_uninterrupted_one(sampler):
    space, cfg = parse(*MIXED), sweep(sampler=sampler, nsga={"population_size": 4})
    whole = run(optuna.create_study(), cfg, space, 14)
    storage, parts = optuna.storages.InMemoryStorage(), []
    for until in (5, 12, 14):
        study = optuna.create_study(study_name="s", storage=storage, load_if_exists=True)
        parts += run(study, cfg, space, until)
    assert parts == whole
    if sampler is not Sampler.gp:  # near its optimum it may come to the same point again
        assert len({str(values) for values in parts}) > 7


def test_a_sweep_resumed_from_a_file_draws_the_values_of_an_uninterrupted_one(tmp_path):
    space, cfg = parse(*MIXED), sweep()
    whole = run(optuna.create_study(), cfg, space, 13)
    parts = []
    for until in (5, 13):
        storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
        study = optuna.create_study(study_name="s", storage=storage, load_if_exists=True)
        parts += run(study, cfg, space, until)
        storage.remove_session()
        storage.engine.dispose()
    assert parts == whole


CONDITIONAL = {
    "optimizer": "adam,sgd",
    "optimizer.momentum": {"when": {"optimizer": "sgd"}, "space": "range(0.5,0.9,0.1)"},
    "seed": "range(2)",
}


@pytest.mark.parametrize("sampler", [one for one in SAMPLERS if one.values[0] is not Sampler.grid])
def test_conditions_hold_with_every_sampler_that_can(sampler):
    space, cfg = parse(params=CONDITIONAL), sweep(sampler=sampler, nsga={"population_size": 4})
    drawn = run(optuna.create_study(), cfg, space, 24 if sampler is not Sampler.gp else 14)
    assert {trial["optimizer"] for trial in drawn} == {"adam", "sgd"}
    for trial in drawn:
        assert ("optimizer.momentum" in trial) == (trial["optimizer"] == "sgd")


def test_brute_force_tries_each_point_of_each_branch_once():
    space, cfg = parse(params=CONDITIONAL), sweep(sampler=Sampler.brute_force, n_trials=100)
    assert search.num_trials(cfg, space) == space.num_points == 2 + 2 * 4
    drawn = run(optuna.create_study(), cfg, space, 10)
    assert len({str(sorted(trial.items())) for trial in drawn}) == 10


def test_a_grid_tries_each_point_once_with_two_workers():
    space, cfg = parse(*MIXED), sweep(sampler=Sampler.grid, n_trials=100)
    assert search.num_trials(cfg, space) == 72
    study, running, seen = optuna.create_study(), [], set()
    for _ in range(72):
        trial, values = ask(study, cfg, space)
        seen.add(str(values))
        running.append(trial)
        if len(running) == 2:
            study.tell(running.pop(0), 1.0)
    assert len(seen) == 72


SQUARE = ("model.dropout=0.1,0.2", "model.l2=0.0,0.1")


@pytest.mark.parametrize("sampler", ["grid", "brute_force"])
def test_points_to_try_first_leave_no_combination_out_and_none_twice(sampler):
    space, cfg = parse(*SQUARE), sweep(sampler=sampler)
    study = optuna.create_study(pruner=optuna.pruners.HyperbandPruner())
    study.enqueue_trial({"model.dropout": 0.2, "model.l2": 0.1})
    drawn = run(study, cfg, space, 1) + run(study, cfg, space, 4)
    assert drawn[0] == {"model.dropout": 0.2, "model.l2": 0.1}
    assert len({str(values) for values in drawn}) == 4


def test_a_grid_completes_a_trial_of_which_some_values_are_known():
    space, cfg = parse(*SQUARE), sweep(sampler="grid")
    study = optuna.create_study()
    study.enqueue_trial({"model.dropout": 0.2})
    drawn = run(study, cfg, space, 4)
    assert drawn[0]["model.dropout"] == 0.2
    assert len({str(values) for values in drawn}) == 4


def test_a_grid_that_was_made_larger_tries_what_is_missing():
    storage, drawn = optuna.storages.InMemoryStorage(), []
    study = optuna.create_study(storage=storage)
    for word, until in (("seed=range(2)", 2), ("seed=range(5)", 5)):
        drawn += run(study, sweep(sampler="grid"), parse(word), until)
    assert {values["seed"] for values in drawn} == {0, 1, 2, 3, 4}


def test_a_grid_refuses_a_point_without_some_of_its_keys():
    space = parse(*SQUARE)
    search.check_point(sweep(sampler="grid"), space, {"model.dropout": 0.2, "model.l2": 0.1})
    search.check_point(sweep(sampler="brute_force"), space, {"model.dropout": 0.2})
    with pytest.raises(UserError, match=r"without model\.l2, expected "):
        search.check_point(sweep(sampler="grid"), space, {"model.dropout": 0.2})


def test_tpe_learns_the_values_that_belong_to_a_branch_together():
    space, cfg = parse(params=CONDITIONAL), sweep()
    assert cfg.tpe.multivariate
    assert cfg.tpe.group
    assert cfg.tpe.constant_liar
    study = optuna.create_study()
    run(study, cfg, space, 15)
    sampler = search.build_sampler(cfg, space, 0, 1, 15)
    trial = study.ask()
    relative = sampler.infer_relative_search_space(study, study.get_trials()[trial.number])
    assert "optimizer.momentum" in relative


@pytest.mark.parametrize(
    ("sampler", "overrides", "objectives", "sentence"),
    [
        ("grid", ["model.dropout=interval(0,0.6)"], 1, "model.dropout has no step"),
        ("brute_force", ["model.dropout=interval(0,0.6)"], 1, "give range(a,b,step)"),
        (
            "grid",
            ["optimizer=adam,sgd", "optimizer.momentum=0.5,0.9"],
            1,
            "grid does not support conditions, but optimizer.momentum has some: use brute_force",
        ),
        ("grid", ["seed=range(2000000)"], 1, "more than 1000000: use random"),
        ("cmaes", ["seed=range(3)"], 2, "cmaes supports one objective, received 2"),
    ],
)
def test_a_sampler_that_cannot_search_the_space_is_refused(
    sampler, overrides, objectives, sentence
):
    with pytest.raises(UserError) as caught:
        search.check_sampler(sweep(sampler=sampler), parse(*overrides), objectives)
    assert sentence in str(caught.value)


NUMBERS = ["model.dropout=interval(0,0.6)", "model.l2=interval(0,0.1)"]
LIMITED = {"constraints": ["num_parameters<=1000"]}


@pytest.mark.parametrize(
    ("overrides", "num_objectives", "changes", "has_torch", "sampler"),
    [
        (NUMBERS, 1, {}, True, "gp"),
        (NUMBERS, 1, {}, False, "tpe"),
        (NUMBERS, 2, {}, True, "gp"),
        (NUMBERS, 1, LIMITED, True, "gp"),
        (NUMBERS, 1, {"n_trials": 250}, True, "cmaes"),
        (NUMBERS[:1], 1, {"n_trials": 250}, True, "tpe"),
        (NUMBERS, 1, {"n_trials": 250} | LIMITED, True, "tpe"),
        (NUMBERS, 3, {"n_trials": 250}, True, "nsga2"),
        (NUMBERS, 4, {"n_trials": 250}, True, "nsga3"),
        ([*NUMBERS, "optimizer=adam,sgd"], 1, {"n_trials": 250}, True, "tpe"),
        (["optimizer=adam,sgd", "optimizer.momentum=0.5,0.9"], 1, {}, True, "tpe"),
    ],
)
def test_auto_chooses_a_sampler_by_the_search_and_names_it(
    monkeypatch, overrides, num_objectives, changes, has_torch, sampler
):
    monkeypatch.setattr("samerun.search.samplers._has_torch", lambda: has_torch)
    cfg, (note,) = search.choose_sampler(
        sweep(sampler="auto", **changes), parse(*overrides), num_objectives
    )
    assert cfg.sampler == sampler
    assert note.startswith(f"sweep.sampler=auto: {sampler}, since ")
    assert search.choose_sampler(cfg, parse(*overrides), num_objectives) == (cfg, [])


def test_a_gaussian_process_without_pytorch_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"gp needs PyTorch: pip install 'samerun\[gp\]'"):
        search.check_sampler(sweep(sampler="gp"), parse("seed=1,2"), 1)


@pytest.mark.parametrize(
    ("sampler", "notes"),
    [
        ("tpe", []),
        ("random", []),
        ("qmc", ["qmc samples optimizer.momentum at random: it does not support conditions."]),
        ("gp", ["gp samples optimizer.momentum at random: it does not support conditions."]),
        (
            "cmaes",
            [
                "cmaes samples optimizer, optimizer.momentum at random: it does not support "
                "choices and conditions."
            ],
        ),
    ],
)
def test_what_a_sampler_draws_at_random_is_reported(sampler, notes):
    assert search.sampler_notes(sweep(sampler=sampler), parse(params=CONDITIONAL)) == notes


@pytest.mark.parametrize(
    "sampler",
    [one for one in SAMPLERS if one.values[0] is not Sampler.cmaes],
)
def test_two_objectives_work_with_every_sampler_that_can(sampler):
    space, cfg = parse(*MIXED), sweep(sampler=sampler, pruner="none", nsga={"population_size": 4})
    study = optuna.create_study(directions=["minimize", "maximize"])
    assert len(run(study, cfg, space, 13)) == 13


def pruned_at(cfg, curves, max_epochs=20):
    """Reports each curve as a trial; returns at which epoch each was pruned, `None` if never."""
    study = optuna.create_study(
        direction="minimize", pruner=search.build_pruner(cfg, "minimize", max_epochs)
    )
    ends = []
    for curve in curves:
        trial = study.ask()
        end = None
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
            if trial.should_prune():
                end = epoch
                break
        state = optuna.trial.TrialState.COMPLETE if end is None else optuna.trial.TrialState.PRUNED
        study.tell(trial, curve[-1] if end is None else None, state=state)
        ends.append(end)
    return ends


GOOD, BAD = [1 / (1 + epoch) for epoch in range(20)], [2.0] * 20
WORSE = [2.0 + epoch for epoch in range(20)]
EACH_BETTER = [[value * (1 - part / 100) for value in GOOD] for part in range(5)]


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"pruner": "none"}, None),
        ({"pruner": "median", "median": {"startup_trials": 3, "warmup_epochs": 4}}, 4),
        ({"pruner": "percentile", "percentile": {"startup_trials": 3, "warmup_epochs": 2}}, 2),
        ({"pruner": "successive_halving", "successive_halving": {"min_epochs": 2}}, 2),
        ({"pruner": "patient", "patient": {"patience_epochs": 6}}, 8),  # the best, and 7 after it
        ({"pruner": "threshold", "threshold": {"upper": 1.5, "warmup_epochs": 3}}, 3),
        ({"pruner": "wilcoxon"}, 4),  # whose steps are seeds: p = 1/16 with four of them
        ({"pruner": "wilcoxon", "wilcoxon": {"p_threshold": 0.01}}, 7),
        ({"pruner": "wilcoxon", "wilcoxon": {"startup_instances": 6}}, 6),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_each_pruner_stops_a_bad_trial_according_to_its_options(changes, end):
    ends = pruned_at(sweep(**changes), [*EACH_BETTER, WORSE])
    assert ends == [None] * 5 + [end]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_wilcoxon_pruner_keeps_trials_that_are_alike():
    # For up to 13 seeds SciPy permutes the signs where values are equal, which takes seconds.
    assert pruned_at(sweep(pruner="wilcoxon"), [GOOD[:5]] * 4) == [None] * 4


def test_hyperband_knows_the_longest_trial():
    ends = pruned_at(sweep(pruner="hyperband", hyperband={"min_epochs": 2}), [GOOD, BAD] * 12, 18)
    assert all(end is None for end in ends[::2])
    stopped = [end for end in ends[1::2] if end is not None]
    assert stopped
    assert set(stopped) <= {2, 6, 18}


def test_a_patient_pruner_asks_another_one():
    options = {"pruner": "median", "patience_epochs": 2}
    cfg = sweep(pruner="patient", patient=options, median={"startup_trials": 3})
    assert pruned_at(cfg, [GOOD] * 4 + [[4 - value for value in GOOD]])[-1] is not None
    assert pruned_at(cfg, [GOOD] * 5) == [None] * 5


def test_every_pruner_is_built():
    for pruner in Pruner:
        cfg = sweep(pruner=pruner, threshold={"upper": 1.0})
        assert isinstance(search.build_pruner(cfg, "minimize", 20), optuna.pruners.BasePruner)
