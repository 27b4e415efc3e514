"""The level table of the package: imports only downward, one owner for each heavy library."""

import ast
import builtins
import functools
from collections.abc import Iterator
from pathlib import Path

import samerun
from hydra_plugins import samerun_sweeper
from samerun import errors
from samerun.levels import MODULES

ROOT = Path(samerun.__file__).parent
PLUGIN = Path(samerun_sweeper.__file__).parent

LEVELS = {name: module.level for name, module in MODULES.items()} | {"hydra_plugins": 13}

OWNERS = {
    "hydra": {"launch", "config", "search", "sweeper", "cli", "hydra_plugins"},
    "omegaconf": {"launch", "config", "search", "sweeper", "cli", "hydra_plugins"},
    "mlflow": {
        "tracking",
        "sweeper",  # there to be imported before a trial's clock runs
        "raw_model",  # runs inside MLflow's scoring server, and refuses with its exception
        "serving",
    },
    "optuna": {"search", "report", "sweeper"},
    "distributed": {"sweeper"},
    "plotly": {"report"},
    "tensorflow": {
        "data",
        "determinism",
        "models",  # the gradient tape of a training step of its own
        "losses",  # the gradient of a loss of the user's own, which is checked once
        "raw_model",
        "serving",
    },
    "keras": {
        "models",
        "losses",
        "optim",
        "callbacks",
        "training",
        "steps_per_execution",
        "determinism",
        "data",  # the loaders of keras.datasets
        "sweeper",  # a worker's fresh state between two trials
        "testing",  # builds and stores the models that it checks
        "python_api",  # loads the model of a recorded run
        "raw_model",
        "serving",
    },
    "onnxruntime": {"raw_model"},
    "openvino": {"raw_model"},
    "matplotlib": {"plots", "report"},
    "tensorboard": {"tensorboard"},
    "sklearn": {"data", "evaluation"},
    "subprocess": {"git", "replay", "cli", "serving", "testing"},
}


def module_of(path: Path) -> str:
    if path.is_relative_to(PLUGIN):
        return "hydra_plugins"
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that the file imports, at the top or inside a function, but not for types."""
    return {part for module, name in imported_names(path) for part in (module, name) if part}


@functools.cache
def nodes(path: Path) -> list[ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef]:
    """What is looked at of a file, which is parsed once; imports for types only are left out."""
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text()), False)]
    found = []
    while waiting:
        node, for_types = waiting.pop()
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        if is_import and not for_types or isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.append(node)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += [(one, True) for one in node.body]
            waiting += [(one, for_types) for one in node.orelse]
        else:
            waiting += [(one, for_types) for one in inner(node)]
    return found


def inner(node: ast.AST) -> list[ast.AST]:
    """The nodes within a node that may hold a statement: no expression does."""
    return [one for one in ast.iter_child_nodes(node) if not isinstance(one, ast.expr)]


def imported_names(path: Path) -> Iterator[tuple[str, str]]:
    """Yields each import as the module and the name out of it, both dotted."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, f"{node.module}.{alias.name}") for alias in node.names)


FILES = sorted([*ROOT.rglob("*.py"), *PLUGIN.rglob("*.py")])
SOURCE = ROOT.parent


def test_what_hydra_imports_at_every_start_is_small():
    assert sum(len(path.read_text().splitlines()) for path in PLUGIN.rglob("*.py")) <= 60


def test_imports_point_down():
    wrong = []
    for path in FILES:
        here = module_of(path)
        others = {name.split(".")[1] for name in imports(path) if name.startswith("samerun.")}
        for other in others & set(LEVELS) - {here}:
            if LEVELS[other] >= LEVELS[here]:
                wrong.append(
                    f"{path.relative_to(SOURCE)} (level {LEVELS[here]}) imports {other} "
                    f"(level {LEVELS[other]})"
                )
    assert not wrong


def test_each_heavy_library_has_its_owners():
    wrong = []
    for path in FILES:
        used = {name.split(".")[0] for name in imports(path)}
        for library, owners in OWNERS.items():
            if library in used and module_of(path) not in owners:
                wrong.append(f"{path.relative_to(SOURCE)} imports {library}")
    assert not wrong


def test_every_exception_stands_in_one_file():
    classes = {**vars(builtins), **vars(errors)}
    known = {name for name, value in classes.items() if is_exception(value)}
    for path in FILES:
        for node in nodes(path):
            # What a stored model brings along stands alone, with its one exception.
            stands_alone = path.name == "errors.py" or module_of(path) == "raw_model"
            if isinstance(node, ast.ClassDef) and not stands_alone:
                bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                assert not bases & known, f"{path.name}: {node.name} belongs into errors.py"


def is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def test_every_module_has_a_level():
    assert {module_of(path) for path in FILES} == set(LEVELS)


def test_no_file_imports_in_a_circle():
    files = {name_of(path): path for path in FILES}
    graph = {name: modules_imported(path, set(files)) for name, path in files.items()}
    for start in graph:
        assert start not in reached(graph, start), f"{start} imports itself in a circle"


def name_of(path: Path) -> str:
    dotted = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


def modules_imported(path: Path, modules: set[str]) -> set[str]:
    """Files that a file imports, inside functions too; a name out of a module is that module."""
    return {name if name in modules else module for module, name in imported_names(path)} - {
        "samerun"
    }


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [name for name in graph[start] if name in graph and name != "samerun"]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [other for other in graph[name] if other in graph and other != "samerun"]
    return seen


def test_files_and_functions_stay_short():
    wrong = []
    for path in FILES:
        place, num_lines = path.relative_to(SOURCE), path.read_text().count("\n")
        if num_lines > 500:
            wrong.append(f"{place} has {num_lines} lines")
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = node.end_lineno - body[0].lineno + 1 if body else 0
                most = 60 if (module_of(path), node.name) == ("training", "train") else 45
                if length > most:
                    wrong.append(f"{place}: {node.name} has {length} lines")
    assert not wrong
