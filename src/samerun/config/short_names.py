"""Settings in a few characters, for names of runs and of trials."""

LONGEST = 20
"""Characters of one setting; MLflow's list of runs shows about as many of a name."""

_MOST_DIGITS = (4, 3, 2)


def short_setting(key: str, value: str) -> str:
    """Returns a setting such as `dropout=0.3`, in at most 20 characters.

    A number keeps as many digits as fit, two at least; what is cut is marked with `…`.

    Args:
        key: the key without its groups.
        value: its value as it is displayed.
    """
    room = LONGEST - len(key) - 1
    if len(value) > room and _is_fraction(value):
        shorter = [text for digits in _MOST_DIGITS for text in _rounded(float(value), digits)]
        value = next((text for text in shorter if len(text) <= room), shorter[-1])
    if len(value) <= room:
        return f"{key}={value}"
    value = short_word(value, max(room, LONGEST // 2))
    return f"{short_word(key, LONGEST - 1 - len(value))}={value}"


def short_word(text: str, longest: int = LONGEST) -> str:
    """Returns a text, cut where it is longer than `longest`."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _rounded(value: float, digits: int) -> tuple[str, str]:
    """Returns a number with some digits, plainly and with an exponent: 0.00016 and 1.6e-4."""
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{value:.{digits}g}", f"{mantissa}e{int(exponent)}"


def _is_fraction(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return not text.lstrip("+-").isdigit()
