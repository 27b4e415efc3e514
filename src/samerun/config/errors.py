"""The one kind of error that is the user's to mend, and its wording."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the person at the terminal can put right.

    The message is one sentence that says what was received, what was expected and what to do. The
    command line prints it without a traceback and exits with code 2.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns ` Did you mean 'x'?` for the closest of `known`, or an empty string.

    Args:
        word: what was received.
        known: the words that would have been understood. A dotted key is also compared by its
            last part, so that `model.droput` finds `model.dropout`.
    """
    candidates = list(known)
    close = get_close_matches(word, candidates, n=1, cutoff=0.6)
    if not close and "." in word:
        last = word.rsplit(".", 1)[1]
        by_last = {name.rsplit(".", 1)[-1]: name for name in candidates}
        close = [by_last[name] for name in get_close_matches(last, by_last, n=1, cutoff=0.6)]
    return f" Did you mean '{close[0]}'?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Returns the names as `a, b, c` for use in a sentence."""
    return ", ".join(names)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception is Python's or TensorFlow's for memory that has run out.

    TensorFlow's is known by its name, so that nothing has to be imported to ask.
    """
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
