"""Patience with a store that is unavailable for a while."""

import logging
import time
from typing import final

AWAY_SECONDS = 600.0
"""How long a store may be unavailable, as long as a server may take to be restarted."""
PAUSE_SECONDS = 2.0
"""Between two attempts to reach it."""

_log = logging.getLogger(__name__)


@final
class Outage:
    """Whether a store is unavailable at the moment, and for how long it has been."""

    def __init__(self) -> None:
        self._since: float | None = None

    def note(self, message: str) -> bool:
        """Notes a failed attempt to reach a store, and reports the first one.

        Args:
            message: what the store raised, on one line.

        Returns:
            Whether it has been unavailable for longer than a sweep waits.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
            text = "A store is away: what is being trained goes on, and it is tried again (%s)."
            _log.warning(text, message)
        return now > self._since + AWAY_SECONDS

    def end(self) -> None:
        """Reports that the store is available again, if it was not."""
        if self._since is not None:
            _log.warning("The store is back: the sweep goes on.")
            self._since = None

    @staticmethod
    def pause() -> None:
        """Waits until the next attempt."""
        time.sleep(PAUSE_SECONDS)
