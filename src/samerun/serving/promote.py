"""A recorded run's model under an alias of the model registry, unless the present one is better."""

import re
from dataclasses import dataclass
from pathlib import Path

from samerun import tracking
from samerun.config import Config
from samerun.errors import UserError
from samerun.replay import predictions, recorded
from samerun.replay.predictions import Kind, Predictions
from samerun.replay.recorded import clean
from samerun.serving import model_card
from samerun.statistics import Comparison
from samerun.tracking import StoredRun, Version

_NAME = re.compile(r"[\w][\w .-]{0,99}")
_ALIAS = re.compile(r"(?!(?i:latest)\Z|[vV]\d+\Z)[\w-]{1,100}")
_METRICS = {Kind.classes: "accuracy", Kind.numbers: "mean error", Kind.tokens: "log loss per token"}


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A run that has an alias now.

    Args:
        version: the version of its model.
        alias: the alias.
        before: the version that had it; `None` where there was none.
        comparison: the paired test against that one; `None` where there was none, or no test.
        sentence: what the test says, or why there is none.
        card: the version's description, in Markdown.
    """

    version: Version
    alias: str
    before: Version | None
    comparison: Comparison | None
    sentence: str
    card: str


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """How a run compares with the present holder of an alias.

    Args:
        before: the holder; `None` where there is none.
        comparison: the paired test; `None` where there is no other run.
        sentence: what it says.
        problem: why the run may not be promoted, as a sentence without its end; or empty.
    """

    before: Version | None
    comparison: Comparison | None
    sentence: str
    problem: str = ""


def promote(
    run: StoredRun, alias: str, *, name: str | None = None, is_forced: bool = False
) -> Promotion:
    """Registers a run's model and gives it an alias, if it is not worse than the present holder.

    The test is that of `samerun compare`: over the same test examples, pair by pair. A difference
    that may be chance is no obstacle.

    Args:
        run: the stored run.
        alias: such as `champion`.
        name: of the registered model; `None`: the name of the data.
        is_forced: promote it whatever the test says, or where there is no test.

    Raises:
        UserError: the run has no model or predictions, the holder is better, or the two cannot be
            compared.
    """
    if not _ALIAS.fullmatch(alias):
        raise UserError(
            f"--as: received '{clean(alias)}', expected letters, digits, - and _, and neither "
            "'latest' nor a version such as 'v3', which MLflow gives itself."
        )
    found = recorded.read(run)
    stored = predictions.read(run)
    model = tracking.find_model(run)
    chosen = name or name_of_data(found.cfg)
    if not _NAME.fullmatch(chosen):
        raise UserError(
            f"--model: received '{clean(chosen)}', expected a name of letters, digits, spaces, "
            "., - and _."
        )
    standing = _compare(stored, tracking.holder(chosen, alias))
    if standing.problem and not is_forced:
        raise UserError(
            f"Run {run.id[:8]} is not promoted: {standing.problem}; --force promotes it anyway."
        )
    card = model_card.write(found, stored, standing.sentence)
    version = tracking.register(run, model, chosen, card)
    tracking.set_alias(version, alias)
    return Promotion(
        version=version,
        alias=alias,
        before=standing.before,
        comparison=standing.comparison,
        sentence=standing.sentence,
        card=card,
    )


def name_of_data(cfg: Config) -> str:
    """Returns how a registered model is called by default: as the file or folder of its data."""
    path = getattr(cfg.dataset, "path", None)
    if isinstance(path, str) and Path(path).stem:
        return re.sub(r"[^\w.-]", "-", Path(path).stem)[:100].lstrip(".-") or cfg.dataset.kind
    return cfg.dataset.kind


def _compare(stored: Predictions, before: Version | None) -> _Standing:
    if before is None:
        return _Standing(before=None, comparison=None, sentence="no model had the alias before")
    if before.run_id == stored.run.id:
        return _Standing(
            before=before, comparison=None, sentence="this model has the alias already"
        )
    present = f"version {before.number}, which has the alias (run {clean(before.run_id[:8])})"
    try:
        (holder,) = tracking.find_runs([before.run_id] if before.run_id else ["without a run"])
        comparison = predictions.paired(stored, predictions.read(holder))
    except UserError as error:
        reason = str(error).rstrip(".")
        return _Standing(
            before=before,
            comparison=None,
            sentence=f"not compared with {present}: {reason}",
            problem=f"it cannot be compared with {present}: {reason}",
        )
    metric = _METRICS[stored.kind]
    sentence = f"{metric} against {present}: {comparison.sentence()}"
    is_lower = comparison.difference < 0
    is_worse = is_lower if stored.kind is Kind.classes else comparison.difference > 0
    problem = f"it is worse than {present}: {metric} {comparison.sentence()}"
    return _Standing(
        before=before,
        comparison=comparison,
        sentence=sentence,
        problem=problem if is_worse and comparison.is_real else "",
    )
