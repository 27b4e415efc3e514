"""MLflow's filter language as a condition in SQL, without MLflow, which takes 3 s to import.

What most filters consist of is read here: comparisons of metrics, parameters, tags and attributes,
joined by `and`. Everything else is left to MLflow, which also says what is wrong with a filter.
"""

import re
from dataclasses import dataclass

_TABLES = {
    **dict.fromkeys(("metric", "metrics"), "latest_metrics"),
    **dict.fromkeys(("parameter", "parameters", "param", "params"), "params"),
    **dict.fromkeys(("tag", "tags"), "tags"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "runs"),
}
"""The table that has what a word of the language names."""
_TEXTS = {
    "run_id": "run_uuid",
    "status": "status",
    "user_id": "user_id",
    "artifact_uri": "artifact_uri",
}
_TIMES = ("start_time", "end_time")
_ATTRIBUTES = (*_TEXTS, *_TIMES, "run_name")
_ORDERED = ("=", "!=", "<", "<=", ">", ">=")
_EQUAL = ("=", "!=", "LIKE", "ILIKE")
_RESERVED = frozenset({"as", "case", "from", "in", "using", "values"})
"""Words that MLflow reads as SQL where a part of a key is one without quotes."""

_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_CONDITION = re.compile(
    r"""
    (?:(?P<kind>[a-z]+)\.)?
    (?P<key>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|`[^`'"\\]+`|"[^`'"\\]+")
    (?:
        \s+is\s+(?P<is_no_null>not\ )?null
    |
        (?:\s*(?P<sign>!=|<=|>=|=|<|>)\s*|\s+(?P<word>i?like)\s+)
        (?:(?P<number>-?\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,3})?)
        |'(?P<single>[^'\\]*)'|"(?P<double>[^"\\]*)")
    )""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_LOOKS_LIKE = re.compile(
    r"""\s*(?:
        (?:metric|parameter|param|tag|attribute|attr|run|dataset)s?\s*\.
        .*(?:=|<|>|\s(?:like|ilike|in|is|not)\s)
    |
        (?:status|run_name|run_id|start_time|end_time|user_id|artifact_uri)\s*
        (?:!?=|<|>|\s(?:like|ilike|in|not)\s)
    )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_MAY_BE = re.compile(r".*\S\s+(?:=|!=|<|<=|>|>=|i?like|in|is)\s+\S", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition on MLflow's table `runs`.

    Args:
        sql: it, with `?` for each value.
        values: the values, in their order.
    """

    sql: str = "1"
    values: tuple[str | float, ...] = ()


def is_filter(text: str) -> bool | None:
    """Whether an argument is a filter of MLflow's language, and not the ID or name of a run.

    Args:
        text: the argument.

    Returns:
        `None` for a text such as `loss = 1` or `first in line`: a filter with a mistake in it,
        unless a run has that name.
    """
    if _LOOKS_LIKE.match(text):
        return True
    return None if _MAY_BE.match(text) else False


def as_condition(filter: str) -> Condition | None:
    """Returns a filter as SQL; `None` if MLflow has to read it, which may refuse it.

    Args:
        filter: in MLflow's filter language; empty: every run fits.
    """
    if not filter:
        return Condition()
    found: list[Condition] = []
    position, end = len(filter) - len(filter.lstrip()), len(filter.rstrip())
    while True:
        match = _CONDITION.match(filter, position, end)
        one = _condition(match) if match else None
        if match is None or one is None:
            return None
        found.append(one)
        if match.end() == end:
            break
        joint = _AND.match(filter, match.end(), end)
        if joint is None:
            return None
        position = joint.end()
    return Condition(
        sql=" and ".join(one.sql for one in found),
        values=tuple(value for one in found for value in one.values),
    )


def _condition(match: "re.Match[str]") -> Condition | None:
    kind, key = match["kind"], match["key"].strip('`"')
    is_quoted = key != match["key"]
    if not is_quoted and not _RESERVED.isdisjoint(key.lower().split(".")):
        return None
    table = "runs" if kind is None else _TABLES.get(kind)
    if table is None or (kind is None and is_quoted):
        return None
    sign = (match["sign"] or match["word"] or "").upper()
    texts = [match[name] for name in ("single", "double") if match[name] is not None]
    value: str | float | None = texts[0] if texts else None
    if match["number"] is not None:
        is_whole = match["number"].lstrip("-").isdigit()
        value = int(match["number"]) if is_whole else float(match["number"])
    if table == "runs":
        return _of_attribute(key, sign, value)
    if not sign:
        return _is_there(table, key, is_there=bool(match["is_no_null"]))
    if (table == "latest_metrics") != isinstance(value, int | float):
        return None
    return _of_value(table, key, sign, value)


def _of_attribute(key: str, sign: str, value: str | float | None) -> Condition | None:
    if key == "run_name" and isinstance(value, str):
        return _of_value("tags", "mlflow.runName", sign, value)
    if key in _TIMES and isinstance(value, int | float) and sign in _ORDERED:
        return Condition(sql=f"runs.{key} {sign} ?", values=(value,))
    if key in _TEXTS and isinstance(value, str) and sign in _EQUAL:
        return Condition(sql=_compared(f"runs.{_TEXTS[key]}", sign), values=(value,))
    return None


def _of_value(table: str, key: str, sign: str, value: str | float | None) -> Condition | None:
    """Returns the condition that a run has such a metric, parameter or tag."""
    if value is None or sign not in (_EQUAL if isinstance(value, str) else _ORDERED):
        return None
    compared = _compared("value", sign)
    if table == "latest_metrics":  # NaN is stored as 0, and differs from every number
        compared = f"({compared} or is_nan)" if sign == "!=" else f"{compared} and not is_nan"
    among = f"select run_uuid from {table} where key = ? and {compared}"
    return Condition(sql=f"runs.run_uuid in ({among})", values=(key, value))


def _is_there(table: str, key: str, *, is_there: bool) -> Condition | None:
    if table == "latest_metrics":
        return None
    among = f"select run_uuid from {table} where key = ?"
    return Condition(sql=f"runs.run_uuid {'' if is_there else 'not '}in ({among})", values=(key,))


def _compared(column: str, sign: str) -> str:
    """Returns a comparison; SQLite distinguishes capitals where MLflow's `LIKE` does."""
    return f"lower({column}) like lower(?)" if sign == "ILIKE" else f"{column} {sign} ?"
