"""The metadata by which other programs read a bundle: RO-Crate 1.1.

Source: RO-Crate Metadata Specification 1.1 (https://w3id.org/ro/crate/1.1), sections on the
metadata file, the root data entity, data entities and provenance.
"""

import datetime
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from samerun.replay.bundle_file import CRATE, KINDS, Member

_VERSION = "https://w3id.org/ro/crate/1.1"
_SHA256 = "https://w3id.org/ro/terms/workflow-run#sha256"


def metadata(manifest: Mapping[str, Any], members: Mapping[str, Member]) -> dict[str, Any]:
    """Returns the content of `ro-crate-metadata.json`.

    Args:
        manifest: the run, as `bundle.json` has it.
        members: the files, without the metadata itself and the manifest.
    """
    run = manifest["run"]
    files = [{"@id": path} for path in members]
    given = [one for one in files if one["@id"].startswith(("artifacts/config", "data/", "code/"))]
    made = [one for one in files if one not in given]
    ended = _time(run["end_time"])
    action = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": run["name"],
        "identifier": run["id"],
        "startTime": _time(run["start_time"]),
        "endTime": ended,
        "instrument": {"@id": "#samerun"},
        "object": given,
        "result": made,
        "actionStatus": _status(run["status"]),
    }
    graph: list[dict[str, Any]] = [
        {
            "@id": CRATE,
            "@type": "CreativeWork",
            "conformsTo": {"@id": _VERSION},
            "about": {"@id": "./"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": run["name"],
            "description": f"A training recorded by samerun: run {run['id']}. bundle.json lists "
            "every file with its SHA-256; `samerun unbundle` reads it.",
            "datePublished": ended,
            "license": "not stated",
            "hasPart": files,
            "mentions": {"@id": "#run"},
        },
        {
            "@id": "#samerun",
            "@type": "SoftwareApplication",
            "name": "samerun",
            "version": manifest["samerun"],
        },
        action,
        *(_file(path, member) for path, member in members.items()),
    ]
    return {"@context": [f"{_VERSION}/context", {"sha256": _SHA256}], "@graph": graph}


def _file(path: str, member: Member) -> dict[str, Any]:
    return {
        "@id": path,
        "@type": "File",
        "name": PurePosixPath(path).name,
        "contentSize": str(member.size),
        "encodingFormat": KINDS[PurePosixPath(path).suffix.lower()],
        "sha256": member.sha256,
    }


def _time(milliseconds: int | None) -> str:
    when = datetime.datetime.fromtimestamp((milliseconds or 0) / 1000, datetime.UTC)
    return when.isoformat(timespec="seconds")


def _status(status: str) -> dict[str, str]:
    name = "CompletedActionStatus" if status == "FINISHED" else "FailedActionStatus"
    return {"@id": f"http://schema.org/{name}"}
