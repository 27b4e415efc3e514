"""Composition, parsing and checks: what is understood, and what is refused with which sentence."""

import dataclasses
import subprocess
import sys

import pytest

from samerun import config
from samerun.config import DataSpec, Layout, Task
from samerun.config.models.images import Mlp
from samerun.config.older import drop_new_keys
from samerun.config.stored import apply_overrides
from samerun.errors import UserError
from support.project import composed

IMAGES = DataSpec(
    task=Task.multiclass,
    layout=Layout.image,
    input_shape=(8, 8, 1),
    num_outputs=10,
    class_names=tuple("0123456789"),
    num_train=1000,
    num_validation=100,
    num_test=100,
)
TABLE = dataclasses.replace(IMAGES, layout=Layout.table, input_shape=(30,))
TWO_CLASSES = dataclasses.replace(IMAGES, num_outputs=2, class_names=("cat", "dog"))
NO_VALIDATION = dataclasses.replace(IMAGES, num_validation=0)
REGRESSION = dataclasses.replace(TABLE, task=Task.regression, num_outputs=1, class_names=())


def test_defaults_are_a_cnn_on_digits_with_adam_and_cosine():
    cfg = composed()
    kinds = [node.kind for node in (cfg.model, cfg.dataset, cfg.optimizer, cfg.schedule)]
    assert kinds == ["cnn", "digits", "adam", "cosine"]


def test_overrides_change_groups_and_keys():
    cfg = config.compose(["model=mlp", "model.units=[7]", "dataset/augmentation=flip"]).config
    assert isinstance(cfg.model, Mlp)
    assert cfg.model.units == [7]
    assert cfg.dataset.augmentation.flip_horizontal


def test_a_stored_config_reads_back_equal():
    overrides = ["optimizer=sgd", "optimizer.momentum=0.9", "training.class_weights=[1.5,2]"]
    made = config.compose([*overrides, "+tracking.tags.course=dl1"])
    assert config.from_yaml(made.resolved) == made.config


def test_parameters_are_named_as_their_overrides_and_compose_the_same_config():
    made = config.compose(["model=mlp", "training.class_weights=[1.0,2.0]", "schedule=step"])
    leaves = config.flatten(made.config)
    assert leaves["model"] == "mlp"
    assert leaves["schedule.boundaries_epochs"] == "[10.0,15.0]"
    again = config.compose([f"{key}={value}" for key, value in leaves.items()])
    assert again.config == made.config


def test_config_objects_cannot_be_changed():
    cfg = composed()
    with pytest.raises(dataclasses.FrozenInstanceError):
        cfg.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("overrides", "is_same"),
    [
        pytest.param(["tracking.run_name=x", "evaluation.worst_examples=1"], True, id="names"),
        pytest.param(["seed=1"], False, id="seed"),
        pytest.param(["model.dropout=0.1"], False, id="model"),
        pytest.param(["training.intra_op_threads=7"], False, id="threads"),
    ],
)
def test_fingerprint_follows_the_meaning(overrides, is_same):
    base, other = composed(), composed(*overrides)
    assert (config.fingerprint(base) == config.fingerprint(other)) is is_same


def test_passwords_of_a_tracking_uri_are_written_nowhere():
    made = config.compose(["tracking.uri='postgresql://me:secret@host/db'"])
    everything = made.resolved + made.composed + str(made.overrides)
    assert "secret" not in everything + str(config.flatten(made.config))
    assert made.config.tracking.uri == "postgresql://me:secret@host/db"


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        pytest.param("model=cn", "model: received 'cn', expected one of", id="option"),
        pytest.param("model=cn", "Did you mean `model=cnn`?", id="option-hint"),
        pytest.param("debug=fat", "Did you mean `debug=fast`?", id="debug-option"),
        pytest.param(
            "dataset/augmentation=flp",
            "Did you mean `dataset/augmentation=flip`?",
            id="nested-option",
        ),
        pytest.param("modl=cnn", "Did you mean `model=cnn`?", id="group"),
        pytest.param("model.dropot=1", "Did you mean `model.dropout=1`?", id="key"),
        pytest.param(
            "model.units=[3]",
            "no such key with model=cnn, only with mlp",
            id="key-of-another-model",
        ),
        pytest.param("+model.foo=1", "no such key", id="appended-key"),
        pytest.param("training.early_stopping.patience=3", "patience_epochs=3`?", id="nested-key"),
        pytest.param("model.dropout=abc", "received 'abc', expected a number", id="type"),
        pytest.param("seed=1.5", "seed: received '1.5', expected an integer", id="int"),
        pytest.param("seed=null", "expected a value, not null", id="null"),
        pytest.param("model.filters=3", "expected a list: [3]", id="list"),
        pytest.param("model.filters=[a]", "model.filters[0]: received 'a'", id="list-item"),
        pytest.param("training.deterministic=maybe", "expected true or false", id="bool"),
        pytest.param("model.activation=rlu", "expected one of relu, tanh", id="enum"),
        pytest.param("model.dropout=1.5", "at least 0 and below 1", id="dropout"),
        pytest.param("training.epochs=0", "expected a number above 0", id="epochs"),
        pytest.param("model.l2=-1", "expected a number at least 0", id="l2"),
        pytest.param("model.filters=[8,0]", "model.filters[1]: received 0", id="item-range"),
        pytest.param("optimizer.learning_rate=nan", "received nan", id="nan"),
        pytest.param("model.dropout=[1", "not valid", id="syntax"),
        pytest.param("foo", "not valid", id="no-equals-sign"),
        pytest.param("=3", "not valid", id="no-key"),
        pytest.param("tracking.tags={a: b}", "+tracking.tags.a=…", id="mapping"),
        pytest.param("dataset=npz", "dataset.path: received no value", id="missing-value"),
        pytest.param("experiment=nothing", "experiment", id="experiment"),
    ],
)
def test_a_wrong_override_gets_one_sentence(word, sentence):
    with pytest.raises(UserError) as caught:
        config.compose([word])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "spec", "sentence"),
    [
        pytest.param(["model=cnn"], TABLE, "Models that can: mlp", id="model-and-data"),
        pytest.param(["dataset.batch_size=1001"], IMAGES, "at most the 1000", id="batch-size"),
        pytest.param(
            ["model=mlp", "dataset/augmentation=flip"], TABLE, "augmentation=none", id="augment"
        ),
        pytest.param(
            ["training.early_stopping.monitor=val_loss"],
            IMAGES,
            "Did you mean `training.early_stopping.monitor=validation/loss`?",
            id="monitor",
        ),
        pytest.param([], NO_VALIDATION, "validation split is empty", id="empty-validation"),
        pytest.param(["training.loss=huber"], IMAGES, "categorical_crossentropy", id="loss"),
        pytest.param(["training.metrics=[auc]"], IMAGES, "top_3_accuracy", id="metric"),
        pytest.param(
            ["training.metrics=[top_3_accuracy]"], TWO_CLASSES, "at least 3 classes", id="top-3"
        ),
        pytest.param(
            ["model=mlp", "training.label_smoothing=0.1"], REGRESSION, "no classes", id="smooth"
        ),
        pytest.param(
            ["training.class_weights=[1,2]"], IMAGES, "each of the 10 classes", id="class-weights"
        ),
        pytest.param(
            ["training.class_weights=[1,2]", "training.balance_classes=true"],
            IMAGES,
            "use one of them",
            id="two-weights",
        ),
        pytest.param(["schedule.warmup_epochs=20"], IMAGES, "less than training.epochs", id="warm"),
        pytest.param(
            ["schedule=step", "schedule.boundaries_epochs=[5,3]"], IMAGES, "ascending", id="step"
        ),
        pytest.param(
            ["optimizer.clipnorm=1", "optimizer.clipvalue=1"], IMAGES, "only one", id="clips"
        ),
        pytest.param(
            ["optimizer=sgd", "optimizer.nesterov=true"], IMAGES, "momentum=0.9", id="nesterov"
        ),
        pytest.param(["training.steps_per_execution=x"], IMAGES, "'auto'", id="steps"),
        pytest.param(["tracking.profile_steps=[3]"], IMAGES, "[first,last]", id="profile"),
    ],
)
def test_parts_that_do_not_fit_together_get_one_sentence(overrides, spec, sentence):
    with pytest.raises(UserError) as caught:
        config.check(composed(*overrides), spec)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("spec", [IMAGES, NO_VALIDATION, REGRESSION])
def test_a_config_that_fits_is_let_through(spec):
    overrides = ["model=mlp", "training.early_stopping.monitor=train/loss"]
    config.check(composed(*overrides), spec)


def test_composing_a_config_leaves_heavy_libraries_alone():
    program = (
        "import sys, samerun, samerun.config as c; c.compose(['model=mlp']);"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'optuna', 'matplotlib', 'sklearn'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- keys that version 0.1.0 did not have

SINCE = (
    "on_nan:",
    "on_memory:",
    "max_retries:",
    "retry_learning_rate_factor:",
    "after_success:",
    "contrast:",
    "brightness:",
    "noise:",
    "cutout:",
    "mixup:",
)
AS_THEN = ["model=mlp", "training.intra_op_threads=2", "training.inter_op_threads=2"]
FINGERPRINT_THEN = "437627c02cdf27638b9481cd791442a4ba79bbf13815499cb7d2e2c90634d220"


def of_version_0_1_0(text):
    lines = [line for line in text.splitlines() if not line.strip().startswith(SINCE)]
    assert len(lines) == len(text.splitlines()) - len(SINCE)
    return "\n".join(lines) + "\n"


def test_a_config_of_version_0_1_0_is_read_and_keeps_its_fingerprint():
    made = config.compose(AS_THEN)
    old = of_version_0_1_0(made.resolved)
    assert config.from_yaml(old) == made.config
    assert config.fingerprint(config.from_yaml(old)) == FINGERPRINT_THEN
    assert (
        apply_overrides(old, ["training.on_nan=restore_and_lower_lr"]).config.training.max_retries
        == 3
    )


def test_a_config_for_the_code_of_version_0_1_0_has_only_its_keys():
    made = config.compose(AS_THEN)
    old = of_version_0_1_0(made.resolved)
    assert drop_new_keys(made.resolved, old) == old
    assert drop_new_keys(made.resolved, made.resolved) == made.resolved
    other = config.compose([*AS_THEN, "training.on_nan=restore_and_lower_lr"])
    assert "on_nan: restore_and_lower_lr" in drop_new_keys(other.resolved, old)
    mixed = config.compose([*AS_THEN, "dataset.augmentation.mixup=0.2"])
    assert "mixup: 0.2" in drop_new_keys(mixed.resolved, old)


def test_a_stored_config_whose_groups_are_no_groups_is_refused_in_a_sentence():
    with pytest.raises(UserError):
        config.from_yaml("dataset: digits\ntraining: [1]\n")


@pytest.mark.parametrize("name", ["contrast", "brightness", "noise", "cutout", "mixup"])
def test_an_augmentation_is_off_unless_asked_for_and_then_another_run(name):
    plain = config.compose(AS_THEN).config
    assert getattr(plain.dataset.augmentation, name) == 0
    changed = config.compose([*AS_THEN, f"dataset.augmentation.{name}=0.5"]).config
    assert changed.dataset.augmentation.is_active
    assert config.fingerprint(changed) != FINGERPRINT_THEN


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("brightness=1", "received 1, expected a number at least 0 and below 1"),
        ("contrast=-0.1", "received -0.1, expected a number at least 0 and below 1"),
        ("noise=2", "received 2, expected a number at least 0 and below 1"),
        ("cutout=1", "received 1, expected a number at least 0 and below 1"),
        ("mixup=-1", "received -1, expected a number at least 0"),
        ("mixup=true", "mixup"),
        ("cut_out=0.5", "Did you mean `dataset.augmentation.cutout=0.5`?"),
    ],
)
def test_a_wrong_augmentation_is_refused_in_a_sentence(word, sentence):
    with pytest.raises(UserError) as caught:
        config.compose([f"dataset.augmentation.{word}"])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "spec", "sentence"),
    [
        ([], dataclasses.replace(IMAGES, task=Task.regression, class_names=()), "has no classes"),
        (["training.balance_classes=true"], IMAGES, "together with training.balance_classes"),
        (["training.class_weights=[1,1,1,1,1,1,1,1,1,2]"], IMAGES, "training.class_weights"),
    ],
)
def test_mixup_is_refused_where_labels_cannot_be_mixed(overrides, spec, sentence):
    cfg = config.compose(["dataset/augmentation=mixup", *overrides]).config
    with pytest.raises(UserError, match=sentence) as caught:
        config.check(cfg, spec)
    assert "dataset.augmentation.mixup: received 0.2" in str(caught.value)
    assert "use dataset.augmentation.mixup=0" in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.on_nan=restore_and_lower_lr"],
        ["training.on_memory=halve_batch"],
        ["training.on_memory=halve_batch", "training.max_retries=1"],
    ],
)
def test_a_policy_that_is_on_is_another_run(overrides):
    assert config.fingerprint(composed(*AS_THEN, *overrides)) != FINGERPRINT_THEN


def test_options_of_policies_that_are_off_change_nothing():
    overrides = ["training.max_retries=1", "training.retry_learning_rate_factor=0.1"]
    cfg = composed(*AS_THEN, *overrides)
    assert config.fingerprint(cfg) == FINGERPRINT_THEN


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("training.on_nan=retry", "expected one of fail, restore_and_lower_lr"),
        ("training.on_memory=retry", "expected one of fail, halve_batch"),
        ("training.max_retries=0", "received 0, expected a number above 0"),
        ("training.retry_learning_rate_factor=1", "expected a number above 0 and below 1"),
        ("checkpoint.after_success=last", "expected one of keep, best, none"),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(word, sentence):
    with pytest.raises(UserError, match=sentence):
        config.compose([word])


def test_the_best_checkpoint_cannot_stay_where_none_is_kept():
    cfg = config.compose(["checkpoint.after_success=best", "checkpoint.keep_best=false"]).config
    with pytest.raises(UserError, match="keep_best=true"):
        config.check(cfg, IMAGES)
