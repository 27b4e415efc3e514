"""What a recorded run says about itself, read as untrusted data.

Nothing here imports, unpickles or resolves what it reads: YAML and JSON give plain values, arrays
are read without pickles, and a config that would look into this machine's environment is refused.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from samerun import archives, config, identity, provenance, tracking, uncommitted
from samerun import tags as tag
from samerun.config import Config, quick_yaml
from samerun.errors import ArchiveTooLarge, UserError
from samerun.escaping import one_line
from samerun.replay.trust import CONFIG, MOST_BYTES, check_plain, trusts_components
from samerun.tracking import StoredRun

OVERRIDES = "config/overrides.txt"
PREDICTIONS = "evaluation/predictions.npz"
_SPLITS = ("train", "validation", "test")
_MOST_BYTES = {
    CONFIG: MOST_BYTES,
    OVERRIDES: 200_000,
    "provenance/provenance.json": 5_000_000,
    "provenance/files.json": 5_000_000,
    "checkpoints/digests.csv": 20_000_000,
}
_MOST_BYTES_OTHERWISE = 200_000_000
# A config has some kilobytes, and YAML is read slowly; JSON takes ten times its size in memory;
# predictions are a few numbers per example.


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a result depends on besides its config: of a recorded run, or of this machine now.

    `None` means not known, such as the data's digests before the data is read. The commit is an
    empty string outside a git checkout.

    Args:
        commit: the checkout's commit.
        patch: what was not committed, as `git diff` has it.
        left_out: uncommitted files that are not in the patch, and why.
        files: SHA-256 of each source file, by path.
        python: version of the interpreter.
        packages: versions of all installed distributions.
        own_packages: those that the user's own code imports.
        tensorflow_build: what TensorFlow was compiled with and for.
        environment: variables that change what TensorFlow computes.
        processor: the model's name.
        instructions: its sets of vector instructions.
        gpus: models of the graphics cards.
        num_cores: cores of the machine.
        data: SHA-256 of each split's content.
    """

    commit: str | None = None
    patch: str | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] | None = None
    python: str | None = None
    packages: Mapping[str, str] | None = None
    own_packages: tuple[str, ...] = ()
    tensorflow_build: str | None = None
    environment: Mapping[str, str] | None = None
    processor: str | None = None
    instructions: tuple[str, ...] | None = None
    gpus: tuple[str, ...] | None = None
    num_cores: int | None = None
    data: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A recorded run, ready to be rerun.

    Args:
        run: as the store has it.
        resolved: YAML of its config.
        cfg: the same, typed and checked.
        provenance: its code, environment, machine and data.
    """

    run: StoredRun
    resolved: str
    cfg: Config
    provenance: Provenance


def read(run: StoredRun, *, trusted: Sequence[str] = (), uri: str | None = None) -> RecordedRun:
    """Reads what a run recorded about itself.

    Args:
        run: the stored run.
        trusted: what the user trusts; a component of their package that is not trusted has values
            without types.
        uri: the store, by default that of this folder.

    Raises:
        UserError: it is a sweep's own run, or was not written by samerun.
    """
    check_trained(run)
    if CONFIG not in tracking.list_artifacts(run, "config", uri=uri):
        raise UserError(
            f"Run {run.id} ({clean(run.name)}) has no {CONFIG}: it was not made by samerun, or its "
            "artifacts are gone."
        )
    resolved = _text(run, CONFIG, uri)
    check_values_only(resolved)
    cfg = config.from_yaml(resolved, own_code=trusts_components(trusted))
    return RecordedRun(
        run=run, resolved=resolved, cfg=cfg, provenance=recorded_provenance(run, uri=uri)
    )


def check_trained(run: StoredRun) -> None:
    """Checks that a run is one that trained a model, and not a sweep's own.

    Args:
        run: the stored run.

    Raises:
        UserError: it is a sweep's own; one of its trials is named, the best if it is known.
    """
    best, list_them = clean(run.tags.get(tag.BEST, "")[:8]), f"`samerun show {clean(run.id[:8])}`"
    which = f"such as {best}, the best ({list_them})" if best else f"see {list_them}"
    if tag.MULTIRUN in run.tags:
        raise UserError(f"'{clean(run.name)}' is a multirun: give one of its runs, {which}.")
    if tag.STUDY not in run.tags or tag.TRIAL in run.tags:
        return
    study = clean(run.tags[tag.STUDY])
    raise UserError(
        f"'{clean(run.name)}' is a sweep: give one of its trials, {which}; resume the sweep "
        f"itself with its command and sweep.study={study}."
    )


def overrides_of(run: StoredRun, *, uri: str | None = None) -> tuple[str, ...]:
    """Returns the overrides that a run was started with, each as one line; none if not recorded.

    Args:
        run: the stored run.
        uri: the store, by default that of this folder.
    """
    if OVERRIDES not in tracking.list_artifacts(run, "config", uri=uri):
        return ()
    lines = _text(run, OVERRIDES, uri).splitlines()
    return tuple(clean(line, 2000) for line in lines if line.strip())


def recorded_provenance(run: StoredRun, *, uri: str | None = None) -> Provenance:
    """Returns what a stored run says about its code, environment, machine and data.

    Args:
        run: the stored run.
        uri: the store, by default that of this folder.
    """
    there = set(tracking.list_artifacts(run, "provenance", uri=uri))
    plain = _json(run, "provenance/provenance.json", uri, there) or {}
    files = _json(run, "provenance/files.json", uri, there)
    code, machine = _dict(plain.get("code")) or {}, _dict(plain.get("machine")) or {}
    commit = _str(code.get("commit")) or ("" if "commit" in code else None)
    diff = "provenance/uncommitted.diff"
    digests = tag.data_digests(run.tags)
    cores = machine.get("num_cores")
    return Provenance(
        commit=commit,
        patch=_text(run, diff, uri) if diff in there else ("" if code else None),
        left_out=_left_out(code.get("left_out")),
        files=_texts(files),
        python=_str(plain.get("python")),
        packages=_texts(plain.get("packages")),
        own_packages=_words(plain.get("own_packages")) or (),
        tensorflow_build=_str(plain.get("tensorflow_build")),
        environment=_texts(plain.get("environment")),
        processor=_str(machine.get("processor")),
        instructions=_words(machine.get("instructions")),
        gpus=_words(machine.get("gpus")),
        num_cores=cores if isinstance(cores, int) else None,
        data={split: digests[split] for split in _SPLITS if split in digests} or None,
    )


def present_provenance(cfg: Config, data: Mapping[str, str] | None) -> Provenance:
    """Returns the same of this checkout on this machine.

    Args:
        cfg: the config that is to run, for the user's own code.
        data: digest of each split, `None` where the data was not read.
    """
    found = provenance.collect("")
    return Provenance(
        commit=found.code.commit or "",
        patch=found.code.diff,
        left_out=found.code.left_out,
        files=identity.code_files(cfg),
        python=found.python,
        packages=found.packages,
        own_packages=tuple(identity.own_packages(cfg)),
        tensorflow_build=found.tensorflow_build,
        environment=found.environment,
        processor=found.machine.processor,
        instructions=found.machine.instructions,
        gpus=found.machine.gpus,
        num_cores=found.machine.num_cores,
        data=data,
    )


def predictions(run: StoredRun, *, uri: str | None = None) -> dict[str, Any] | None:
    """Returns a run's predictions as arrays by name, `None` where it has stored none.

    Raises:
        UserError: the file holds anything but plain arrays.
    """
    if PREDICTIONS not in tracking.list_artifacts(run, "evaluation", uri=uri):
        return None
    content = _bytes(run, PREDICTIONS, uri)
    try:
        return archives.arrays(io.BytesIO(content), most_bytes=_MOST_BYTES_OTHERWISE)
    except ArchiveTooLarge as error:
        raise UserError(
            f"Run {run.id}: its {PREDICTIONS} is not read: {error}; it was not written by samerun."
        ) from error
    except ValueError as error:
        raise UserError(
            f"Run {run.id}: its {PREDICTIONS} holds something else than plain arrays, so it is not "
            f"read: {clean(str(error))}; it was not written by samerun."
        ) from error


def weights(run: StoredRun, *, uri: str | None = None) -> dict[tuple[int, int], str]:
    """Returns the digest of the weights at each checkpoint, by (epoch, step).

    Args:
        run: the stored run.
        uri: the store, by default that of this folder.
    """
    path = "checkpoints/digests.csv"
    if path not in tracking.list_artifacts(run, "checkpoints", uri=uri):
        return {}
    found = {}
    for line in _text(run, path, uri).splitlines():
        epoch, _, rest = line.partition(",")
        step, _, digest = rest.partition(",")
        if epoch.isdecimal() and step.isdecimal():
            found[int(epoch), int(step)] = digest.strip()
    return found


def check_values_only(text: str) -> None:
    """Checks that a stored config is plain values: no interpolation, alias, anchor or tag.

    An interpolation may hide in an escape such as `"\\x24{oc.env:HOME}"`, so the values are
    checked after parsing; aliases of aliases would grow to gigabytes.

    Raises:
        UserError: it holds something else, or is not YAML.
    """
    check_plain(text)
    strange = (yaml.AliasToken, yaml.AnchorToken, yaml.TagToken)
    try:
        # They begin with these characters; to scan a config takes longer than to read it.
        has_marks = any(mark in text for mark in "&*!")
        if has_marks and any(isinstance(token, strange) for token in yaml.scan(text)):
            raise UserError(
                "The stored config holds a tag, an anchor or an alias; only values are expected: "
                "it was not written by samerun and is not used."
            )
        plain = quick_yaml.load(text)
        for leaf in _leaves(yaml.safe_load(text) if plain is None else plain):
            check_plain(leaf)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError("The stored config is not YAML: it was not written by samerun.") from error


def clean(text: str, longest: int = 200) -> str:
    """Returns an untrusted text as one line without control characters, which a terminal obeys."""
    return one_line(text, longest)


def _leaves(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key)
            yield from _leaves(value)
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value)
    else:
        yield str(node)


def _bytes(run: StoredRun, path: str, uri: str | None) -> bytes:
    most = _MOST_BYTES.get(path, _MOST_BYTES_OTHERWISE)
    return tracking.read_artifact(run, path, uri=uri, most_bytes=most)


def _text(run: StoredRun, path: str, uri: str | None) -> str:
    return _bytes(run, path, uri).decode("utf-8", "replace")


def _json(run: StoredRun, path: str, uri: str | None, there: set[str]) -> dict[str, Any] | None:
    if path not in there:
        return None
    try:
        return _dict(json.loads(_text(run, path, uri)))
    except (ValueError, RecursionError) as error:
        raise UserError(f"Run {run.id}: its {path} is not JSON: it is not used.") from error


def _dict(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _str(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _words(value: Any) -> tuple[str, ...] | None:
    return tuple(str(override) for override in value) if isinstance(value, list) else None


def _left_out(value: Any) -> dict[str, str]:
    """Version 0.1.0 wrote a list: only too large files were left out."""
    old = dict.fromkeys(_words(value) or (), uncommitted.TOO_LARGE)
    return _texts(value) or old


def _texts(value: Any) -> dict[str, str] | None:
    known = _dict(value)
    return None if known is None else {str(key): str(text) for key, text in known.items()}
