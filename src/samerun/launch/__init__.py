"""One run, from its overrides to the result on the screen; also what `samerun.train` is."""

from samerun.launch.child import child_of
from samerun.launch.instances import (
    Children,
    describe_data,
    instance_tags,
    resume_instances,
    stored_children,
    train_children,
    train_instances,
)
from samerun.launch.job import (
    Job,
    check,
    check_is_list,
    compose,
    launcher_of,
    make_folder,
    needs_hydra,
    parse_task,
    run_task,
    train,
    with_data,
)
from samerun.launch.overrides import check_overrides
from samerun.launch.run import command_of, resume_run, run_one, show_end

__all__ = [
    "Children",
    "child_of",
    "instance_tags",
    "resume_instances",
    "train_children",
    "train_instances",
    "Job",
    "check",
    "check_is_list",
    "check_overrides",
    "command_of",
    "compose",
    "describe_data",
    "launcher_of",
    "make_folder",
    "needs_hydra",
    "parse_task",
    "resume_run",
    "run_one",
    "run_task",
    "show_end",
    "stored_children",
    "train",
    "with_data",
]
