"""`python -m samerun` is `samerun`."""

import sys

from samerun.cli import main

sys.exit(main())
