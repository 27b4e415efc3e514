"""What a registered model is, in Markdown: data, score, limits and where it comes from.

Sections as in Mitchell et al., Model Cards for Model Reporting (2019), of which a run knows these.
"""

import datetime
from collections.abc import Iterator

from samerun import tags as tag
from samerun import tracking
from samerun.escaping import markdown
from samerun.redaction import redact
from samerun.replay.predictions import Predictions
from samerun.replay.recorded import RecordedRun, clean
from samerun.tracking import StoredRun

_MOST_RELATIONS = 8


def write(found: RecordedRun, stored: Predictions, standing: str) -> str:
    """Returns the model card of a run, short enough for MLflow's registry.

    Args:
        found: the run.
        stored: its predictions.
        standing: how it compares with the model that it replaces.
    """
    run, cfg = found.run, found.cfg
    score = clean(run.tags.get(tag.RESULT, "not recorded"), 400)
    others = tracking.Catalog(tracking.existing()).runs
    lines = [
        f"**{markdown(score)}**",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {text} |" for name, text in _facts(found, stored)),
        "",
        "## Score",
        "",
        f"- {markdown(score)}; the interval is a bootstrap over the examples.",
        f"- {markdown(standing)}.",
        "",
        "## Limits",
        "",
        *(f"- {text}" for text in _limits(found, stored)),
        "",
        "## Lineage",
        "",
        f"- run {run.id} ({markdown(clean(run.name, 100))}), seed {cfg.seed}",
        *(f"- {markdown(one)}" for one in list(relations(run, others))[:_MOST_RELATIONS]),
        f"- train it again and compare: `samerun reproduce {run.id[:8]}`",
    ]
    text = redact("\n".join(lines) + "\n")
    most = tracking.LONGEST_DESCRIPTION
    return text if len(text) <= most else text[: most - 2] + "…\n"


def _facts(found: RecordedRun, stored: Predictions) -> Iterator[tuple[str, str]]:
    run, cfg, origin = found.run, found.cfg, found.provenance
    size = run.tags.get(tag.NUM_PARAMETERS, "")
    weights = f", {int(size):,} weights" if size.isdecimal() and len(size) < 20 else ""
    digest = _digest(run.tags.get(tag.WEIGHTS, "not recorded"))
    yield "model", f"`{cfg.model.kind}`{weights}, SHA-256 `{digest}`"
    yield "task", markdown(clean(run.tags.get(tag.TASK, "not recorded"), 40))
    yield "data", markdown(clean(str(getattr(cfg.dataset, "path", "") or cfg.dataset.kind), 100))
    digests = tag.data_digests(run.tags)
    for split in ("train", "validation", "test"):
        if split in digests:
            count = f"{stored.num_examples:,} examples, " if split == stored.split else ""
            yield f"{split} split", f"{count}SHA-256 `{_digest(digests[split])}`"
    if run.end_time is not None:
        ended = datetime.datetime.fromtimestamp(run.end_time / 1000, datetime.UTC)
        yield "trained", f"{ended:%Y-%m-%d %H:%M} UTC"
    commit = clean(origin.commit or "", 40)
    is_dirty = run.tags.get(tag.DIRTY) == "true"
    dirty = " with uncommitted changes, which the run recorded" if is_dirty else ""
    yield "code", f"commit `{markdown(commit)}`{dirty}" if commit else "no git checkout"


def _digest(text: str) -> str:
    return markdown(clean(text[:16]))


def _limits(found: RecordedRun, stored: Predictions) -> Iterator[str]:
    run, split = found.run, stored.split
    yield (
        f"The score is that of {stored.num_examples:,} examples of the {split} split of this data; "
        "nothing was measured on other data, or by group."
    )
    if split == "validation":
        yield "There was no test split: the epoch was chosen on the same examples."
    if "NOT better" in run.tags.get(tag.RESULT, ""):
        yield "**It is not better than the baseline.**"
    elif "not clearly better" in run.tags.get(tag.RESULT, ""):
        yield "That it is better than the baseline may be chance."
    if tag.INSTANCE not in run.tags:
        yield "One seed: how much the score varies between seeds is not in the interval."
    if tag.TRIAL in run.tags and not run.tags.get(tag.CONFIRMS):
        yield "The run was chosen among the trials of a sweep, which makes its score look better."


def relations(run: StoredRun, others: list[StoredRun]) -> Iterator[str]:
    """Yields what a run comes from and what became of its reproductions, one phrase each.

    Args:
        run: the run.
        others: all runs of the store, with the tags that relate runs.
    """
    tags = run.tags
    if tags.get(tag.REPRODUCES):
        verdict = clean(tags.get(tag.VERDICT, "no verdict"), 20)
        yield f"reproduces run {clean(tags[tag.REPRODUCES], 32)}: {verdict}"
    if tags.get(tag.FORKED_FROM):
        place = clean(tags.get(tag.FORKED_AT, "its start"), 40)
        yield f"forked from run {clean(tags[tag.FORKED_FROM], 32)} at {place}"
    if tags.get(tag.TRIAL):
        study = clean(tags.get(tag.STUDY, ""), 80)
        yield f"trial {clean(tags[tag.TRIAL], 10)} of study {study}"
    if tags.get(tag.INSTANCE):
        yield f"{clean(tags[tag.INSTANCE], 40)} of several runs of one config"
    if tags.get(tracking.PARENT):
        yield f"belongs to run {clean(tags[tracking.PARENT], 32)}"
    if run.num_resumed:
        yield f"resumed {run.num_resumed} times"
    for one in others:
        if one.tags.get(tag.REPRODUCES) == run.id:
            verdict = clean(one.tags.get(tag.VERDICT, "no verdict"), 20)
            yield f"reproduced by run {one.id}: {verdict}"
