"""What the how-to pages say to type, and which test types it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("docs/how-to/*.md"))
NOT_TYPED = {
    r"^export |^read -rs|^source ": "changes the reader's shell",
    r"pip install|^python3? -m (venv|build)|^dashboard/": "installs packages",
    r"^make train test$": "installs packages",
    r"sweep\.cluster=(slurm|tls)|tls://|--tls": "needs a cluster: tests/system/test_executors.py",
    r"sweep\.cluster|^dask |10\.0\.0\.1": "needs two machines: tests/system/test_cluster.py",
    r"^createdb": "changes a database server",
    r"^chgrp|^chmod g": "needs a group of the system",
    r"…|\[-|\bFILE\b|=MORE\b": "has a part that the reader chooses",
    r"sampler=gp": "needs samerun[gp]: tests/unit/test_search_samplers.py",
    r"add-user|set-password": "asks for a password: tests/system/test_server.py",
    r" /data/": "needs that folder: tests/system/test_cluster.py",
    r"--sign|--verify-key": "needs a key: tests/unit/test_bundle.py",
    r"completion (zsh|fish)": "needs that shell: tests/system/test_completion.py",
    r"--take-over": "needs a second machine: tests/training/test_resume.py",
    r"--code": "needs a checkout with a commit: tests/training/test_reproduce.py",
    r"^curl": "needs the server: tests/programs/five_doors.py",
    r"samerun generate": "needs a language model: tests/training/test_predict.py",
    r"samerun export .*new/place": "needs data that was moved: tests/training/test_export.py",
}
"""Commands of pages that no walk types: a pattern, and the reason or what tests it."""
NOT_TYPED_QUICKLY = {
    r"samerun (ui|tensorboard)\b": "tests/system/test_ui.py",
    r"samerun serve\b": "tests/system/test_serve.py",
    r"samerun server\b": "tests/system/test_server.py",
    r"samerun export .*(onnx|openvino|tflite|saved_model)": "tests/training/test_export.py",
    r"wilcoxon|sweep=grid .*folds|-m seed=0,1 folds": "tests/training/test_instances.py",
    r"(?<!\.)\bworkers=[25]\b": "tests/training/test_instances.py",
    r"sweep=pareto|sweep\.constraints|sweep\.budget": "tests/training/test_sweeper.py",
}
"""Those that `readme_walk.py --quick` leaves out too: servers, and what takes longest."""
READS = re.compile(
    r"samerun (runs|show|diff|compare|experiments|completion|gc --dry-run|train .*--(help|cfg)) ?"
)
"""Commands that only read: the unit tests type them on recorded runs."""
IMPORTS_MUCH = "--examples"
"""What makes a command that only reads import TensorFlow, to read the data: the walk types it."""
NOT_RUN = {
    "load_export": "needs an export: tests/training/test_export.py",
    "@component": "is a part of a file: tests/training/test_own_parts_trained.py",
    "def stripe": "is a part of a file: tests/training/test_own_parts_trained.py",
}
"""Blocks of Python that no walk runs: a part of it, and the reason."""


def page_commands(text):
    """Yields the commands of a page: those of its blocks, then those of its tables and sentences.

    Args:
        text: the page.
    """
    for language, block in re.findall(r"(?ms)^```(\w*)\n(.*?)^```", text):
        if language not in ("", "bash", "console") or block.startswith("#!"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            command = re.split(r"\s+# ", line.removeprefix("$ "))[0].strip()
            typed = r"(samerun|make|eval|export|curl|cd|ch\w+) "
            if command and (language == "bash" or re.match(typed, command)):
                yield " ".join(command.split())
    # What is only the name of a command, as in "`samerun resume` refuses", is not typed.
    outside = re.sub(r"(?ms)^```.*?^```", "", text)
    for command in re.findall(r"(?<!`)`((?:samerun|make)\s[\w-]+\s[^`]+)`", outside):
        yield " ".join(command.replace("\\|", "|").split())


def files_of(text):
    """Yields the path and the content of each block of a page that begins with a path."""
    for block in re.findall(r"(?ms)^```(?:python|yaml|toml)\n(.*?)^```", text):
        found = re.match(r"(?:# @package _global_\n)?# ([\w./-]+\.(?:py|yaml))\b", block)
        if found:
            yield found[1], block
        elif "def smooth(" in block:  # custom-components.md names the file in its text
            yield "my_code.py", block


def python_of(text):
    """Yields the blocks of Python of a page that are typed one after the other, and no file."""
    files = {content for _, content in files_of(text)}
    for block in re.findall(r"(?ms)^```python\n(.*?)^```", text):
        if block not in files and not reason(block, NOT_RUN):
            yield block


def reason(text, table):
    """Returns the reason of a table not to type or run something; empty if there is none."""
    return next((why for part, why in table.items() if re.search(part, text)), "")


def is_typed_on_recorded_runs(command):
    """Returns whether the unit tests type a command."""
    return (
        bool(READS.match(command))
        and not reason(command, NOT_TYPED)
        and IMPORTS_MUCH not in command
    )


def why_not_typed(command, *, is_quick):
    """Returns why a walk does not type a command, or what types it instead; empty if it does.

    Args:
        command: of a page.
        is_quick: for the walk that leaves out what another test types.
    """
    why = reason(command, NOT_TYPED)
    if not why and is_quick:
        if is_typed_on_recorded_runs(command):
            return "tests/unit/test_how_to.py"
        return reason(command, NOT_TYPED_QUICKLY)
    return why
