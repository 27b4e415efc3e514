"""Reads a bundle of another machine into the store of this one, as a run that is not trusted.

Everything is checked before anything is written: see `bundle_file`. What the bundle says about the
run is data like that of any other store: it can name no folder of this machine, and no verdict of
another one counts here.
"""

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from samerun import config, tracking
from samerun import tags as tag
from samerun.config.paths import paths
from samerun.errors import UserError, first_line, listed
from samerun.files import replacing
from samerun.replay import bundle_file, data_files, recorded, signature
from samerun.replay.bundle_file import METRICS, Bundle, damaged
from samerun.tracking import ImportedRun, StoredRun

_ID = re.compile("[0-9a-f]{32}")
_STATUS = ("FINISHED", "FAILED", "KILLED")
_MOST_VALUES, _LONGEST = 5_000, 10_000
_MOST_METRICS_BYTES = 300_000_000
_CONFIG, _MOST_CONFIG_BYTES = f"artifacts/{recorded.CONFIG}", 200_000
_SAME = (tag.WEIGHTS, tag.FINGERPRINT, tag.FINGERPRINT_CONFIG, tag.FINGERPRINT_CODE)
_LATEST_TIME = 32_503_680_000_000  # the year 3000
_MLFLOW = ("mlflow.note.content", "mlflow.source.git.")
_KEPT = {
    *(tag.SCHEMA, tag.VERSION, tag.MODEL, tag.DATASET, tag.TASK, tag.COMMAND, tag.COMMIT),
    *(tag.DIRTY, tag.OVERRIDES, tag.FINGERPRINT, tag.FINGERPRINT_CONFIG, tag.FINGERPRINT_CODE),
    *(tag.NUM_PARAMETERS, tag.JIT_COMPILE, tag.STEPS_PER_EXECUTION, tag.BATCH_SIZE, tag.RETRIES),
    *(tag.RESULT, tag.WEIGHTS, tag.REASON, tag.RESUMED, tag.RESUME_DIFFERS, tag.FORKED_FROM),
    *(tag.FORKED_AT, tag.INSTANCE, tag.DIGESTS),
}
"""The tags of samerun's that are kept: those that say what the run is, not where or what for."""


@dataclass(frozen=True, kw_only=True)
class Unbundled:
    """A run that was read from a bundle.

    Args:
        run_id: the ID that it has in this store.
        original: the ID that it had, by which it is found too.
        name: its name.
        num_files: how many files the bundle had.
        data: the files that were written to the working folder.
        code: the user's own modules among the run's artifacts, which are not used by themselves.
    """

    run_id: str
    original: str
    name: str
    num_files: int
    data: tuple[str, ...]
    code: tuple[str, ...]


def unbundle(file: Path, *, key: Path | None = None) -> Unbundled:
    """Reads a bundle into the store of this folder.

    Args:
        file: the bundle.
        key: a file of public SSH keys, one of which has to have signed it; `None`: any bundle.

    Raises:
        UserError: the bundle is damaged or not allowed, is not signed by the key, or its run is
            here already; nothing is kept then.
    """
    with (
        nullcontext(file) if key is None else signature.verified(file, key) as source,
        bundle_file.opened(source) as bundle,
        tempfile.TemporaryDirectory(prefix="samerun-") as place,
    ):
        facts = _facts(bundle.manifest)
        _check_not_here(facts["id"])
        if METRICS not in bundle.members or bundle.members[METRICS].size > _MOST_METRICS_BYTES:
            raise damaged(f"{METRICS} is missing or too large")
        folder = Path(place)
        for path in bundle.members:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            bundle.extract(path, target)
        cfg = _config(bundle)
        code = tuple(path for path in bundle.members if path.startswith("code/"))
        if code:
            shutil.move(folder / "code", folder / "artifacts" / "code")
        _keep_verdicts(bundle.manifest, folder / "artifacts")
        run = _imported(facts, folder)
        with _data_in_place(bundle, folder, cfg) as data:
            run_id = tracking.import_run(run)
    return Unbundled(
        run_id=run_id,
        original=facts["id"],
        name=run.name,
        num_files=len(bundle.members) + 1,
        data=tuple(data),
        code=code,
    )


def original_id(file: Path) -> str:
    """Returns the ID of the run in a bundle.

    Raises:
        UserError: the bundle is damaged.
    """
    with bundle_file.opened(file) as bundle:
        return str(_facts(bundle.manifest)["id"])


def check_is(run: StoredRun, file: Path) -> None:
    """Checks that a stored run is the one of a bundle, not only one of the same ID.

    Args:
        run: the stored run.
        file: the bundle, or the verified copy of it.

    Raises:
        UserError: its config, weights, fingerprint or data are not those of the bundle.
    """
    with bundle_file.opened(file) as bundle:
        tags, text = _facts(bundle.manifest)["tags"], bundle.text(_CONFIG, _MOST_CONFIG_BYTES)
    stored = tracking.read_artifact(run, recorded.CONFIG, most_bytes=_MOST_CONFIG_BYTES)
    differing = sorted(key for key in _SAME if tags.get(key) != run.tags.get(key))
    if tag.data_digests(tags) != tag.data_digests(run.tags):  # one may have them in earlier tags
        differing.insert(0, tag.DIGESTS)
    if stored.decode("utf-8", "replace") != text:
        differing.insert(0, "config")
    if differing:
        raise UserError(
            f"the bundle has the ID of run {run.id[:8]} of this store, but differs "
            f"in {recorded.clean(listed(differing))}, so nothing was reproduced: unbundle it in "
            f"another folder, or verify {run.id[:8]} itself."
        )


def _facts(manifest: dict[str, Any]) -> dict[str, Any]:
    """Returns what a manifest says about the run, if it is what samerun writes."""
    facts = manifest.get("run")
    if not isinstance(facts, dict):
        raise damaged("it does not say which run it holds")
    for key in ("id", "name", "experiment", "status"):
        text = facts.get(key)
        if not isinstance(text, str) or not 0 < len(text) <= 500 or not text.isprintable():
            raise damaged(f"the run's {key} is no text of one line")
    if not _ID.fullmatch(facts["id"]) or facts["status"] not in _STATUS:
        raise damaged("the run's ID or status is none")
    for key in ("start_time", "end_time"):
        time = facts.get(key)
        if time is not None and (type(time) is not int or not 0 <= time <= _LATEST_TIME):
            raise damaged(f"the run's {key} is no time")
    for key in ("params", "tags"):
        if not _are_texts(facts.get(key)):
            raise damaged(f"the run's {key} are no texts")
    tags = facts["tags"]
    is_group = tag.MULTIRUN in tags or tag.INSTANCES in tags
    if is_group or (tag.STUDY in tags and tag.TRIAL not in tags):
        raise damaged("it holds no single training")
    return facts


def _are_texts(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and len(values) <= _MOST_VALUES
        and all(isinstance(text, str) and len(text) <= _LONGEST for text in values.values())
    )


def _check_not_here(run_id: str) -> None:
    try:
        uri = tracking.existing()
    except UserError:  # there is no store yet
        return
    for run in tracking.Catalog(uri).runs:
        if run_id in (run.id, run.tags.get(tag.BUNDLED_FROM)):
            raise UserError(
                f"Run {run_id} is in the store already, as {run.id[:8]}: nothing was changed."
            )


def _config(bundle: Bundle) -> config.Config:
    """Returns the config of the run, so that a bundle that cannot be reproduced is refused now."""
    text = bundle.text(_CONFIG, _MOST_CONFIG_BYTES)
    recorded.check_values_only(text)
    return config.from_yaml(text)


def _keep_verdicts(manifest: dict[str, Any], artifacts: Path) -> None:
    """Keeps the verdicts of the other machine where they are read and prove nothing."""
    verdicts = manifest.get("verdicts")
    if isinstance(verdicts, list) and verdicts:
        (artifacts / "bundle").mkdir(exist_ok=True)
        text = json.dumps(verdicts[:100], indent=1)
        (artifacts / "bundle" / "verdicts.json").write_text(text, encoding="utf-8")


def _imported(facts: dict[str, Any], folder: Path) -> ImportedRun:
    tags = {
        key: text
        for key, text in facts["tags"].items()
        if key in _KEPT
        or key.startswith((*_MLFLOW, tag.DATA))
        or key.partition(".")[0] not in ("samerun", "mlflow")
    }
    lines = (folder / METRICS).read_text(encoding="utf-8").count("\n")
    points = tracking.read_points(folder)
    if lines != len(points) or not all(point.fits for point in points):
        raise damaged(f"a line of {METRICS} is no metric")
    return ImportedRun(
        name=facts["name"],
        experiment=facts["experiment"],
        status=facts["status"],
        start_time=facts["start_time"],
        end_time=facts["end_time"],
        params=facts["params"],
        tags={**tags, tag.BUNDLED_FROM: facts["id"]},
        points=points,
        artifacts=folder / "artifacts",
    )


@contextmanager
def _data_in_place(bundle: Bundle, folder: Path, cfg: config.Config) -> Iterator[list[str]]:
    """Writes the data to where the config looks for it; removes it again if the block raises.

    Raises:
        UserError: the config does not name a file, or another one is there already.
    """
    found = [path.removeprefix("data/") for path in bundle.members if path.startswith("data/")]
    missing = [path for path in found if _is_missing(path, cfg, bundle)]
    written: list[Path] = []
    try:
        for path in missing:
            _write(folder / "data" / path, Path(path), written)
        yield missing
    except BaseException:
        for one in reversed(written):
            with contextlib.suppress(OSError):
                one.rmdir() if one.is_dir() else one.unlink()
        raise


def _is_missing(path: str, cfg: config.Config, bundle: Bundle) -> bool:
    """Whether a file of the data is not here yet."""
    named = {PurePosixPath(value) for value in paths(cfg.dataset).values()}
    named.discard(PurePosixPath())  # the working folder itself, which every file is below
    if not any(PurePosixPath(path).is_relative_to(one) for one in named):
        raise damaged(f"its config does not read data/{path}")
    data_files.check_place(path)
    target, here = Path(path), Path.cwd().resolve()
    if target.is_symlink() or here.joinpath(target).resolve() != here / target:
        raise UserError(f"{path} is or is below a link, where no data is written: remove it.")
    if not target.exists():
        return True
    member = bundle.members[f"data/{path}"]
    if not target.is_file() or _digest(target) != member.sha256:
        raise UserError(
            f"{path} exists and is not the file of the bundle: unbundle in another folder, or move "
            "it away."
        )
    return False


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _write(source: Path, target: Path, written: list[Path]) -> None:
    for above in reversed(target.parents):
        if not above.exists():
            above.mkdir()
            written.append(above)
    try:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {first_line(error)}.") from error
    written.append(target)


def names(files: Sequence[str]) -> str:
    """Returns paths as a short list."""
    shown = ", ".join(files[:3])
    return shown + (f" and {len(files) - 3} more" if len(files) > 3 else "")
