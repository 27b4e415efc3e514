"""YAML files of a user's own: aliases work, and bombs of aliases are one sentence at once."""

import time

import pytest

from samerun import cli, config
from samerun.config import yaml_limits
from samerun.config.schema import register
from samerun.errors import UserError

START = "# @package _global_\n# What: x\n# Source: y\n"


def aliases_of_aliases(levels, width):
    lines = [f"a0: &a0 [{','.join(['x'] * width)}]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return START + "\n".join(lines) + "\n"


BOMBS = {
    "ten lines": (aliases_of_aliases(10, 5), "aliases that stand for more than 10000"),
    "mappings": (
        START + "a0: &a0 {b: 1}\n"
        + "".join(f"a{n}: &a{n} {{b: *a{n - 1}, c: *a{n - 1}}}\n" for n in range(1, 25)),
        "aliases that stand for more than 10000",
    ),
    "merges": (
        START + "a0: &a0 {b: 1}\n"
        + "".join(
            f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}, *a{n - 1}], c{n}: *a{n - 1}}}\n"
            for n in range(1, 15)
        ),
        "aliases that stand for more than 10000",
    ),
    "in itself": (START + "a: &a [*a]\n", "an alias of one of its own parents"),
    "deep list": (START + "a: " + "[" * 5000 + "]" * 5000, "more than 50 nested levels"),
    "deep mapping": (
        START + "".join(f"{' ' * n}a:\n" for n in range(3000)), "more than 50 nested levels"
    ),
}  # fmt: skip


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    return tmp_path / "own"


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("flags", [[], ["--cfg", "job"], ["-m"]], ids=["run", "cfg", "multirun"])
def test_a_bomb_is_refused_at_once(own_folder, capsys, name, flags):
    text, reason = BOMBS[name]
    (own_folder / "experiment" / "bomb.yaml").write_text(text)
    began = time.monotonic()
    arguments = ["train", "experiment=bomb", "--config-dir", str(own_folder), *flags]
    assert cli.main(arguments) == 2
    assert time.monotonic() - began < 20  # 0.3 s; it took minutes and never ended
    message = capsys.readouterr().err
    assert reason in message
    assert "bomb.yaml, line " in message
    assert message.count("\n") == 1


def test_aliases_in_reasonable_number_are_fine(own_folder, capsys):
    text = START + "seed: &few 3\ntraining: {epochs: *few}\n"
    (own_folder / "experiment" / "mine.yaml").write_text(text)
    arguments = ["train", "model=mlp", "experiment=mine", "--config-dir", str(own_folder)]
    assert cli.main([*arguments, "--cfg", "job"]) == 0
    assert "epochs: 3" in capsys.readouterr().out


def test_a_long_file_without_aliases_is_fine(monkeypatch):
    monkeypatch.setattr(yaml_limits, "MOST_NODES", 1000)
    yaml_limits.install()
    register()
    text = "\n".join(f"k{n}: {n}" for n in range(yaml_limits.MOST_NODES + 1))
    with pytest.raises(UserError, match="no such key"):  # it was read
        config.from_yaml(text)
