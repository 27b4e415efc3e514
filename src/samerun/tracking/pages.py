"""The pages of MLflow's UI: their addresses, and the columns of its lists.

MLflow keeps the columns of a list in the browser, and a fresh browser shows none with a value. An
address can bring others: its `viewStateShareKey` names a tag of the experiment that holds the
state of the page, which is what MLflow's own button "Share" writes.

What is read comes from a server that answers on this machine or at the address of the store; it is
only put into that same server's pages.
"""

import json
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from samerun import tags as tag
from samerun.config.root import has_meaning

_SHARED = "mlflow.sharedViewState."
_NUM_RUNS = 200
_NUM_PARAMETERS = 4
_NUM_SWEPT = 6
_THREADS = "training.int"  # of this machine
_GROUPS = ("model", "dataset", "optimizer", "schedule")
_NAME = "attributes.`Run Name`"
_LAYOUT = {"columnOrder": ["0", _NAME], "columnWidths": {"0": 50, _NAME: 250}}
_TIMEOUT = 10.0
_LIST = "samerun"

Run = Mapping[str, Any]
"""A run as MLflow's REST API returns it."""


def find_address(base: str, run_id: str | None = None) -> str:
    """Returns the address that shows a run, the trials of a sweep, or the list of runs.

    Args:
        base: address of the MLflow server, without a slash at the end.
        run_id: the run; `None` for the list in which the latest run is.

    Raises:
        OSError: the server does not answer.
    """
    if run_id is None:
        experiments = _call(base, "experiments/search", {"max_results": 1000})
        ids = [one["experiment_id"] for one in experiments.get("experiments", [])]
        latest = _search(base, ids, max_results=1)
        if not latest:
            return plain_address(base)
        experiment = latest[0]["info"]["experiment_id"]
        runs = _search(base, [experiment])
        return _list_address(base, experiment, _LIST, _list_state(runs))
    query = urlencode({"run_id": run_id})
    run = _call(base, f"runs/get?{query}", None)["run"]
    experiment = run["info"]["experiment_id"]
    children = _search(base, [experiment], filter=f"tags.`mlflow.parentRunId` = '{run_id}'")
    if not children:
        return plain_address(base, (experiment, run_id))
    objectives = _data(run, "tags").get(tag.OBJECTIVES, "").split(", ")
    state = _compare_state(run_id, children, [name for name in objectives if name])
    return _list_address(base, experiment, f"{_LIST}.{run_id}", state, compareRunsMode="CHART")


def opener(address: str) -> urllib.request.OpenerDirector:
    """Returns what opens an address: without a proxy if it is one of this machine.

    Args:
        address: the address of a server.
    """
    name = urlsplit(address).hostname or ""
    is_here = name == "localhost" or name == "::1" or name.startswith("127.")
    proxies = [urllib.request.ProxyHandler({})] if is_here else []
    return urllib.request.build_opener(*proxies)


def plain_address(base: str, run: tuple[str, str] | None = None) -> str:
    """Returns the address of a run, given by its experiment and its ID, or of all experiments."""
    if run is None:
        return f"{base}/#/experiments?workflowType=machine_learning"
    return f"{base}/#/experiments/{quote(run[0])}/runs/{quote(run[1])}"


def _list_address(
    base: str, experiment: str, key: str, state: Mapping[str, Any], **more: str
) -> str:
    """Returns the address of a list of runs, and stores what the list shows."""
    body = {"experiment_id": experiment, "key": _SHARED + key, "value": json.dumps(state)}
    try:
        _call(base, "experiments/set-experiment-tag", body)
    except OSError:  # such as an account that may only read: MLflow's own columns are shown
        query = {"workflowType": "machine_learning", **more}
    else:
        query = {"workflowType": "machine_learning", **more, "viewStateShareKey": key}
    return f"{base}/#/experiments/{quote(experiment)}/runs?{urlencode(query)}"


def _call(base: str, path: str, body: Mapping[str, Any] | None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{base}/api/2.0/mlflow/{path}", data, {"Content-Type": "application/json"}
    )
    with opener(base).open(request, timeout=_TIMEOUT) as answer:
        return json.loads(answer.read())


def _search(
    base: str, experiments: Sequence[str], *, filter: str = "", max_results: int = _NUM_RUNS
) -> Sequence[Run]:
    body = {
        "experiment_ids": list(experiments),
        "filter": filter,
        "max_results": max_results,
        "order_by": ["attributes.start_time DESC"],
    }
    found: Sequence[Run] = _call(base, "runs/search", body).get("runs", [])
    return found


def _data(run: Run, kind: str) -> dict[str, Any]:
    return {one["key"]: one.get("value") for one in run.get("data", {}).get(kind, [])}


def _list_state(runs: Sequence[Run]) -> dict[str, Any]:
    """Returns the state of the list of all runs: two metrics, and what differs."""
    columns = [_column("metrics", name) for name in _headline(runs)]
    columns += [_column("params", name) for name in _differing(runs)[:_NUM_PARAMETERS]]
    return {"selectedColumns": columns, **_LAYOUT}


def _compare_state(parent: str, runs: Sequence[Run], objectives: Sequence[str]) -> dict[str, Any]:
    """Returns the state of the runs below a parent: parallel coordinates, and the best first."""
    metrics = [*objectives] or _headline(runs)
    varied = _differing(runs)[:_NUM_SWEPT]
    columns = [_column("metrics", name) for name in metrics]
    columns += [_column("params", name) for name in varied]
    section = "samerun"
    common = {"metricSectionId": section, "deleted": False, "isGenerated": False}
    charts: list[dict[str, Any]] = [
        {
            **common,
            "type": "PARALLEL",
            "uuid": f"{section}-parallel",
            "selectedParams": varied,
            "selectedMetrics": metrics,
            "showAllRuns": True,
        }
    ]
    return {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{parent}'",
        **_best_first(metrics[:1]),
        "selectedColumns": columns,
        **_LAYOUT,
        "isAccordionReordered": True,  # else the sections are sorted by their names
        "compareRunCharts": charts,
        "compareRunSections": [
            {
                "uuid": section,
                "name": "What was varied",
                "display": True,
                "columns": 1,
                "isReordered": False,
                "deleted": False,
                "isGenerated": False,
            }
        ],
    }


def _best_first(metrics: Sequence[str]) -> dict[str, Any]:
    from samerun.config.training import should_rise  # with all config classes

    return {
        key: value
        for name in metrics
        for key, value in (
            ("orderByKey", _column("metrics", name)),
            ("orderByAsc", not should_rise(name)),
        )
    }


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"


def _headline(runs: Sequence[Run]) -> list[str]:
    """Returns the main test metric of most runs, and the same or the loss on validation."""
    names = Counter(name for run in runs for name in _data(run, "metrics"))
    heads = [
        (count, name.removesuffix("_low"))
        for name, count in names.items()
        if name.startswith("test/") and name.endswith("_low") and "skill" not in name
    ]
    head = max(heads)[1] if heads else ""
    metric = head.removeprefix("test/")
    validation = (f"validation/best/{metric}", f"validation/{metric}", "validation/loss")
    second = next((name for name in validation if name in names), "")
    return [name for name in (head, second) if name in names]


def _differing(runs: Sequence[Run]) -> list[str]:
    """Returns the parameters that differ among the runs, those that most runs have first."""
    values: dict[str, Counter[str]] = {}
    for run in runs:
        for name, value in _data(run, "params").items():
            if has_meaning(name) and not name.startswith(_THREADS):
                values.setdefault(name, Counter())[str(value)] += 1
    varied = {name: found for name, found in values.items() if len(found) > 1}
    order = sorted(varied, key=lambda name: (name not in _GROUPS, -len(varied[name]), name))
    return sorted(order, key=lambda name: -varied[name].total())
