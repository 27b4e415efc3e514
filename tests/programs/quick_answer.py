"""Runs the command line with the given arguments and prints which heavy libraries it imported."""

import sys

from samerun.cli import main

try:
    code = main(sys.argv[1:])
except SystemExit as error:  # argparse's own way out
    code = error.code
heavy = {"tensorflow", "keras", "mlflow", "optuna", "matplotlib", "sklearn"} & set(sys.modules)
print(f"imported: {sorted(heavy)}", file=sys.stderr)
sys.exit(code)
