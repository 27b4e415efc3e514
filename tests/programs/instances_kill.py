"""Does what `samerun ARGUMENTS` does and kills itself with SIGKILL during a chosen training.

    python tests/programs/instances_kill.py NUMBER ARGUMENTS

NUMBER is that of the training in this process, from 1; it dies after its first epoch was logged.
"""

import os
import signal
import sys


def main(number, arguments):
    from samerun import cli, training

    begun, train = [], training.train

    def train_and_die(cfg, run, out, **options):
        begun.append(cfg.seed)
        log = run.log_metrics

        def log_metrics(metrics, *, step):
            log(metrics, step=step)
            if len(begun) == number and "train/loss" in metrics:
                run.sync_to_disk()
                os.kill(os.getpid(), signal.SIGKILL)

        run.log_metrics = log_metrics
        return train(cfg, run, out, **options)

    training.train = train_and_die
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
