"""MLflow's filter language without MLflow: the same runs as MLflow finds, or MLflow is asked."""

import math
import subprocess
import sys

import pytest

from samerun import tracking
from samerun.errors import UserError
from samerun.tracking import Catalog, existing
from samerun.tracking.filters import as_condition

RUNS = [
    ("fast", {"model": "cnn", "model.units": "[32]"}, {"test/accuracy": 0.9, "loss": 0.0}),
    ("Fast", {"model": "CNN", "optimizer": "it's"}, {"test/accuracy": math.nan, "loss": -1.5}),
    ("slow", {"model": "mlp", "model.units": ""}, {"test/accuracy": 0.5, "loss": math.inf}),
    ("ünï ; -- 100%", {"model": "", "seed": "1"}, {"loss": 1e-3}),
]

READ = (
    """
metrics.loss > 0
metrics.loss >= 0 and metrics.loss <= 0.001
metrics.loss = 0
metrics.loss != 0
metrics.loss < -1
metrics.loss = 1e-3
metrics.loss > 1e300
metrics."test/accuracy" > 0.5
metrics.`test/accuracy`>0.5
metric.`test/accuracy` != 0.9
metrics.`test/accuracy` = 0
metrics.`test/accuracy` >= 0 AND params.model = 'cnn'
params.model = "cnn"
params.model="cnn"
params.model = ''
params.model = ""
params.model = '' and params.seed = ''
params.model != 'cnn'
params.model LIKE 'c%'
params.model like 'C%'
params.model ILIKE 'C_n'
params.model.units = '[32]'
params.`model.units` = '[32]'
params.optimizer = "it's"
parameters.seed = '1'
param.seed IS NULL
params.seed is not null
params.seed is  null and params.model = 'mlp'
params.seed is  not null
params.`in` is null and params.inn != '1'
tags.user = 'a;b -- c'
tags.`user` != 'a;b -- c'
tags.end = 'x'
tags.key IS NULL
tags.mlflow.runName = 'fast'
tag.unicode = 'ünï'
attributes.status = 'FINISHED'
attributes.status != "FINISHED"
attr.status LIKE 'F%'
run.status = 'FAILED' and  attributes.start_time > 1001
attributes.start_time >= 1001
attributes.end_time < 2002.5
attributes.run_name = 'fast'
attributes.run_name ILIKE 'fast'
attributes.run_name LIKE '%100%'
run_name = 'slow'
status = 'FINISHED'
start_time != 1000
attributes.user_id = 'ada'
attributes.artifact_uri LIKE '%artifacts'
""".strip().splitlines()
    + [" params.model = 'cnn'  "]
)

OTHERS = r"""
attributes.run_id IN ('a', 'b')
attributes.run_id NOT IN ('a', 'b')
datasets.name = 'digits'
attributes.`Run name` = 'fast'
attributes.created > 1
params.model = cnn
params.model > 'cnn'
params.model = 1
params.'model' = 'cnn'
params.model = 'it''s'
params.model = "a\"b"
params.model = 'cnn' or params.model = 'mlp'
params.model = 'cnn' params.model = 'mlp'
params.model = 'cnn' and
and params.model = 'cnn'
params.model = 'cnn';
params.model = 'cnn'; params.model = 'mlp'
(params.model = 'cnn')
not params.model = 'cnn'
metrics.loss = '1'
metrics.loss LIKE '1'
metrics.loss IS NULL
metrics.loss = .5
metrics.loss = 1_000
metrics.loss == 1
metrics.loss <> 1
Metrics.loss = 1
metrics. loss = 1
metrics.loss = - 1
metrics.loss
loss = 1
status
attributes.status > 'A'
attributes.status IS NULL
attributes.start_time = '1'
attributes.start_time LIKE '1'
attributes.experiment_id = '1'
attributes.lifecycle_stage = 'active'
foo.x = 1
`params`.model = 'cnn'
params.1 = 'x'
params.model-x = 'x'
params.model IS
params.model is not  null
params.in = 'x'
params.a.From = 'x'
metrics.values.a > 1
tags.case is null
tags.x = 'a' -- and tags.y = 'b'
/* x */ tags.x = 'a'
""".strip("\n").splitlines()


@pytest.fixture
def runs(client, project):
    """Runs whose values are easily compared wrongly; one of another experiment, one deleted."""
    experiments = [tracking.experiment_id(client, name) for name in ("one", "two")]
    tags = {"user": "a;b -- c", "unicode": "ünï", "end": "x"}
    for index, (name, params, metrics) in enumerate([*RUNS, ("gone", {}, {"loss": 1.0})]):
        made = client.create_run(
            experiments[index % 2], start_time=1000 + index, run_name=name, tags=tags
        ).info.run_id
        for key, value in params.items():
            client.log_param(made, key, value)
        for key, value in metrics.items():
            client.log_metric(made, key, value)
        status = "FAILED" if index == 2 else "FINISHED"
        client.set_terminated(made, status, end_time=2000 + index)
        if tags:
            tags.popitem()
    client.delete_run(made)


def answers(ask, filters):
    """What a function returns for each filter; `None` where the filter is refused."""
    found = {}
    for filter in filters:
        try:
            found[filter] = ask(filter)
        except UserError:
            found[filter] = None
    return found


def by_mlflow(filters):
    catalog = Catalog(existing())
    return answers(lambda filter: [run.info.run_id for run in catalog.pages(filter)], filters)


def test_the_same_runs_are_found_as_by_mlflow(runs):
    assert [filter for filter in READ if as_condition(filter) is None] == []
    found = by_mlflow(READ)
    assert answers(Catalog(existing()).search_ids, READ) == found
    assert {len(ids) for ids in found.values()} >= {0, 1, 2, 3}, "filters that fit all say nothing"


def test_mlflow_answers_what_is_not_read_here(runs):
    assert [filter for filter in OTHERS if as_condition(filter) is not None] == []
    assert answers(Catalog(existing()).search_ids, OTHERS) == by_mlflow(OTHERS)


def test_a_filter_imports_no_mlflow(runs, project):
    program = (
        "import sys; from samerun import cli; "
        "cli.main(['runs', 'metrics.loss > 0 and attributes.status = \"FINISHED\"']); "
        "print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


@pytest.mark.parametrize("ask", ["search", "search_ids", "with_metric", "with_parameter"])
def test_a_text_that_is_not_utf_8_is_one_sentence(runs, ask):
    with pytest.raises(UserError, match="received 'params.a = .�.', expected text in UTF-8"):
        getattr(Catalog(existing()), ask)("params.a = '\udcff'")


def test_only_the_first_runs_that_fit_are_read(runs):
    newest = tracking.search_runs("metrics.loss <= 1", max_results=1)
    assert [run.name for run in newest] == [RUNS[3][0]]
    assert newest[0].params == RUNS[3][1]
    assert tracking.search_runs("metrics.loss <= 1", max_results=0) == []
