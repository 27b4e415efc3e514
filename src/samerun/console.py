"""The console: the config of a run in short, and its result."""

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from samerun.config import Config, as_dict
from samerun.config.root import idle_keys
from samerun.redaction import redact_mapping

_OFF: tuple[Any, ...] = (None, [], {}, False, 0, 0.0)
_SHORT = ("model", "dataset", "optimizer", "schedule", "training")
# Tracking and evaluation do not change the result.


def make_console() -> Console:
    """Returns a console for standard output; without colors in a pipe."""
    return Console(highlight=False, soft_wrap=True)


def print_lines(lines: Callable[[int | None], Iterable[Text]]) -> None:
    """Prints lines that fit the terminal, or of any length and without colors in a pipe.

    Args:
        lines: returns them for the columns of the terminal; `None` in a pipe.
    """
    if not sys.stdout.isatty():
        print("\n".join(line.plain for line in lines(None)))
        return
    out = make_console()
    for line in lines(shutil.get_terminal_size().columns):
        out.print(line)


def _short(node: Mapping[str, Any]) -> str:
    """Returns a group's leaves in one line, without the empty ones, which change nothing."""
    parts = []
    for key, value in node.items():
        if key == "kind" or value in _OFF or (key.startswith("ema_") and not node["use_ema"]):
            continue
        if isinstance(value, dict):
            kind = "" if value.get("kind", key) == key else str(value["kind"])
            inner = f"{kind} {_short(value)}".strip()
            parts += [f"{key}({inner})"] if inner else []
        else:
            parts.append(f"{key}={value}" if value is not True else key)
    return " ".join(parts)


def show_config(cfg: Config, out: Console) -> None:
    """Prints the config in one line a group."""
    table = Table.grid(padding=(0, 2))
    plain = redact_mapping(as_dict(cfg))
    for key in idle_keys(cfg):
        del plain["training"][key.removeprefix("training.")]
    for group in _SHORT:
        kind = plain[group].get("kind", "")
        table.add_row(
            f"[bold]{group}[/]", f"[cyan]{kind}[/]", f"[dim]{escape(_short(plain[group]))}[/]"
        )
    table.add_row("[bold]seed[/]", f"[cyan]{cfg.seed}[/]", "")
    out.print(table)


def show_lines(rows: Sequence[tuple[str, str]], out: Console) -> None:
    """Prints a label and a text on each line, unbroken: a command can be copied in one piece.

    A `note` is no command: a terminal shows its words whole.
    """
    width = max((len(label) for label, _ in rows), default=0)
    for label, text in rows:
        if label == "note" and out.is_terminal:
            lines = textwrap.wrap(text, max(out.width - width - 2, 20), break_on_hyphens=False)
            text = f"\n{' ' * (width + 2)}".join(lines)
        out.print(f"[bold]{label:<{width}}[/]  {escape(text)}", soft_wrap=True)


def show_seconds(seconds: Mapping[str, float], out: Console) -> None:
    """Prints how many seconds of a run each part took, and its share, the longest first."""
    total = sum(seconds.values())
    table = Table.grid(padding=(0, 2))
    table.add_column()
    for _ in range(2):
        table.add_column(justify="right")
    for name, value in sorted(seconds.items(), key=lambda pair: -pair[1]):
        table.add_row(f"[bold]{escape(name)}[/]", f"{value:.2f} s", f"{value / total:.0%}")
    table.add_row("[bold]sum[/]", f"{total:.2f} s", "")
    out.print(table)


def format_metrics(metrics: Mapping[str, float]) -> str:
    """Returns metrics as `train loss 0.123 accuracy 0.95 · validation loss …`."""
    splits: dict[str, list[str]] = {}
    for name, value in metrics.items():
        split, _, metric = name.partition("/")
        text = f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
        splits.setdefault(split, []).append(f"{metric} {text}")
    return " · ".join(f"{split} {' '.join(parts)}" for split, parts in splits.items())
