"""Every YAML file in conf/ and experiments/ composes, parses, and explains its keys."""

import functools

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from samerun import config, data, search
from samerun.config.composition import parse_sweep
from samerun.config.samplers import Sampler
from samerun.config.schema import GROUPS, options, register
from samerun.folders import package_folder
from samerun.search.objectives import check_sweep, objectives_of
from support.project import composed

CONF, EXPERIMENTS = package_folder("conf"), package_folder("experiments")
REQUIRED = {
    "npz": ["dataset.path=some.npz"],
    "image_folder": ["dataset.path=pictures"],
    "video_folder": ["dataset.path=clips"],
    "table_csv": ["dataset.path=some.csv", "dataset.target=price"],
    "dataset/custom": ["dataset.target=my_data:load"],
    "model/custom": ["model.target=my_code:build"],
    "optimizer/custom": ["optimizer.target=my_code:build"],
    "schedule/custom": ["schedule.target=my_code:shape"],
    "series_csv": ["dataset.path=some.csv", "dataset.target=price"],
    "text_folder": ["dataset.path=texts"],
    "text_csv": ["dataset.path=some.csv"],
}
PARTS = sorted(
    path
    for path in CONF.rglob("*.yaml")
    if path.parent.name not in ("common", "sweep") and path.parent != CONF
)
WHOLES = sorted((EXPERIMENTS / "experiment").rglob("*.yaml"))


@pytest.mark.parametrize("path", PARTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_option_composes_and_parses(path):
    group = path.parent.relative_to(CONF).as_posix()
    more = REQUIRED.get(path.stem, REQUIRED.get(f"{group}/{path.stem}", []))
    node = getattr(composed(f"{group}={path.stem}", *more), group, None)
    assert getattr(node, "kind", path.stem) == path.stem


@pytest.mark.parametrize("path", WHOLES, ids=lambda path: path.stem)
def test_experiment_composes_and_parses(path):
    name = path.relative_to(EXPERIMENTS / "experiment").with_suffix("").as_posix()
    assert composed(f"experiment={name}")


@pytest.mark.parametrize(
    "path", sorted(CONF.rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_option_explains_itself_and_each_of_its_keys(path):
    text = path.read_text()
    assert text.startswith("# ")
    if path.parent.name == "debug":  # values of other groups, explained there
        return
    for line in text.partition("defaults:")[2].splitlines():
        key = line.strip().partition(":")[0]
        is_leaf = line and not line.startswith((" ", "-", "#", "hydra")) and ": " in line
        if is_leaf and not line.rstrip().endswith(":"):
            assert "#" in line, f"{key} is not explained"


@pytest.mark.parametrize("group", GROUPS)
def test_every_kind_of_a_group_has_its_yaml_file(group):
    kinds = {kind.kind for kind in GROUPS[group]}
    assert kinds <= set(options(group))


def test_shared_keys_stand_in_one_place():
    own_values = {
        "activation",
        "weight_decay",
        "batch_size",
        "validation_fraction",
    }  # options that differ, each for a reason
    for shared in (CONF / "common").glob("*.yaml"):
        keys = set(OmegaConf.load(shared)) - own_values
        for path in set(CONF.rglob("*.yaml")) - {shared}:
            if f"common/{shared.stem}@_here_" in path.read_text():
                doubled = keys & set(OmegaConf.load(path))
                assert not doubled, f"{path.name} repeats {doubled}"


SWEEPS = sorted((EXPERIMENTS / "sweep").rglob("*.yaml"))


@functools.cache
def composed_sweep(*arguments):
    """Composes the settings of a sweep, as Hydra does before it hands them to the sweeper."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return parse_sweep(compose("config", overrides=list(arguments)))


def test_sweeps_are_found_in_both_folders():
    names = {path.stem for path in SWEEPS}
    assert {"optuna", "grid", "random", *names} == set(options("sweep"))


@functools.cache
def space_of(name):
    """Returns the space of a sweep over digits_cnn, which has to fit it."""
    overrides = ["experiment=digits_cnn", f"sweep={name}"]
    base, sweep = composed(overrides[0]), composed_sweep(*overrides)
    check_sweep(sweep, base, data.describe(base.dataset))
    space = search.parse_space(overrides, sweep.params)
    search.check_sampler(sweep, space, len(objectives_of(sweep, base)))
    return space


def check_trial(space, values):
    cfg = composed(*space.fixed, *space.overrides(values))
    config.check(cfg, data.describe(cfg.dataset))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_branch_of_a_sweep_is_a_run(path):
    space = space_of(path.stem)
    assert space.fixed == ("experiment=digits_cnn",)
    assert not space.notes
    for branch in space.branches():
        check_trial(space, next(space.corners(branch)))


@pytest.mark.slow
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_corner_of_a_sweep_is_a_run(path):
    space = space_of(path.stem)
    for branch in space.branches():
        for corner in space.corners(branch):
            check_trial(space, corner)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_file_states_what_it_is_and_its_command(path):
    what, command, *_ = path.read_text().splitlines()
    assert what.startswith("# What: ")
    assert command == f"# Command: samerun train -m experiment=digits_cnn sweep={path.stem}"


def test_a_sweep_is_changed_on_the_command_line():
    sweep = composed_sweep("sweep=regularisation", "sweep.sampler=gp", "sweep.n_trials=60")
    assert (sweep.sampler, sweep.n_trials) == (Sampler.gp, 60)
    assert "model.dropout" in sweep.params


def test_a_sweep_chooses_the_sweeper():
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        plain = compose("config", return_hydra_config=True)
        swept = compose("config", overrides=["sweep=seeds"], return_hydra_config=True)
    assert "Basic" in plain.hydra.sweeper._target_
    assert "samerun" in swept.hydra.sweeper._target_
