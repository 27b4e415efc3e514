"""Contract checks that the tests of a project of your own import.

Each takes the config of a run, as `samerun.compose([...]).config` returns it, and raises an
`AssertionError` of one sentence for the first broken promise. They train nothing.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samerun import config, data
from samerun.config import Config, DataSpec, Layout
from samerun.config.spec import Task
from samerun.errors import UserError, first_line
from samerun.process import quiet

_PENALTIES = ("l1", "l2", "recurrent_l1", "recurrent_l2")
_BATCH = 8
_STRONG = 0.5
_DIGESTS = """
import json, sys
from samerun import config, data
cfg = config.from_yaml(open(sys.argv[1], encoding="utf-8").read(), own_code=True)
print(json.dumps(data.digests(cfg.dataset)))
"""


def check_config(cfg: Config) -> None:
    """Checks that a config survives being stored: it is written as YAML and read back the same.

    Args:
        cfg: the config of a run.
    """
    try:
        again = config.from_yaml(config.to_yaml(cfg), own_code=True)
    except Exception as error:
        raise AssertionError(
            f"The config does not serialize ({first_line(error).rstrip('.')}): expected fields "
            "that are numbers, strings, booleans, enums, and lists and dicts of them."
        ) from error
    assert again == cfg, (
        "The config does not serialize: read back from YAML it is another one, expected fields "
        "whose values do not change in __post_init__ or in the class."
    )


def check_dataset(cfg: Config) -> None:
    """Checks a dataset: it is described as it is, the same in every process, without leaks.

    Args:
        cfg: the config of a run; its dataset is loaded, in two more processes too.
    """
    check_config(cfg)
    with _as_contract("dataset"):
        spec = data.describe(cfg.dataset)
        here = data.digests(cfg.dataset)
        assert spec == data.describe(cfg.dataset), (
            "The dataset is described differently the second time, expected the same."
        )
        assert here == data.digests(cfg.dataset), (
            "The dataset is another one when it is loaded again, expected the same arrays: seed "
            "every random generator with a constant."
        )
    with _as_contract("dataset"), quiet():
        built = data.build(cfg.dataset, cfg.seed)
    assert not built.num_leaked, (
        f"The dataset leaks: {built.num_leaked} of its test examples are training examples too, "
        "expected none: remove duplicates before the split."
    )
    counted = built.spec
    assert counted == spec, (
        f"The dataset is described as {spec} before it is loaded, and is {counted}."
    )
    for hash_seed in ("1", "2"):
        assert here == _digests_elsewhere(cfg, hash_seed), (
            "The dataset is another one in another process, expected the same order: sort what "
            "comes from a set, from hash() or from the listing of a folder."
        )


def check_model(cfg: Config) -> None:
    """Checks a model: its output, its seeds, its dropout and penalties, and that it can be stored.

    Args:
        cfg: the config of a run; the model is built for its dataset.
    """
    check_config(cfg)
    with quiet():
        import keras
        import numpy as np
    spec = _spec_of(cfg)
    batch = _batch(spec)

    def outputs(model: Any, *, training: bool) -> Any:
        return keras.ops.convert_to_numpy(model(batch, training=training))

    first, second = _built(cfg, spec), _built(cfg, spec)
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        assert np.array_equal(one, other), (
            "The model has other weights with the same seed, expected the same: leave the seeds "
            "of initializers to Keras."
        )
    repeated = [outputs(_built(cfg, spec), training=True) for _ in range(2)]
    assert np.array_equal(*repeated), (
        "The model answers differently in training with the same seed, expected the same: leave "
        "the seed of dropout to Keras (seed=None), and draw from keras.random only."
    )
    found = outputs(first, training=False)
    assert np.isfinite(found).all(), "The model returns values that are not finite."
    assert np.array_equal(found, outputs(first, training=False)), (
        "The model answers differently the second time outside of training: dropout and noise "
        "are for training=True only."
    )
    _check_regularization(cfg, spec, outputs)
    _check_storable(first, batch)


def _check_regularization(cfg: Config, spec: DataSpec, outputs: Any) -> None:
    import numpy as np

    names = {entry.name for entry in dataclasses.fields(cfg.model)}
    for name in names & {*_PENALTIES}:
        model = _built(_with(cfg, name, _STRONG), spec)
        outputs(model, training=True)
        assert sum(float(penalty) for penalty in model.losses) > 0, (
            f"The model ignores model.{name}: with {_STRONG} it adds nothing to the loss, expected "
            "a kernel_regularizer in its layers."
        )
    if "dropout" in names:
        model = _built(_with(cfg, "dropout", _STRONG), spec)
        same = np.array_equal(outputs(model, training=True), outputs(model, training=False))
        assert not same, (
            f"The model ignores model.dropout: with {_STRONG} it answers in training as outside "
            "of it, expected a Dropout layer."
        )


def _check_storable(model: Any, batch: Any) -> None:
    import keras
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="samerun-") as folder:
        file = Path(folder, "model.keras")
        try:
            model.save(file)
            again = keras.saving.load_model(file, compile=False, safe_mode=True)
        except Exception as error:
            raise AssertionError(
                f"The model cannot be stored and loaded ({first_line(error).rstrip('.')}): give "
                "its own layers get_config() and keras.saving.register_keras_serializable()."
            ) from error
    one, other = (keras.ops.convert_to_numpy(made(batch)) for made in (model, again))
    assert np.allclose(one, other, atol=1e-6), (
        "The model answers differently after it was stored and loaded: return every argument "
        "of its own layers from get_config()."
    )


def check_schedule(cfg: Config) -> None:
    """Checks a schedule: finite, not negative, above 0 somewhere, and the same each time.

    Args:
        cfg: the config of a run; the schedule is evaluated at each of its steps.
    """
    check_config(cfg)
    with quiet():
        import numpy as np

        from samerun import optim
    with _as_contract("schedule"):
        spec = data.describe(cfg.dataset)
        steps = max(1, spec.num_train // cfg.dataset.batch_size)
        first, second = (
            optim.curve(cfg.optimizer, cfg.schedule, steps, cfg.training.epochs) for _ in range(2)
        )
    assert np.isfinite(first).all(), "The schedule returns a rate that is not finite."
    assert (first >= 0).all(), "The schedule returns a negative rate."
    assert first.any(), "The schedule returns 0 for every step."
    assert np.array_equal(first, second), (
        "The schedule returns other rates the second time, expected the same: no randomness, no "
        "state."
    )


def check_optimizer(cfg: Config) -> None:
    """Checks an optimizer: a step changes the weights to finite ones, the same each time.

    Args:
        cfg: the config of a run.
    """
    check_config(cfg)
    with quiet():
        import keras
        import numpy as np

        from samerun import optim
    moved = []
    for _ in range(2):
        keras.utils.set_random_seed(cfg.seed)
        with _as_contract("optimizer"):
            made = optim.build(cfg.optimizer, cfg.schedule, 10, cfg.training.epochs)
        weight = keras.Variable(np.ones((3, 2), np.float32), name="weight")
        for _ in range(12):  # past the first steps of a warm-up
            made.apply([keras.ops.ones((3, 2))], [weight])
        moved.append(keras.ops.convert_to_numpy(weight))
    assert np.isfinite(moved[0]).all(), "The optimizer makes weights that are not finite."
    assert (moved[0] != 1).any(), "The optimizer changes no weight in 12 steps."
    assert np.array_equal(*moved), "The optimizer moves weights differently the second time."


def check_loss(cfg: Config) -> None:
    """Checks a loss: finite, with a finite gradient, also where predictions are 0 and 1.

    Args:
        cfg: the config of a run; its dataset says which task the loss is for.
    """
    with quiet():
        import keras
        import numpy as np

        from samerun import losses
        from samerun.losses.custom import example_batch
    spec = _spec_of(cfg)
    with _as_contract("loss"):
        losses.check_own(cfg, spec)
        made = losses.loss(cfg, spec)
    y_true, y_pred = example_batch(spec)
    cases = {"predictions in the middle": y_pred}
    if spec.task in (Task.multiclass, Task.binary):
        cases["predictions of exactly 0 and 1"] = np.round(y_pred / y_pred.max(1, keepdims=True))
        cases["predictions that are all 0"] = np.zeros_like(y_pred)
    for what, predicted in cases.items():
        value = float(keras.ops.convert_to_numpy(made(y_true, predicted)))
        assert np.isfinite(value), (
            f"The loss is {value} for {what}, expected a finite number: clip predictions before "
            "a logarithm or a division."
        )


def check_metric(cfg: Config) -> None:
    """Checks the metrics: finite, the same after a reset, and with no count below 0.

    Args:
        cfg: the config of a run; its dataset says which task the metrics are for.
    """
    with quiet():
        import keras

        from samerun import losses
        from samerun.losses.custom import example_batch
    spec = _spec_of(cfg)
    with _as_contract("metric"):
        losses.check_own(cfg, spec)
        made = losses.metrics(cfg, spec)
    batch = example_batch(spec)
    for metric in made:
        values = []
        for _ in range(2):
            metric.update_state(*batch)
            values.append(float(keras.ops.convert_to_numpy(metric.result())))
            counts = [one for one in metric.variables if "count" in one.name]
            assert all((keras.ops.convert_to_numpy(one) >= 0).all() for one in counts), (
                f"The metric {metric.name} has a count below 0 after a batch."
            )
            metric.reset_state()
        assert values[0] == values[1], (
            f"The metric {metric.name} is {values[0]:g}, and {values[1]:g} on the same batch after "
            "a reset, expected the same: assign every variable its first value in reset_state()."
        )


def check_augmentation(cfg: Config) -> None:
    """Checks an augmentation: a function of the image and its seed that keeps shape and type.

    It receives nothing else, so labels stay what they are, and an example is changed in the same
    way in a given epoch whatever the order and the batch size.

    Args:
        cfg: the config of a run; its dataset says of which shape the images are.
    """
    check_config(cfg)
    with quiet():
        import numpy as np

        from samerun.data import augmentation
    spec = _spec_of(cfg)
    changes: Any = getattr(cfg.dataset, "augmentation", None)
    has_images = changes is not None and spec.layout is Layout.image
    assert has_images, f"dataset={cfg.dataset.kind} has no images for an augmentation to change."
    with _as_contract("augmentation"):
        augmentation.check_own(changes, spec.input_shape)
    image = np.random.default_rng(0).uniform(size=spec.input_shape).astype(np.float32)
    images = np.repeat(image[np.newaxis], _BATCH, axis=0)

    def changed() -> Any:
        change = augmentation.traced(changes, images)
        return [change(cfg.seed, epoch) for epoch in (0, 1, 0)]

    first, second = changed(), changed()
    assert np.array_equal([*first, first[0]], [*second, second[2]]), (
        "The augmentation changes an image differently with the same seed, expected a function of "
        "(seed, epoch, example): draw from tf.random.stateless_uniform(shape, seed) and its like."
    )
    assert any((one != first[0][0]).any() for epoch in first for one in epoch), (
        f"The augmentation makes the same image with {2 * _BATCH} seeds, expected another one for "
        "each example and epoch: draw from tf.random.stateless_uniform(shape, seed) and its like."
    )


def check_callback(cfg: Config) -> None:
    """Checks the callbacks of `training.callbacks`: what they remember is part of a checkpoint.

    Args:
        cfg: the config of a run.
    """
    with quiet():
        from samerun import callbacks
    with _as_contract("callback"):
        made = callbacks.build_own(cfg)
    note = callbacks.note_on_resume(list(made.items()))
    assert note is None, (
        f"{str(note).rstrip('.')}: give the callback state(), which returns a dict, and "
        "restore(state)."
    )
    for name, one in made.items():
        if callbacks.has_state(one):
            before: Any = one
            state = before.state()
            before.restore(json.loads(json.dumps(state)))
            assert before.state() == state, (
                f"{name}: restore(state) does not bring its state back, expected state() to return "
                "the same afterwards."
            )


def _built(cfg: Config, spec: DataSpec) -> Any:
    """Returns the model, as the start of a run builds it."""
    from samerun.determinism import reset_and_seed
    from samerun.models import build

    reset_and_seed(cfg.seed)
    with _as_contract("model"):
        return build(cfg.model, spec)


def _with(cfg: Config, name: str, value: float) -> Config:
    changed: dict[str, Any] = {name: value}
    return dataclasses.replace(cfg, model=dataclasses.replace(cfg.model, **changed))


def _batch(spec: DataSpec) -> Any:
    """Returns a few inputs of the shape and type of the data."""
    import numpy as np

    random = np.random.default_rng(0)
    shape = (_BATCH, *spec.input_shape)
    if spec.layout is Layout.tokens:
        return random.integers(1, spec.vocabulary_size or 2, shape).astype(np.int32)
    return random.normal(size=shape).astype(np.float32)


def _digests_elsewhere(cfg: Config, hash_seed: str) -> Any:
    """Returns the digests of the data in a process that orders sets in another way."""
    with tempfile.TemporaryDirectory(prefix="samerun-") as folder:
        file = Path(folder, "config.yaml")
        file.write_text(config.to_yaml(cfg), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", _DIGESTS, str(file)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise AssertionError(f"The dataset cannot be loaded in another process: {reason}")
    return json.loads(done.stdout.splitlines()[-1])


def _spec_of(cfg: Config) -> DataSpec:
    with _as_contract("dataset"):
        return data.describe(cfg.dataset)


@contextmanager
def _as_contract(part: str) -> Iterator[None]:
    """Raises a mistake in a component as a broken contract."""
    try:
        yield
    except UserError as error:
        raise AssertionError(f"The {part} does not work: {error}") from error
