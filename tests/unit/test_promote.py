"""`samerun promote`: an alias in the model registry, for a run that is not worse than another."""

import numpy as np
import pytest

from samerun import cli, tracking
from support.compared import add, classified, probabilities
from support.promoted import log_model


@pytest.fixture
def make(store, tmp_path):
    """Makes a run with predictions and a model: right on this share of the examples."""

    def run(name, share, digest="d" * 64, has_model=True, **tags):
        truth, predicted, confidence = classified(seed=0, share=1.0)
        wrong = np.arange(len(truth)) >= share * len(truth)
        predicted = np.where(wrong, (truth + 1) % 4, truth)
        arrays = {"probabilities": probabilities(predicted, confidence), "truth": truth}
        run_id = add(store, name, predictions=arrays, digest=digest)
        (found,) = tracking.find_runs([run_id])
        tracking.tag_run(found, {f"samerun.{key}": text for key, text in tags.items()})
        if has_model:
            log_model(run_id, tmp_path / name)
        return run_id

    return run


def promote(*arguments):
    return cli.main(["promote", *arguments])


def holder(name="digits"):
    client = tracking.connect(tracking.resolve_uri(None))
    return client.get_model_version_by_alias(name, "champion")


def test_the_first_model_is_promoted_with_a_card(make, capsys):
    run_id = make("first", 0.9, result="test accuracy 0.900, majority baseline 0.250")
    assert promote(run_id, "--as", "champion", "--model", "shop") == 0
    version = holder("shop")
    assert (str(version.version), version.run_id) == ("1", run_id)
    for part in (
        "**test accuracy 0.900, majority baseline 0.250**",
        "| test split | 400 examples, SHA-256 `dddddddddddddddd` |",
        "## Limits",
        "One seed",
        f"`samerun reproduce {run_id[:8]}`",
    ):
        assert part in version.description
    assert len(version.description) <= 5000
    assert "shop version 1 is champion" in capsys.readouterr().out


def test_a_better_model_replaces_it_and_the_numbers_are_printed(make, capsys):
    first, better = make("first", 0.8), make("better", 0.95)
    assert promote(first, "--as", "champion") == 0
    capsys.readouterr()
    assert promote(better, "--as", "champion") == 0
    assert holder(name="digits").run_id == better
    printed = " ".join(capsys.readouterr().out.split())
    assert "accuracy against version 1" in printed
    assert "difference +0.15 " in printed
    assert "p < 0.001" in printed
    assert "400 pairs" in printed


def test_a_worse_model_is_refused_unless_forced(make, capsys):
    first, worse = make("first", 0.95), make("worse", 0.8)
    assert promote(first, "--as", "champion") == 0
    capsys.readouterr()
    assert promote(worse, "--as", "champion") == 2
    error = capsys.readouterr().err
    assert "it is worse than version 1" in error
    assert "difference -0.15 " in error
    assert "--force" in error
    client = tracking.connect(tracking.resolve_uri(None))
    assert len(client.search_model_versions("name = 'digits'")) == 1, "nothing was registered"
    assert promote(worse, "--as", "champion", "--force") == 0
    assert holder().run_id == worse
    assert "a real difference" in holder().description


def test_a_difference_that_may_be_chance_is_no_obstacle(make, capsys):
    first, other = make("first", 0.9), make("other", 0.8975)
    assert promote(first, "--as", "champion") == 0
    assert promote(other, "--as", "champion") == 0
    assert holder().run_id == other
    assert "may be chance" in capsys.readouterr().out


def test_a_run_is_registered_once_under_any_number_of_aliases(make, capsys):
    run_id = make("first", 0.9)
    for alias in ("champion", "champion", "shadow"):
        assert promote(run_id, "--as", alias) == 0
    client = tracking.connect(tracking.resolve_uri(None))
    (version,) = client.search_model_versions("name = 'digits'")
    assert "has the alias already" in capsys.readouterr().out
    assert client.get_model_version_by_alias("digits", "shadow").version == version.version


def test_other_test_data_is_one_sentence(make, capsys):
    first, other = make("first", 0.9), make("other", 0.95, digest="e" * 64)
    assert promote(first, "--as", "champion") == 0
    assert promote(other, "--as", "champion") == 2
    error = capsys.readouterr().err
    assert "their test splits differ" in error
    assert holder().run_id == first


def test_a_run_without_a_model_is_one_sentence(make, capsys):
    run_id = make("first", 0.9, has_model=False)
    assert promote(run_id, "--as", "champion") == 2
    assert f"samerun reproduce {run_id[:8]} tracking.log_model=true" in capsys.readouterr().err


def test_a_run_without_predictions_is_one_sentence(store, capsys):
    assert promote(add(store, "killed"), "--as", "champion") == 2
    assert "did not reach its evaluation" in capsys.readouterr().err


def test_an_alias_that_mlflow_does_not_take_is_one_sentence(make, capsys):
    run_id = make("first", 0.9)
    for alias in ("latest", "v3", "a b", "", "x" * 200, "a\nb"):
        assert promote(run_id, "--as", alias) == 2
        assert "--as: received" in capsys.readouterr().err, alias


def test_a_name_that_the_registry_does_not_take_is_one_sentence(make, capsys):
    run_id = make("first", 0.9)
    for name in ("a/b", "a:b", "it's", "a\x1b[31m"):
        assert promote(run_id, "--as", "champion", f"--model={name}") == 2
        error = capsys.readouterr().err
        assert "--model: received" in error, name
        assert "\x1b" not in error


def test_the_card_has_the_lineage_and_no_markup_of_a_stored_name(make, capsys):
    run_id = make("first", 0.9, forked_from="f" * 32, forked_at="epoch <b>3</b>", dirty="true")
    again = make("again", 0.9, reproduces=run_id, verdict="EXACT")
    assert promote(run_id, "--as", "champion", "--card") == 0
    card = holder().description
    assert f"forked from run {'f' * 32} at epoch &lt;b>3" in card
    assert f"reproduced by run {again}: EXACT" in card
    assert card.splitlines()[0] in capsys.readouterr().out


def test_a_version_of_other_files_under_the_id_of_the_run_is_not_promoted(make, tmp_path):
    run_id = make("first", 0.9)
    other = log_model(make("other", 0.9, has_model=False), tmp_path / "files")
    client = tracking.connect(tracking.resolve_uri(None))
    client.create_registered_model("shop")
    client.create_model_version("shop", f"models:/{other}", run_id=run_id, model_id=other)
    for _ in range(2):
        assert promote(run_id, "--as", "champion", "--model", "shop") == 0
        version = holder("shop")
        assert str(version.version) == "2"
        model = tracking.find_model(tracking.find_runs([run_id])[0])
        assert version.source == f"models:/{model.id}"
