"""Patience with a store that is unavailable for a while."""

import logging
import time
from typing import final

PATIENCE_SECONDS = 600.0
"""How long a store may be unavailable: a server may take as long to restart."""
PAUSE_SECONDS = 2.0
"""The pause between two attempts to reach it."""

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
            text = "Store unavailable (%s). Running trials continue; retrying."
            _log.warning(text, message)
        return now > self._since + PATIENCE_SECONDS

    def end(self) -> None:
        """Reports that the store is available again, if it was not."""
        if self._since is not None:
            _log.warning("Store available again. The sweep continues.")
            self._since = None

    @staticmethod
    def pause() -> None:
        """Waits until the next attempt."""
        time.sleep(PAUSE_SECONDS)
