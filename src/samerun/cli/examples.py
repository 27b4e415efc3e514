"""What the help of each command and its reference show: lines to type, and the page about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Examples:
    """Examples of a command.

    Args:
        page: the file in `docs/` that explains more.
        commands: what to type after `samerun`, each with what it does.
    """

    page: str
    commands: tuple[tuple[str, str], ...]

    def lines(self) -> list[str]:
        """Returns each command as a line with its comment, in two columns."""
        typed = [f"samerun {command}" for command, _ in self.commands]
        width = max(map(len, typed))
        comments = [comment for _, comment in self.commands]
        return [f"{one:<{width}}  # {why}" for one, why in zip(typed, comments, strict=True)]


_HOW_TO = "docs/how-to"
EXAMPLES = {
    "train": Examples(
        f"{_HOW_TO}/compose.md",
        (
            ("train", "a CNN on handwritten digits"),
            ("train model=mlp optimizer=sgd optimizer.momentum=0.9", "other options and values"),
            ("train seeds=5", "five seeds, their mean and interval"),
            ("train -m model=mlp,cnn schedule=constant,cosine", "every combination, one run each"),
            ("train -m sweep=regularisation sweep.study=night", "a sweep; run it again to resume"),
        ),
    ),
    "runs": Examples(
        f"{_HOW_TO}/find-runs.md",
        (
            ("runs --sort test/accuracy", "the best first"),
            ("runs \"params.model = 'cnn'\" --csv", "of one model, as CSV"),
        ),
    ),
    "show": Examples(
        f"{_HOW_TO}/find-runs.md",
        (
            ("show latest", "the newest run"),
            ("show best:test/accuracy", "the best run"),
        ),
    ),
    "resume": Examples(
        f"{_HOW_TO}/preemption.md",
        (
            ("resume latest", "from its last checkpoint"),
            ("resume 6e75 training.epochs=40 --fork", "train longer, as a new run"),
        ),
    ),
    "reproduce": Examples(
        f"{_HOW_TO}/share-a-run.md",
        (
            ("reproduce 6e75", "train it again"),
            ("reproduce 6e75 --check", "can it be reproduced here?"),
        ),
    ),
    "bundle": Examples(
        f"{_HOW_TO}/share-a-run.md",
        (
            ("bundle 6e75 run.zip", "config, code, results"),
            ("bundle 6e75 run.zip --data", "and the data"),
        ),
    ),
    "unbundle": Examples(
        f"{_HOW_TO}/share-a-run.md",
        (
            ("unbundle run.zip", "read it"),
            ("unbundle run.zip --verify-key keys", "if one of these signed it"),
        ),
    ),
    "verify": Examples(
        f"{_HOW_TO}/share-a-run.md",
        (
            ("verify", "what pyproject.toml lists"),
            ("verify runs/digits.zip", "one bundle"),
        ),
    ),
    "compare": Examples(
        f"{_HOW_TO}/compare.md",
        (
            ("compare 6e75 33f9", "two runs"),
            ("compare 6e75 33f9 --html page.html", "as a page"),
        ),
    ),
    "diff": Examples(
        f"{_HOW_TO}/compare.md",
        (
            ("diff 6e75 33f9", "what differs"),
            ("diff latest latest~1 --json", "for a program"),
        ),
    ),
    "table": Examples(
        f"{_HOW_TO}/compare.md",
        (
            ("table --by model --metric test/accuracy", "on the screen"),
            ("table --by model --metric test/loss --latex", "for a paper"),
        ),
    ),
    "predict": Examples(
        f"{_HOW_TO}/use-a-model.md",
        (
            ("predict 6e75 new.csv -o out.csv", "rows of a file"),
            ("predict latest photos", "a folder of images"),
        ),
    ),
    "generate": Examples(
        f"{_HOW_TO}/use-a-model.md",
        (
            ('generate 6e75 --prompt "the class"', "40 tokens"),
            ('generate 6e75 --prompt "the" --top-k 5', "less random"),
        ),
    ),
    "evaluate": Examples(
        f"{_HOW_TO}/use-a-model.md",
        (
            ("evaluate 6e75 dataset.path=new.csv", "another file"),
            ("evaluate latest dataset.path=photos", "another folder"),
        ),
    ),
    "serve": Examples(
        f"{_HOW_TO}/use-a-model.md",
        (
            ("serve 6e75", "on port 5001"),
            ("serve latest --port 8000", "the newest run"),
        ),
    ),
    "export": Examples(
        f"{_HOW_TO}/export-and-promote.md",
        (
            ("export 6e75 --format onnx", "checked against the run"),
            ("export 6e75 --format tflite --quantize", "8-bit integers"),
        ),
    ),
    "promote": Examples(
        f"{_HOW_TO}/export-and-promote.md",
        (
            ("promote 6e75 --as champion", "unless it is worse"),
            ("promote 6e75 --as champion --card", "with its model card"),
        ),
    ),
    "ui": Examples(
        f"{_HOW_TO}/find-runs.md",
        (
            ("ui", "all runs"),
            ("ui night --port 5002", "the trials of a study"),
        ),
    ),
    "server": Examples(
        f"{_HOW_TO}/server.md",
        (
            ("server --allowed-hosts runs.example.org", "behind a proxy"),
            ("server add-user ada", "an account"),
        ),
    ),
    "tensorboard": Examples(
        f"{_HOW_TO}/find-runs.md",
        (
            ("tensorboard", "the latest runs"),
            ("tensorboard 6e75 33f9", "two runs"),
        ),
    ),
    "sync": Examples(
        f"{_HOW_TO}/server.md",
        (
            ("sync --all", "deliver what is missing"),
            ("sync --check --all", "only compare"),
        ),
    ),
    "gc": Examples(
        f"{_HOW_TO}/retention.md",
        (
            ("gc --dry-run", "only list"),
            ("gc --older-than 30d", "delete checkpoints"),
        ),
    ),
    "init": Examples(
        f"{_HOW_TO}/own-project.md",
        (
            ("init my_project", "a new folder"),
            ("init .", "this folder, if it is empty"),
        ),
    ),
    "experiments": Examples(
        f"{_HOW_TO}/compose.md",
        (
            ("experiments", "all of them"),
            ("experiments --markdown", "as a page"),
        ),
    ),
    "completion": Examples(
        f"{_HOW_TO}/first-steps.md",
        (
            ("completion zsh", "the script for zsh"),
            ("completion fish", "the script for fish"),
        ),
    ),
}
"""By the name of the command."""
