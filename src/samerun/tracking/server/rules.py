"""What `samerun server` refuses on top of MLflow's own permissions, in the server's processes.

MLflow 3.17 lets every account, even one without any permission, create experiments whose artifacts
are in a folder of the server's machine that the request names, start language-model jobs, and use
an assistant that runs commands as the server's owner when the request comes from the same machine.
None of it is needed to track training runs.
"""

import re
from typing import Any

# Language-model features: proxies to providers, jobs, an assistant with a shell, demo data; and
# webhooks, which make the server send requests to addresses of an account's choice.
_CLOSED = re.compile(
    r"/gateway/|/(ajax-api|api)/[\d.]+/(jobs\b|mlflow/("
    r"assistant|demo|gateway|genai|issues|jobs|mcp-servers|promptlab|runs/create-promptlab-run|"
    r"scorer|webhooks))"
)
_READS = re.compile(r"/(search[a-z-]*|graphql|get-latest-versions|get-history-bulk|batch-get)$")
_OWN_PASSWORD = "/mlflow/users/update-password"  # MLflow lets an account change its own only


def authenticate() -> Any:
    """MLflow's `authorization_function`: its basic authentication, then what is never allowed.

    Returns:
        The caller's name and password, or a response that refuses the request.
    """
    from flask import make_response, request
    from mlflow.server.auth import authenticate_request_basic_auth
    from werkzeug.datastructures import Authorization

    known = authenticate_request_basic_auth()
    if not isinstance(known, Authorization):
        return known
    path = re.sub("/+", "/", request.path)
    body = request.get_json(force=True, silent=True) if path.endswith("experiments/create") else {}
    reason = refusal(request.method, path, body) or (
        None if is_read(request.method, path) or may_write(str(known.username)) else "read only"
    )
    return make_response(f"Permission denied: {reason}.", 403) if reason else known


def refusal(method: str, path: str, body: Any) -> str | None:
    """Returns why a request is refused for every user, or None.

    Args:
        method: the HTTP method.
        path: the path of the request.
        body: what was sent to `experiments/create`, as JSON.
    """
    if _CLOSED.match(path):
        return "samerun server has switched this part of MLflow off"
    if method == "POST" and path.endswith("experiments/create"):
        given = {key for key, value in body.items() if value} if isinstance(body, dict) else {""}
        if not given <= {"name", "tags"}:
            return "an experiment has a name and tags; where its artifacts are, the server decides"
    return None


def is_read(method: str, path: str) -> bool:
    """Whether a request changes nothing, or only the caller's own password."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return True
    if method == "POST":
        return bool(_READS.search(path))
    return method == "PATCH" and path.endswith(_OWN_PASSWORD)


def may_write(name: str) -> bool:
    """Whether an account is an administrator's or has any grant that allows changes."""
    from mlflow.server.auth import store
    from mlflow.server.auth.permissions import VALID_RESOURCE_TYPES, get_permission
    from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

    user = store.get_user(name)
    if user.is_admin:
        return True
    grants = store.list_grants(user.id, DEFAULT_WORKSPACE_NAME, VALID_RESOURCE_TYPES)
    return any(get_permission(grant.permission).can_update for grant in grants)
