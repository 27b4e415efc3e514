"""`samerun bundle` and `samerun unbundle`: one file, whole or refused."""

import contextlib
import errno
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from samerun import cli, tags, tracking
from samerun.errors import UserError
from samerun.replay import bundle_file, signature, unbundle
from samerun.replay.bundle import bundle as write_bundle
from support.bundles import rebuilt, replacing, signed, stating
from support.compared import add, archive, classified, probabilities, resolved
from support.recorded import run_maker


def bundle_a_run():
    truth, predicted, confidence = classified()
    arrays = {"probabilities": probabilities(predicted, confidence), "truth": truth}
    Path("mine.npz").write_bytes(archive(x_train=np.arange(3), y_train=np.arange(3)))
    run_id = add(
        run_maker(),
        "travels",
        "dataset=npz",
        "dataset.path=mine.npz",
        predictions=arrays,
        notes_dot_txt="hello",
    )
    (run,) = tracking.find_runs([run_id])
    tracking.tag_run(run, {"samerun.host": "elsewhere", "samerun.verdict": "EXACT", "mine": "1"})
    assert cli.main(["bundle", run_id, "run.zip", "--data"]) == 0
    return run_id


@pytest.fixture
def bundle(made_once, prepared_database, tmp_path, monkeypatch):
    """A bundle, in a folder of another machine, and the data of its run in the folder above."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def make(folder):
        shutil.copy(prepared_database, folder / "mlflow.db")
        with contextlib.chdir(folder):
            Path("run_id").write_text(bundle_a_run())

    made = made_once("travels", make)
    shutil.copy(made / "mine.npz", tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(prepared_database, other / "mlflow.db")
    shutil.copy(made / "run.zip", other)
    monkeypatch.chdir(other)
    return (made / "run_id").read_text()


def adding(name, content=b"x", *, mode=0o100644, compress=zipfile.ZIP_STORED):
    def change(members):
        info = zipfile.ZipInfo(name)
        info.filename = info.orig_filename = name
        info.external_attr, info.compress_type = mode << 16, compress
        return [*members, (info, content)]

    return change


def reading(place, *names):
    """Makes the config read its data from another place, and adds data there."""

    def change(members):
        config = resolved("dataset=text_folder", f"dataset.path={place}").encode()
        members = replacing(CONFIG, config)(leaving_out("data/mine.npz")(members))
        for name in names:
            members = adding(f"data/{name}", b"defaults: [custom]\ntarget: subprocess:run\n")(
                members
            )
        return members

    return change


def described(**facts):
    """Changes what the manifest says about the run."""
    return stating(lambda manifest: manifest["run"].update(facts))


def leaving_out(name):
    return lambda members: [(i, c) for i, c in members if i.filename != name]


def pickled():
    file = io.BytesIO()
    np.savez(file, truth=np.array([{"a": 1}], dtype=object))
    return file.getvalue()


CONFIG = "artifacts/config/resolved.yaml"
CHANGES = {
    "a climbing path": (adding("artifacts/../../evil.txt"), "is not allowed"),
    "an absolute path": (adding("/tmp/evil.txt"), "is not allowed"),
    "a path of Windows": (adding("artifacts\\evil.txt"), "is not allowed"),
    "a drive of Windows": (adding("C:/evil.txt"), "is not allowed"),
    "a hidden file": (adding("data/.git/hooks.txt"), "is not allowed"),
    "a control character": (adding("artifacts/a\x1b[31m.txt"), "is not allowed"),
    "a link": (
        adding("artifacts/link.txt", b"/etc/passwd", mode=stat.S_IFLNK | 0o777),
        "is a link",
    ),
    "a device": (
        adding("artifacts/null.txt", b"", mode=stat.S_IFCHR | 0o666),
        "is a link or no file",
    ),
    "a pickle by its name": (adding("artifacts/model.pkl"), "is no file that a bundle holds"),
    "a pickle under another name": (adding("artifacts/notes2.txt", b"\x80\x04N."), "is a pickle"),
    "a pickle in an array": (
        replacing("artifacts/evaluation/predictions.npz", pickled()),
        "pickled objects",
    ),
    "code among the data": (adding("data/mine.py", b"import os"), "is code outside of code/"),
    "a file outside of the known folders": (
        adding("conf/config.yaml"),
        "is no file that a bundle holds",
    ),
    "a name twice": (adding(CONFIG), "twice"),
    "a name in another spelling": (
        adding(CONFIG.upper().replace("ARTIFACTS", "artifacts")),
        "twice, or in two spellings",
    ),
    "a file that is a folder too": (
        adding("artifacts/notes.txt/more.txt"),
        "is a file and a folder",
    ),
    "data that the config does not read": (adding("data/other.csv"), "its config does not read"),
    "a config file as data": (
        reading("conf", "conf/dataset/digits.yaml"),
        "is no file that a dataset reads",
    ),
    "a log as data": (reading("texts", "texts/a/one.log"), "is no file that a dataset reads"),
    "data among the config files": (reading("conf", "conf/a/one.txt"), "is written into conf"),
    "data among the experiments": (
        reading("experiments", "experiments/a/one.txt"),
        "is written into experiments",
    ),
    "data among the config files in another spelling": (
        reading("CONF", "CONF/a/one.txt"),
        "is written into conf",
    ),
    "data among the stored runs": (reading("mlruns", "mlruns/1/a.txt"), "is written into mlruns"),
    "a config that reads the whole working folder": (
        reading(".", "anywhere.txt"),
        "its config does not read",
    ),
    "a file where the code is put": (
        adding("artifacts/code/notes.txt"),
        "in a folder that unbundle itself writes",
    ),
    "verdicts where those of the other machine are put": (
        adding("artifacts/bundle/verdicts.json"),
        "in a folder that unbundle itself writes",
    ),
    "a config that reads the environment": (
        replacing(CONFIG, b"seed: ${oc.env:HOME}"),
        "interpolation",
    ),
    "no config": (leaving_out(CONFIG), "is missing or too large"),
    "a metric that is none": (replacing("metrics.jsonl", b'{"key": 1}\n'), "is no metric"),
    "an ID that is none": (described(id="../x"), "ID or status"),
    "a name of several lines": (described(name="a\nb"), "name is no text"),
    "a status that is none": (described(status="RUNNING"), "ID or status"),
    "a time that is none": (described(start_time=1e300), "is no time"),
    "a sweep": (described(tags={"samerun.study": "s"}), "no single training"),
    "tags that are no texts": (described(tags={"a": {"b": 1}}), "tags are no texts"),
}


def nothing_is_left(before):
    assert tracking.search_runs("") == []
    assert sorted(path for path in Path().rglob("*") if path.is_file()) == before
    assert not Path("/tmp/evil.txt").exists()
    assert not Path("../evil.txt").exists()


def files():
    tracking.connect(tracking.resolve_uri(None))  # makes what a store has besides its database
    return sorted(path for path in Path().rglob("*") if path.is_file())


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_bundle_that_was_made_up_is_refused_and_nothing_is_left(bundle, case, capsys):
    change, reason = CHANGES[case]
    rebuilt(change)
    before = files()
    capsys.readouterr()
    assert cli.main(["unbundle", "run.zip"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("samerun: ")
    assert error.count("\n") == 1
    assert "\x1b" not in error
    assert reason in error
    nothing_is_left(before)


def test_a_bundle_that_was_only_written_again_is_accepted(bundle):
    """So the others are refused for their change, not for being written by this test."""
    rebuilt(lambda members: members)
    assert cli.main(["unbundle", "run.zip"]) == 0


def test_a_flipped_byte_anywhere_is_refused(bundle, capsys):
    content = Path("run.zip").read_bytes()
    before = files()
    for place in np.linspace(0, len(content) - 1, 40).astype(int):
        changed = bytearray(content)
        changed[place] ^= 0x20
        Path("run.zip").write_bytes(changed)
        assert cli.main(["unbundle", "run.zip"]) == 2
    nothing_is_left(before)
    assert "a byte of it was changed" in capsys.readouterr().err


@pytest.mark.parametrize("size", [0, 10, 64, 65, 1000])
def test_a_part_of_a_bundle_is_refused(bundle, size, capsys):
    content = Path("run.zip").read_bytes()[:size]
    Path("run.zip").write_bytes(content)
    assert cli.main(["unbundle", "run.zip"]) == 2
    signed(content + b"0" * 64)
    assert cli.main(["unbundle", "run.zip"]) == 2
    assert "damaged" in capsys.readouterr().err


def test_a_bomb_is_refused_before_it_is_unpacked(bundle, monkeypatch, capsys):
    monkeypatch.setattr(bundle_file, "_LEAST_UNPACKED", 1_000_000)
    rebuilt(adding("artifacts/bomb.txt", bytes(20_000_000), compress=zipfile.ZIP_DEFLATED))
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    assert cli.main(["unbundle", "run.zip"]) == 2
    assert "more than a hundred times its size" in capsys.readouterr().err


def test_a_member_that_is_larger_than_it_says_is_not_read_to_its_end(bundle, capsys):
    content = bytearray(Path("run.zip").read_bytes())
    place = content.index(b"artifacts/notes.txt")
    size = (5).to_bytes(4, "little")
    while (at := content.find(size, place)) != -1:
        content[at : at + 4] = (3).to_bytes(4, "little")
    signed(bytes(content))
    assert cli.main(["unbundle", "run.zip"]) == 2
    assert "damaged" in capsys.readouterr().err


def test_a_content_that_is_not_the_listed_one_is_refused(bundle, capsys):
    rebuilt(replacing("artifacts/notes.txt", b"HELLO"), is_listed=False)
    assert cli.main(["unbundle", "run.zip"]) == 2
    assert "notes.txt is not the file that was bundled" in capsys.readouterr().err


def test_the_run_is_as_it_was_and_is_not_trusted(bundle, capsys):
    assert cli.main(["unbundle", "run.zip"]) == 0
    (run,) = tracking.find_runs([bundle])  # by the ID that it had
    assert run.tags["samerun.bundled_from"] == bundle
    assert run.name == "travels"
    assert run.status == "FINISHED"
    assert run.tags["samerun.data.test"] == "d" * 64
    assert run.tags["mine"] == "1"
    assert "samerun.host" not in run.tags
    assert "samerun.verdict" not in run.tags, "a verdict of another machine proves nothing here"
    assert tracking.folder_of(run) is None
    assert tracking.metric_histories(run)["validation/loss"] == {1: 1.0, 2: 0.5, 3: 0.25}
    assert tracking.read_artifact(run, "notes.txt") == b"hello"
    assert Path("mine.npz").read_bytes() == Path("../mine.npz").read_bytes()
    assert cli.main(["unbundle", "run.zip"]) == 2
    assert "is in the store already" in capsys.readouterr().err


def test_a_file_of_the_users_own_is_not_replaced(bundle, capsys):
    Path("mine.npz").write_bytes(b"mine")
    assert cli.main(["unbundle", "run.zip"]) == 2
    assert "mine.npz exists" in capsys.readouterr().err
    assert Path("mine.npz").read_bytes() == b"mine"
    assert tracking.search_runs("") == []


@pytest.mark.parametrize(
    ("place", "settings"),
    [("settings", 'config_folders = ["settings"]'), ("src/mine", 'package = "mine"')],
)
def test_data_is_not_written_among_the_files_of_the_project(bundle, capsys, place, settings):
    Path(place).mkdir(parents=True)
    Path("pyproject.toml").write_text(f"[tool.samerun]\n{settings}\n")
    rebuilt(reading(place, f"{place}/a/one.txt"))
    before = files()
    assert cli.main(["unbundle", "run.zip"]) == 2
    assert f"no data of a bundle is written into {place}" in capsys.readouterr().err
    nothing_is_left(before)


def test_data_in_a_folder_of_its_own_is_written_there(bundle):
    rebuilt(reading("texts", "texts/a/one.txt"))
    assert cli.main(["unbundle", "run.zip"]) == 0
    assert Path("texts/a/one.txt").exists()


def test_a_run_that_came_from_a_bundle_can_be_bundled_again(bundle):
    verdicts = [{"run": bundle, "verdict": "EXACT"}]
    rebuilt(stating(lambda manifest: manifest.update(verdicts=verdicts)))
    assert cli.main(["unbundle", "run.zip"]) == 0
    (run,) = tracking.find_runs([bundle])
    assert "bundle/verdicts.json" in tracking.list_artifacts(run)
    assert cli.main(["bundle", bundle, "again.zip"]) == 0
    with zipfile.ZipFile("again.zip") as again:
        assert "artifacts/bundle/verdicts.json" not in again.namelist()


@pytest.fixture
def texts(store, project):
    """A run of a folder of texts, with what a person has beside them."""
    for name in ("a/one.txt", "b/two.txt", "README", ".DS_Store", "a/.hidden", "b/Thumbs.db"):
        Path("texts", name).parent.mkdir(parents=True, exist_ok=True)
        Path("texts", name).write_text("text")
    return add(store, "one", "dataset=text_folder", "dataset.path=texts")


def test_files_beside_the_data_that_training_leaves_out_are_left_out(texts):
    assert cli.main(["bundle", texts, "out.zip", "--data"]) == 0
    with zipfile.ZipFile("out.zip") as content:
        data = {name for name in content.namelist() if name.startswith("data/")}
    assert data == {"data/texts/a/one.txt", "data/texts/b/two.txt"}


def test_data_of_another_ending_is_a_sentence_with_the_ones_that_are_allowed(
    store, project, capsys
):
    Path("iris.data").write_text("a,y\n1,2\n")
    run_id = add(store, "one", "dataset=npz", "dataset.path=iris.data")
    assert cli.main(["bundle", run_id, "out.zip", "--data"]) == 2
    error = capsys.readouterr().err
    assert "iris.data ends in '.data'" in error
    assert ".csv, .tsv, .txt" in error


def test_verify_does_not_take_a_run_of_the_same_id_for_that_of_a_bundle(bundle, capsys):
    assert cli.main(["unbundle", "run.zip"]) == 0
    (run,) = tracking.find_runs([bundle])
    unbundle.check_is(run, Path("run.zip"))
    weights = {"samerun.weights": "f" * 64}
    rebuilt(stating(lambda manifest: manifest["run"]["tags"].update(weights)), file="run.zip")
    Path("weights.zip").write_bytes(Path("run.zip").read_bytes())
    config = resolved("dataset=npz", "dataset.path=mine.npz", "model.units=[3]").encode()
    rebuilt(replacing(CONFIG, config))
    capsys.readouterr()
    assert cli.main(["verify", "weights.zip", "run.zip"]) == 1
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first.startswith("FAIL  weights.zip  refused  the bundle has the ID of run ")
    assert "but differs in samerun.weights, so" in first
    assert second.startswith("FAIL  run.zip      refused")
    assert "but differs in config, samerun.weights, so" in second


def digests_as(names_them, digest):
    """Changes how a manifest names the digest of the training split."""

    def change(manifest):
        tags = manifest["run"]["tags"]
        for key in [key for key in tags if key.startswith(("samerun.digests", "samerun.data."))]:
            del tags[key]
        tags |= names_them({"train": digest})

    return stating(change)


def test_verify_compares_the_data_and_not_the_tags_that_name_it(bundle):
    def earlier(digests):
        return {f"samerun.data.{split}": digest for split, digest in digests.items()}

    rebuilt(digests_as(tags.digests_tag, "a" * 64))
    assert cli.main(["unbundle", "run.zip"]) == 0
    (run,) = tracking.find_runs([bundle])
    rebuilt(digests_as(earlier, "a" * 64))
    unbundle.check_is(run, Path("run.zip"))
    rebuilt(digests_as(earlier, "b" * 64))
    with pytest.raises(UserError, match="differs in samerun.digests, so"):
        unbundle.check_is(run, Path("run.zip"))


def test_an_error_that_is_not_of_the_bundle_is_not_called_its_damage(bundle, monkeypatch):
    def fail(run):
        raise KeyError("a mistake of samerun's")

    monkeypatch.setattr(tracking, "import_run", fail)
    with pytest.raises(KeyError, match="a mistake of samerun's"):
        unbundle.unbundle(Path("run.zip"))
    assert not Path("mine.npz").exists()


def test_a_full_disk_is_not_called_an_error_of_the_bundle(bundle, monkeypatch, capsys):
    def fail(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unbundle.shutil, "copyfile", fail)
    assert cli.main(["unbundle", "run.zip"]) == 2
    error = capsys.readouterr().err
    assert "mine.npz cannot be written" in error
    assert "No space left" in error
    assert "run.zip" not in error


def test_data_is_not_written_through_a_link(bundle, capsys, tmp_path):
    Path("mine.npz").symlink_to(tmp_path / "elsewhere.npz")
    assert cli.main(["unbundle", "run.zip"]) == 2
    assert "below a link" in capsys.readouterr().err
    assert not (tmp_path / "elsewhere.npz").exists()


def test_other_programs_can_read_what_it_holds(bundle):
    with zipfile.ZipFile("run.zip") as content:
        crate = json.loads(content.read("ro-crate-metadata.json"))
        names = set(content.namelist())
        sizes = {info.filename: info.file_size for info in content.infolist()}
    assert crate["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    entities = {one["@id"]: one for one in crate["@graph"]}
    descriptor = entities["ro-crate-metadata.json"]
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    root = entities[descriptor["about"]["@id"]]
    assert {"name", "description", "datePublished", "license", "hasPart"} <= root.keys()
    parts = {one["@id"] for one in root["hasPart"]}
    assert parts == names - {"ro-crate-metadata.json", "bundle.json"}
    for part in parts:
        assert entities[part]["@type"] == "File"
        assert entities[part]["contentSize"] == str(sizes[part])
    assert entities["#run"]["identifier"] == bundle


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Path("out.zip").touch(), "out.zip exists"),
        (lambda: shutil.rmtree("mlruns") or Path("mine.npz").unlink(), "resolved.yaml"),
    ],
)
def test_what_cannot_be_bundled_is_one_sentence(store, project, capsys, make, reason):
    Path("mine.npz").touch()
    run_id = add(store, "one", "dataset=npz", "dataset.path=mine.npz")
    make()
    assert cli.main(["bundle", run_id, "out.zip"]) == 2
    assert reason in capsys.readouterr().err


def test_data_outside_of_the_folder_is_not_bundled(store, project, capsys):
    run_id = add(store, "one", "dataset=npz", "dataset.path=/etc/mine.npz")
    assert cli.main(["bundle", run_id, "out.zip", "--data"]) == 2
    assert "outside of the working folder" in capsys.readouterr().err
    assert not list(Path().glob("out.zip*"))


def new_key(name):
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", name]
    subprocess.run(command, check=True)


def test_a_signature_is_checked_with_the_key_that_is_asked_for(bundle, capsys):
    new_key("mine")
    new_key("other")
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", "mine", "-n", "file", "run.zip"])
    for keys, reason in (
        ("mine.pub", "was not signed with mine.pub"),  # but for another purpose
        ("other.pub", "was not signed with other.pub"),
        ("mine", "is not a file of public SSH keys"),
        ("nothing.pub", "is not a file of public SSH keys"),
    ):
        assert cli.main(["unbundle", "run.zip", "--verify-key", keys]) == 2
        assert reason in capsys.readouterr().err
    Path("run.zip.sig").unlink()
    assert cli.main(["unbundle", "run.zip", "--verify-key", "mine.pub"]) == 2
    assert "has no signature: expected run.zip.sig beside it" in capsys.readouterr().err
    assert not Path("mine.npz").exists()
    Path("run.zip.sig").write_bytes(signature.sign(Path("run.zip"), Path("mine")))
    assert cli.main(["unbundle", "run.zip", "--verify-key", "other.pub"]) == 2
    content = Path("run.zip").read_bytes()
    Path("run.zip").write_bytes(content[:-1] + b"x")
    assert cli.main(["unbundle", "run.zip", "--verify-key", "mine.pub"]) == 2
    assert "or was changed afterwards" in capsys.readouterr().err
    Path("run.zip").write_bytes(content)
    Path("both.pub").write_text(Path("other.pub").read_text() + Path("mine.pub").read_text())
    assert cli.main(["unbundle", "run.zip", "--verify-key", "both.pub"]) == 0
    assert "made with both.pub" in capsys.readouterr().out


@pytest.fixture
def reproduced(monkeypatch):
    """The runs that `samerun verify` would train."""
    found = []

    def reproduce(run, trusted, out):
        found.append(run.tags["samerun.bundled_from"])
        return "EXACT", "run 0"

    monkeypatch.setattr(sys.modules["samerun.cli.verify_command"], "_reproduced", reproduce)
    return found


@pytest.mark.parametrize("place", ["option", "pyproject.toml"])
def test_verify_reproduces_no_bundle_that_none_of_the_keys_signed(
    bundle, reproduced, capsys, place
):
    new_key("mine")
    new_key("other")
    chosen = ["verify", "run.zip"]
    if place == "option":
        Path("pyproject.toml").write_text('[tool.samerun]\nverify_key = "other.pub"\n')
        chosen += ["--verify-key", "mine.pub"]
    else:
        text = '[tool.samerun]\nverify = ["run.zip"]\nverify_key = "mine.pub"\n'
        Path("pyproject.toml").write_text(text)
        chosen = ["verify"]
    assert cli.main(chosen) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("FAIL  run.zip  refused  run.zip has no signature")
    Path("run.zip.sig").write_bytes(signature.sign(Path("run.zip"), Path("other")))
    assert cli.main(chosen) == 1
    assert "refused  run.zip was not signed with mine.pub" in capsys.readouterr().out
    assert not Path("mine.npz").exists()
    assert not reproduced
    Path("run.zip.sig").write_bytes(signature.sign(Path("run.zip"), Path("mine")))
    assert cli.main(chosen) == 0
    assert cli.main(chosen) == 0  # it is in the store now
    assert reproduced == [bundle, bundle]


def test_keys_to_verify_with_are_checked_before_the_first_run_is_trained(
    bundle, reproduced, capsys
):
    assert cli.main(["verify", "run.zip", "--verify-key", "none.pub"]) == 2
    refused = "none.pub is not a file of public SSH keys"
    assert f"samerun: --verify-key: {refused}" in capsys.readouterr().err
    Path("pyproject.toml").write_text('[tool.samerun]\nverify_key = "none.pub"\n')
    assert cli.main(["verify", "run.zip"]) == 2
    expected = f"samerun: pyproject.toml: tool.samerun.verify_key: {refused}"
    assert expected in capsys.readouterr().err
    assert not reproduced


def test_a_bundle_is_signed_when_it_is_written(bundle, capsys):
    new_key("mine")
    assert cli.main(["unbundle", "run.zip"]) == 0
    assert cli.main(["bundle", bundle, "again.zip", "--sign", "mine"]) == 0
    assert "samerun unbundle again.zip --verify-key KEY.pub" in capsys.readouterr().out
    with signature.verified(Path("again.zip"), Path("mine.pub")) as copy:
        assert copy.read_bytes() == Path("again.zip").read_bytes()
    capsys.readouterr()
    assert cli.main(["bundle", bundle, "third.zip", "--sign", "no_key"]) == 2
    assert "there is no file no_key" in capsys.readouterr().err
    assert cli.main(["bundle", bundle, "third.zip", "--sign", "run.zip"]) == 2
    assert "run.zip cannot sign" in capsys.readouterr().err
    assert not list(Path().glob("third*"))


def test_what_is_unpacked_is_what_was_verified(bundle, monkeypatch):
    """Another program writes into the bundle once `ssh-keygen` has read it."""
    new_key("mine")
    Path("run.zip.sig").write_bytes(signature.sign(Path("run.zip"), Path("mine")))
    run = subprocess.run

    def change_after(*given, **options):
        done = run(*given, **options)
        Path("run.zip").write_bytes(b"x")
        return done

    monkeypatch.setattr(signature.subprocess, "run", change_after)
    assert cli.main(["unbundle", "run.zip", "--verify-key", "mine.pub"]) == 0


MISTAKES = {
    "run.zip": ("~nobody1/mine.pub", "~nobody1/mine.pub is not a file of public SSH keys"),
    "only_signed.zip": ("mine.pub", "only_signed.zip: there is no such file"),
    "mistyped.zip": ("mine.pub", "mistyped.zip: there is no such file"),
    "folder.zip": ("mine.pub", "folder.zip: this is no file, expected a bundle"),
}


def test_a_mistake_in_a_path_is_one_sentence(bundle, capsys):
    new_key("mine")
    Path("folder.zip").mkdir()
    for name in ("only_signed.zip", "folder.zip"):
        Path(f"{name}.sig").write_text("signature")
    for name, (key, reason) in MISTAKES.items():
        assert cli.main(["unbundle", name, "--verify-key", key]) == 2
        assert reason in capsys.readouterr().err
    with pytest.raises(UserError, match="there is no file ~nobody1/mine"):
        signature.check_key(Path("~nobody1/mine"))


@pytest.mark.parametrize("fails", ["again.zip", "again.zip.sig"])
def test_no_half_of_a_signed_bundle_is_left(bundle, monkeypatch, fails):
    new_key("mine")
    assert cli.main(["unbundle", "run.zip"]) == 0
    rename = os.replace

    def fail(source, target):
        if Path(target).name == fails:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(*tracking.find_runs([bundle]), Path("again.zip"), key=Path("mine"))
    assert not list(Path().glob("again*"))
