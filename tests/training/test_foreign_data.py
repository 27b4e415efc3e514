"""The config of another user's run: what it may read on this machine, what may be uploaded."""

import dataclasses
import json
import typing

import pytest

from samerun import cli, config, data, tracking
from samerun.config import fields
from samerun.config.paths import paths
from samerun.config.schema import GROUPS
from samerun.config.sweep import Sweep
from samerun.errors import UserError
from samerun.replay import foreign, reproduce, rerun, resume
from support.project import composed
from support.tables import mostly_slow

NO_PATHS = {
    *("kind", "target", "features", "date_column", "numeric", "categorical", "group"),
    *("text_column", "label_column", "fold", "monitor", "steps_per_execution"),
    *("uri", "experiment", "run_name", "tags", "study", "storage", "run", "cluster"),
    *("memory", "walltime", "queue", "account", "extra", "setup", "params", "enqueue"),
    *("objectives", "direction", "constraints", "loss", "metrics", "callbacks", "learn_from"),
}
"""Keys that hold text and name no file; whoever adds a key to this list asserts it."""
LINES = "text,label\n" + "".join(f"secret number {n},{'ab'[n % 2]}\n" for n in range(60))
SMALL = ("training.epochs=1", "schedule=constant", "model=lstm", "model.units=[4]")


def classes():
    """Every class of config, with those that their fields hold."""
    waiting = [
        config.Config,
        Sweep,
        *(kind for group in GROUPS.values() for kind in group),
    ]
    seen = set()
    while waiting:
        cls = waiting.pop()
        if cls not in seen and dataclasses.is_dataclass(cls):
            seen.add(cls)
            for kind in typing.get_type_hints(cls).values():
                waiting += [kind, *typing.get_args(kind)]
    return seen


def test_every_text_key_declares_whether_it_is_a_path():
    undecided, num_paths = [], 0
    for cls in classes():
        hints = typing.get_type_hints(cls)
        for entry in dataclasses.fields(cls):
            kinds = {hints[entry.name], *typing.get_args(hints[entry.name])}
            if entry.metadata.get("path"):
                num_paths += 1
            elif kinds & {str, typing.Any} and entry.name not in NO_PATHS:
                undecided.append(f"{cls.__name__}.{entry.name}")
    assert not undecided, "declare it with a_path() or add it to NO_PATHS"
    assert num_paths >= 10


def test_paths_are_found_at_any_depth():
    @fields.config
    class Inner:
        folder: str = fields.a_path()

    @fields.config
    class Outer:
        inner: Inner
        params: dict = fields.a_path()
        name: str

    node = Outer(inner=Inner(folder="a"), params={"b": {"c": ["d", 1]}, "e": None}, name="n")
    assert paths(node) == {"inner.folder": "a", "params.b.c[0]": "d"}


@pytest.fixture
def outside(tmp_path_factory):
    """A private file of this machine, outside of the folder in which the person works."""
    file = tmp_path_factory.mktemp("home") / "patients.csv"
    file.write_text(LINES)
    return file


@pytest.fixture
def runs(project):
    """Counts the runs in the store."""

    def count():
        client = tracking.connect(tracking.resolve_uri(None))
        found = [e.experiment_id for e in client.search_experiments()]
        return len(client.search_runs(found))

    return count


@pytest.fixture
def trained(monkeypatch):
    """What would have been trained; nothing is."""
    asked = []

    def note(request):
        asked.append(request)
        raise UserError("training is not what this test is about.")

    monkeypatch.setattr(rerun, "train", note)
    monkeypatch.setattr("samerun.replay.reproduce.train_isolated", lambda _, asks, **__: note(asks))
    return asked


def recorded(store, path, *overrides, **tags):
    """Makes a run whose config names a file, without looking at the file."""
    cfg = composed("dataset=text_csv", f"dataset.path='{path}'", *SMALL, *overrides)
    text = config.to_yaml(cfg)
    return store({"config/resolved.yaml": text}, **{f"data.{k}": v for k, v in tags.items()})


def refused(capsys, *overrides):
    assert cli.main(list(overrides)) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert message.count("\n") == 1
    return message


COMMANDS = [
    ["reproduce"], ["reproduce", "--check"], ["reproduce", "--dry-run"], ["reproduce", "--code"],
    ["reproduce", "--env"], ["resume"], ["resume", "--fork"],
]  # fmt: skip


@pytest.mark.parametrize(
    "overrides", mostly_slow(COMMANDS, ["reproduce"], ["resume", "--fork"]), ids=" ".join
)
def test_a_file_outside_of_the_working_folder_is_not_read(
    store, outside, runs, trained, capsys, monkeypatch, overrides
):
    read = []
    monkeypatch.setattr(data, "describe", read.append)
    monkeypatch.setattr(data, "digests", read.append)
    run_id = recorded(store, outside, train="0" * 64)
    message = refused(capsys, overrides[0], run_id, *overrides[1:])
    assert "--trust data" in message
    assert str(outside) in message
    assert "outside of the working folder" in message
    assert runs() == 1
    assert not read
    assert not trained


@pytest.mark.parametrize(
    "kind",
    mostly_slow(["up", "link", "linked folder", "home", "no such user"], "up", "linked folder"),
)
def test_no_way_leads_outside(store, outside, project, capsys, monkeypatch, kind):
    monkeypatch.setenv("HOME", str(outside.parent))
    (project / "link.csv").symlink_to(outside)
    (project / "linked").symlink_to(outside.parent)
    path = {
        "up": f"data/../../{outside.parent.name}/patients.csv",
        "link": "link.csv",
        "linked folder": "linked/patients.csv",
        "home": "~/patients.csv",
        "no such user": "~no-such-user/a.csv",
    }[kind]
    assert "--trust data" in refused(capsys, "reproduce", recorded(store, path))


@pytest.mark.parametrize(
    "value",
    mostly_slow(
        ["/etc/passwd", "[a,../x]", "{deep: {er: '~/x'}}", "'file:///x'"], "{deep: {er: '~/x'}}"
    ),
)
@pytest.mark.parametrize("part", mostly_slow(["dataset", "model"]))
def test_the_arguments_of_trusted_code_do_not_lead_outside_either(
    store, project, capsys, part, value
):
    (project / "mine.py").write_text("raise SystemError('imported')\n")
    overrides = [f"{part}=custom", f"{part}.target=mine:load", f"+{part}.params.file={value}"]
    run_id = store({"config/resolved.yaml": config.compose([*overrides, *SMALL[:1]]).resolved})
    message = refused(capsys, "reproduce", run_id, "--trust", "mine")
    assert f"{part}.params.file" in message
    assert "--trust data" in message


def test_to_trust_data_is_not_to_trust_a_module_of_that_name(store, project, capsys):
    (project / "data.py").write_text("raise SystemError('imported')\n")
    overrides = ["dataset=custom", "dataset.target=data:load", *SMALL[:1]]
    run_id = store({"config/resolved.yaml": config.compose(overrides).resolved})
    message = refused(capsys, "reproduce", run_id, "--trust", "data")
    assert "--trust data:load" in message


@pytest.mark.parametrize("given", mostly_slow([None, "0" * 64], "0" * 64))
@pytest.mark.parametrize(
    "command", mostly_slow(["reproduce", "resume", "fork"], "reproduce", "fork")
)
def test_data_that_is_not_the_runs_is_not_uploaded(
    store, project, runs, trained, capsys, given, command
):
    (project / "mine.csv").write_text(LINES)
    tags = {} if given is None else {"train": given}
    run_id = recorded(store, "mine.csv", **tags)
    overrides = {
        "fork": ["resume", "--fork"],
        "resume": ["resume", "training.epochs=2"],
    }.get(command, [command])
    message = refused(capsys, overrides[0], run_id, *overrides[1:])
    assert "--trust data" in message
    assert ("recorded no digest" if given is None else "(test, train, validation)") in message
    assert runs() == 1
    assert not trained


def test_to_look_at_what_differs_needs_no_trust(store, project, runs, capsys):
    (project / "mine.csv").write_text(LINES)
    run_id = recorded(store, "mine.csv", train="0" * 64)
    assert cli.main(["reproduce", run_id, "--check"]) == 1
    assert cli.main(["reproduce", run_id, "--dry-run"]) == 0
    assert "secret" not in capsys.readouterr().out
    assert runs() == 1


def digests(path):
    return data.digests(composed("dataset=text_csv", f"dataset.path={path}", *SMALL).dataset)


def test_the_same_data_needs_no_trust(store, project, trained):
    (project / "mine.csv").write_text(LINES)
    run_id = recorded(store, "mine.csv", **digests("mine.csv"))
    assert cli.main(["reproduce", run_id]) == 2
    assert cli.main(["reproduce", run_id, "dataset.batch_size=7", "dataset.limit=50"]) == 2
    assert [request.digests for request in trained] == [None, None]
    (run,) = tracking.find_runs([run_id])
    assert resume.plan_resume(run, fork=True).is_fork


@pytest.mark.parametrize(
    "overrides", [["--trust", "data"], ["dataset.path={}"]], ids=["flag", "path"]
)
def test_what_the_person_names_needs_no_proof(store, outside, project, trained, overrides):
    run_id = recorded(store, outside, train="0" * 64)
    assert cli.main(["reproduce", run_id, *(word.format(outside) for word in overrides)]) == 2
    (request,) = trained
    assert str(outside) in request.resolved
    (run,) = tracking.find_runs([run_id])
    trusted = ["data"] if "--trust" in overrides else []
    changes = [] if trusted else [f"dataset.path={outside}"]
    assert resume.plan_resume(run, changes, fork=True, trusted=trusted).is_fork


def test_embedded_data_needs_no_trust(store, project, trained):
    run_id = store({"config/resolved.yaml": config.compose(["model=mlp", *SMALL[:1]]).resolved})
    assert cli.main(["reproduce", run_id]) == 2
    assert len(trained) == 1


def test_a_run_that_this_machine_recorded_needs_no_trust(store, outside, project, trained):
    folder = project / "outputs" / "own"
    folder.mkdir(parents=True)
    cfg = composed("dataset=text_csv", f"dataset.path={outside}", *SMALL)
    run_id = store({"config/resolved.yaml": config.to_yaml(cfg)}, folder=str(folder))
    assert cli.main(["reproduce", run_id]) == 2
    assert not trained
    uri = tracking.resolve_uri(None)
    facts = {"id": run_id, "name": "foreign", "uri": uri, "experiment_id": "1"}
    (folder / "run.json").write_text(json.dumps(facts))
    assert cli.main(["reproduce", run_id]) == 2
    assert len(trained) == 1


def test_the_process_with_the_recorded_code_compares_the_data_first(
    store, project, runs, monkeypatch
):
    (project / "mine.csv").write_text(LINES)
    run_id = recorded(store, "mine.csv", train="0" * 64)
    (run,) = tracking.find_runs([run_id])
    asked = []

    def note(_, request, **__):
        asked.append(request)
        raise UserError("not here")

    monkeypatch.setattr("samerun.replay.reproduce.train_isolated", note)
    plan = reproduce.prepare(run, recorded_code=True)
    with pytest.raises(UserError, match="not here"):
        reproduce.reproduce(plan, None)
    (request,) = asked
    assert request.digests == {"train": "0" * 64}
    with pytest.raises(UserError, match="nothing was uploaded"):
        rerun.train(request)
    assert runs() == 1


def test_a_stored_address_does_not_decide_where_a_run_is_recorded(
    store, project, trained, tmp_path_factory
):
    other = tmp_path_factory.mktemp("other") / "private.db"
    overrides = ["model=mlp", *SMALL[:1], f"tracking.uri=sqlite:///{other}"]
    run_id = store({"config/resolved.yaml": config.compose(overrides).resolved})
    assert cli.main(["reproduce", run_id]) == 2
    (request,) = trained
    assert "private.db" not in request.resolved
    (run,) = tracking.find_runs([run_id])
    assert resume.plan_resume(run, fork=True).uri == tracking.resolve_uri(None)
    assert not other.exists()


@pytest.mark.parametrize(
    "more", ["hydra:\n  run:\n    dir: /tmp/x\n", "hydra: {searchpath: [/]}\n"]
)
def test_a_stored_config_has_no_keys_of_hydra(store, capsys, more):
    text = config.compose(["model=mlp", *SMALL[:1]]).resolved + more
    assert "hydra" in refused(capsys, "reproduce", store({"config/resolved.yaml": text}))


def test_a_run_with_copied_tags_is_not_taken_for_the_one_asked_for(store, outside, project):
    run_id = recorded(store, outside)
    (run,) = tracking.find_runs([run_id])
    asked = composed("dataset=text_csv", "dataset.path=mine.csv", *SMALL)
    with pytest.raises(UserError, match="another config"):
        resume.plan_resume(run, requested=asked, fork=True)


def test_a_name_on_the_command_line_covers_what_is_below_it_and_nothing_else():
    cfg = composed("dataset=custom", "dataset.target=a:b", "+dataset.params.file=/x")
    run = tracking.StoredRun(
        id="0" * 32, name="n", experiment_id="1", status="FINISHED", params={}, metrics={}, tags={}
    )
    for word in ("dataset.params={file: /x}", "+dataset.params.file=/x", "dataset=custom"):
        foreign.check_paths(run, cfg, [word], [])
    for word in ("dataset.param=1", "dataset.params.fil=1", "data=1", "dataset.limit=5"):
        with pytest.raises(UserError, match="--trust data"):
            foreign.check_paths(run, cfg, [word], [])
