"""Every YAML file in conf/ and experiments/ composes, parses, and explains its keys."""

import pytest
from omegaconf import OmegaConf

from samerun import config

CONF, EXPERIMENTS = config.folder("conf"), config.folder("experiments")
REQUIRED = {
    "npz": ["dataset.path=some.npz"],
    "image_folder": ["dataset.path=pictures"],
    "table_csv": ["dataset.path=some.csv", "dataset.target=price"],
    "dataset/custom": ["dataset.target=my_data:load"],
    "model/custom": ["model.target=my_code:build"],
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
    made = config.compose(
        [f"{group}={path.stem}", *REQUIRED.get(path.stem, REQUIRED.get(f"{group}/{path.stem}", []))]
    )
    node = getattr(made.config, group, None)
    assert getattr(node, "kind", path.stem) == path.stem


@pytest.mark.parametrize("path", WHOLES, ids=lambda path: path.stem)
def test_experiment_composes_and_parses(path):
    name = path.relative_to(EXPERIMENTS / "experiment").with_suffix("").as_posix()
    assert config.compose([f"experiment={name}"]).config


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


@pytest.mark.parametrize("group", config.GROUPS)
def test_every_kind_of_a_group_has_its_yaml_file(group):
    kinds = {kind.kind for kind in config.GROUPS[group]}
    assert kinds <= set(config.options(group))


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
                assert not doubled, f"{path.name} says {doubled} again"
