"""The provenance of a run: code, environment and machine, as plain values."""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from samerun import git, uncommitted
from samerun.redaction import redact

_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTHONHASHSEED", "KERAS_BACKEND")
_PREFIXES = tuple(f"TF_{word}" for word in ("ENABLE_", "DISABLE_", "XLA_", "NUM_", "GPU_"))
_PREFIXES += ("TF_CUDNN_", "TF_DETERMINISTIC_", "TF_FORCE_", "TF_USE_", "ONEDNN_", "MKL_", "XLA_")
# An allow-list: the whole environment would record tokens and passwords. All of `TF_`
# would too: Terraform has its own in `TF_TOKEN_…` and `TF_VAR_…`.

_INSTRUCTIONS = "sse4_2 avx avx2 fma avx_vnni avx512f avx512_vnni avx512_bf16 amx_tile asimd sve"
# oneDNN and Eigen choose their kernels, and with them the order of sums, by these.

_FIRST_LINES = re.compile(r"(?m)^(Name|Version):(.*)$")


@dataclass(frozen=True, kw_only=True)
class Code:
    """The state of the source code.

    Args:
        commit: hash of the checked-out commit, `None` outside a git checkout.
        branch: its branch, `None` where there is none.
        diff: patch from the commit to the working tree, new files included; empty when clean.
        left_out: changed and new files that are not in the patch, and why.
        digest: SHA-256 over the paths and contents of the package's own source files.
    """

    commit: str | None
    branch: str | None
    diff: str
    left_out: dict[str, str]
    digest: str

    @property
    def is_dirty(self) -> bool:
        """Whether the working tree differs from the commit."""
        return bool(self.diff or self.left_out)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine, as far as it can change a result or its speed.

    Args:
        host: its name in the network.
        system: operating system and release.
        processor: the model's name.
        instructions: sets of vector instructions, such as avx2, that TensorFlow chooses kernels by.
        gpus: models of the graphics cards.
        num_cores: cores of the machine.
        memory_bytes: physical memory.
    """

    host: str
    system: str
    processor: str
    instructions: tuple[str, ...]
    gpus: tuple[str, ...]
    num_cores: int
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The provenance of a run, besides its config and its data.

    Args:
        command: the command line, as it could be repeated.
        code: state of the source code.
        python: version of the interpreter.
        packages: installed distributions and their versions.
        tensorflow_build: SHA-256 of TensorFlow's own library, as its wheel states it; two wheels of
            one version may be built for different processors.
        environment: the environment variables that can change a result.
        machine: the machine.
    """

    command: str
    code: Code
    python: str
    packages: dict[str, str]
    tensorflow_build: str | None
    environment: dict[str, str]
    machine: Machine


def collect(command: str, folder: Path | None = None) -> Provenance:
    """Collects the provenance of a run that starts now.

    Args:
        command: the command line, as it could be repeated.
        folder: where to search for the user's git checkout, the working folder by default.
    """
    names = {name for name in os.environ if name.startswith(_PREFIXES)} | set(_ENVIRONMENT)
    installed = _installed()
    return Provenance(
        command=redact(command),
        code=_code(folder or Path.cwd()),
        python=platform.python_version(),
        packages=dict(_packages(installed)),
        tensorflow_build=_tensorflow_build(installed),
        environment={
            name: redact(os.environ[name]) for name in sorted(names) if name in os.environ
        },
        machine=_machine(),
    )


def packages() -> dict[str, str]:
    """Returns the installed distributions and their versions, sorted by name."""
    return dict(_packages(_installed()))


def distributions_of(modules: Collection[str]) -> list[str]:
    """Returns the installed distributions that have these top-level modules, without samerun.

    Args:
        modules: their names, as they are imported.
    """
    if not modules:
        return []
    return sorted(_with_modules(_installed(), frozenset(modules)) - {"samerun"})


def normalized(name: str) -> str:
    """Returns a distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(name: str) -> set[str]:
    """Returns the normalized names of what an installed distribution needs, without its extras.

    Raises:
        importlib.metadata.PackageNotFoundError: it is not installed.
    """
    lines = importlib.metadata.requires(name) or []
    kept = [line for line in lines if "extra ==" not in line]
    return {normalized(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]) for line in kept}


def _installed() -> tuple[tuple[str, int], ...]:
    """Returns the folders of the installed distributions and when each changed last.

    It takes 2 ms. Equal values mean equal packages: a sweep's worker reads their files only once.
    """
    return tuple(
        (entry.path, entry.stat().st_mtime_ns)
        for path in sys.path
        if os.path.isdir(path)
        for entry in os.scandir(path)
        if entry.name.endswith((".dist-info", ".egg-info"))
    )


@functools.lru_cache(maxsize=1)
def _with_modules(installed: tuple[tuple[str, int], ...], modules: frozenset[str]) -> set[str]:
    """Returns the names of the distributions that have one of these top-level modules.

    As `importlib.metadata.packages_distributions` of Python 3.11, which takes 0.29 s instead of
    0.02 s for 240 distributions: it makes a path of each of their files.
    """
    names = "|".join(map(re.escape, modules))
    file_of_one = re.compile(rf"(?m)^(?:{names})(?:/[^,\n]*)?\.py,")
    found = set()
    for one in importlib.metadata.distributions():
        declared = (one.read_text("top_level.txt") or "").split()
        if modules.intersection(declared) or (
            not declared and file_of_one.search(one.read_text("RECORD") or "")
        ):
            found.add(_name_and_version(one)[0])
    return found


@functools.lru_cache(maxsize=1)
def _packages(installed: tuple[tuple[str, int], ...]) -> dict[str, str]:
    found = dict(map(_name_and_version, importlib.metadata.distributions()))
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _name_and_version(one: importlib.metadata.Distribution) -> tuple[str, str]:
    """Reads only these two lines: all metadata of 240 distributions, read twice, takes 0.2 s."""
    text = one.read_text("METADATA") or ""
    lines = _FIRST_LINES.findall(text.partition("\n\n")[0])
    found = {key: value.strip() for key, value in reversed(lines)}  # the first of each counts
    if len(found) < 2:
        return one.metadata["Name"], one.version
    return found["Name"], found["Version"]


def digest_of_files(files: Sequence[Path], root: Path) -> str:
    """Returns one SHA-256, in hex, over the paths below `root` and the contents of the files."""
    return _digest_of({p.relative_to(root).as_posix(): digest_of_file(p) for p in sorted(files)})


def _digest_of(digests: Mapping[str, str]) -> str:
    lines = [f"{name} {digest}\n" for name, digest in digests.items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def package_files() -> dict[str, str]:
    """Returns the SHA-256, in hex, of each of the package's own source files, by `samerun/…`."""
    return dict(_digests(tuple(sorted(_states(os.path.dirname(__file__))))))


def _states(folder: str) -> Iterator[tuple[str, int, int, int]]:
    """Yields path and state of each source file in a folder, in half of `pathlib`'s time."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _states(entry.path)
            elif entry.name.endswith(".py"):
                state = os.stat(entry.path)  # that of an entry has no inode on Windows
                yield entry.path, state.st_ino, state.st_size, state.st_mtime_ns


@functools.lru_cache(maxsize=1)
def _digests(files: tuple[tuple[str, int, int, int], ...]) -> dict[str, str]:
    """Returns the digests of the package's files in these states, which were read once."""
    top, paths = Path(__file__).parents[1], sorted(Path(path) for path, *_ in files)
    return {path.relative_to(top).as_posix(): digest_of_file(path) for path in paths}


def digest_of_file(path: Path) -> str:
    """Returns the SHA-256, in hex, of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def identity(config: str, code: Mapping[str, str], data: Mapping[str, str]) -> str:
    """Returns the fingerprint of a run, equal for equal runs.

    Args:
        config: `config.fingerprint` of its config.
        code: SHA-256 of each source file, by its path: the package's and the user's own.
        data: SHA-256 of each split's full content.
    """
    parts = {"config": config, "code": dict(code), "data": dict(data)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@functools.lru_cache(maxsize=1)
def _tensorflow_build(installed: tuple[tuple[str, int], ...]) -> str | None:
    for name in ("tensorflow", "tensorflow_cpu", "tensorflow_intel", "tensorflow_rocm"):
        try:
            record = importlib.metadata.distribution(name).read_text("RECORD") or ""
        except importlib.metadata.PackageNotFoundError:
            continue
        for line in record.splitlines():
            path, _, rest = line.partition(",sha256=")
            if rest and Path(path).name.startswith(("libtensorflow_cc", "_pywrap_tensorflow_int")):
                return rest.partition(",")[0]
    return None


def _code(folder: Path) -> Code:
    files = package_files()
    digest = _digest_of({name.removeprefix("samerun/"): files[name] for name in files})
    commit = git.output(folder, "rev-parse", "HEAD")
    if commit is None:
        return Code(commit=None, branch=None, diff="", left_out={}, digest=digest)
    top = Path(git.output(folder, "rev-parse", "--show-toplevel") or folder)
    changes = uncommitted.collect(top)
    return Code(
        commit=commit,
        branch=git.output(folder, "symbolic-ref", "--short", "HEAD"),
        diff=changes.patch,
        left_out=changes.left_out,
        digest=digest,
    )


def _machine() -> Machine:
    return Machine(
        host=platform.node(),
        system=platform.platform(),
        processor=_cpuinfo("model name") or platform.processor() or platform.machine(),
        instructions=_instructions(),
        gpus=_gpus(),
        num_cores=os.cpu_count() or 1,
        memory_bytes=_memory_bytes(),
    )


def _cpuinfo(key: str) -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(key))
    return next(values, None)


def _instructions() -> tuple[str, ...]:
    known = (_cpuinfo("flags") or _cpuinfo("Features") or "").split()
    return tuple(name for name in _INSTRUCTIONS.split() if name in known)


def _gpus() -> tuple[str, ...]:
    """The models that NVIDIA's driver lists; no process or library is started for it."""
    found = []
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = file.read_text(errors="replace").splitlines()
        found += [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]
    return tuple(found)


def _memory_bytes() -> int:
    if sys.platform == "win32":
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
