"""A small example of every model and every dataset, derived from the config classes."""

import dataclasses
import functools

from samerun import config, data
from samerun.config.datasets import DATASETS
from samerun.config.models import MODELS

SETTINGS = {
    "cnn": ["model.filters=[2,3]", "model.dense_units=[4]", "model.batch_norm=true"],
    "cnn1d": ["model.filters=[3,2]", "model.dense_units=[4]"],
    "parallel_lstm": ["model.branch_units=[3,2]"],
    "simple_rnn": ["model.units=[4,3]"],
    "lstm": ["model.units=[3]", "model.bidirectional=true"],
    "gru": ["model.units=[3]", "model.mask_padding=true", "model.dense_units=[4]"],
    "forecaster": ["model.units=[4,3]"],
    "custom": ["model.target=own_code:build"],
}
"""Settings of the models that need others than the rule of `small_model`."""

IMAGES = "mlp cnn lenet5"
TEXTS = "cnn1d simple_rnn lstm gru parallel_lstm"
FITTING = {
    ("image", "multiclass"): IMAGES,
    ("image", "binary"): IMAGES,
    ("image", "regression"): IMAGES,
    ("table", "multiclass"): "mlp",
    ("table", "binary"): "mlp",
    ("table", "regression"): "mlp",
    ("tokens", "multiclass"): TEXTS,
    ("tokens", "binary"): TEXTS,
    ("tokens", "regression"): TEXTS,
    ("tokens", "language_model"): "language_model",
    ("sequence", "multiclass"): f"mlp {TEXTS}",
    ("sequence", "binary"): f"mlp {TEXTS}",
    ("sequence", "regression"): f"mlp {TEXTS}",
    ("sequence", "forecast"): f"mlp {TEXTS} forecaster",
    ("video", "multiclass"): "mlp cnn_rnn conv_lstm",
    ("video", "binary"): "mlp cnn_rnn conv_lstm",
    ("video", "regression"): "mlp cnn_rnn conv_lstm",
}
"""Which of the models that are named here fit which data: the check on the classes' `layouts`."""


@dataclasses.dataclass(frozen=True)
class Example:
    """A small dataset: the overrides that select it, and how a model sees it."""

    overrides: str
    layout: str
    task: str

    @property
    def kind(self):
        """The option of `dataset`."""
        return self.overrides.split()[0]

    def is_for(self, kind):
        """Whether a model declares that it fits such data."""
        return self.layout in kind.layouts and self.task in kind.tasks


EXAMPLES = {
    "digits": Example("digits", "image", "multiclass"),
    "digits_rows": Example("digits view=rows", "sequence", "multiclass"),
    "moving_digits": Example("moving_digits frames=3 side=9", "video", "multiclass"),
    "moving_digits_of_digits": Example(
        "moving_digits label=digit frames=3 side=9", "video", "multiclass"
    ),
    "google_stock": Example("google_stock window=5", "sequence", "forecast"),
    "google_stock_horizon": Example(
        "google_stock window=5 horizon=3 features=[open]", "sequence", "forecast"
    ),
    "diabetes": Example("diabetes", "table", "regression"),
    "diabetes_features": Example("diabetes features=[bmi,bp,s5]", "table", "regression"),
    "python_docs": Example("python_docs context_length=6", "tokens", "language_model"),
    "python_docs_characters": Example(
        "python_docs level=character context_length=6", "tokens", "language_model"
    ),
    "python_docstrings": Example("python_docstrings max_length=6", "tokens", "multiclass"),
    "python_docstrings_binary": Example(
        "python_docstrings binary=true max_length=6", "tokens", "binary"
    ),
    "mnist": Example("mnist", "image", "multiclass"),
    "mnist_rows": Example("mnist view=rows", "sequence", "multiclass"),
    "fashion_mnist": Example("fashion_mnist", "image", "multiclass"),
    "cifar10": Example("cifar10", "image", "multiclass"),
    "cifar100": Example("cifar100", "image", "multiclass"),
    "imdb": Example("imdb", "tokens", "binary"),
    "reuters": Example("reuters", "tokens", "multiclass"),
    "image_folder": Example("image_folder path=pictures height=8 width=8", "image", "multiclass"),
    "video_folder": Example(
        "video_folder path=clips frames=3 height=8 width=8", "video", "multiclass"
    ),
    "text_folder": Example("text_folder path=texts max_length=6", "tokens", "binary"),
    "text_csv": Example("text_csv path=texts.csv max_length=6", "tokens", "binary"),
    "table_csv": Example("table_csv path=table.csv target=price", "table", "regression"),
    "table_csv_classes": Example("table_csv path=table.csv target=town", "table", "multiclass"),
    "series_csv": Example(
        "series_csv path=series.csv target=sales window=5", "sequence", "forecast"
    ),
    "npz_images": Example("npz path=images.npz", "image", "multiclass"),
    "npz_videos": Example("npz path=videos.npz", "video", "binary"),
    "npz_table": Example("npz path=table.npz", "table", "regression"),
    "custom": Example("custom target=own_code:load", "table", "binary"),
}


def _example_of(kind):
    spec = data.describe(config.compose([f"dataset={kind}"]).config.dataset)
    return Example(kind, spec.layout, spec.task)


_known = {example.kind for example in EXAMPLES.values()}
EXAMPLES |= {kind.kind: _example_of(kind.kind) for kind in DATASETS if kind.kind not in _known}
"""Every dataset; one that is not named above is used unchanged."""


def small_model(kind):
    """Returns overrides that make a model small, so that a step takes a tenth of a second.

    Every list of sizes becomes `[3]`, and `units` becomes 3.
    """
    if kind.kind in SETTINGS:
        return [f"model={kind.kind}", *SETTINGS[kind.kind]]
    sizes = []
    for field in dataclasses.fields(kind):
        if field.type == list[int]:
            sizes.append(f"model.{field.name}=[3]")
        elif field.type is int and field.name == "units":
            sizes.append("model.units=3")
    return [f"model={kind.kind}", *sizes]


def fitting(spec):
    """Returns the models that declare that they fit such data."""
    return {kind.kind for kind in MODELS if kind.refusal(spec) is None}


def check_fitting(spec):
    """Compares what the models declare with the table here, for those that it names."""
    known = {name for names in FITTING.values() for name in names.split()}
    assert fitting(spec) & known == set(FITTING[spec.layout, spec.task].split())


@functools.cache
def dataset_of(name):
    """Returns the config of an example, with eight examples in each split."""
    kind, *overrides = EXAMPLES[name].overrides.split()
    overrides += ["batch_size=4", "limit=8"]
    cfg = config.compose([f"dataset={kind}", *(f"dataset.{word}" for word in overrides)])
    return cfg.config.dataset
