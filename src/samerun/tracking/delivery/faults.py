"""Classifies errors of the tracking store: retry later, or never send that again."""

import json
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from samerun.errors import FileGone, StoreUnavailable, UserError

_STATUS = re.compile(r"failed with error code (\d{3})")
_NETWORK = (
    "failed with exception",  # of `requests`, as MLflow reports it
    "failed with timeout exception",
    "not in a valid JSON format",
)
_CUT_OFF = re.compile(r"failed with error code \d{3} != 200\. Response body: '\s*\{")
# A response that starts as JSON: MLflow shows the body only if it is not valid JSON.
_WAIT_FOR = (401, 404, 407, 408, 425, 429)  # 404: the run, or a proxy before the server
_STARTING = (
    "connection refused",
    "connection reset",
    "server closed the connection",
    "timed out",
    "timeout expired",
    "starting up",
    "shutting down",
    "too many clients",
    "too many connections",
    "temporary failure in name resolution",
    "database is locked",
    "remotedisconnected",
    "connection aborted",
)


def status_of(error: BaseException) -> int | None:
    """Returns the HTTP status that an error of MLflow stands for; `None` if it has none."""
    if _CUT_OFF.search(str(error)):
        return None
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(status, int):
            return status
    found = _STATUS.search(str(error))
    if found:
        return int(found[1])
    if any(fragment in str(error) for fragment in _NETWORK):
        return None
    code = getattr(error, "error_code", None)
    if code == "INVALID_STATE":  # MLflow calls that a fault of the server: it is about the run
        return 409
    of_code = getattr(error, "get_http_status_code", None)
    return int(of_code()) if of_code is not None else None


def is_refusal(error: Exception) -> bool:
    """Whether an entry was refused for good: a retry would be refused again."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, FileGone):
        return True
    if isinstance(error, UserError | json.JSONDecodeError):  # a truncated response
        return False
    if isinstance(error, MlflowException) or status_of(error) is not None:
        status = status_of(error)
        return status is not None and 400 <= status < 500 and status not in _WAIT_FOR
    return isinstance(error, OverflowError | ValueError | TypeError)  # UnicodeError is a ValueError


def is_unavailable(error: BaseException) -> bool:
    """Whether a store that failed like this may work later, without any correction by the user."""
    if any(isinstance(cause, StoreUnavailable) for cause in _causes(error)):
        return True
    if isinstance(error, UserError):
        return False
    status = status_of(error)
    if status is not None and not _is_of_database(error):
        return status >= 500 or status in (408, 425, 429)
    text = str(error)
    if _CUT_OFF.search(text):
        return True
    if any(
        fragment in text for fragment in ("CERTIFICATE_VERIFY_FAILED", "Name or service not known")
    ):
        return False
    if any(fragment in text for fragment in _NETWORK) or isinstance(
        error, ConnectionError | TimeoutError
    ):
        return True
    return any(fragment in text.lower() for fragment in _STARTING)


def _is_of_database(error: BaseException) -> bool:
    """Whether a database raised it: its message is more precise than MLflow's error code."""
    modules = ("sqlalchemy", "sqlite3", "psycopg2", "pymysql")
    return any(type(cause).__module__.split(".")[0] in modules for cause in _causes(error))


def is_locked(error: BaseException) -> bool:
    """Whether an SQLite database is locked by another process."""
    return any(isinstance(cause, sqlite3.OperationalError) for cause in _causes(error)) and any(
        fragment in str(error) for fragment in ("is locked", "is busy")
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and what it was raised from."""
    seen: list[Any] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__ or cause.__context__
