"""Opens a run that ends in the moment in which its `run.json` appears, by a signal or a kill."""

import contextlib
import os
import signal
import sys
from pathlib import Path

from samerun import config, tracking
from samerun.errors import Terminated
from samerun.process import graceful_stop
from samerun.tracking import opening

folder, name = Path(sys.argv[1]), sys.argv[2]
write = opening.write_run_file


def write_and_end(*arguments, **facts):
    write(*arguments, **facts)
    if facts["run_id"] is None:  # the first time, before the store has created the run
        os.kill(os.getpid(), getattr(signal, name))


opening.write_run_file = write_and_end
cfg = config.compose([]).config
ends = (KeyboardInterrupt, Terminated)
with (
    contextlib.suppress(*ends),
    graceful_stop(),
    tracking.open_run(
        cfg, folder, describe=lambda run: run.log_text(config.to_yaml(cfg), "config/resolved.yaml")
    ),
):
    print("training begins")
