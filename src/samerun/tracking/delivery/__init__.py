"""From the run's folder to the store: what is written down first, and how it is sent."""
