"""The override to type in place of one that is not accepted: found by meaning, then by letters."""

import functools
import re
import shlex
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from samerun.config import own, project, synonyms
from samerun.config.schema import GROUPS, compose_alone, leaves, options
from samerun.config.training import Loss, Metric
from samerun.folders import package_folder

_WHOLES = ("experiment", "sweep", "debug")
_NAMES_OF_OPTIONS = {"name", "type", "kind", "classname", "target"}
_NAMED = {"training.loss": list(map(str, Loss)), "training.metrics": list(map(str, Metric))}
_OPTIONS = {key: group for group, key in own.NAMED.items()}
_NEEDS_QUOTES = re.compile(r"[^\w./:,=+@%\[\]~*-]")


def fold(name: str) -> str:
    """Returns a name without case, `_`, `-` and spaces: how synonyms are compared."""
    return re.sub(r"[\s_-]+", "", name).lower()


def as_hint(line: str) -> str:
    """Returns ` Did you mean `x`?` for what to type, or an empty string."""
    return f" Did you mean `{line}`?" if line else ""


def chosen_options(overrides: Sequence[str] = ()) -> dict[str, str]:
    """Returns the option of each group with several kinds, as far as it is known.

    Args:
        overrides: of a command line, of which those that select options count.
    """
    given = dict(text.split("=", 1) for text in overrides if re.match(r"\w+=[\w/.-]+$", text))
    wholes = [f"{key}={given[key]}" for key in ("experiment", "debug") if key in given]
    chosen = (
        _composed_options(tuple(wholes), project.config_folders()) if wholes else _default_options()
    )
    chosen = chosen | {key: given[key] for key in (*GROUPS, "sweep") if key in given}
    kinds = {group: {kind.kind for kind in GROUPS[group]} for group in GROUPS}
    return {key: name for key, name in chosen.items() if name in kinds.get(key, {name})}


@functools.cache
def _default_options() -> dict[str, str]:
    text = package_folder("conf").joinpath("config.yaml").read_text(encoding="utf-8")
    entries = [entry for entry in yaml.safe_load(text)["defaults"] if isinstance(entry, dict)]
    return {key: name for entry in entries for key, name in entry.items() if key in GROUPS}


@functools.cache
def _composed_options(overrides: tuple[str, ...], _folders: tuple[Path, ...]) -> dict[str, str]:
    """Returns the options that overrides such as `experiment=digits_cnn` choose, or the defaults.

    What else is wrong with the command line is not composed, so that this succeeds.
    """
    try:
        node = compose_alone("config", overrides)
        return {group: str(node[group].kind) for group in GROUPS}
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, OSError):
        return _default_options()


def owners(key: str) -> list[str]:
    """Returns the options of its group that have a key, such as sgd for `optimizer.nesterov`."""
    return [kind for kind in leaves().get(key, {}) if kind]


def correct(key: str, written: str | None, chosen: Mapping[str, str]) -> str:
    """Returns what to type in place of an override that was not accepted, or an empty string.

    Args:
        key: its key, with dots or slashes.
        written: its value as typed; `None`: unknown, and the answer is without it.
        chosen: the option of each group, as of `chosen_options`.
    """
    last = re.split(r"[./]", key)[-1]
    for name in (key, fold(last)):
        line = synonyms.VALUES.get(name, {}).get(fold((written or "").strip("[]\"'")))
        if line and "=" in line:
            return line
    for target in _targets(key, chosen):
        line = _line(target, written, chosen)
        if line not in ("", key, f"{key}={written}"):
            return line
    return ""


def correct_bare(word: str) -> str:
    """Returns what to type in place of the name of an option alone: `model=cnn` for `cnn`."""
    for group in (*GROUPS, "experiment", "sweep", "debug", "dataset/augmentation"):
        for option in options(group):
            if fold(option) == fold(word):
                return f"-m {group}={option}" if group == "sweep" else f"{group}={option}"
    return ""


def command_of(word: str, known: Sequence[str]) -> str:
    """Returns the command that is meant by a word, with what belongs before its arguments, or ''.

    Args:
        word: what stands in place of a command; an override means `train`.
        known: all commands.
    """
    if "=" in word or correct_bare(word):
        return f"train {correct_bare(word) or word}"
    meant = synonyms.COMMANDS.get(fold(word))
    return meant or "".join(get_close_matches(word.lower(), known, n=1, cutoff=0.6))


def needless(key: str) -> str | None:
    """Returns why there is no key for something, if that is known."""
    return synonyms.NEEDLESS.get(fold(re.split(r"[./]", key)[-1]))


def metric_name(received: str, known: Sequence[str]) -> str:
    """Returns the logged name that is meant by a metric's name, such as `val_acc`, or ''.

    Args:
        received: in Keras's or another spelling.
        known: logged names, such as `validation/accuracy`.
    """
    found = re.match(r"(val|valid|validation|train|training|test)[_/](.+)", received.lower())
    split, name = found.groups() if found else ("train", received.lower())
    full = {"v": "validation", "t": "train"}[split[0]] if split != "test" else "test"
    name = synonyms.CALLED.get(fold(name), name)
    for candidate in (f"{full}/{name}", f"{full}/{synonyms.CALLED.get(fold(name), name)}"):
        if candidate in known:
            return candidate
    close = get_close_matches(f"{full}/{name}", known, n=1, cutoff=0.7)
    return close[0] if close else ""


def _targets(key: str, chosen: Mapping[str, str]) -> Iterator[str]:
    """Yields the keys that may be meant, the likeliest first."""
    if key in leaves() or (options(key) and key not in own.NAMED):
        if key in leaves() and _fits(key, chosen):
            yield from _of_group(synonyms.KEYS.get(fold(key.rpartition(".")[2]), ()), key, chosen)
            yield key
            return
        if options(key) and key not in own.NAMED:
            yield key
            return
    parts = re.split(r"[./]", key)
    group, last = parts[0], fold(parts[-1])
    named = synonyms.KEYS.get(fold(group), (group,))[0] if len(parts) > 1 else ""
    if last in _NAMES_OF_OPTIONS and options(named) and key not in leaves():
        yield named
    meant = synonyms.KEYS.get(last, ())
    equal = [leaf for leaf in leaves() if fold(leaf.rpartition(".")[2]) == last]
    equal.sort(key=lambda leaf: leaf.startswith("sweep.") and "sweep" not in chosen)
    if len(parts) > 2:
        yield from _siblings(key)
    yield from _of_group(meant, key, chosen)
    yield from _of_group([one for one in equal if one.startswith(f"{group}.")], key, chosen)
    yield from _preferring(meant, chosen)
    yield from _preferring(equal, chosen)
    groups = [*GROUPS, *_WHOLES, "dataset/augmentation"]
    yield from (one for one in groups if fold(one) == last)
    yield from _by_letters(key, chosen)


def _siblings(key: str) -> list[str]:
    """Returns the key that is spelled alike and belongs to the same part of the config."""
    parent, _, last = key.rpartition(".")
    names = [leaf.removeprefix(f"{parent}.") for leaf in leaves() if leaf.startswith(f"{parent}.")]
    return [f"{parent}.{name}" for name in get_close_matches(last, names, n=1, cutoff=0.6)]


def _of_group(keys: Sequence[str], key: str, chosen: Mapping[str, str]) -> Iterator[str]:
    group = re.split(r"[./]", key)[0]
    yield from _preferring([one for one in keys if re.split(r"[./]", one)[0] == group], chosen)


def _preferring(keys: Sequence[str], chosen: Mapping[str, str]) -> list[str]:
    """Returns the keys, those that the chosen options have first."""
    return sorted(keys, key=lambda one: not _fits(one, chosen))


def _fits(key: str, chosen: Mapping[str, str]) -> bool:
    kinds = leaves().get(key.partition("=")[0], {"": None})
    kind = chosen.get(key.partition(".")[0])
    return kind is None or "" in kinds or kind in kinds


def _by_letters(key: str, chosen: Mapping[str, str]) -> Iterator[str]:
    """Yields keys that are spelled alike: of the same group, then of any."""
    group, _, rest = key.partition(".")
    if any(leaf.startswith(f"{group}.") for leaf in leaves()) and rest:
        own = {leaf.partition(".")[2]: leaf for leaf in leaves() if leaf.startswith(f"{group}.")}
        fitting = {name: leaf for name, leaf in own.items() if _fits(leaf, chosen)}
        for names in (fitting, own):
            by_last = {name.rpartition(".")[2]: leaf for name, leaf in names.items()}
            yield from (names[one] for one in get_close_matches(rest, names, n=1, cutoff=0.6))
            last = rest.rpartition(".")[2]
            yield from (by_last[one] for one in get_close_matches(last, by_last, n=1, cutoff=0.7))
    tops = [*GROUPS, *_WHOLES, "seed"] if not rest else []
    yield from get_close_matches(key, tops, n=1, cutoff=0.6)
    if rest:
        yield from get_close_matches(key, list(leaves()), n=1, cutoff=0.75)
    by_last = {leaf.rpartition(".")[2]: leaf for leaf in reversed(leaves())}
    last = key.rpartition(".")[2]
    yield from (by_last[one] for one in get_close_matches(last, by_last, n=1, cutoff=0.75))


def _line(target: str, written: str | None, chosen: Mapping[str, str]) -> str:
    """Returns the overrides that give a key a value, with the option that has the key."""
    if "=" in target:
        return target
    if target == "+tracking.tags":
        names = re.findall(r"[\w-]+", written or "")
        return " ".join(f"{target}.{name}=true" for name in names) or f"{target}.NAME=true"
    group, kinds = target.partition(".")[0], leaves().get(target, {})
    before = ""
    if kinds and not _fits(target, chosen):
        is_function = ":" in (written or "")
        before = f"{group}={min(kinds, key=lambda kind: (kind == 'custom') is not is_function)} "
    if group == "sweep" and "sweep" not in chosen:
        before = "-m " if target == "sweep" else "-m sweep=optuna "
    if written is None:
        return f"{before}{target}"
    first = next(iter(kinds.values()), None)
    value = _value(target, written, kinds.get(chosen.get(group, ""), first))
    if value is None:
        return f"{before}{target}"
    if "=" in value and target in synonyms.VALUES and value in synonyms.VALUES[target].values():
        return value
    quoted = shlex.quote(value) if _NEEDS_QUOTES.search(value) else value
    return f"{before}{target}={quoted}"


def _value(target: str, written: str, field_type: Any) -> str | None:
    """Returns a value as the key takes it, complete overrides, or `None` if it does not take it."""
    is_list = typing.get_origin(field_type) is list
    text = written.strip()
    if "(" in text or text.startswith("{"):
        return text
    if text.startswith("[") or is_list:
        inner = typing.get_args(field_type)[0] if is_list else field_type
        items = [item.strip() for item in text.strip("[]").split(",") if item.strip()]
        if not is_list and len(items) > 1:
            return None
        if not is_list:
            return _value(target, items[0], field_type) if items else None
        made = [_one(target, item, inner) for item in items]
        whole = next((one for one in made if one and "=" in one), None)
        return whole or (None if None in made else f"[{','.join(map(str, made))}]")
    if "," in text and not text.startswith(("'", '"')):
        made = [_one(target, item, field_type) for item in text.split(",")]
        return None if None in made else ",".join(map(str, made))
    return _one(target, text, field_type)


def _one(target: str, text: str, field_type: Any) -> str | None:
    bare = text.strip("'\"")
    meant = synonyms.VALUES.get(target, {}).get(fold(bare))
    names = [] if ":" in bare else _NAMED.get(target, []) + options(_OPTIONS.get(target, target))
    if meant and bare not in names:
        return meant
    members = [kind for kind in _alternatives(field_type) if isinstance(kind, type)]
    for kind in members:
        if issubclass(kind, Enum):
            names = [member.name for member in kind]
    if names:
        return _nearest_name(bare, names)
    if int in members and re.fullmatch(r"\d+\.0*|\d+e\d+", bare):
        return str(int(float(bare)))
    if bool in members and fold(bare) in ("0", "1"):
        return "true" if bare == "1" else "false"
    return text if _is_of(bare, members) else None


def _is_of(text: str, members: Sequence[type]) -> bool:
    """Whether a value is of a field's type, as far as that is known without parsing it."""
    if not members or str in members or not {int, float, bool} & set(members):
        return True
    if bool in members:
        return text.lower() in ("true", "false", "yes", "no", "on", "off")
    if text == "null":
        return type(None) in members
    try:
        float(text)
    except ValueError:
        return False
    return float in members or text.lstrip("+-").isdecimal()


def _alternatives(field_type: Any) -> Sequence[Any]:
    is_union = isinstance(field_type, types.UnionType)
    return typing.get_args(field_type) if is_union else (field_type,)


def _nearest_name(text: str, names: Sequence[str]) -> str | None:
    folded = {fold(name.rpartition("/")[2]): name for name in names}
    if fold(text) in folded:
        return folded[fold(text)]
    close = get_close_matches(fold(text), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None
