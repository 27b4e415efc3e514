"""What Python has of the commands: `samerun.runs`, `load_run`, `compose`, `resume`, `reproduce`.

The commands of the same names call these functions, so both do the same.
"""

import functools
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from samerun import tags as tag
from samerun.errors import UserError, raises_mistakes_shortly

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from samerun.config import Composition, Config
    from samerun.raw_model import RawModel
    from samerun.replay.reproduce import Reproduction, ReproductionPlan
    from samerun.replay.verdict import Agreement
    from samerun.result import InstancesResult, Result
    from samerun.tracking import StoredRun

_MOST_BYTES = 4_000_000_000


@raises_mistakes_shortly
def compose(overrides: Sequence[str] = ()) -> "Composition":
    """Composes and checks the config of a run, as `samerun train OVERRIDES` does; trains nothing.

    Args:
        overrides: such as `["model=mlp", "training.epochs=5"]`; `"--config-dir", "FOLDER"` too.

    Returns:
        The composition: `config` has the typed values, `resolved` and `composed` are YAML.

    Raises:
        UserError: an override is not understood, or the config does not fit its dataset.
    """
    from samerun import launch
    from samerun.config.project import split_config_dirs, with_config_dirs

    rest, folders = split_config_dirs(overrides)
    with with_config_dirs(folders):
        return launch.compose([one.text for one in launch.check_overrides(rest)]).composition


@raises_mistakes_shortly
def runs(filter: str = "", *, sort: str = "age", opened: bool = False) -> "pd.DataFrame":
    """Returns the recorded runs, as `samerun runs` lists them.

    Args:
        filter: in MLflow's filter language, such as `params.model = "cnn"`; every run that
            matches is then a row, trials of sweeps too.
        sort: `age` (the newest first), `name`, `status`, a metric (the best first) or a parameter.
        opened: also the runs of each sweep and multirun, after it.

    Returns:
        A data frame with one row for each run: `id`, `name`, `status`, `start_time` (UTC),
        `seconds`, `parent`, `num_children`, `notes`; the headline as `metric`, `value`, `low` and
        `high`; and the columns `params.…` and `metrics.…`, missing where a run has none.

    Raises:
        UserError: there is no store, or MLflow does not understand the filter.
    """
    import pandas as pd

    from samerun.escaping import one_line
    from samerun.report.run_list import list_runs
    from samerun.report.runs_text import as_dicts
    from samerun.tracking import Catalog, existing

    found = list_runs(Catalog(existing()), filter=filter, sort=sort, opened=opened)
    fixed = ("id", "name", "status", "start_time", "seconds", "parent", "num_children", "notes")
    rows = []
    for plain in as_dicts(found):
        row = {key: plain[key] for key in fixed} | (plain["headline"] or {})
        row["notes"] = " · ".join(plain["notes"])
        row |= {f"params.{key}": value for key, value in plain["params"].items()}
        row |= {f"metrics.{key}": value for key, value in plain["metrics"].items()}
        clean = {one_line(key, 250): value for key, value in row.items()}
        rows.append({k: one_line(v, 8000) if isinstance(v, str) else v for k, v in clean.items()})
    frame = pd.DataFrame(rows, columns=None if rows else [*fixed])
    frame["start_time"] = pd.to_datetime(frame["start_time"], utc=True)
    return frame


@final
class LoadedRun:
    """A recorded run, whose parts are read from the store when they are first used.

    Nothing that is read is executed or unpickled. `load_run` returns one.
    """

    def __init__(self, run: "StoredRun", trust: Sequence[str] = ()) -> None:
        self._run = run
        self._trust = trust
        self._folder = tempfile.mkdtemp(prefix="samerun-run-")
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def __repr__(self) -> str:
        """Returns the ID, the name and the headline."""
        from samerun.escaping import one_line

        result = one_line(self._run.tags.get(tag.RESULT, self._run.status.lower()), 200)
        return f"<run {one_line(self.id[:8])}, {one_line(self.name, 100)}: {result}>"

    @property
    def id(self) -> str:
        """Its ID in the store."""
        return self._run.id

    @property
    def name(self) -> str:
        """Its name."""
        return self._run.name

    @property
    def status(self) -> str:
        """RUNNING, FINISHED, FAILED or KILLED."""
        return self._run.status

    @property
    def params(self) -> dict[str, str]:
        """Every config key that can change the result, as text."""
        return dict(self._run.params)

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric, such as `test/accuracy`."""
        return dict(self._run.metrics)

    @property
    def tags(self) -> dict[str, str]:
        """Its tags."""
        return dict(self._run.tags)

    @functools.cached_property
    def config(self) -> "Config":
        """The typed config that it was trained with."""
        from samerun.replay import recorded

        return recorded.read(self._run).cfg

    @functools.cached_property
    def history(self) -> "pd.DataFrame":
        """Every metric by step: one row for each step, one column for each metric."""
        import pandas as pd

        from samerun.tracking import metric_histories

        columns = {name: pd.Series(steps) for name, steps in metric_histories(self._run).items()}
        frame = pd.DataFrame(columns).sort_index()
        frame.index.name = "step"
        return frame

    @functools.cached_property
    def predictions(self) -> dict[str, Any] | None:
        """The predictions on the test split and their truth, arrays by name; `None` without any."""
        from samerun.replay import recorded

        return recorded.predictions(self._run)

    @functools.cached_property
    def artifacts(self) -> tuple[str, ...]:
        """The paths of its artifacts, such as `plots/learning_curves.png`."""
        from samerun.tracking import list_artifacts

        return tuple(list_artifacts(self._run))

    @property
    def figures(self) -> tuple[Path, ...]:
        """Its figures, as files that exist as long as this object."""
        names = [name for name in self.artifacts if name.startswith("plots/")]
        return tuple(self.artifact(name) for name in names if name.endswith((".png", ".svg")))

    def artifact(self, path: str) -> Path:
        """Returns a copy of an artifact, a file that exists as long as this object.

        Args:
            path: one of `artifacts`.

        Raises:
            UserError: there is no such artifact.
        """
        from samerun.errors import nearest
        from samerun.files import replacing
        from samerun.tracking import download_artifact

        if path not in self.artifacts:
            raise UserError(
                f"load_run({self.id[:8]!r}).artifact: received {path!r}, expected one of its "
                f"{len(self.artifacts)} artifacts.{nearest(path, self.artifacts)}"
            )
        target = Path(self._folder, "artifacts", path)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target, durable=False) as temporary:
                download_artifact(self._run, path, temporary, most_bytes=_MOST_BYTES)
        return target

    @functools.cached_property
    def model(self) -> Any:
        """The trained `keras.Model`, not compiled, with the weights of the best epoch.

        Keras loads it in its safe mode, which runs no code from the file; layers of your own need
        `load_run(ID, trust=["MODULE"])`.

        Raises:
            UserError: the store has no model of the run, or Keras cannot load it.
        """
        from samerun import tracking
        from samerun.process import quiet
        from samerun.replay import recorded
        from samerun.serving import logged

        if self._trust:
            cfg = recorded.read(self._run, trusted=self._trust).cfg
            logged.import_own(logged.own_functions(cfg, self._trust))
        found, target = tracking.find_model(self._run), Path(self._folder, "model.keras")
        tracking.download_model_file(self._run, found, logged.keras_file(self._run, found), target)
        with quiet():
            import keras  # noqa: F401
        return logged.load_file(self._run, target)

    @functools.cached_property
    def _raw_model(self) -> "RawModel":
        from samerun.serving.stored_model import open_model

        return open_model(self._run, trusted=self._trust)

    def predict(self, raw: Any, **params: Any) -> "pd.DataFrame":
        """Returns the answers of its model to raw input, as `samerun predict` writes them.

        Args:
            raw: a data frame with the columns of the training data; arrays, texts or images where
                these were the data.
            params: of a language model: `length`, `temperature`, `top_k`, `seed`.

        Returns:
            `label`, `probability` and `probability_CLASS` for classes; a column per target for
            values; `step`, the date and the target for a forecast; text for a language model.

        Raises:
            UserError: a row does not match the training data, or there is no model.
        """
        from samerun.raw_model import RefusedInput

        try:
            answers: pd.DataFrame = self._raw_model.predict(raw, params)
        except RefusedInput as error:
            raise UserError(f"load_run({self.id[:8]!r}).predict: {error}") from None
        return answers


@raises_mistakes_shortly
def load_run(run_id: str, *, trust: Sequence[str] = ()) -> LoadedRun:
    """Returns a recorded run: config, metrics, history, predictions, figures and the model.

    Args:
        run_id: an ID or its first characters, a run's name, `latest`, `latest~1`, `best:METRIC` or
            `STUDY/TRIAL`.
        trust: modules with code of your own that its model may import.

    Raises:
        UserError: it names no run, or several.
    """
    from samerun import tracking

    return LoadedRun(tracking.find_runs([run_id])[0], trust)


@raises_mistakes_shortly
def resume(
    run_id: str,
    overrides: Sequence[str] = (),
    *,
    fork: bool = False,
    trust: Sequence[str] = (),
    take_over: bool = False,
    data: Any = None,
) -> "Result | InstancesResult | None":
    """Continues an interrupted run from its last checkpoint, as `samerun resume` does.

    Args:
        run_id: which run, as for `load_run`.
        overrides: changes of its config, such as `["training.epochs=20"]`.
        fork: start a new run from the checkpoint; then anything may change.
        trust: modules that the stored config may import, and `data`.
        take_over: the run is marked RUNNING on another machine that no longer exists.
        data: the data that `train` was called with, if its file is missing here.

    Returns:
        The result; `None` if there is nothing left to train.

    Raises:
        UserError: it cannot be resumed here, with the reason.
    """
    from samerun import tracking
    from samerun.config.overrides import parse_overrides
    from samerun.launch import resume_instances, resume_run
    from samerun.replay.resume import plan_resume

    given = parse_overrides(overrides)
    uri = next((str(one.value) for one in given if one.key == "tracking.uri"), None)
    (run,) = tracking.find_runs([run_id], uri=uri)
    own = tracking.folder_of(run, uri=uri)
    if run.status == "RUNNING" and own is not None:
        # Its process may have been killed before the checkpoints were in the store.
        tracking.deliver(own, uri=uri)
        (run,) = tracking.find_runs([run.id], uri=uri)
    _put_back(run, data)
    plan = plan_resume(run, overrides, fork=fork, trusted=trust, take_over=take_over, uri=uri)
    if plan.nothing_left is not None:
        print(f"{plan.nothing_left}. There is nothing left to train.")
        return None
    if tag.INSTANCES in run.tags:
        return resume_instances(plan, changes=overrides, trusted=trust)
    return resume_run(plan)


@raises_mistakes_shortly
def reproduce(
    run_id: str,
    overrides: Sequence[str] = (),
    *,
    code: bool = False,
    env: bool = False,
    trust: Sequence[str] = (),
    rtol: float = 1e-3,
    data: Any = None,
) -> "Agreement":
    """Trains a recorded run again and compares both bit by bit, as `samerun reproduce` does.

    Args:
        run_id: which run, as for `load_run`.
        overrides: changes of its config, each reported as a difference; `workers=5` trains five
            children of a parent run at a time.
        code: train with the recorded commit and its uncommitted changes.
        env: train with the recorded packages, in a new virtual environment.
        trust: modules that the stored config may import, and `data`.
        rtol: largest difference that counts as CLOSE, relative to the larger value.
        data: the data that `train` was called with, if its file is missing here; its digest must
            be that of the run.

    Returns:
        The verdict: `EXACT`, `CLOSE` or `DIFFERENT`.

    Raises:
        UserError: it cannot be trained here, with the reason.
    """
    from samerun import tracking
    from samerun.console import make_console
    from samerun.replay import reproduce as replay

    (run,) = tracking.find_runs([run_id])
    _put_back(run, data)
    out = make_console()
    prepare = functools.partial(
        replay.prepare,
        recorded_code=code,
        recorded_packages=env,
        trusted=trust,
    )
    if tag.INSTANCES in run.tags:
        return reproduce_children(run, overrides, prepare, out, rtol=rtol)
    plan = prepare(run, overrides)
    show_plan(plan, out)
    replay.check(plan)
    replay.check_data(plan)
    return reproduce_one(plan, out, rtol=rtol)


def _put_back(run: "StoredRun", data: Any) -> None:
    """Saves the data of a run again, if it was passed in."""
    if data is not None:
        from samerun.data import passed

        passed.put_back(data, run.params.get("dataset.path", ""), run.id)


def show_plan(plan: "ReproductionPlan", out: "Console") -> None:
    """Prints which run is to be reproduced, and what differs here."""
    from rich.markup import escape

    from samerun.replay import comparison, recorded

    run = plan.recorded.run
    out.print(f"[bold]{escape(recorded.clean(run.name))}[/]  {run.id}")
    comparison.show(plan.rows, out)


def reproduce_one(plan: "ReproductionPlan", out: "Console", *, rtol: float) -> "Agreement":
    """Trains what is planned, and writes and prints the verdict."""
    from samerun.process import graceful_stop
    from samerun.replay import reproduce as replay
    from samerun.report import reproduction

    with graceful_stop():
        replay.load_training(plan)
        found = replay.reproduce(plan, out, rtol=rtol)
    reproduction.write(found)
    reproduction.show(found, out)
    return found.verdict.agreement


def reproduce_children(
    run: "StoredRun",
    changes: Sequence[str],
    prepare: "Callable[[StoredRun, Sequence[str]], ReproductionPlan]",
    out: "Console",
    *,
    rtol: float,
) -> "Agreement":
    """Trains each child of a parent run with `seeds` or `folds` again; writes and prints verdicts.

    Returns:
        The verdict of the child that differs most.
    """
    from samerun.launch.reproduction import prepare_instances, reproduce_instances
    from samerun.process import graceful_stop
    from samerun.replay import reproduce as replay
    from samerun.report import reproduction

    plan = prepare_instances(run, changes, prepare)
    show_plan(plan.parent, out)
    for child in plan.children:
        replay.check(child)
        replay.check_data(child)

    def show(found: "Reproduction") -> None:
        reproduction.write(found)
        reproduction.show(found, out)

    with graceful_stop():
        agreement = reproduce_instances(plan, out, rtol=rtol, show=show)
    out.print(f"\n{agreement}: the {len(plan.children)} runs as a whole", markup=False)
    return agreement
