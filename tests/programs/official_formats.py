"""`samerun train` on files of an official format: their checksums take the place of the right ones.

Nothing else is patched. The first word says which data set it is; the files are in KERAS_HOME.
"""

import hashlib
import importlib
import sys
from dataclasses import replace

from samerun.cli import main
from samerun.data import cache, images, keras_text


def checksum(name, algorithm="sha256"):
    return hashlib.new(algorithm, (cache.cache_folder() / name).read_bytes()).hexdigest()


def accept(kind, official, found):
    """Lets Keras's loader expect what was found where it names the official checksum."""
    loader = importlib.import_module(f"keras.src.datasets.{kind}")
    get_file = loader.get_file

    def patched(**arguments):
        assert arguments["file_hash"] == official
        return get_file(**{**arguments, "file_hash": found})

    loader.get_file = patched


kind, *words = sys.argv[1:]
if kind == "imdb":
    files = keras_text.IMDB
    keras_text.IMDB = replace(
        files, checksum=checksum(files.texts), words_checksum=checksum(files.words, "md5")
    )
    accept(kind, files.checksum, keras_text.IMDB.checksum)
else:
    name = {"mnist": images.MNIST_FILES[0], "cifar10": images.CIFAR10_FILE}[kind]
    constant = f"{kind.upper()}_SHA256"
    official = getattr(images, constant)
    setattr(images, constant, checksum(name))
    accept(kind, official, getattr(images, constant))
sys.exit(main(["train", *words]))
