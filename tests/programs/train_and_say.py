"""`samerun train` whose Ctrl-C works in a test: shells without a terminal ignore it."""

import signal
import sys

from samerun.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.stdout.reconfigure(line_buffering=True)
sys.exit(main(["train", *sys.argv[1:]]))
