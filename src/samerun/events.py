"""TensorBoard event files that Keras's own callback does not write: HParams and pictures.

Written with TensorBoard's own protocol buffers, so that nothing here needs a TensorFlow session.
"""

import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def write(folder: Path, summary: Any, step: int = 0) -> None:
    """Appends one summary to the event files in the folder."""
    writer = EventFileWriter(str(folder))
    writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
    writer.close()


def write_hparams(folder: Path, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    """Writes a run's parameters and results for TensorBoard's HParams tab.

    Args:
        folder: the run's TensorBoard folder.
        params: flattened config; numbers and booleans become such.
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


def write_picture(folder: Path, tag: str, png: Path) -> None:
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
