"""`mlflow server`, whose uvicorn runs in this process instead of in another one.

python tests/programs/mlflow_server.py --host 127.0.0.1 --port 5000 --workers 1
"""

import os
import sys

import mlflow.server
import uvicorn.main
from mlflow.cli import cli


def execute(command, extra_env, **options):
    """Does what MLflow would have `python -m uvicorn` do."""
    os.environ.update(extra_env)
    uvicorn.main.main(args=command[command.index("uvicorn") + 1 :], prog_name="uvicorn")


mlflow.server._exec_cmd = execute
sys.argv = ["mlflow", "server", *sys.argv[1:]]
cli()
