"""A few files of each of the kinds that a user brings along."""

import csv

import numpy as np

OWN_CODE = """
import numpy as np


def load():
    x = np.random.default_rng(0).random((40, 4))
    return {"x": x, "y": np.arange(40) % 2}


def build(spec):
    import keras

    from samerun import models

    layers = [keras.layers.Flatten()]
    if spec.layout == "tokens":
        layers = [keras.layers.Embedding(spec.vocabulary_size, 3)]
        if spec.task != "language_model":
            layers.append(keras.layers.GlobalAveragePooling1D())
    return keras.Sequential([keras.Input(spec.input_shape), *layers, models.head(spec)])
"""


def write_rows(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def write_images(folder):
    from PIL import Image

    for number, name in enumerate(("cats", "dogs", "fish") * 14):
        (folder / name).mkdir(parents=True, exist_ok=True)
        picture = np.full((9, 7, 3), 5 * number, np.uint8)
        Image.fromarray(picture).save(folder / name / f"{number}.png")


def write_clips(folder):
    """Clips as folders of frames, which need no decoder of video files."""
    from PIL import Image

    for number, name in enumerate(("fall", "jump", "walk") * 14):
        (folder / name / str(number)).mkdir(parents=True, exist_ok=True)
        for frame in range(2):
            picture = np.full((9, 7, 3), 5 * number + frame, np.uint8)
            Image.fromarray(picture).save(folder / name / str(number) / f"{frame}.png")


def write_texts(folder):
    rows = []
    for number in range(24):
        label, text = ("praise", "blame")[number % 2], f"word{number} word{number % 5} film"
        rows.append([text, label])
        (folder / "texts" / label).mkdir(parents=True, exist_ok=True)
        (folder / "texts" / label / f"{number}.txt").write_text(text)
    write_rows(folder / "texts.csv", ["text", "label"], rows)


def write_own_files(folder):
    """Writes small files of each kind: images, clips, texts, tables, a series, arrays, a module."""
    random = np.random.default_rng(0)
    write_images(folder / "pictures")
    write_clips(folder / "clips")
    write_texts(folder)
    towns = ("Aachen", "Bonn", "Celle")
    table = [[f"{random.normal():.3f}", i % 4, towns[i % 3], f"{i / 7:.2f}"] for i in range(40)]
    write_rows(folder / "table.csv", ["size", "rooms", "town", "price"], table)
    write_rows(folder / "series.csv", ["sales"], [[f"{np.sin(i / 5):.3f}"] for i in range(90)])
    labels = np.arange(40) % 3
    np.savez(folder / "images.npz", x=random.integers(0, 256, (40, 8, 8), np.uint8), y=labels)
    np.savez(folder / "videos.npz", x=random.random((40, 3, 8, 8, 1)), y=labels % 2)
    np.savez(folder / "table.npz", x=random.random((40, 4)), y=random.random((40, 2)))
    (folder / "own_code.py").write_text(OWN_CODE)
