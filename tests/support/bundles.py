"""Bundles that are written again with a change."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

from samerun import tags as tag
from samerun.replay import bundle_file


def rebuilt(change, *, file="run.zip", is_listed=True):
    """Writes a bundle again after a change of its members: a list of names and contents.

    Args:
        change: takes and returns a list of (`ZipInfo`, content).
        file: the bundle.
        is_listed: the manifest lists what the bundle then holds.
    """
    with zipfile.ZipFile(file) as before:
        members = [(info, before.read(info)) for info in before.infolist()]
    members = change(members)
    manifest = json.loads({i.filename: c for i, c in members}[bundle_file.MANIFEST])
    if is_listed:
        manifest["files"] = {
            info.orig_filename: {"size": len(c), "sha256": hashlib.sha256(c).hexdigest()}
            for info, c in members
            if info.filename != bundle_file.MANIFEST
        }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as after:
        for info, content in members:
            is_manifest = info.filename == bundle_file.MANIFEST
            text = json.dumps(manifest).encode() if is_manifest else content
            after.writestr(info, text, compress_type=info.compress_type)
        after.comment = b"0" * 64
    signed(out.getvalue(), file)


def signed(content, file="run.zip"):
    body = content[:-64]
    Path(file).write_bytes(body + hashlib.sha256(body).hexdigest().encode())


def replacing(name, content):
    return lambda members: [(i, content if i.filename == name else c) for i, c in members]


def stating(change_of_manifest):
    def change(members):
        (text,) = (c for i, c in members if i.filename == bundle_file.MANIFEST)
        manifest = json.loads(text)
        change_of_manifest(manifest)
        return replacing(bundle_file.MANIFEST, json.dumps(manifest).encode())(members)

    return change


def with_another_weight(file):
    """Writes a bundle again as that of a machine whose final weights have another bit."""

    def change(manifest):
        tags = manifest["run"]["tags"]
        tags[tag.WEIGHTS] = f"{int(tags[tag.WEIGHTS], 16) ^ 1:064x}"

    rebuilt(stating(change), file=file)
