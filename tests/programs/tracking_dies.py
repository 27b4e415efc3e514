"""Opens a run, prints its ID when its first points are stored, logs more, and is killed."""

import os
import signal
import sys
from pathlib import Path

from samerun import config, tracking

cfg = config.compose([]).config
with tracking.open_run(cfg, Path(sys.argv[1])) as run:
    run.log_metrics({"train/loss": 1.0}, step=0)
    run.flush()
    run.log_metrics({"train/loss": 0.5}, step=1)  # in the spool only, when the end comes
    run.log_text("left behind", "notes.txt")
    print(run.id, flush=True)
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
