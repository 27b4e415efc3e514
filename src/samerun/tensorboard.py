"""TensorBoard event files that Keras's own callback does not write: HParams and images.

Written with TensorBoard's own protocol buffers, so that nothing here needs a TensorFlow session.
"""

import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.histogram.metadata import create_summary_metadata
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.summary.writer.record_writer import RecordWriter

HISTOGRAM = create_summary_metadata(display_name=None, description=None)
"""What marks a tensor in an event file as a histogram."""

_TEXT = api_pb2.DATA_TYPE_STRING
_STATUS = {
    "COMPLETE": api_pb2.STATUS_SUCCESS,
    "PRUNED": api_pb2.STATUS_SUCCESS,  # TensorBoard has no status for it
    "FAIL": api_pb2.STATUS_FAILURE,
}


@final
@dataclass(frozen=True, kw_only=True)
class Session:
    """A trial of a sweep, as a row of TensorBoard's HParams tab.

    Args:
        name: the trial's folder below that of the sweep.
        params: its values of the search space.
        values: its results, by name; empty if it has none.
        points: name of the reported metric, and its value at the end of each epoch.
        state: Optuna's state.
        start: seconds since 1970.
        end: seconds since 1970.
    """

    name: str
    params: Mapping[str, str]
    values: Mapping[str, float]
    points: tuple[str, Mapping[int, float]]
    state: str
    start: float
    end: float


def write(folder: Path, summary: Any, step: int = 0) -> None:
    """Appends one summary to the event files in the folder."""
    writer = EventFileWriter(str(folder))
    writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
    writer.close()


def write_hparams(folder: Path, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    """Writes a run's parameters and results for TensorBoard's HParams tab.

    Args:
        folder: the run's TensorBoard folder.
        params: flattened config; numbers and booleans are converted.
        metrics: final values, by name; written as scalars beside the parameters.
    """
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
    for name, text in params.items():
        _set(start.hparams[name], text)
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    write(folder, _hparams("_hparams_/session_start_info", session_start_info=start))
    for name, value in metrics.items():
        write(folder, Summary(value=[Summary.Value(tag=name, simple_value=value)]))
    write(folder, _hparams("_hparams_/session_end_info", session_end_info=end))


def write_sweep(folder: Path, objectives: Sequence[str], sessions: Sequence[Session]) -> None:
    """Writes all trials of a sweep for TensorBoard's HParams and scalars tabs, in its own process.

    Only what was swept is a column, and pruned trials have a row too, unlike in their own folders.

    Args:
        folder: the sweep's TensorBoard folder.
        objectives: names of the results, which become columns.
        sessions: the trials.
    """
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in objectives]
    names = dict.fromkeys(name for session in sessions for name in session.params)
    hparams = [api_pb2.HParamInfo(name=name, type=_type(name, sessions)) for name in names]
    experiment = api_pb2.Experiment(hparam_infos=hparams, metric_infos=metrics)
    _write_all(folder, [Event(summary=_hparams("_hparams_/experiment", experiment=experiment))])
    for session in sessions:
        _write_all(folder / session.name, _events_of(session))


def _events_of(session: Session) -> list[Any]:
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=session.start)
    for name, text in session.params.items():
        _set(start.hparams[name], text)
    status = _STATUS.get(session.state, api_pb2.STATUS_RUNNING)
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=session.end)
    metric, points = session.points
    summary = _hparams("_hparams_/session_start_info", session_start_info=start)
    events = [Event(wall_time=session.start, summary=summary)]
    scalars = [(f"by_epoch/{metric}", step, value) for step, value in sorted(points.items())]
    last = max(points, default=0)
    scalars += [(name, last, value) for name, value in session.values.items()]
    for tag, step, value in scalars:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        events.append(Event(wall_time=session.end, step=step, summary=summary))
    summary = _hparams("_hparams_/session_end_info", session_end_info=end)
    return [*events, Event(wall_time=session.end, summary=summary)]


def _type(name: str, sessions: Sequence[Session]) -> Any:
    """The type of a parameter's values: any mixture is text."""
    kinds = set()
    for session in sessions:
        if name in session.params:
            value = plugin_data_pb2.SessionStartInfo().hparams[name]
            _set(value, session.params[name])
            kinds.add(value.WhichOneof("kind"))
    types = {"number_value": api_pb2.DATA_TYPE_FLOAT64, "bool_value": api_pb2.DATA_TYPE_BOOL}
    return types.get(kinds.pop(), _TEXT) if len(kinds) == 1 else _TEXT


def _write_all(folder: Path, events: Sequence[Any]) -> None:
    """Writes a file of events, which the next call replaces.

    Not by TensorBoard's `EventFileWriter`, which imports TensorFlow to open a file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "events.out.tfevents.0000000000.samerun").open("wb") as file:
        writer = RecordWriter(file)
        for event in (Event(wall_time=time.time(), file_version="brain.Event:2"), *events):
            writer.write(event.SerializeToString())


def write_image(folder: Path, tag: str, png: Path) -> None:
    """Writes a PNG file for TensorBoard's images tab."""
    content = png.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # from the PNG's IHDR chunk
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=content)
    write(folder, Summary(value=[Summary.Value(tag=tag, image=image)]))


def _hparams(tag: str, **content: Any) -> Any:
    data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
    plugin = SummaryMetadata.PluginData(
        plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString()
    )
    value = Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))
    value.tensor.CopyFrom(metadata.NULL_TENSOR)
    return Summary(value=[value])


def _set(value: Any, text: str) -> None:
    if text in ("true", "false"):
        value.bool_value = text == "true"
        return
    try:
        value.number_value = float(text)
    except ValueError:
        value.string_value = text


def histogram(values: NDArray[Any], num_bins: int = 30) -> NDArray[np.float64]:
    """Returns the histogram of an array as TensorBoard stores it.

    Args:
        values: numbers of any shape; those that are not finite are left out.
        num_bins: number of bins of equal width; TensorBoard has 30.

    Returns:
        float64 `(num_bins, 3)`: left edge, right edge and count of each bin. Of equal numbers all
        bins have no width, and the last one counts them all.
    """
    flat = np.asarray(values, np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return np.zeros((num_bins, 3))
    low, high = flat.min(), flat.max()
    if low == high:
        same = np.full(num_bins, low)
        return np.stack([same, same, flat.size * (np.arange(num_bins) == num_bins - 1)], axis=1)
    places = ((flat - low) / ((high - low) / num_bins)).astype(np.int64)
    counts = np.bincount(np.minimum(places, num_bins - 1), minlength=num_bins)
    edges = np.linspace(low, high, num_bins + 1)
    return np.stack([edges[:-1], edges[1:], counts], axis=1)
