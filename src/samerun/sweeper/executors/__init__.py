"""Where trials are trained: in this process, on this machine, by a Hydra launcher, on a cluster."""
