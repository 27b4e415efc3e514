"""The fingerprint of a run: its config's meaning, its code and its data; no names or paths."""

from collections.abc import Mapping
from pathlib import Path

from samerun import provenance
from samerun.config import Config, fingerprint
from samerun.user_code import components_of, files_of, imports_of, targets

PACKAGE = "samerun/"
"""The start of the paths of the package's own files."""


def code_files(cfg: Config) -> dict[str, str]:
    """Returns the SHA-256 of each source file a run depends on, by path.

    These are the files of the package and, where the config names functions of the user's own,
    their modules and what those import from beside them.

    Args:
        cfg: the run's config.
    """
    own = {path: provenance.digest_of_file(file) for path, file in own_files(cfg).items()}
    return {**own, **provenance.package_files()}


def own_files(cfg: Config) -> dict[str, Path]:
    """Returns the files of the user's own code that the config leads to, by path."""
    return files_of([*targets(cfg).values(), *components_of(cfg)])


def own_packages(cfg: Config) -> list[str]:
    """Returns the installed distributions that the user's own code imports."""
    return provenance.distributions_of(imports_of([*targets(cfg).values()]))


def of_run(cfg: Config, data: Mapping[str, str], code: Mapping[str, str] | None = None) -> str:
    """Returns the fingerprint of a run: SHA-256 over its config's meaning, its code and its data.

    Args:
        cfg: the run's config.
        data: SHA-256 of each split's full content, as `data.Data.fingerprint` or `data.digests`
            have them.
        code: `code_files(cfg)`, if they have been read before.
    """
    files = code_files(cfg) if code is None else code
    return provenance.identity(fingerprint(cfg), files, data)
