"""Creates a run in the store exactly once, even when requests or responses are lost.

MLflow assigns run IDs itself, so a lost response to a create request leaves a run that no client
knows; MLflow's own client would repeat that request, and leave two. Here a run has a uid before the
store is asked. It is a tag of the run, by which it is searched for before and after.
"""

import logging
from typing import Any
from urllib.parse import urlsplit

from samerun import tags as tag
from samerun.errors import UserError
from samerun.tracking import store
from samerun.tracking.delivery.faults import is_refusal
from samerun.tracking.delivery.lines import Line

_log = logging.getLogger(__name__)


def find_or_create(client: Any, uri: str, uid: str, start: Line) -> tuple[str, str]:
    """Returns the IDs of a run and of its experiment; both are created if they are not there.

    Args:
        client: an `MlflowClient`.
        uri: its store.
        uid: the run's tag `samerun.uid`.
        start: `name`, `experiment` (its name), `tags` and `start_time` of the run.

    Raises:
        Exception: the store is unavailable, or refuses.
    """
    _check(start)
    experiment = store.experiment_id(client, start["experiment"])
    found = _find(client, experiment, uid)
    if not found:
        try:
            found = [_create(client, uri, experiment, {**start["tags"], tag.UID: uid}, start)]
        except Exception as error:
            if is_refusal(error):
                raise
            found = _find(client, experiment, uid)  # perhaps only the response was lost
            if not found:
                raise
    if len(found) == 1 and urlsplit(uri).scheme in store.SERVERS:
        found = _find(client, experiment, uid) or found  # a proxy may have sent the request twice
    kept, *doubled = sorted(found)  # every process keeps the same one
    for run_id in doubled:
        _log.warning("The tracking store created run %s twice; %s is deleted.", kept, run_id)
        client.delete_run(run_id)
    return kept, experiment


def _check(start: Line) -> None:
    tags = start.get("tags")
    texts = [start.get("name"), start.get("experiment"), *(tags or {}).items()]
    flat = [part for text in texts for part in (text if isinstance(text, tuple) else (text,))]
    if (
        not isinstance(tags, dict)
        or not all(isinstance(text, str) for text in flat)
        or type(start.get("start_time")) is not int
    ):
        raise UserError("outbox.jsonl: received a first line that samerun did not write.")


def _find(client: Any, experiment: str, uid: str) -> list[str]:
    if not uid.isalnum():
        raise UserError(f"{tag.UID}: received '{uid}', expected 32 hex digits.")
    found = client.search_runs([experiment], f"tags.`{tag.UID}` = '{uid}'", max_results=100)
    return [str(run.info.run_id) for run in found if run.data.tags.get(tag.UID) == uid]


def _create(client: Any, uri: str, experiment: str, tags: dict[str, str], start: Line) -> str:
    if urlsplit(uri).scheme in store.SERVERS:
        return _create_once(uri, experiment, tags, start)
    made = client.create_run(
        experiment, start_time=start["start_time"], run_name=start["name"], tags=tags
    )
    return str(made.info.run_id)


def _create_once(uri: str, experiment: str, tags: dict[str, str], start: Line) -> str:
    """Sends one request: `MlflowClient` repeats it when a response is lost."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    endpoint = "/api/2.0/mlflow/runs/create"
    body = {
        "experiment_id": experiment,
        "user_id": tags.get("mlflow.user", "unknown"),
        "start_time": start["start_time"],
        "run_name": start["name"],
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }
    answer = http_request(get_default_host_creds(uri), endpoint, "POST", max_retries=0, json=body)
    try:
        return str(verify_rest_response(answer, endpoint).json()["run"]["info"]["run_id"])
    except (KeyError, TypeError, ValueError) as error:
        raise MlflowException(f"The answer to {endpoint} is not in a valid JSON format") from error
