"""How a run can end without it being a bug of ours."""

from samerun.config import UserError, is_out_of_memory

USER_ERROR, FAILED, INTERRUPTED, READER_LEFT, TERMINATED = 2, 1, 130, 141, 143
"""Exit codes."""


_MOST_LETTERS = 2000


def _harmless(text: str) -> str:
    """Returns a sentence without what a terminal would obey: a cell of a file may stand in it."""
    shown = "".join(letter if letter.isprintable() else "�" for letter in text[:_MOST_LETTERS])
    return shown + ("…" if len(text) > _MOST_LETTERS else "")


def how_it_ended(error: BaseException) -> tuple[int, str] | None:
    """Returns exit code and sentence for the ends that are no bug of ours, `None` for others."""
    name = type(error).__name__
    if isinstance(error, UserError):
        return USER_ERROR, _harmless(str(error))
    if name == "Terminated":
        return TERMINATED, "terminated; the run is marked KILLED."
    if name == "SweepFailed":
        return FAILED, str(error)
    if name == "Diverged":
        return FAILED, (
            f"{error}. The run is marked FAILED; a smaller optimizer.learning_rate or "
            "optimizer.clipnorm=1 often helps, or training.on_nan=restore_and_lower_lr."
        )
    if is_out_of_memory(error):
        return FAILED, (
            "out of memory. The run is marked FAILED; a smaller dataset.batch_size or model helps, "
            "or training.on_memory=halve_batch."
        )
    return None
