"""Runs are recorded in their own folder first, then in MLflow, so that nothing is lost.

MLflow is imported when a run is opened, not here: that takes 1.2 to 2 s.
"""

from samerun.tracking.catalog import Catalog
from samerun.tracking.delivery.faults import is_unavailable
from samerun.tracking.delivery.spool import Point, points_text, read_points
from samerun.tracking.imported import ImportedRun, import_run
from samerun.tracking.logged_model import LoggedModel, download_model_file, find_model
from samerun.tracking.lookup import (
    existing,
    find_by_tags,
    find_runs,
    is_filter,
    search_runs,
    ui_command,
    url_of,
)
from samerun.tracking.mlflow_run import MlflowRun
from samerun.tracking.model import pinned
from samerun.tracking.naming import fresh_folder, run_name
from samerun.tracking.opening import open_run
from samerun.tracking.raw_flavor import RawInput, copy_code, write_served
from samerun.tracking.recovery.dead_runs import close_dead_runs, deliver
from samerun.tracking.recovery.folders import is_created, run_in
from samerun.tracking.recovery.ownership import folder_of
from samerun.tracking.recovery.reopening import check_at_rest, create_child, reopen_run
from samerun.tracking.registry import LONGEST_DESCRIPTION, Version, holder, register, set_alias
from samerun.tracking.run import NullRun, Run, Status
from samerun.tracking.store import (
    answers,
    connect,
    experiment_id,
    host,
    resolve_uri,
    server_address,
)
from samerun.tracking.stored import (
    download_artifact,
    list_artifacts,
    metric_histories,
    metric_points,
    read_artifact,
    tag_run,
)
from samerun.tracking.stored_run import PARENT, StoredRun
