"""Clips of a user's own: what is read, which frames, and what is refused with which sentence."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from samerun import data
from samerun.config import compose
from samerun.config.datasets.images import Sampling
from samerun.data import video_folder
from samerun.data.video_folder import frame_indices, read_clip
from samerun.errors import UserError
from support.tables import mostly_slow

av = pytest.importorskip("av", reason="samerun[video] is not installed")
SIDE = 16


def write_video(path, levels, size=(SIDE, SIDE), codec="mpeg4", rate=10):
    """Writes a film whose frames are gray, one level each."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for level in levels:
            pixels = np.full((size[1], size[0], 3), level, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_frames(folder, levels, size=(SIDE, SIDE), name="frame{}.png"):
    folder.mkdir(parents=True)
    for number, level in enumerate(levels):
        pixels = np.full((size[1], size[0], 3), level, np.uint8)
        Image.fromarray(pixels).save(folder / name.format(number))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Two classes, films and folders of frames, dark and bright; only read."""
    root = tmp_path_factory.mktemp("original")
    for number in range(10):
        for name, level in (("dark", 20), ("bright", 200)):
            levels = [level + number] * 5
            (root / name).mkdir(exist_ok=True)
            if number % 2:
                write_frames(root / name / f"clip{number}", levels)
            else:
                write_video(root / name / f"clip{number}.mp4", levels)
    return root


@pytest.fixture
def clips(original, tmp_path):
    """A copy to be changed."""
    return shutil.copytree(original, tmp_path / "clips")


def config_of(path, *settings):
    overrides = ["dataset=video_folder", f"dataset.path='{path}'", "dataset.batch_size=4"]
    overrides += ["dataset.frames=3", "dataset.height=8", "dataset.width=6", *settings]
    return compose(overrides).config.dataset


def test_films_and_folders_of_frames_become_clips_of_one_shape(clips):
    cfg = config_of(clips)
    built = data.build(cfg, 0)
    spec = built.spec
    assert spec == data.describe(cfg)
    assert (spec.task, spec.layout) == ("binary", "video")
    assert spec.input_shape == (3, 8, 6, 3)
    assert spec.class_names == ("bright", "dark")
    assert (spec.num_train, spec.num_validation, spec.num_test) == (14, 2, 4)
    with built.reading():
        for x, y in built.train:
            assert x.shape[1:] == (3, 8, 6, 3)
            means = x.numpy().mean(axis=(1, 2, 3, 4))
            np.testing.assert_array_equal(means < 0.5, y.numpy()[:, 0] == 1)
    assert len(built.test.element_spec[0].shape) == 5


def test_a_clip_is_the_same_in_every_epoch_and_process_and_its_content_is_in_the_fingerprint(clips):
    cfg = config_of(clips, "dataset.normalization=standard")
    built = data.build(cfg, 0)
    first = [x.numpy() for x, _ in built.test]
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate([x for x, _ in built.test]))
    assert built.preprocessing.scale.shape == (3,)
    assert data.digests(cfg) == dict(built.fingerprint)
    frame = clips / "dark" / "clip1" / "frame0.png"
    Image.fromarray(np.full((SIDE, SIDE, 3), 99, np.uint8)).save(frame)
    assert data.digests(cfg) != dict(built.fingerprint)


def test_folders_train_and_test_are_the_splits(clips, tmp_path_factory):
    root = tmp_path_factory.mktemp("split")
    for part, numbers in (("train", range(8)), ("test", range(8, 10))):
        for name in ("dark", "bright"):
            (root / part / name).mkdir(parents=True)
            for number in numbers:
                for path in (clips / name).glob(f"clip{number}*"):
                    path.rename(root / part / name / path.name)
    spec = data.describe(config_of(root, "dataset.validation_fraction=0.25"))
    assert (spec.num_train, spec.num_validation, spec.num_test) == (12, 4, 4)


@pytest.mark.parametrize(
    ("sampling", "present", "wanted", "expected"),
    [
        ("even", 10, 5, [1, 3, 5, 7, 9]),
        ("even", 3, 3, [0, 1, 2]),
        ("even", 100, 2, [25, 75]),
        ("even", 2, 5, [0, 0, 1, 1, 1]),
        ("even", 1, 3, [0, 0, 0]),
        ("first", 10, 3, [0, 1, 2]),
        ("first", 2, 4, [0, 1, 1, 1]),
        ("middle", 10, 4, [3, 4, 5, 6]),
        ("middle", 2, 3, [0, 1, 1]),
    ],
)
def test_frames_are_chosen_over_the_clip(sampling, present, wanted, expected):
    assert frame_indices(Sampling[sampling], present, wanted) == expected


@pytest.mark.parametrize("suffix", mostly_slow([".mp4", ".avi", ".mkv", ".mov"]))
@pytest.mark.parametrize("sampling", mostly_slow(["even", "first", "middle"], "middle"))
def test_a_film_gives_the_frames_at_their_places(sampling, suffix, tmp_path):
    levels = [20 * number for number in range(12)]
    path = tmp_path / f"film{suffix}"
    write_video(path, levels)
    write_frames(tmp_path / "frames", levels)
    cfg = config_of(tmp_path, f"dataset.sampling={sampling}", "dataset.frames=4")
    film, frames = read_clip(cfg, path), read_clip(cfg, tmp_path / "frames")
    expected = [levels[index] for index in frame_indices(cfg.sampling, 12, 4)]
    assert (film.shape, film.dtype) == ((4, 8, 6, 3), np.uint8)
    np.testing.assert_array_equal(frames[:, 0, 0, 0], expected)
    np.testing.assert_allclose(film[:, 0, 0, 0].astype(int), expected, atol=6)  # is compressed


def test_grey_frames_have_one_channel_and_frames_are_in_the_order_of_their_numbers(tmp_path):
    write_frames(tmp_path / "a", [10 * n for n in range(12)], name="f{}.png")
    cfg = config_of(tmp_path, "dataset.channels=1", "dataset.frames=12")
    clip = read_clip(cfg, tmp_path / "a")
    assert clip.shape == (12, 8, 6, 1)
    assert clip[:, 0, 0, 0].tolist() == [10 * n for n in range(12)]


def film(path):
    write_video(path, [50] * 8)
    return path.read_bytes()


BROKEN = {
    "empty.mp4": lambda content: b"",
    "cut.mp4": lambda content: content[:300],
    "text.avi": lambda content: b"not a film",
    "playlist.mp4": lambda content: b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n",
    "script.mkv": lambda content: b"ffconcat version 1.0\nfile /etc/hostname\n",
    "another.mkv": lambda content: content,
}


@pytest.mark.parametrize("name", mostly_slow(BROKEN, "cut.mp4", "playlist.mp4"))
def test_a_file_that_is_not_what_its_ending_says_is_named_in_one_sentence(name, clips):
    content = film(clips / "whole.mp4")
    (clips / "whole.mp4").unlink()
    path = clips / "dark" / name
    path.write_bytes(BROKEN[name](content))
    with pytest.raises(UserError) as caught:
        data.digests(config_of(clips))
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "replace or remove it" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("change", "sentence"),
    mostly_slow(
        [
            (lambda root: (root / "dark" / "notes.txt").write_text("x"), "expected only .mp4"),
            (lambda root: (root / "dark" / "empty").mkdir(), "holds no frames"),
            (lambda root: (root / "none").mkdir(), "holds no .mp4"),
            (lambda root: (root / "film.mp4").write_bytes(b"x"), "outside the class folders"),
            (lambda root: (root / "dark" / "x.png").write_bytes(b"x"), "folders of frames"),
            (lambda root: os.mkfifo(root / "dark" / "pipe.mp4"), "is not a regular file"),
            (lambda root: (root / "dark" / "away.mp4").symlink_to("/etc/hostname"), "links to"),
            (
                lambda root: (root / "dark" / "clip1" / "a.txt").write_text("x"),
                "a folder of frames",
            ),
            (
                lambda root: (root / "dark" / "clip1" / "z.png").write_bytes(b"x"),
                "neither a JPEG nor",
            ),
        ]
    ),
)
def test_what_is_not_a_clip_is_refused_before_anything_is_decoded(change, sentence, clips):
    change(clips)
    with pytest.raises(UserError, match=sentence) as caught:
        data.describe(config_of(clips))
    assert "\n" not in str(caught.value)


def test_limits_on_size_and_number_of_frames(clips, monkeypatch):
    monkeypatch.setattr(video_folder, "MOST_FRAMES", 4)
    with pytest.raises(UserError, match="expected 1 to 4: cut it into shorter clips"):
        data.digests(config_of(clips))
    monkeypatch.setattr(video_folder, "MOST_FRAMES", 100)
    monkeypatch.setattr(video_folder, "MOST_BYTES", 10)
    with pytest.raises(UserError, match="expected at most 10: cut it"):
        data.digests(config_of(clips))
    monkeypatch.setattr(video_folder, "MOST_BYTES", 10**9)
    monkeypatch.setattr(video_folder, "MOST_PIXELS", 10)
    with pytest.raises(UserError, match="16 x 16 pixels, expected 1 to 10 in total"):
        data.digests(config_of(clips))


def read_all(built):
    with built.reading():
        for split in (built.train, built.validation, built.test):
            list(split)


def test_a_clip_that_breaks_during_training_is_named(clips):
    built = data.build(config_of(clips), 0)
    path = clips / "dark" / "clip0.mp4"
    path.write_bytes(path.read_bytes()[:100])
    names = [name for split in built.splits.values() for name in split.x.tolist()]
    assert b"dark/clip0.mp4" in names
    with pytest.raises(UserError, match="clip0.mp4"):
        read_all(built)


def test_without_pyav_folders_of_frames_are_read_and_films_refused(clips, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "av", None)
    cfg = config_of(clips, "dataset.validation_fraction=0")
    with pytest.raises(UserError, match=r"pip install 'samerun\[video\]'"):
        data.digests(cfg)
    for path in clips.glob("*/*.mp4"):
        path.unlink()
    assert set(data.digests(cfg)) == {"train", "test"}
