"""A project as `samerun init` writes it, with a metric and an augmentation of its own more."""

import contextlib
import sys

from samerun.cli.init_command import write_project

COMPONENTS = '''

from samerun.components import ImageAugmentation, Metric, a_path


@component("mine.images:confidence")
class Confidence(Metric):
    """How sure the model is."""

    kind: str = "confidence"


@component("mine.images:stripe")
class Stripe(ImageAugmentation):
    """A black stripe."""

    kind: str = "stripe"
    width: int = above(0)
    table: str = a_path()
'''
STRIPE = "defaults: [none, /schema/dataset/augmentation/stripe@_here_, _self_]\n"
ALL = (
    "training.loss=focal",
    "training.metrics=[accuracy,confidence]",
    "training.callbacks=[shrink_bias]",
    "dataset/augmentation=stripe",
)


def write_parts(folder, functions):
    """Writes the project; `functions` is the module of the metric and the augmentation."""
    write_project(folder)
    components = folder / "src/mine/components.py"
    components.write_text(components.read_text() + COMPONENTS)
    (folder / "src/mine/images.py").write_text(functions)
    stripe = f"{STRIPE}width: 2\ntable: a.csv\n"
    for name, text in (("metric/confidence", "{}\n"), ("dataset/augmentation/stripe", stripe)):
        place = folder / f"conf/{name}.yaml"
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)


@contextlib.contextmanager
def imports_undone(package):
    """Forgets afterwards what was imported of a package, and where it was found."""
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in {*sys.modules} - modules:
        if name.partition(".")[0] == package:
            del sys.modules[name]
