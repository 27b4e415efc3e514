"""`samerun train` that may take 1 GB more memory once TensorFlow is there."""

import resource
import sys
from pathlib import Path

import tensorflow  # noqa: F401

from samerun.cli import main

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 1_000_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(main(["train", *sys.argv[1:]]))
