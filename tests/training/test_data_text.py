"""Texts: vocabularies learned from training text alone, corpora, docstrings and own files."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from samerun import data
from samerun.config import Layout, Task, compose
from samerun.config.datasets.base import Level, Side
from samerun.data import corpus, docstrings
from samerun.data.preprocessing import Scaling, Tokenization
from samerun.data.restore import from_dict
from samerun.data.splits import split_indices
from samerun.data.vocabulary import learn
from samerun.errors import UserError
from samerun.raw_model.texts import padded, tokenize
from support.tables import mostly_slow


def dataset(kind, *overrides, **changes):
    return replace(compose([f"dataset={kind}", *overrides]).config.dataset, **changes)


def docs(**changes):
    return dataset("python_docs", **changes)


def own_csv(path, **changes):
    cfg = dataset("text_csv", f"dataset.path={path}", max_length=8, batch_size=8)
    return replace(cfg, **changes)


def write_csv(path, texts, labels):
    rows = [f'"{text}",{label}' for text, label in zip(texts, labels, strict=True)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def texts_of(num, num_classes=2):
    """Texts of which each has a word of its own."""
    texts = [f"good word{i}" if i % num_classes else f"bad word{i}" for i in range(num)]
    return texts, [f"class{i % num_classes}" for i in range(num)]


def arrays(batches):
    xs, ys = zip(*((np.asarray(x), np.asarray(y)) for x, y in batches), strict=True)
    return np.concatenate(xs), np.concatenate(ys)


# Vocabulary and preprocessing


def test_tokens_are_words_and_punctuation_or_characters():
    assert tokenize("Don't stop,\n Ä_1!", Level.word, True) == [
        "don",
        "'",
        "t",
        "stop",
        ",",
        "ä_1",
        "!",
    ]
    assert tokenize("A b\n", Level.character, False) == ["A", " ", "b", "\n"]


def test_the_most_frequent_tokens_are_learned_and_ties_go_by_the_alphabet():
    vocabulary = learn(["b", "a", "b", "c", "a", "d"], 5, Level.word, True)
    assert vocabulary.tokens == ("[padding]", "[unknown]", "a", "b", "c")
    assert vocabulary.size == 5
    ids = vocabulary.encode("D C b A")
    assert (ids.dtype, ids.tolist()) == (np.int32, [1, 4, 3, 2])
    assert vocabulary.decode([0, 0, *ids, 99]) == "[unknown] c b a [unknown]"
    letters = learn("banana", 9, Level.character, False)
    assert letters.decode(letters.encode("naba")) == "naba"


@pytest.mark.parametrize(
    ("pad_left", "cut_left", "rows"),
    [
        pytest.param(True, False, [[0, 0, 1], [1, 2, 3], [0, 0, 0]], id="pre, post"),
        pytest.param(False, True, [[1, 0, 0], [2, 3, 4], [0, 0, 0]], id="post, pre"),
    ],
)
def test_ids_are_padded_and_cut_as_keras_does(pad_left, cut_left, rows):
    import keras

    ids = [np.array([1]), np.array([1, 2, 3, 4]), np.array([], int)]
    found = padded(ids, 3, pad_left=pad_left, cut_left=cut_left)
    assert (found.dtype, found.tolist()) == (np.int32, rows)
    sides = ["pre" if left else "post" for left in (pad_left, cut_left)]
    theirs = keras.utils.pad_sequences(ids, 3, padding=sides[0], truncating=sides[1])
    np.testing.assert_array_equal(found, theirs)


def test_preprocessing_travels_as_plain_values():
    vocabulary = learn(["a", "b", "ä"], 9, Level.word, False)
    made = Tokenization(vocabulary, 4, Side.post, Side.pre)
    read = from_dict(json.loads(json.dumps(made.as_dict())))
    assert read == made
    np.testing.assert_array_equal(read(["a ? ä"]), [[2, 1, 4, 0]])
    assert from_dict(Tokenization(None, 3).as_dict()) == Tokenization(None, 3)
    scaling = Scaling(np.float32([0.1, 2]), np.float32([3, 1e-3]))
    read = from_dict(json.loads(json.dumps(scaling.as_dict())))
    np.testing.assert_array_equal(read(np.ones((2, 2))), scaling(np.ones((2, 2))))
    assert read.offset.dtype == np.float32


# Descriptions


KINDS = [
    pytest.param("python_docs", {}, id="docs"),
    pytest.param("python_docs", {"level": Level.character, "stride": 200}, id="characters"),
    pytest.param("python_docs", {"limit": 9, "test_fraction": 0.0}, id="docs limit"),
    pytest.param("python_docstrings", {}, id="docstrings"),
    pytest.param("python_docstrings", {"binary": True, "limit": 30}, id="docstrings binary"),
]


@pytest.mark.parametrize(("kind", "changes"), mostly_slow(KINDS, "characters", "docstrings binary"))
def test_the_description_is_what_is_loaded(kind, changes):
    cfg = dataset(kind, **changes)
    built = data.build(cfg, 0)
    spec = built.spec
    assert spec == data.describe(cfg)
    assert spec.layout is Layout.tokens
    for name in ("train", "validation", "test"):
        num, batches = getattr(spec, f"num_{name}"), getattr(built, name)
        assert (batches is None) == (num == 0)
        if not num:
            continue
        x, y = arrays(batches)
        assert (x.shape, x.dtype) == ((num, *spec.input_shape), np.int32)
        assert 0 <= x.min() <= x.max() < built.vocabulary.size <= spec.vocabulary_size
        assert batches.element_spec[0].dtype.name == "int32"
        shape = {Task.language_model: (num, *spec.input_shape), Task.binary: (num, 1)}
        assert y.shape == shape.get(spec.task, (num,))
        assert len(built.labels(name)) == num
        if name == "test":
            raw = built.examples(name, range(num))
            np.testing.assert_array_equal(built.preprocessing(raw), x)


# Language models


def test_the_next_token_is_the_target_at_every_position():
    built = data.build(docs(), 0)
    x, y = arrays(built.test)
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    np.testing.assert_array_equal(x[1:, :32], x[:-1, 32:])
    np.testing.assert_array_equal(y, built.labels("test"))
    assert built.spec.num_outputs == built.spec.vocabulary_size == built.vocabulary.size == 2000
    assert built.text_of("test", 3) == built.vocabulary.decode(x[3])
    assert len(built.class_counts()) == 0


def fake_topics(monkeypatch, tokens):
    monkeypatch.setattr(corpus, "_help_topics", lambda: " ".join(tokens))


def test_no_window_crosses_a_split_and_each_part_comes_after_the_one_before(monkeypatch):
    fake_topics(monkeypatch, [f"w{i:04d}" for i in range(1000)])
    cfg = docs(context_length=7, stride=3, vocabulary_size=10_000, validation_fraction=0.2)
    read = corpus._read(cfg)
    assert {name: (part.start, part.stop) for name, part in read.parts.items()} == {
        "train": (0, 720),
        "validation": (720, 900),
        "test": (900, 1000),
    }
    for name, starts in read.starts.items():
        assert starts[0] == read.parts[name].start
        assert read.parts[name].stop - 3 < starts[-1] + 8 <= read.parts[name].stop
    built = data.build(cfg, 0)
    assert built.vocabulary.size == 722
    assert set(arrays(built.test)[0].ravel().tolist()) == {1}


@pytest.mark.parametrize("level", list(Level))
def test_the_end_of_the_text_changes_nothing_that_is_learned_or_trained_on(level, monkeypatch):
    tokens = [f"w{i % 97}" for i in range(2000)]
    built = []
    for ending in ("w1", "ßß"):
        fake_topics(monkeypatch, tokens[:-150] + [ending] * 150)
        cfg = docs(level=level, context_length=10, stride=10)
        built.append(data.build(cfg, 0))
    one, two = built
    assert one.vocabulary == two.vocabulary
    assert one.spec == two.spec
    for mine, other in zip(arrays(one.train), arrays(two.train), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert one.fingerprint["train"] == two.fingerprint["train"]
    assert one.fingerprint["test"] != two.fingerprint["test"]
    assert "ß" not in "".join(two.vocabulary.tokens)


def test_unknown_words_are_part_of_the_fingerprint(monkeypatch):
    prints = []
    for unknown in ("x", "y"):
        fake_topics(monkeypatch, [f"w{i % 50}" for i in range(950)] + [unknown] * 50)
        prints.append(data.build(docs(context_length=9), 0).fingerprint["test"])
    assert prints[0] != prints[1]


def test_help_topics_hold_each_paragraph_once():
    paragraphs = [" ".join(p.split()) for p in corpus._help_topics().split("\n\n")]
    assert len(paragraphs) == len(set(paragraphs)) > 1000


@pytest.mark.parametrize(
    ("tokens", "changes", "message"),
    [
        pytest.param(
            ["a", "b"] * 50, {"context_length": 20}, "the validation split has 9 of 100", id="long"
        ),
        pytest.param(
            ["same"] * 900, {"context_length": 5}, "has 1 word, expected at least 2", id="one word"
        ),
    ],
)
def test_a_corpus_that_cannot_be_used_is_refused(tokens, changes, message, monkeypatch):
    fake_topics(monkeypatch, tokens)
    with pytest.raises(UserError, match=message):
        data.describe(docs(**changes))


# Docstrings


def test_docstrings_come_once_without_the_names_of_the_packages():
    found = docstrings.docstrings(docstrings.PACKAGES)
    texts = [text for text, _ in found]
    assert len(set(texts)) == len(texts) > 1000
    joined = "\n".join(texts).lower()
    assert not [name for name in docstrings.PACKAGES if name in joined]
    counts = np.bincount([label for _, label in found])
    assert len(counts) == 8
    assert counts.min() > 80
    again = [docstrings._texts.__wrapped__(name) for name in docstrings.PAIR]
    assert again == [docstrings._texts(name) for name in docstrings.PAIR]


def test_docstrings_in_two_packages_belong_to_neither(monkeypatch):
    shared = {"one": ("in both of them", "only in one"), "two": ("in both of them", "only in two")}
    monkeypatch.setattr(docstrings, "_texts", shared.__getitem__)
    assert docstrings.docstrings(("one", "two")) == [("only in one", 0), ("only in two", 1)]


def test_a_python_without_sources_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(docstrings.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(UserError, match="lacks the source files"):
        docstrings._texts.__wrapped__("email")


def test_docstrings_are_split_by_class_and_can_be_read():
    built = data.build(dataset("python_docstrings"), 0)
    shares = built.class_counts() / built.spec.num_train
    tested = np.bincount(built.labels("test")) / built.spec.num_test
    np.testing.assert_allclose(shares, tested, atol=0.005)
    assert built.text_of("test", 0) == built.examples("test", [0])[0]
    assert built.spec.class_names == docstrings.PACKAGES


# A user's own texts


def test_the_vocabulary_is_that_of_the_training_texts(tmp_path):
    texts, labels = texts_of(100)
    places = split_indices(own_csv("a.csv"), 100, None, np.arange(100) % 2)
    one = data.build(own_csv(write_csv(tmp_path / "a.csv", texts, labels)), 0)
    known = {token for i in places["train"] for token in texts[i].split()}
    assert set(one.vocabulary.tokens[2:]) == known
    for place in [*places["test"], *places["validation"]]:
        texts[place] = "entirely other words " * 9
    two = data.build(own_csv(write_csv(tmp_path / "b.csv", texts, labels)), 0)
    assert one.vocabulary == two.vocabulary
    for mine, other in zip(arrays(one.train), arrays(two.train), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert one.fingerprint["train"] == two.fingerprint["train"]
    assert one.fingerprint["test"] != two.fingerprint["test"]


def test_texts_that_are_in_two_splits_are_counted(tmp_path, caplog):
    texts, labels = texts_of(100)
    places = split_indices(own_csv("a.csv"), 100, None, np.arange(100) % 2)
    for test, train in zip(places["test"][:3], places["train"][:3], strict=True):
        texts[test] = texts[train]
    built = data.build(own_csv(write_csv(tmp_path / "a.csv", texts, labels)), 0)
    assert built.num_leaked == 3
    assert len([r for r in caplog.records if "3 of 20 test examples" in r.getMessage()]) == 1


def test_a_folder_and_a_csv_file_of_the_same_texts_are_the_same_data(tmp_path):
    texts, labels = texts_of(60, num_classes=3)
    for place, (text, label) in enumerate(zip(texts, labels, strict=True)):
        folder = tmp_path / "texts" / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place:03d}.txt").write_text(text)
    (tmp_path / "texts" / ".hidden").mkdir()
    by_class = sorted(zip(labels, texts, strict=True), key=lambda pair: pair[0])
    path = write_csv(tmp_path / "a.csv", [t for _, t in by_class], [c for c, _ in by_class])
    folder = f"dataset.path={tmp_path / 'texts'}"
    folder_cfg = dataset("text_folder", folder, max_length=8, batch_size=8)
    one, two = data.build(folder_cfg, 0), data.build(own_csv(path), 0)
    assert one.spec == two.spec == data.describe(folder_cfg) == data.describe(own_csv(path))
    assert one.fingerprint == two.fingerprint
    assert one.spec.class_names == ("class0", "class1", "class2")
    assert one.vocabulary.size < one.spec.vocabulary_size == 10_000


def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path):
    texts, _ = texts_of(60)
    path = write_csv(tmp_path / "a.csv", texts, [(2, 10, 1)[i % 3] for i in range(60)])
    assert data.describe(own_csv(path)).class_names == ("1", "2", "10")


GOOD = "".join(f"word{i} text,{'ab'[i % 2]}\n" for i in range(40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "txt,label\n" + GOOD,
            "dataset.text_column: received 'text', .*Did you mean 'txt'",
            id="text",
        ),
        pytest.param("text,kind\n" + GOOD, "dataset.label_column: received 'label'", id="label"),
        pytest.param(
            "text,label\n" + GOOD + " ,a\n", "line 42: column 'text' is empty", id="no text"
        ),
        pytest.param(
            "text,label\n" + GOOD + "a,\n", "line 42: column 'label' is empty", id="no label"
        ),
        pytest.param("text,label\nx,a\ny,a\n", "holds only the class 'a'", id="one class"),
        pytest.param("text,label\n" + GOOD + "z,c\n", "class c has 1 example", id="class of one"),
        pytest.param(
            "text,label\n" + GOOD.replace(" text", "").replace("word", "w,w"),
            "line 2 has 3 cells",
            id="ragged",
        ),
    ],
)
def test_a_wrong_csv_file_is_refused_in_one_sentence(text, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        data.describe(own_csv(path))
    assert "\n" not in str(caught.value)


def test_texts_of_one_word_are_refused(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["word"] * 40, ["a", "b"] * 20)
    with pytest.raises(UserError, match=r"dataset=text_csv: .* has 1 word, expected at least 2"):
        data.build(own_csv(path), 0)


def make_folder(root, **classes):
    for name, contents in classes.items():
        (root / name).mkdir(parents=True)
        for place, content in enumerate(contents):
            (root / name / f"{place}.txt").write_bytes(content)
    return root


GOOD_FILES = [b"some text", b"other text"] * 5


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        pytest.param({}, "expected a folder with a subfolder", id="no folder"),
        pytest.param({"a": GOOD_FILES}, "has only the class 'a'", id="one class"),
        pytest.param({"a": GOOD_FILES, "b": []}, "b: has no .txt file", id="empty class"),
        pytest.param(
            {"a": GOOD_FILES, "b": [*GOOD_FILES, b"caf\xe9"]},
            r"10.txt: byte 3 \(0xe9\) is not UTF-8",
            id="encoding",
        ),
        pytest.param({"a": GOOD_FILES, "b": [*GOOD_FILES, b" \n"]}, "10.txt: is empty", id="empty"),
    ],
)
def test_a_wrong_folder_is_refused(classes, message, tmp_path):
    root = make_folder(tmp_path / "texts", **classes)
    cfg = dataset("text_folder", f"dataset.path={root}", batch_size=4)
    with pytest.raises(UserError, match=message) as caught:
        data.build(cfg, 0)
    assert "\n" not in str(caught.value)


def test_a_folder_without_sub_folders_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no subfolder"):
        data.describe(dataset("text_folder", f"dataset.path={tmp_path}"))


def test_twenty_thousand_texts_are_turned_into_ids_in_seconds():
    random = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(5000)])
    texts = [" ".join(row) for row in words[random.integers(0, 5000, (20_000, 50))]]
    vocabulary = learn(words.tolist(), 5002, Level.word, True)
    began = time.process_time()
    ids = Tokenization(vocabulary, 50)(np.array(texts, object))
    assert time.process_time() - began < 10
    assert ids.min() > 1
