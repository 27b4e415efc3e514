"""`samerun compare`: the verdict, what differs, and which examples one run gets right."""

import json

import numpy as np
import pytest

from samerun import cli, data, tracking
from samerun.command_line import line
from samerun.report.compare import curves
from samerun.report.compare.curves import Overlay
from samerun.tracking.filters import is_filter
from support import compared, screens
from support.compared import add, classified, probabilities
from support.project import composed


def compare(capsys, *arguments):
    """Runs the command; returns what its JSON holds."""
    assert cli.main(["compare", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def shown(capsys, *arguments):
    assert cli.main(["compare", *arguments]) == 0
    return capsys.readouterr().out


def two(store, *, digests=("d" * 64, "d" * 64), num_wrong=20):
    """Two runs with the same shared mistakes; the second is wrong in some more, ever surer."""
    truth, predicted, confidence = classified()
    planted = np.flatnonzero(predicted == truth)[: num_wrong * 3 : 3]
    other = predicted.copy()
    other[planted] = (truth[planted] + 2) % compared.NUM_CLASSES
    sure = confidence.copy()
    sure[planted] = np.linspace(0.6, 0.98, num_wrong)
    ids = [
        add(
            store,
            name,
            predictions={"probabilities": probabilities(classes, sureness), "truth": truth},
            digest=digest,
        )
        for name, classes, sureness, digest in (
            ("good", predicted, confidence, digests[0]),
            ("worse", other, sure, digests[1]),
        )
    ]
    return ids, planted


def test_the_one_setting_that_differs_is_named_first(store, capsys):
    ids = [add(store, "a"), add(store, "b", "optimizer.learning_rate=0.01")]
    found = compare(capsys, *ids)
    assert found["only_setting"] == "optimizer.learning_rate"
    assert [row["what"] for row in found["config"]] == ["optimizer.learning_rate"]
    assert found["config"][0]["values"] == ["0.001", "0.01"]
    page = shown(capsys, *ids)
    line = next(line for line in page.splitlines() if "differ" in line)
    assert "optimizer.learning_rate: 0.001 in A; 0.01 in B" in line
    assert page.index(line) < page.index("Config")


def test_a_comparison_of_predictions_is_as_on_its_screen(
    store, project, capsys, monkeypatch, request
):
    monkeypatch.setenv("COLUMNS", screens.WIDTH)
    ids, _ = two(store, num_wrong=3)
    text = shown(capsys, *ids)
    update = request.config.option.update_screens
    screens.check("compare_predictions", text, project, update=update)


def test_where_a_run_is_stored_is_no_setting_that_differs(store, capsys):
    ids = [
        add(store, "a", "tracking.run_name=a"),
        add(store, "b", "tracking.run_name=b", "model.units=[7]"),
    ]
    found = compare(capsys, *ids)
    assert found["only_setting"] == "model.units"
    assert [row["what"] for row in found["config"]] == ["model.units", "tracking.run_name"]


def test_of_three_runs_each_value_stands_under_its_run(store, capsys):
    rates = ("0.001", "0.01", "0.001")
    ids = [
        add(store, str(at), f"optimizer.learning_rate={rate}", f"seed={at}")
        for at, rate in enumerate(rates)
    ]
    rows = {row["what"]: row["values"] for row in compare(capsys, *ids)["config"]}
    assert rows == {"optimizer.learning_rate": list(rates), "seed": ["0", "1", "2"]}


def test_twenty_planted_mistakes_are_exactly_the_list_the_surest_first(store, capsys):
    ids, planted = two(store)
    found = compare(capsys, *ids)["predictions"]
    assert found["num_disagreements"] == 20
    listed = [one["index"] for one in found["disagreements"]]
    assert listed == planted[::-1].tolist()
    first = found["disagreements"][0]["predictions"]
    assert first[0]["predicted"] == first[0]["truth"]
    assert first[1]["predicted"] != first[1]["truth"]
    assert first[1]["probability"] == pytest.approx(0.98)


def test_twenty_relabeled_examples_head_the_list_and_forbid_the_test(store, capsys):
    truth, predicted, confidence = classified()
    planted = np.flatnonzero(predicted == truth)[5:65:3]
    relabeled = truth.copy()
    relabeled[planted] = (truth[planted] + 1) % compared.NUM_CLASSES
    other = predicted.copy()
    usual = np.flatnonzero(predicted == truth)[100:130]
    other[usual] = (truth[usual] + 1) % compared.NUM_CLASSES  # as in any two runs
    runs = ((predicted, truth, "a" * 64), (other, relabeled, "b" * 64))
    ids = [
        add(
            store,
            digest[0],
            predictions={"probabilities": probabilities(classes, confidence), "truth": labels},
            digest=digest,
        )
        for classes, labels, digest in runs
    ]
    found = compare(capsys, *ids)
    listed = [one["index"] for one in found["predictions"]["disagreements"]]
    assert set(listed[:20]) == set(planted.tolist())
    assert set(listed[20:]) == set(usual.tolist())
    assert "all but 20 of 400" in found["predictions"]["notes"][0]
    assert found["verdict"]["best"] is None
    assert found["verdict"]["tests"] == []


def test_examples_of_other_data_are_not_compared(store, capsys):
    ids = []
    for seed in (0, 1):
        truth, predicted, confidence = classified(seed)
        arrays = {"probabilities": probabilities(predicted, confidence), "truth": truth}
        ids.append(add(store, str(seed), predictions=arrays, digest=str(seed) * 64))
    found = compare(capsys, *ids)
    assert "test splits differ" in found["predictions"]["notes"][0]
    assert found["predictions"]["disagreements"] == []
    assert "cannot be tested" in found["verdict"]["sentence"]


def test_predictions_of_other_classes_are_not_compared(store, capsys):
    truth, predicted, confidence = classified()
    ids = []
    for number in (4, 5):
        arrays = {"probabilities": probabilities(predicted, confidence, number), "truth": truth}
        ids.append(add(store, str(number), predictions=arrays))
    found = compare(capsys, *ids)["predictions"]
    assert "4 and 5 classes" in found["notes"][0]
    assert found["disagreements"] == []


def test_only_a_real_difference_names_a_best_run(store, capsys):
    ids, _ = two(store)
    found = compare(capsys, *reversed(ids))["verdict"]
    assert found["best"] == "B"
    assert found["tests"][0]["is_real"]
    assert "best" in shown(capsys, *ids).splitlines()[0]
    ids, _ = two(store, num_wrong=3)
    found = compare(capsys, *ids)["verdict"]
    assert found["best"] is None
    assert found["order"] == ["A", "B"]
    assert "cannot be told apart" in found["sentence"]
    assert "best" not in shown(capsys, *ids).splitlines()[0]


def test_the_change_of_the_confusion_matrix_is_that_of_the_planted_mistakes(store, capsys):
    ids, planted = two(store)
    (change,) = compare(capsys, *ids)["predictions"]["confusion"]
    counts = {(cell["truth"], cell["predicted"]): cell["difference"] for cell in change["cells"]}
    assert sum(number for (truth, made), number in counts.items() if truth == made) == len(planted)
    assert sum(counts.values()) == 0


def test_repeats_of_two_configs_are_compared_over_their_seeds(store, capsys):
    ids = []
    for rate, scores in (("0.001", (0.7, 0.71, 0.69)), ("0.01", (0.9, 0.91, 0.88))):
        for seed, score in enumerate(scores):
            metrics = {f"test/accuracy{end}": [score] for end in ("", "_low", "_high")}
            overrides = (f"optimizer.learning_rate={rate}", f"seed={seed}")
            ids.append(add(store, f"{rate} {seed}", *overrides, scores=metrics))
    found = compare(capsys, *ids)["verdict"]
    assert "over seeds" in found["tests"][0]["test"]
    assert found["tests"][0]["difference"] == pytest.approx(0.59 / 3)
    assert found["best"] == "D–F"
    one = compare(capsys, *ids[:3])["verdict"]
    assert one["tests"] == []
    assert "repeats of one config" in one["sentence"]


def test_a_run_with_seeds_stands_for_the_runs_below_it(store, capsys):
    client = tracking.connect(tracking.resolve_uri(None))
    parents = []
    for rate, scores in (("0.001", (0.7, 0.71, 0.69)), ("0.01", (0.9, 0.91, 0.88))):
        parents.append(add(store, rate, f"optimizer.learning_rate={rate}"))
        client.set_tag(parents[-1], "samerun.instances", "seeds")
        for seed, score in enumerate(scores):
            metrics = {f"test/accuracy{end}": [score] for end in ("", "_low", "_high")}
            overrides = (f"optimizer.learning_rate={rate}", f"seed={seed}")
            child = add(store, f"{rate} {seed}", *overrides, scores=metrics)
            client.set_tag(child, "mlflow.parentRunId", parents[-1])
            client.set_tag(child, "samerun.instance", f"seed {seed}")
    found = compare(capsys, *parents)
    assert [run["name"] for run in found["runs"][:3]] == ["0.001 0", "0.001 1", "0.001 2"]
    assert found["verdict"]["best"] == "D–F"
    assert "over seeds" in found["verdict"]["tests"][0]["test"]
    filtered = compare(capsys, "tags.`samerun.model` = 'mlp'")
    assert len(filtered["runs"]) == 6


def test_too_many_runs_below_those_that_are_named_are_counted_in_the_message(store, capsys):
    client = tracking.connect(tracking.resolve_uri(None))
    parents = [store({}, name=f"p{number}", instances="seeds") for number in range(3)]
    for parent in parents:
        for seed in range(7):
            child = store({}, name=f"seed {seed}", instance=f"seed {seed}")
            client.set_tag(child, "mlflow.parentRunId", parent)
    assert cli.main(["compare", *parents]) == 2
    message = capsys.readouterr().err
    assert "received 3 arguments that stand for 21 runs" in message
    assert " table " in message


def test_a_seed_that_the_store_spoils_is_that_of_the_config(store, capsys):
    ids = []
    for rate, scores in (("0.001", (0.7, 0.71)), ("0.01", (0.9, 0.91))):
        for seed, score in enumerate(scores):
            metrics = {f"test/accuracy{end}": [score] for end in ("", "_low", "_high")}
            overrides = (f"optimizer.learning_rate={rate}", f"seed={seed}")
            ids.append(add(store, f"{rate} {seed}", *overrides, scores=metrics))
    tracking.connect(tracking.resolve_uri(None)).log_param(ids[0], "seed", "x\x1b[2J")
    assert "over seeds" in compare(capsys, *ids)["verdict"]["tests"][0]["test"]


def test_a_name_in_a_note_is_harmless_in_a_terminal(store, capsys):
    ids = [add(store, "a\x1b[2J"), add(store, "b", "seed=1")]
    page = shown(capsys, *ids)
    assert "Predictions are not compared" in page
    assert "\x1b[2J" not in page


@pytest.mark.parametrize("kind", ["numbers", "tokens"])
def test_without_classes_the_examples_with_the_largest_gap_come_first(store, capsys, kind):
    random = np.random.default_rng(0)
    ids = []
    truth = random.normal(size=(50, 1)).astype(np.float32)
    for name in "ab":
        if kind == "numbers":
            predicted = truth.copy() + 0.1
            predicted[7] += 5 * (name == "b")
            arrays = {"predicted": predicted, "truth": truth}
        else:
            losses = np.full(50, 2.0)
            losses[7] += 5 * (name == "b")
            arrays = {"log_loss": losses, "num_tokens": np.full(50, 4)}
        ids.append(add(store, name, predictions=arrays))
    found = compare(capsys, *ids)["predictions"]
    assert found["num_disagreements"] == 1
    assert found["disagreements"][0]["index"] == 7
    assert "7 " in shown(capsys, *ids)


def test_a_run_of_an_earlier_version_lacks_the_truth_and_the_rest_is_shown(store, capsys):
    truth, predicted, confidence = classified()
    arrays = {"probabilities": probabilities(predicted, confidence)}
    ids = [add(store, "a", predictions=arrays | {"truth": truth}), add(store, "b", "seed=1")]
    page = shown(capsys, *ids)
    (line,) = [line for line in page.splitlines() if "not compared" in line]
    assert "evaluation/predictions.npz" in line
    assert "seed: 0 in A; 1 in B" in page


def test_curves_are_on_one_scale_and_a_value_that_is_not_finite_is_marked():
    found = Overlay(
        metric="validation/loss",
        curves=({1: 4.0, 2: 2.0, 3: 0.0}, {1: float("nan"), 2: 4.0}, {}),
    )
    assert [blocks for blocks, _ in curves.lines(found)] == ["█▅▁", "·█", ""]
    assert [ends for _, ends in curves.lines(found)] == ["4 → 0", "nan → 4", "–"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("params.model = 'cnn'", True),
        ("metrics.`test/accuracy` > 0.9", True),
        ("status = 'FINISHED' and params.seed = '1'", True),
        ("tags.course LIKE 'dl%'", True),
        ("status='FINISHED'", True),
        ("run_name ILIKE 'a%'", True),
        ("params.model IS NULL", True),
        ("loss = 1", None),
        ("first in line", None),
        ("run.3", False),
        ("attribution", False),
        ("dropout=0.3 cosine · cnn digits", False),
        ("learning_rate=0.01", False),
        ("latest~2", False),
        ("best:validation/accuracy", False),
        ("night/7", False),
        ("635218d34c8f45fb9d7204b6b6b2010f", False),
    ],
)
def test_a_filter_is_not_an_id_or_a_name(text, expected):
    assert is_filter(text) is expected


def test_a_filter_names_the_runs(store, capsys):
    client = tracking.connect(tracking.resolve_uri(None))
    ids = [add(store, name, f"seed={seed}") for seed, name in enumerate("abc")]
    for run_id in ids[1:]:
        client.set_tag(run_id, "course", "dl1")
    found = compare(capsys, "tags.course = 'dl1'")
    assert {run["id"] for run in found["runs"]} == set(ids[1:])


@pytest.mark.parametrize("name", ["first in line", "my run in May", "a = b"])
def test_a_run_is_compared_by_a_name_that_reads_like_a_filter(store, capsys, name):
    ids = [add(store, one, f"seed={seed}") for seed, one in enumerate((name, "other"))]
    found = compare(capsys, name, "other")
    assert {run["id"] for run in found["runs"]} == set(ids)
    assert not tracking.is_filter(name)
    assert tracking.is_filter("loss = 1")


def test_twenty_runs_are_shown_in_blocks_that_fit_with_whole_values(store, capsys, monkeypatch):
    rates = [str(round(0.0101 + number / 1000, 4)) for number in range(20)]
    ids = [
        add(store, f"run {number}", f"optimizer.learning_rate={rate}")
        for number, rate in enumerate(rates)
    ]
    monkeypatch.setenv("COLUMNS", "60")
    page = shown(capsys, *ids)
    lines = page.splitlines()
    config = lines[lines.index("Config") + 1 :]
    config = config[: next(at for at, line in enumerate(config) if "Metrics" in line)]
    assert max(map(len, config)) <= 60
    words = " ".join(config).split()
    assert [word for word in words if word in rates] == rates
    labels = [run["label"] for run in compare(capsys, *ids)["runs"]]
    assert [word for word in words if word in labels][:20] == labels


MISTAKES = {
    "one run": (["first"], "at least 2"),
    "a run twice": (["first", "first"], "twice"),
    "twenty-one runs": (["first"] * 21, "at most 20"),
    "a filter and more": (["params.seed = '1'", "first"], "in quotes"),
    "a filter that fits nothing": (["params.seed = '99'"], "received 0 runs"),
    "no filter and no run": (["my loss = 1"], "MLflow does not understand"),
    "no filter": (["params.seed == '1'"], "filter"),
    "an unknown run": (["first", "nothing"], "names no run"),
    "a folder": (["first", "second", "--html", "."], "is a folder"),
    "a missing folder": (["first", "second", "--html", "none/page.html"], "mkdir -p none"),
    "a run for the file": (["first", "second", "--html", "0" * 32], "expected a file"),
    "trust alone": (["first", "second", "--trust", "data"], "--examples"),
}


def test_a_mistake_is_one_sentence(store, capsys):
    for name in ("first", "second"):
        add(store, name)
    for case, (arguments, expected) in MISTAKES.items():
        assert cli.main(["compare", *arguments]) == 2, case
        out, err = capsys.readouterr()
        assert not out, case
        assert expected in err
        assert err.count("\n") == 1, case


def test_examples_come_out_of_the_data_here_only_if_it_is_the_runs_own(store, capsys, project):
    digest = data.digests(composed(*compared.PLAIN).dataset)["test"]
    truth, predicted, confidence = classified(num=360)
    other = predicted.copy()
    other[:5] = (truth[:5] + 1) % compared.NUM_CLASSES
    made = {}
    for name, classes, its in (
        ("a", predicted, digest),
        ("b", other, digest),
        ("c", predicted, "0" * 64),
        ("d", other, "0" * 64),
    ):
        arrays = {"probabilities": probabilities(classes, confidence), "truth": truth}
        made[name] = add(store, name, predictions=arrays, digest=its)
    asked = ["compare", "--examples", "--html", "page.html"]
    assert cli.main([*asked, made["a"], made["b"]]) == 0
    page = (project / "page.html").read_text()
    assert page.count('alt="Test example') >= 5
    capsys.readouterr()
    (project / "page.html").unlink()
    assert cli.main([*asked, made["c"], made["d"]]) == 2
    assert "is not the one that run" in capsys.readouterr().err
    assert not (project / "page.html").exists()


def test_examples_run_no_code_that_a_store_names(store, capsys, project):
    overrides = ("dataset=custom", "dataset.target=os:system", "+dataset.params.command=touch ran")
    truth, predicted, confidence = classified()
    arrays = {"probabilities": probabilities(predicted, confidence), "truth": truth}
    ids = [add(store, name, *overrides, predictions=arrays) for name in "ab"]
    assert cli.main(["compare", *ids, "--examples"]) == 2
    assert "--trust os" in capsys.readouterr().err
    assert not (project / "ran").exists()


@pytest.mark.parametrize("ids", [["a"], ["a", "b", "c"]])
def test_diff_takes_two_runs_and_names_the_command_for_more(store, capsys, ids):
    assert cli.main(["diff", *ids]) == 2
    err = capsys.readouterr().err
    assert f"received {len(ids)} runs, expected 2" in err
    given = ids if len(ids) > 2 else ["ID", "ID"]
    assert f"`{line('compare', *given)}`" in err
