"""Parses the search space of a sweep: which keys vary, their domains and conditions."""

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Glob
from omegaconf import OmegaConf

from samerun.config import schema
from samerun.config.composition import compose as compose_config
from samerun.config.overrides import (
    Override,
    check_single_value,
    matching_options,
    parse_override,
)
from samerun.config.own import NAMED
from samerun.config.project import own_options
from samerun.config.suggestions import as_hint, correct, owners
from samerun.config.training import Loss
from samerun.errors import UserError, listed
from samerun.search.conditions import Branches, Compose, is_option_of, merge_types, path_of
from samerun.search.domains import Categorical, Dimension
from samerun.search.grammar import FieldType, check_option, parse_domain
from samerun.search.space import Space

Options = Callable[[str], Sequence[str]]
_ORDERED = re.compile(r"(^|[(,\s])(shuffle|sort)\s*\(")
_LOSS = NAMED["loss"]
_OWN = ("sweep", "hydra", "trial")  # settings of the sweep itself


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Given:
    """A key of the search space as the user gave it, with its conditions."""

    override: Override
    where: str
    when: Mapping[str, tuple[str, ...]]

    @property
    def key(self) -> str:
        return self.override.key


def parse_space(
    overrides: Sequence[str],
    params: Mapping[str, Any],
    *,
    compose: Compose | None = None,
    options: Options | None = None,
) -> Space:
    """Parses the search space from the overrides of a command line and from `sweep.params`.

    Args:
        overrides: those of the command line, with one value or several.
        params: `sweep.params`. An override replaces the domain of the same key, not its condition.
        compose: composes a config from overrides; `None`: from the project's own folders.
        options: returns the options of a group; `None`: those of the project's own folders.

    Raises:
        UserError: nothing varies, or a key, domain or condition is not valid.
    """
    options = options or schema.options
    compose = compose or (lambda given: compose_config(given).config)
    given, named = _with_named(_given(overrides, params, options), options)
    fixed = [one.override for one in given if not one.override.is_sweep]
    swept = [one for one in given if one.override.is_sweep]
    if not swept:
        raise UserError(
            "sweep: received no search space, expected one such as "
            "model.dropout='interval(0,0.6)' or sweep=regularisation."
        )
    notes: list[str] = []
    keys = {one.key for one in swept}
    groups = {
        one.key: _group(one, options, keys, notes)
        for one in swept
        if one.override.is_group(options)
    }
    groups |= named
    branches = Branches(compose, fixed, groups)
    entries = []
    for one in swept:
        when = _conditions(one, branches, groups, notes)
        if when is not None:
            entries.append(_entry(one, when, branches, options, notes))
    if not entries:
        raise UserError(f"sweep: the search space is empty: {' '.join(notes)}")
    return Space(
        entries=tuple(_ordered(entries)),
        fixed=tuple(one.text for one in fixed),
        notes=tuple(notes),
    )


def first_choices(
    overrides: Sequence[str], params: Mapping[str, Any], options: Options | None = None
) -> dict[str, Any]:
    """Returns the first value of each key that takes one of several.

    Args:
        overrides: those of the command line, with one value or several.
        params: `sweep.params`.
        options: returns the options of a group; `None`: those of the project's own folders.

    Raises:
        UserError: an override is not valid.
    """
    return {
        one.key: parse_override(f"{one.key}={text}").value
        for one in _given(overrides, params, options or schema.options)
        if isinstance(one.override.value, ChoiceSweep)
        for text in itertools.islice(one.override.parsed.sweep_string_iterator(), 1)
    }


def _check_order(override: Override, where: str) -> Override:
    if _ORDERED.search(override.written):
        raise UserError(f"{where}: the sampler determines the order: leave out shuffle and sort.")
    return override


def _given(overrides: Sequence[str], params: Mapping[str, Any], options: Options) -> list[_Given]:
    """Returns each key once; overrides of the command line replace those of `params`."""
    by_key: dict[str, _Given] = {}
    for key, node in params.items():
        where = f"sweep.params.{key}"
        text, when = _param(node, where)
        override = _check_order(parse_override(f"{key}={text}", where), where)
        if when is not None and not override.is_sweep:  # one value, in some branches only
            override = parse_override(f"{key}=choice({text})", where)
        one = _Given(override=override, where=where, when=_when(when, where, options))
        by_key[one.key] = one
    for text in overrides:
        override = parse_override(text)
        if override.top in _OWN:
            check_single_value(override)
            continue
        one = _Given(override=_check_order(override, override.key), where=override.key, when={})
        before = by_key.pop(one.key, None)
        by_key[one.key] = dataclasses.replace(one, when=before.when if before else {})
    return list(by_key.values())


def _with_named(
    given: Sequence[_Given], options: Options
) -> tuple[list[_Given], dict[str, tuple[str, ...]]]:
    """Finds the choices of `training.loss` and its like that other keys depend on.

    Returns:
        The keys, of which those that only one of these names has are searched, also with a single
        value; and the choices of each of `training.loss` and its like that others depend on.
    """
    found: dict[str, tuple[str, ...]] = {}
    dependent: set[str] = set()
    for one in given:
        if one.key not in NAMED.values() or not isinstance(one.override.value, ChoiceSweep):
            continue
        space = parse_domain(one.override, one.where, FieldType(kind="text"), options)
        assert isinstance(space, Categorical)
        names = tuple(map(str, space.values))
        below = {other.key for other in given if any(is_option_of(other.key, n) for n in names)}
        if below or any(one.key in other.when for other in given):
            found[one.key] = names
        dependent |= below
    return [_searched(one) if one.key in dependent else one for one in given], found


def _searched(one: _Given) -> _Given:
    """Returns a key with its single value as the only choice, which has conditions."""
    if one.override.is_sweep:
        return one
    override = one.override
    text = f"{override.prefix}{override.key}=choice({override.written})"
    return dataclasses.replace(one, override=parse_override(text, one.where))


def _param(node: Any, where: str) -> tuple[str, Any]:
    """Splits an entry of `sweep.params` into its domain, as text, and its condition."""
    plain = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
    when = None
    if isinstance(plain, Mapping):
        if set(plain) != {"when", "space"}:
            raise UserError(
                f"{where}: received {listed(map(str, plain))}, expected text, or when and space."
            )
        plain, when = plain["space"], plain["when"]
    if isinstance(plain, list | dict):
        raise UserError(f"{where}: received {plain}, expected text such as 'a,b,c'.")
    if isinstance(plain, bool) or plain is None:
        return {True: "true", False: "false", None: "null"}[plain], when
    return str(plain), when


def _when(when: Any, where: str, options: Options) -> dict[str, tuple[str, ...]]:
    if when is None:
        return {}
    if not isinstance(when, Mapping) or not when:
        raise UserError(f"{where}.when: received {when}, expected {{GROUP: OPTION}}.")

    def known(group: str) -> Sequence[str]:
        return [*Loss, *own_options("loss")] if group == _LOSS else options(group)

    conditions = {}
    for group, names in when.items():
        if not known(group):
            raise UserError(
                f"{where}.when: received '{group}', which is not a config group or {_LOSS}."
            )
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list) or not names:
            raise UserError(
                f"{where}.when.{group}: received {'null' if names is None else names}, expected an "
                f"option of {group}, or several in brackets."
            )
        for name in names:
            if group != _LOSS or ":" not in str(name):  # a function of the user's own
                check_option(str(name), str(group), f"{where}.when.{group}", known)
        conditions[str(group)] = tuple(map(str, names))
    return conditions


def _group(one: _Given, options: Options, keys: set[str], notes: list[str]) -> tuple[str, ...]:
    space = parse_domain(one.override, one.where, FieldType(kind="text"), options)
    assert isinstance(space, Categorical)
    names = tuple(check_option(text, one.key, one.where, options) for text in space.texts)
    target = f"{one.key}.target"
    if isinstance(one.override.value, Glob) and target not in keys:
        kept = tuple(matching_options(one.override.value, names))
        if kept != names:
            notes.append(
                f"{one.override.text} leaves out custom, which needs a function of your own: "
                f"{target}=choice(my_code:build) includes it."
            )
        return kept
    return names


def _conditions(
    one: _Given,
    branches: Branches,
    groups: Mapping[str, tuple[str, ...]],
    notes: list[str],
) -> dict[str, tuple[str, ...]] | None:
    """Returns the conditions on groups that vary; `None` if the conditions never hold."""
    when = {}
    for group, options in one.when.items():
        if group in groups:
            left = tuple(name for name in groups[group] if name in options)
        else:
            left = tuple(name for name in options if name == branches.active_option(group))
        if not left:
            notes.append(
                f"{one.key} is not searched, since it requires {group}={','.join(options)}."
            )
            return None
        if group in groups:
            when[group] = left
    return when


def _entry(
    one: _Given,
    when: dict[str, tuple[str, ...]],
    branches: Branches,
    options: Options,
    notes: list[str],
) -> Dimension:
    if one.override.is_group(options):
        names = branches.groups[one.key]
        when = _where_it_exists(one, when, branches, notes)[0] if "/" in one.key else when
        space = Categorical(names, names)
        return Dimension(
            key=one.key, space=space, is_group=True, prefix=one.override.prefix, when=when
        )
    when, field_type = _where_it_exists(one, when, branches, notes)
    return Dimension(
        key=one.key,
        space=parse_domain(one.override, one.where, field_type, options),
        is_group=one.key in branches.groups,
        prefix=one.override.prefix,
        when=when,
    )


def _where_it_exists(
    one: _Given, when: dict[str, tuple[str, ...]], branches: Branches, notes: list[str]
) -> tuple[dict[str, tuple[str, ...]], FieldType]:
    """Restricts the conditions to the branches that have the key; also returns its type there."""
    found, chooser = branches.field_types(one.key), branches.chooser(one.key)
    if chooser in when:
        found = {name: found[name] for name in when[chooser]}
    has = {name: kind for name, kind in found.items() if kind is not None}
    hasnt = [name for name in found if name not in has]
    if not has:
        top = path_of(one.key)[0]
        options = found if chooser == top else [branches.active_option(top)]
        place = f" with {top}={','.join(map(str, options))}" if top in schema.GROUPS else ""
        having = owners(one.key)
        place += f", only with {listed(having)}" if having else ""
        kinds = {group: str(branches.active_option(group)) for group in schema.GROUPS}
        line = correct(one.key, one.override.written, {**kinds, "sweep": ""})
        raise UserError(f"{one.where}: there is no such key{place}.{as_hint(line)}")
    if path_of(one.key)[-1] == "kind":
        raise UserError(f"{one.where}: vary the group itself, as in {path_of(one.key)[0]}=a,b.")
    if hasnt:
        assert chooser is not None
        if chooser in when:
            raise UserError(f"{one.where}.when: {chooser}={hasnt[0]} has no such key.")
        when = {**when, chooser: tuple(has)}
        verb = "has" if len(hasnt) == 1 else "have"
        notes.append(
            f"{one.key} is searched with {chooser}={','.join(has)} only: {listed(hasnt)} {verb} no "
            "such key."
        )
    return when, merge_types(has.values())


def _ordered(entries: Sequence[Dimension]) -> list[Dimension]:
    """Sorts groups first, and each dimension after the groups that it depends on."""
    done = [entry for entry in entries if entry.is_group and not entry.when]
    known = {entry.key for entry in done}
    rest = [entry for entry in entries if entry.is_group and entry.when]
    while rest:
        ready = [entry for entry in rest if set(entry.when) <= known]
        if not ready:
            names = listed(entry.key for entry in rest)
            raise UserError(f"sweep.params: the conditions of {names} are circular.")
        done += ready
        known |= {entry.key for entry in ready}
        rest = [entry for entry in rest if entry not in ready]
    values = sorted((e for e in entries if not e.is_group), key=lambda entry: bool(entry.when))
    return done + values
