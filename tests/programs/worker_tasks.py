"""Functions for workers in other processes, which find them by this file's name."""

import os
import time
from pathlib import Path

from samerun.user_code import import_function, working_folder_first


def after(seconds, value):
    time.sleep(seconds)
    return value


def once_there(path, value):
    while not Path(path).exists():
        time.sleep(0.05)
    return value


def pid(seconds=0.0):
    time.sleep(seconds)
    return os.getpid()


def variable(name, seconds):
    time.sleep(seconds)
    return os.environ.get(name)


def fail():
    raise ValueError("on purpose")


def die():
    os.kill(os.getpid(), 9)


def write_until_stopped(path):
    """Writes its process ID where the test finds it, and never ends."""
    Path(path).write_text(str(os.getpid()))
    while True:
        time.sleep(0.1)


def own(target):
    with working_folder_first():
        return import_function("target", target)(), os.getcwd()
