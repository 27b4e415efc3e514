"""`samerun verify`: reproduces the runs that a project promises, and ends with one table."""

import argparse
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from samerun.cli.trust_argument import add_trust
from samerun.errors import FAILED, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from samerun.tracking import StoredRun

_BUNDLE = ".zip"


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A line of the table.

    Args:
        name: what was given: a bundle or a run.
        expected: the verdict that is enough, EXACT or CLOSE.
        verdict: what it was; `refused` where it could not be trained.
        detail: why, in one sentence; or the new run.
    """

    name: str
    expected: str
    verdict: str
    detail: str

    @property
    def is_good(self) -> bool:
        """Whether the verdict is the expected one, or a better one."""
        return self.verdict in ("EXACT", self.expected)


def verify_command(arguments: list[str]) -> int:
    """Reproduces runs and returns 0 only if each verdict is the expected one."""
    chosen = _parser().parse_args(arguments)
    from samerun.config.project import settings

    wanted = [(name, "EXACT") for name in chosen.bundles] or list(settings().verify)
    if not wanted:
        raise UserError(
            "samerun verify: there is nothing to verify: give bundles or runs, or list them in "
            'pyproject.toml: [tool.samerun] verify = ["runs/first.zip"].'
        )
    for name, _ in wanted:
        if name.endswith(_BUNDLE) and not Path(name).is_file():
            raise UserError(f"{name}: there is no such file, expected a bundle.")
    named = settings().verify_key
    key = chosen.verify_key or (Path(named) if named else None)
    if key is not None:
        from samerun.replay.signature import check_keys

        is_option = chosen.verify_key is not None
        check_keys(key, "--verify-key" if is_option else "pyproject.toml: tool.samerun.verify_key")
    from samerun.console import make_console
    from samerun.escaping import one_line
    from samerun.process import graceful_stop

    out, rows = make_console(), []
    with graceful_stop():
        for name, expected in wanted:
            try:
                verdict, detail = _reproduced(_run_of(name, key), chosen.trust, out)
            except UserError as error:
                verdict, detail = "refused", str(error)
            rows.append(_Row(name=name, expected=expected, verdict=verdict, detail=detail))
    width = max(len(row.name) for row in rows)
    out.print()
    for row in rows:
        mark = "ok  " if row.is_good else "FAIL"
        expected = "" if row.expected == "EXACT" else f" (expected {row.expected})"
        line = f"{mark}  {one_line(row.name):<{width}}  {row.verdict}{expected}  {row.detail}"
        out.print(one_line(line, 1000), markup=False)
    return 0 if all(row.is_good for row in rows) else FAILED


def _run_of(name: str, key: Path | None) -> "StoredRun":
    """Returns the run of a name; that of a bundle is read into the store, if it is not there."""
    from samerun import tracking

    if not name.endswith(_BUNDLE):
        return tracking.find_runs([name])[0]
    from samerun.replay import signature, unbundle

    with nullcontext(Path(name)) if key is None else signature.verified(Path(name), key) as file:
        original = unbundle.original_id(file)
        try:
            (run,) = tracking.find_runs([original])
        except UserError:
            return tracking.find_runs([unbundle.unbundle(file).run_id])[0]
        unbundle.check_is(run, file)
        return run


def _reproduced(run: "StoredRun", trusted: list[str], out: "Console") -> tuple[str, str]:
    """Reproduces a run; returns the verdict, and what to know about it."""
    from samerun import tags as tag
    from samerun.process import quiet
    from samerun.replay import reproduce
    from samerun.replay.recorded import clean
    from samerun.report import reproduction

    if tag.INSTANCES in run.tags:
        raise UserError("it consists of several runs (seeds or folds): list these one by one")
    out.print(f"{clean(run.name)}  {run.id}", markup=False)
    plan = reproduce.prepare(run, trusted=trusted)
    reproduce.check(plan)
    reproduce.check_data(plan)
    with quiet():
        from samerun import logbook, training  # noqa: F401
    found = reproduce.reproduce(plan, out)
    reproduction.write(found)
    agreement = found.verdict.agreement.value
    cause = "" if agreement == "EXACT" else f": {found.verdict.why()}"
    return agreement, f"run {found.second.id[:8]}{cause}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samerun verify",
        description="Reproduces runs and ends with one table of verdicts, for continuous "
        "integration: those given, or those that pyproject.toml lists under [tool.samerun] "
        "verify. The exit code is 0 only if each is EXACT, or what the list expects.",
    )
    parser.add_argument(
        "bundles", nargs="*", metavar="BUNDLE|ID", help="files that samerun bundle wrote, or runs"
    )
    parser.add_argument(
        "--verify-key",
        type=Path,
        metavar="KEYS",
        help="refuse a bundle unless BUNDLE.sig was made with one of these public SSH keys "
        "(default: verify_key in pyproject.toml; without it, no signature is required)",
    )
    add_trust(parser)
    return parser
