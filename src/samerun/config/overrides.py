"""Overrides of a command line, each parsed once by Hydra's own parser."""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, RangeSweep
from hydra.core.override_parser.types import Override as HydraOverride
from hydra.errors import HydraException

from samerun.config import schema
from samerun.config.own import NAMED
from samerun.config.project import own_options
from samerun.config.suggestions import as_hint, chosen_options, correct, correct_bare
from samerun.errors import UserError, first_line
from samerun.redaction import redact_override, redact_value

_MOST_RUNS = 100_000


@dataclass(frozen=True, kw_only=True)
class Override:
    """One override, such as `+model.params.width=7`.

    Args:
        text: the argument as Hydra takes it.
        prefix: `+`, `++`, `~` or nothing.
        key: what is between the prefix and the equals sign: a key, or a group and its package.
        written: what follows the equals sign, as typed.
        parsed: the same as Hydra's parser returns it.
    """

    text: str
    prefix: str
    key: str
    written: str
    parsed: HydraOverride

    @property
    def path(self) -> str:
        """The key with dots and without a package: `dataset.augmentation`."""
        return self.key.partition("@")[0].replace("/", ".")

    @property
    def top(self) -> str:
        """The first part of the path: `dataset`."""
        return self.path.partition(".")[0]

    @property
    def value(self) -> Any:
        """The value, or Hydra's object for several."""
        return self.parsed.value()

    @property
    def is_sweep(self) -> bool:
        """Whether it has several values."""
        return bool(self.parsed.is_sweep_override())

    def is_group(self, options: Callable[[str], Sequence[str]] = schema.options) -> bool:
        """Whether it selects an option of a config group.

        Args:
            options: returns the options of a group.
        """
        return "/" in self.key or ("." not in self.key and bool(options(self.key)))

    def __str__(self) -> str:
        """Returns the override for a message, without secrets."""
        return redact_override(self.text)


def parse_override(text: str, source: str = "") -> Override:
    """Parses one override.

    Args:
        text: such as `model.dropout=0.1,0.2`.
        source: where it comes from, for messages; by default its key.

    Raises:
        UserError: Hydra's grammar has no such override.
    """
    text = for_hydra(text)
    before, equals, written = text.partition("=")
    source = source or re.split(r"[=\s]", text.lstrip("+~"))[0]
    if not before or not (equals or before.startswith("~")):
        raise UserError(
            f"{source or text}: received '{redact_override(text)}', expected KEY=VALUE, with "
            "no space around the equals sign."
        )
    try:
        parsed = OverridesParser.create().parse_override(text)
    except (HydraException, ValueError) as error:
        raise UserError(
            f"{source}: received '{redact_value(before, written)}', expected a value, or a search "
            "space such as a,b or choice(a,b) or interval(0,0.6) or tag(log,interval(1e-5,1e-1)) "
            f"or range(2,6){_correction(written)}."
        ) from error
    element = str(parsed.get_key_element())
    key = element.lstrip("+~")
    prefix = element.removesuffix(key)
    return Override(text=text, prefix=prefix, key=key, written=written, parsed=parsed)


def for_hydra(text: str) -> str:
    """Returns an override as Hydra expects it.

    `dataset.augmentation=flip` selects an option of a group within another one, which Hydra writes
    with a slash; an option of a component in `training.params` is not there yet when Hydra composes
    the config, so it has `++`.
    """
    key, equals, written = text.partition("=")
    place = re.fullmatch(r"training\.params\.(\w+)\..+", key)
    if place and any(place[1] in own_options(group) for group in NAMED):
        return f"++{text}"
    group = key.replace(".", "/")
    is_nested = "." in key and "@" not in key and not written.lstrip().startswith("{")
    group = group.lstrip("+")
    return f"{group}{equals}{written}" if is_nested and schema.options(group) else text


def _correction(written: str) -> str:
    """Returns how to correct the typing errors that break an override most often."""
    if re.search("[<>]=", written) and '"' not in written:
        return """, and limits in quotes: '["num_parameters<=50000"]'"""
    if any(quote in written for quote in "‘’‚‛“”„‟"):
        return ", in straight quotes"
    if written.rstrip().endswith(",") or written.count("(") > written.count(")"):
        return ", with no space after a comma"
    return ""


def parse_overrides(texts: Sequence[str]) -> list[Override]:
    """Parses the overrides of a command line.

    Raises:
        UserError: Hydra's grammar has no such override.
    """
    parsed: list[Override] = []
    for index, text in enumerate(texts):
        try:
            parsed.append(parse_override(text))
        except UserError:
            line = _from_words(texts, index)
            if not line:
                raise
            raise UserError(
                f"{redact_override(text)}: expected KEY=VALUE, with no space around the equals "
                f"sign.{as_hint(line)}"
            ) from None
    return parsed


def _from_words(texts: Sequence[str], index: int) -> str:
    """Returns what to type for a word without an equals sign, and the words around it."""
    word = texts[index]
    before = texts[index - 1] if index else ""
    after = [text for text in texts[index + 1 : index + 3] if text != "="][:1]
    if before.endswith("=") and len(before) > 1:  # KEY= VALUE
        key, value = before[:-1], word
    elif after and (texts[index + 1] == "=" or "=" not in after[0].lstrip("=")):
        key, value = word, after[0].lstrip("=")
    else:
        return correct_bare(word)
    if not re.fullmatch(r"[\w./-]+", key):
        return ""
    value = str(redact_value(key, value))
    return correct(key, value, chosen_options()) or f"{key}={value}"


def matching_options(pattern: Glob, names: Sequence[str]) -> list[str]:
    """Returns the options that a pattern such as `glob(c*)` matches.

    `custom` needs a function of the user's own, so it is one of them only if it is the only one.
    """
    found = [str(name) for name in pattern.filter(list(names))]
    return [name for name in found if name != "custom"] or found


def check_single_value(override: Override) -> None:
    """Checks a setting of the sweep itself: Hydra would ignore all but the first of its values.

    Raises:
        UserError: it has several values.
    """
    if override.is_sweep:
        raise UserError(
            f"{override.key}: received '{str(override).partition('=')[2]}', but this is a setting "
            "of the sweep: give one value, or a list in brackets where it takes several."
        )


def combinations(overrides: Sequence[Override]) -> Iterator[list[str]]:
    """Yields the overrides of each run of a multirun.

    Raises:
        UserError: the values of one of them cannot be listed, or there are too many runs.
    """
    choices = [_choices(one) if one.is_sweep else [one.text] for one in overrides]
    num_runs = math.prod(map(len, choices))
    if num_runs > _MOST_RUNS:
        raise UserError(
            f"-m: received values for {num_runs} runs, expected at most {_MOST_RUNS}: give fewer "
            "values, or search with sweep=optuna."
        )
    for combination in itertools.product(*choices):
        yield list(combination)


def _choices(override: Override) -> list[str]:
    key, value = f"{override.prefix}{override.key}", override.value
    if not override.parsed.is_discrete_sweep():
        raise UserError(
            f"{key}: only a sampler can choose from an interval, expected sweep=optuna with it."
        )
    if isinstance(value, Glob):
        names = matching_options(value, schema.options(override.key))
        if not names:
            raise UserError(f"{override}: no option of {override.key} matches the pattern.")
        return [f"{key}={name}" for name in names]
    if isinstance(value, RangeSweep):
        start, stop, step = (number or 0 for number in (value.start, value.stop, value.step))
        if not step or (stop - start) / step > _MOST_RUNS:
            raise UserError(
                f"{override}: received more than {_MOST_RUNS} values, expected fewer, such as "
                f"{key}=range(1,10)."
            )
    try:
        return [f"{key}={one}" for one in override.parsed.sweep_string_iterator()]
    except Exception as error:  # Hydra raises several kinds for values that it cannot write
        reason = first_line(error).rstrip(".")
        raise UserError(
            f"{override}: cannot be listed ({reason}), expected plain values."
        ) from error
