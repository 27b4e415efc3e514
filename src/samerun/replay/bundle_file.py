"""The file of a bundle: a zip with a manifest, a digest of each member, and one of the whole file.

    bundle.json               the run: name, parameters, tags, times, verdicts; size and SHA-256 of
                              each member
    ro-crate-metadata.json    the same for other programs: RO-Crate 1.1
    metrics.jsonl             every metric point
    artifacts/PATH            the run's artifacts: config, provenance, predictions, checkpoints, …
    code/PATH                 the user's own modules, to be read
    data/PATH                 the data, if it was asked for

The last 64 bytes of the file, the zip's comment, are the SHA-256 of everything before them. A file
from elsewhere is hostile: names are checked before anything is unpacked, and each member is read to
the size that the manifest says and no further.
"""

import hashlib
import io
import json
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from samerun import archives
from samerun.errors import UserError, first_line, see
from samerun.escaping import one_line
from samerun.replay import data_files

MANIFEST, CRATE, METRICS = "bundle.json", "ro-crate-metadata.json", "metrics.jsonl"
SCHEMA = 1
FOLDERS = ("artifacts", "code", "data")
KINDS = {
    **dict.fromkeys((".json", ".jsonl"), "application/json"),
    **dict.fromkeys((".yaml", ".yml"), "application/yaml"),
    **dict.fromkeys((".txt", ".diff", ".log", ".py"), "text/plain"),
    **dict.fromkeys((".csv", ".tsv"), "text/csv"),
    ".md": "text/markdown",
    ".npz": "application/zip",
    ".png": "image/png",
    **dict.fromkeys((".jpg", ".jpeg"), "image/jpeg"),
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"), "video/mp4"),
}
"""Which files may be in a bundle, by their ending, and their media type."""
_OURS = ("artifacts/code/", "artifacts/bundle/")
_DIGEST_BYTES = 64
_MOST_MEMBERS = 200_000
_MOST_MANIFEST_BYTES = 50_000_000
_LEAST_UNPACKED, _TIMES = 1_000_000_000, 100
_COPIED_BYTES = 1 << 20
_SHA256 = re.compile("[0-9a-f]{64}")
_PICKLE = re.compile(rb"\x80[\x02-\x05]")


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file in a bundle.

    Args:
        size: in bytes.
        sha256: of its content.
    """

    size: int
    sha256: str


class Bundle:
    """A bundle that is open for reading and whose names, sizes and digest of the file were checked.

    Args:
        file: the bundle.
        archive: the zip.
        manifest: the content of `bundle.json`.
        members: the files, by path, without the manifest.
    """

    def __init__(
        self,
        file: Path,
        archive: zipfile.ZipFile,
        manifest: dict[str, Any],
        members: Mapping[str, Member],
    ) -> None:
        self._file = file
        self._archive = archive
        self.manifest = manifest
        self.members = members

    def extract(self, path: str, target: Path) -> None:
        """Writes a member to a file and compares its size and digest.

        Raises:
            UserError: it is not what the manifest says, or the file cannot be written.
        """
        member, digest, size = self.members[path], hashlib.sha256(), 0
        try:
            with target.open("xb") as file:
                for part in self._parts(path, member.size):
                    size += len(part)
                    digest.update(part)
                    file.write(part)
        except OSError as error:
            raise UserError(
                f"{path} of the bundle cannot be written to {target.parent}: {first_line(error)}; "
                "nothing was kept."
            ) from error
        if size != member.size or digest.hexdigest() != member.sha256:
            raise damaged(f"{path} is not the file that was bundled")
        _check_content(path, target)

    def text(self, path: str, most_bytes: int) -> str:
        """Returns a small member as text, checked as `extract` does."""
        member = self.members.get(path)
        if member is None or member.size > most_bytes:
            raise damaged(f"{path} is missing or too large")
        content = b"".join(self._parts(path, most_bytes))
        if len(content) != member.size or hashlib.sha256(content).hexdigest() != member.sha256:
            raise damaged(f"{path} is not the file that was bundled")
        return content.decode("utf-8", "replace")

    def _parts(self, path: str, most_bytes: int) -> Iterator[bytes]:
        """Yields the content of a member, which is refused if it is larger."""
        size, part = 0, b""
        with _reading(self._file):
            source = self._archive.open(path)
        with source:
            while True:
                with _reading(self._file):
                    part = source.read(min(_COPIED_BYTES, most_bytes - size + 1))
                if not part:
                    return
                size += len(part)
                if size > most_bytes:
                    raise damaged(f"{path} is larger than it says")
                yield part


def damaged(reason: str) -> UserError:
    """Returns the error for a bundle that is not used."""
    return UserError(
        f"The bundle is damaged or was not written by samerun: {one_line(reason, 300)}; nothing "
        "was kept: get the file again from whoever sent it."
        + see("how-to/share-a-run.md#what-a-bundle-cannot-do")
    )


def write(
    file: IO[bytes],
    manifest: dict[str, Any],
    contents: Mapping[str, bytes | Path],
    crate: Any,
) -> None:
    """Writes a bundle.

    Args:
        file: an empty file, open for writing and reading.
        manifest: the run; the members are added.
        contents: of the members, by path.
        crate: returns the RO-Crate metadata of members by path.
    """
    members: dict[str, Member] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in contents.items():
            members[path] = _add(archive, path, content)
        text = json.dumps(crate(members), indent=1, ensure_ascii=False)
        members[CRATE] = _add(archive, CRATE, text.encode())
        files = {path: {"size": one.size, "sha256": one.sha256} for path, one in members.items()}
        whole = {**manifest, "schema": SCHEMA, "files": files}
        _add(archive, MANIFEST, json.dumps(whole, indent=1, ensure_ascii=False).encode())
        archive.comment = b"0" * _DIGEST_BYTES
    size = file.seek(0, io.SEEK_END) - _DIGEST_BYTES
    digest = _digest(file, size)
    file.seek(size)
    file.write(digest.encode())


def _add(archive: zipfile.ZipFile, path: str, content: bytes | Path) -> Member:
    digest, size = hashlib.sha256(), 0
    info = zipfile.ZipInfo(path)  # of 1980, so that equal runs are equal files
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    source: IO[bytes] = io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
    with source, archive.open(info, "w", force_zip64=True) as target:
        while part := source.read(_COPIED_BYTES):
            digest.update(part)
            size += len(part)
            target.write(part)
    return Member(size=size, sha256=digest.hexdigest())


def check_is_file(file: Path) -> None:
    """Checks that there is a file.

    Raises:
        UserError: there is none, or it is a folder.
    """
    with _reading(file):
        if file.is_file():
            return
        wrong = "this is no file" if file.exists() else "there is no such file"
    raise UserError(f"{one_line(str(file))}: {wrong}, expected a bundle.")


@contextmanager
def opened(file: Path) -> Iterator[Bundle]:
    """Opens a bundle and checks everything that can be checked without unpacking it.

    Raises:
        UserError: it is no bundle, a byte was changed, or it holds what a bundle may not hold.
    """
    with ExitStack() as stack:
        check_is_file(file)
        with _reading(file):
            content = stack.enter_context(file.open("rb"))
            _check_digest(content)
            archive = stack.enter_context(zipfile.ZipFile(content))
            bundle = _checked(archive, file)
        yield bundle


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Converts the errors of reading a bundle into one sentence; the block does nothing else."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{one_line(str(file))}: {first_line(error)}.") from error
    except (*archives.ERRORS_OF_ZIP, ValueError) as error:
        raise damaged(first_line(error)) from error


def _check_digest(file: IO[bytes]) -> None:
    size = archives.size_of(file) - _DIGEST_BYTES
    if size <= 0:
        raise damaged("it is no bundle")
    digest = _digest(file, size)
    file.seek(size)
    if file.read() != digest.encode():
        raise damaged("it is no bundle, or a byte of it was changed")
    file.seek(0)


def _digest(file: IO[bytes], size: int) -> str:
    """Returns the SHA-256 of the first bytes of a file."""
    digest, left = hashlib.sha256(), size
    file.seek(0)
    while left and (part := file.read(min(_COPIED_BYTES, left))):
        digest.update(part)
        left -= len(part)
    return digest.hexdigest()


def _checked(archive: zipfile.ZipFile, file: Path) -> Bundle:
    found: dict[str, zipfile.ZipInfo] = {}
    lower: set[str] = set()
    infos = archive.infolist()
    if len(infos) > _MOST_MEMBERS:
        raise damaged(f"it holds {len(infos)} files")
    for info in infos:
        check_path(info.orig_filename)
        if info.filename.lower() in lower:
            raise damaged(f"it holds {info.filename} twice, or in two spellings")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG) or info.is_dir():
            raise damaged(f"{info.filename} is a link or no file")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise damaged(f"{info.filename} uses another compression")
        lower.add(info.filename.lower())
        found[info.filename] = info
    if sum(info.file_size for info in infos) > max(_LEAST_UNPACKED, _TIMES * file.stat().st_size):
        raise damaged("it would unpack to more than a hundred times its size")
    _check_folders(found)
    manifest = _manifest(archive, found)
    members = dict(_members(manifest["files"]))
    if {MANIFEST, *members} != set(found):
        odd = sorted({MANIFEST, *members} ^ set(found))
        raise damaged(f"its manifest and its files differ in {odd[0]}")
    for path, member in members.items():
        if found[path].file_size != member.size:
            raise damaged(f"{path} is not as large as it says")
    return Bundle(file, archive, manifest, members)


def check_path(path: str) -> None:
    """Checks the path of a member.

    Raises:
        UserError: it leads out, is hidden, is in no known folder, or its ending is not allowed.
    """
    parts = PurePosixPath(path)
    is_plain = path.isprintable() and not any(letter in path for letter in '\\:*?"<>|')
    names = parts.parts
    if not is_plain or not names or str(parts) != path or parts.is_absolute():
        raise damaged(f"the path {path!r} is not allowed")
    if any(name.startswith(".") or name.endswith((".", " ")) for name in names) or len(path) > 500:
        raise damaged(f"the path {path!r} is not allowed")
    if path in (MANIFEST, CRATE, METRICS):
        return
    if names[0] not in FOLDERS or len(names) < 2 or parts.suffix.lower() not in KINDS:
        raise damaged(f"{path!r} is no file that a bundle holds")
    if (parts.suffix.lower() == ".py") != (names[0] == "code"):
        raise damaged(f"{path!r} is code outside of code/, or none inside")
    if names[0] == "data" and not data_files.is_data(path):
        raise damaged(f"{path!r} is no file that a dataset reads")
    if path.lower().startswith(_OURS):
        raise damaged(f"{path!r} is in a folder that unbundle itself writes")


def _check_folders(found: Mapping[str, Any]) -> None:
    """Checks that no file has the name of a folder of another one."""
    lower = {path.lower() for path in found}
    for path in found:
        for above in PurePosixPath(path.lower()).parents:
            if str(above) in lower:
                raise damaged(f"{above} is a file and a folder")


def _manifest(archive: zipfile.ZipFile, found: Mapping[str, zipfile.ZipInfo]) -> dict[str, Any]:
    if MANIFEST not in found:
        raise damaged(f"it has no {MANIFEST}")
    if found[MANIFEST].file_size > _MOST_MANIFEST_BYTES:
        raise damaged(f"its {MANIFEST} is too large")
    with archive.open(MANIFEST) as source:
        content = source.read(_MOST_MANIFEST_BYTES + 1)
    try:
        manifest = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(f"its {MANIFEST} is not JSON") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise damaged(f"its {MANIFEST} lists no files")
    schema = manifest.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise UserError(
            f"The bundle was written by a newer samerun (schema {schema}, expected {SCHEMA}): "
            "upgrade samerun."
        )
    if schema != SCHEMA:
        raise damaged(f"its {MANIFEST} has no schema")
    return manifest


def _members(files: dict[str, Any]) -> Iterator[tuple[str, Member]]:
    for path, facts in files.items():
        stated = facts if isinstance(facts, dict) else {}
        size, digest = stated.get("size"), stated.get("sha256")
        if type(size) is not int or size < 0 or not _SHA256.fullmatch(str(digest)):
            raise damaged(f"its {MANIFEST} does not say what {path} is")
        yield path, Member(size=size, sha256=str(digest))


def _check_content(path: str, file: Path) -> None:
    """Checks that a file holds no pickled object, whatever its name says."""
    with file.open("rb") as content:
        if _PICKLE.match(content.read(2)):
            raise damaged(f"{path} is a pickle, which is never read")
    if not path.lower().endswith(".npz"):
        return
    try:
        found = archives.headers(file)
    except ValueError as error:
        raise damaged(f"{path}: {error}") from error
    if any(header.dtype.hasobject for header in found.values()):
        raise damaged(f"{path} holds pickled objects, which are never read")
