"""Opens a run in this folder's own store, logs a few epochs and prints the run's identifier."""

import sys
from pathlib import Path

from samerun import config, tracking

folder = Path(sys.argv[1])
cfg = config.compose(["tracking.experiment=together"]).config
with tracking.open_run(cfg, folder) as run:
    run.log_params(config.flatten(cfg))
    for epoch in range(20):
        run.log_metrics({"train/loss": 1 / (epoch + 1), "train/accuracy": epoch / 20}, step=epoch)
    run.log_text("whole", "notes/text.txt")
print(run.id)
