"""Runs `samerun train` with the given arguments and prints which heavy modules it imported.

    python tests/programs/sweep_light.py -m sweep=optuna model.dropout='interval(0,0.6)'

Workers are processes of their own: a sweep's own process needs neither TensorFlow nor Keras.
"""

import sys

from samerun.cli import main

if __name__ == "__main__":  # workers import this file too
    code = main(["train", *sys.argv[1:]])
    heavy = [name for name in ("tensorflow", "keras") if name in sys.modules]
    print(f"heavy modules here: {', '.join(heavy) or 'none'}")
    sys.exit(code)
