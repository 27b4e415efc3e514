"""Names in a store: written in one place; a store of a newer schema is reported in one sentence."""

import re
from pathlib import Path

import pytest

import samerun
from samerun import tags

ROOT = Path(samerun.__file__).parent
PLUGIN = ROOT.parent / "hydra_plugins"
EXCEPTIONS = {
    "tags.py": "it defines them",
    "rerun.py": "runs with the packages of older commits, which have no tags.py",
}


def constants() -> dict[str, str]:
    return {
        name: value
        for name, value in vars(tags).items()
        if isinstance(value, str) and value.startswith("samerun.") and not name.startswith("__")
    }


def test_no_other_file_holds_a_stored_name():
    wrong = []
    for path in [*ROOT.rglob("*.py"), *PLUGIN.rglob("*.py")]:
        if path.name not in EXCEPTIONS:
            literals = re.findall(r"""["'](samerun\.[^"'\s]*)["']""", path.read_text())
            wrong += [f"{path.name}: {name}" for name in literals if not is_module(name)]
    assert not wrong


def is_module(dotted: str) -> bool:
    """Whether a literal is the dotted path of one of the package's modules."""
    return ROOT.parent.joinpath(*dotted.split(".")).with_suffix(".py").exists()


def test_every_stored_name_has_one_line_of_meaning():
    text = Path(tags.__file__).read_text()
    for name in constants():
        assert re.search(rf'^{name} = ".*"\n"""[^\n]+"""$', text, re.MULTILINE), name


def test_names_of_one_kind_differ():
    for prefix in ("STUDY_", "TRIAL_"):
        values = [value for name, value in constants().items() if name.startswith(prefix)]
        assert len(values) == len(set(values))
    of_runs = [v for k, v in constants().items() if not k.startswith(("STUDY_", "TRIAL_"))]
    assert len(of_runs) == len(set(of_runs))


@pytest.mark.parametrize("stored", [{}, {tags.SCHEMA: "1"}, {tags.SCHEMA: 1}])
def test_a_store_of_this_or_an_older_version_is_read(stored):
    assert tags.newer_schema(stored) is None


@pytest.mark.parametrize("schema", ["2", 2, "soon"])
def test_a_newer_store_gives_one_sentence(schema):
    sentence = tags.newer_schema({tags.SCHEMA: schema, tags.VERSION: "9.1"})
    assert sentence is not None
    assert "samerun 9.1" in sentence
    assert f"schema {schema}" in sentence


def test_the_digests_of_the_data_are_read_from_one_tag_and_from_those_of_earlier_versions():
    digests = {"train": "a" * 64, "test": "b" * 64}
    (stored,) = tags.digests_tag(digests).items()
    assert stored[0] == "samerun.digests"
    assert tags.data_digests(dict([stored])) == digests
    earlier = {f"samerun.data.{split}": digest for split, digest in digests.items()}
    assert tags.data_digests(earlier | {"samerun.dataset": "digits"}) == digests
    newer = {"samerun.digests": f"test={'c' * 64}"}
    assert tags.data_digests(earlier | newer) == {"test": "c" * 64}
    assert (
        tags.data_digests({"samerun.digests": "train test= = =d", "samerun.data.train": "e"}) == {}
    )
    assert tags.data_digests({"samerun.data.": "d", "samerun.data.train": ""}) == {}
