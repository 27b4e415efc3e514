"""Signatures of bundles, by OpenSSH's `ssh-keygen -Y`, with the SSH keys that people have.

A signature is a file of its own, `run.zip.sig`, which `ssh-keygen -Y verify` checks as well. Which
key to trust is for the user to say: none is looked for, and a bundle cannot name one.
"""

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from samerun.errors import UserError, first_line
from samerun.escaping import one_line
from samerun.replay import bundle_file

NAMESPACE = "samerun-bundle"
"""What the signature is for: one made for an e-mail or a commit is none of a bundle."""
_SIGNER = "samerun"
_KEY = re.compile(r"((?:ssh|ecdsa|sk)-[\w@.-]+ [A-Za-z0-9+/=]+)(?: .*)?")
_MOST_BYTES = 20_000


def signature_of(file: Path) -> Path:
    """Returns where the signature of a bundle is."""
    return file.with_name(f"{file.name}.sig")


def check_key(key: Path) -> None:
    """Checks that a key to sign with is there, and what signs.

    Raises:
        UserError: it is not.
    """
    _program("--sign")
    if not _expanded(key).is_file():
        raise UserError(
            f"--sign: there is no file {one_line(str(key))}, expected a private SSH key such as "
            "~/.ssh/id_ed25519: `ssh-keygen -t ed25519` makes one."
        )


def sign(file: Path, key: Path) -> bytes:
    """Returns the signature of a file; `ssh-keygen` asks for the key's passphrase, or its agent.

    Args:
        file: what to sign.
        key: a private SSH key; or a public one, whose private part the SSH agent has.

    Raises:
        UserError: the key cannot sign.
    """
    command = [_program("--sign"), "-Y", "sign", "-f", str(_expanded(key)), "-n", NAMESPACE]
    with file.open("rb") as content:
        done = subprocess.run(command, stdin=content, capture_output=True, check=False)
    if done.returncode:
        raise UserError(f"--sign: {key} cannot sign: {_reason(done)}; no bundle was written.")
    return done.stdout


def check_keys(key: Path, named_by: str) -> None:
    """Checks that a file of public keys is there, and what verifies.

    Args:
        key: the file.
        named_by: the option or the key of a file that names it, for messages.

    Raises:
        UserError: it is not.
    """
    _program(named_by)
    _allowed(key, named_by)


@contextlib.contextmanager
def verified(file: Path, key: Path) -> Iterator[Path]:
    """Gives the block a copy of a bundle that was signed with one of the keys in a file.

    Only this user can write to the copy: what is read is what was verified, whoever replaces or
    changes the bundle meanwhile.

    Args:
        file: the bundle, with its signature beside it.
        key: a file with public SSH keys, one a line.

    Raises:
        UserError: it is no file, has no signature, that of another key or for another file, or
            `key` holds no public keys.
    """
    bundle_file.check_is_file(file)
    program, signers = _program("--verify-key"), _allowed(key)
    name, beside = one_line(str(file)), signature_of(file)
    if not beside.is_file() or beside.is_symlink() or beside.stat().st_size > _MOST_BYTES:
        raise UserError(
            f"{name} has no signature: expected {one_line(beside.name)} beside it, which "
            "`samerun bundle --sign KEY` writes; nothing was kept."
        )
    with tempfile.TemporaryDirectory(prefix="samerun-") as place:
        allowed, copied, copy = (Path(place, one) for one in ("signers", "signature", "bundle"))
        allowed.write_text(signers, encoding="utf-8")
        try:
            shutil.copyfile(beside, copied)
            shutil.copyfile(file, copy)
        except OSError as error:
            raise UserError(f"{name} cannot be copied to {place}: {first_line(error)}.") from error
        command = [program, "-Y", "verify", "-f", str(allowed), "-I", _SIGNER, "-n", NAMESPACE]
        command += ["-s", str(copied)]
        with copy.open("rb") as content:
            done = subprocess.run(command, stdin=content, capture_output=True, check=False)
        if done.returncode:
            raise UserError(
                f"{name} was not signed with {one_line(str(key))}, or was changed afterwards "
                f"({_reason(done)}); nothing was kept: ask its sender for the key, or for the file "
                "again."
            )
        yield copy


def _allowed(key: Path, named_by: str = "--verify-key") -> str:
    """Returns OpenSSH's list of allowed signers for a file of public keys."""
    place, lines = _expanded(key), []
    with contextlib.suppress(OSError):  # it is a folder, or not for this user
        if place.is_file() and place.stat().st_size <= _MOST_BYTES:
            lines = [one.strip() for one in place.read_text("utf-8", "replace").splitlines()]
    given = [line for line in lines if line and not line.startswith("#")]
    found = [match[1] for line in given if (match := _KEY.fullmatch(line))]
    if not found or len(found) < len(given):
        raise UserError(
            f"{named_by}: {one_line(str(key))} is not a file of public SSH keys, expected lines "
            "such as `ssh-ed25519 AAAA… name`, as in ~/.ssh/id_ed25519.pub."
        )
    return "".join(f'{_SIGNER} namespaces="{NAMESPACE}" {one}\n' for one in found)


def _expanded(key: Path) -> Path:
    """Returns a path with the home for `~`, or the path itself if there is no such user."""
    with contextlib.suppress(RuntimeError):
        return key.expanduser()
    return key


def _program(flag: str) -> str:
    found = shutil.which("ssh-keygen")
    if found is None:
        raise UserError(
            f"{flag} needs ssh-keygen, which is not installed: it is part of OpenSSH, 8.0 or later."
        )
    return found


def _reason(done: "subprocess.CompletedProcess[bytes]") -> str:
    output = done.stderr.strip() or done.stdout.strip()
    lines = output.decode("utf-8", "replace").splitlines()
    return one_line(lines[-1], 200).rstrip(".") if lines else f"exit code {done.returncode}"
