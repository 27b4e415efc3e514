"""The lines that samerun says to type: with `--trust` for the user's own runs, and no others."""

import shlex
import socket

import pytest

from samerun import cli, config, tracking
from samerun import tags as tag
from samerun.command_line import line, program
from samerun.errors import UserError
from samerun.replay.trust import CONFIG, check_trusted, given_here
from samerun.result import Result
from samerun.tracking.recovery.folders import write_run_file
from samerun.user_code import trust_names
from support.compared import resolved

OWN = ("model=custom", "model.target=my_code:build", "training.callbacks=[extra.more:Mine]")
NAMES = ("my_code:build", "extra.more:Mine")
TRUST = ["--trust", NAMES[0], "--trust", NAMES[1]]


@pytest.fixture
def trained(store, project, client):
    """Makes a run as if this machine had trained it; returns the run.

    What its folder records, and what the store says about the folder, can be something else.
    """

    def make(*overrides, text=None, folder="outputs/1", host=None, status="FINISHED", **recorded):
        run_id = store({CONFIG: text or resolved(*overrides)})
        there = project / folder
        (there / "artifacts/config").mkdir(parents=True)
        own = recorded.get("own", text or resolved(*overrides))
        (there / "artifacts" / CONFIG).write_text(own)
        write_run_file(
            there,
            run_id=run_id,
            uid=None,
            name="x",
            uri=tracking.resolve_uri(None),
            experiment="samerun",
            experiment_id="1",
        )
        tags = {tag.FOLDER: str(recorded.get("stated", there)), tag.HOST: host or here()}
        for key, value in tags.items():
            client.set_tag(run_id, key, value)
        client.set_terminated(run_id, status)
        return tracking.find_runs([run_id])[0]

    return make


def here():
    return socket.gethostname()


def shown(capsys, run):
    """Returns the words of the line that `samerun show` says to type first."""
    assert cli.main(["show", run.id]) == 0
    lines = [text.strip() for text in capsys.readouterr().out.splitlines()]
    found = [text.partition(f"{program()} ")[2] for text in lines if f"{program()} re" in text]
    return shlex.split(found[0].partition("  ")[0])


def test_the_names_of_a_config_are_those_that_its_refusal_asks_for():
    own = config.compose([*OWN, "training.loss=extra:loss"])
    assert trust_names(own.config) == (NAMES[0], "extra:loss", NAMES[1])
    for name in trust_names(own.config):
        others = [one for one in trust_names(own.config) if one != name]
        with pytest.raises(UserError, match=f"give --trust {name} if"):
            check_trusted(own.config, others)
    check_trusted(own.config, trust_names(own.config))
    assert trust_names(config.compose([]).config) == ()
    data = config.compose(["model=custom", "model.target=data:build"]).config
    assert trust_names(data) == ("data:build",), "`--trust data` means the data of the run"


def test_a_line_has_what_to_trust_in_quotes_and_no_name_that_no_module_has():
    found = line("reproduce", "1a2b", "a=b c", trust=["my_code", "x; touch ran", "--data", "a.b"])
    assert found == f"{program()} reproduce 1a2b 'a=b c' --trust my_code --trust a.b"


def test_a_run_of_this_machine_is_shown_with_what_it_trusts(trained, capsys):
    run = trained(*OWN)
    assert shown(capsys, run) == ["reproduce", run.id[:8], *TRUST]
    ended = trained(*OWN, folder="outputs/2", status="KILLED")
    assert shown(capsys, ended) == ["resume", ended.id[:8], *TRUST]
    plain = trained(folder="outputs/3")
    assert shown(capsys, plain) == ["reproduce", plain.id[:8]]


def test_the_shown_line_is_not_refused_for_its_code(trained, project, capsys):
    (project / "my_code.py").write_text("def build(spec):\n    raise NotImplementedError\n")
    (project / "extra.py").write_text("")
    run = trained(*OWN[:2])
    assert cli.main([*shown(capsys, run), "--check"]) != 2
    assert "--trust" not in capsys.readouterr().err


def test_what_the_store_names_is_not_what_a_line_trusts(trained):
    theirs = resolved("model=custom", "model.target=evil:build")
    run = trained(text=theirs, own=resolved(*OWN))
    assert given_here(run) == NAMES


def test_another_function_of_the_same_module_is_not_what_a_line_trusts(trained, project, capsys):
    """The line is that of the run's folder; the store's config names what the user has besides."""
    text = "def build(spec):\n    pass\n\ndef remove(spec):\n    open('ran', 'w').close()\n"
    (project / "my_code.py").write_text(text)
    run = trained(text=resolved(OWN[0], "model.target=my_code:remove"), own=resolved(*OWN[:2]))
    assert cli.main(shown(capsys, run)) == 2
    assert "give --trust my_code:remove if" in capsys.readouterr().err
    assert not (project / "ran").exists()


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("another host", {"host": "elsewhere"}),
        ("a folder that was put elsewhere", {"stated": "/home/someone/outputs/1"}),
        ("no folder", {"stated": "/nowhere"}),
        ("a folder whose config is no config", {"own": "model: {"}),
    ],
)
def test_of_a_run_from_elsewhere_the_command_asks(trained, capsys, what, other):
    run = trained(text=resolved(*OWN), **other)
    assert shown(capsys, run) == ["reproduce", run.id[:8]], what


def test_a_config_that_is_a_link_names_nothing(trained, project):
    run = trained(*OWN)
    file = project / "outputs/1/artifacts" / CONFIG
    file.rename(project / "elsewhere.yaml")
    file.symlink_to(project / "elsewhere.yaml")
    assert given_here(run) == ()


def test_a_notebook_shows_the_line_with_what_it_trusts(tmp_path):
    result = Result(
        run_id="1a2b3c4d" * 4,
        run_name="x",
        folder=tmp_path,
        metrics={},
        history={},
        best_epoch=1,
        weights_digest="",
        sentence="s",
        objective=0.0,
        epoch_seconds=None,
        model=None,
        trust=("my_code",),
    )
    assert "reproduce 1a2b3c4d --trust my_code<" in result._repr_html_()
