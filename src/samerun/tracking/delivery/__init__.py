"""From a run's folder to the store: records are written to files first, then sent."""
