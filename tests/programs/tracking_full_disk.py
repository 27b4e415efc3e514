"""Runs out of disk while logging: no file may grow any more, then there is room again."""

import logging
import resource
import signal
import sys
from pathlib import Path

from samerun import config, tracking

logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
cfg = config.compose([]).config
with tracking.open_run(cfg, Path(sys.argv[1])) as run:
    run.log_metrics({"train/loss": 1.0}, step=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    for epoch in range(1, 10):
        run.log_metrics({"train/loss": 1 / (epoch + 1)}, step=epoch)
        run.log_text("x" * 1000, "notes.txt")
    print("everything stored:", run.flush())
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    print("everything stored:", run.flush())
client = tracking.connect(tracking.resolve_uri(None))
stored = client.get_run(run.id)
print(len(client.get_metric_history(run.id, "train/loss")), "points", stored.info.status)
