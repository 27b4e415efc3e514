"""Runs written down so that nothing is lost: in the run's own folder first, then in MLflow.

MLflow is imported when a run is opened, not here: that takes 1.2 to 2 s.
"""

from samerun.tracking.lookup import StoredRun, find_runs, ui_command
from samerun.tracking.mlflow_run import MlflowRun
from samerun.tracking.naming import run_name
from samerun.tracking.opening import open_run, reopen_run
from samerun.tracking.recovery import close_dead_runs, deliver
from samerun.tracking.run import NullRun, Run, Status, Terminated
from samerun.tracking.spool import Point, read_points
from samerun.tracking.store import connect, experiment_id, resolve_uri
