"""Every name under which samerun writes into a store, each with its meaning: the store's schema.

MLflow's run holds them as tags, Optuna's study and its trials as user attributes. A stored name is
a contract: runs that an older version recorded are read by it. So a name is never given another
meaning; where that cannot be avoided, `SCHEMA_VERSION` is raised.
"""

from collections.abc import Mapping
from typing import Any

SCHEMA_VERSION = 1
"""Version of the names below and their meaning; version 0.1.0 had the first, without a number."""

SCHEMA = "samerun.schema"
"""`SCHEMA_VERSION` of whoever wrote the run or the study; absent means 1."""
VERSION = "samerun.version"
"""Version of the package that opened the run last, or that started the study."""

# Tags of a run: where it is.
UID = "samerun.uid"
"""The run's ID before the store gave it one: 32 hex digits, by which it is found afterwards."""
FOLDER = "samerun.folder"
"""Absolute path of the run's folder; absent until a process has opened the run."""
HOST = "samerun.host"
"""Host name of the machine of its process."""
BOOT = "samerun.boot"
"""Linux's ID of that machine's boot; empty elsewhere."""
PID_NAMESPACE = "samerun.pid_namespace"
"""Linux's PID namespace (the container) in which the process ID counts; empty elsewhere."""
PID = "samerun.pid"
"""Process ID. Of a trial, as user attribute: that of the worker."""
PROCESS_STARTED = "samerun.process_started"
"""Start of that process in clock ticks since the boot, or in seconds since 1970."""
HEARTBEAT = "samerun.heartbeat"
"""Last time the process reached the store, in milliseconds since 1970; renewed every minute."""
UNDELIVERED = "samerun.undelivered"
"""What has not reached the store, such as `1 artifact`; absent or empty once all of it has."""

# Tags of a run: what it is.
MODEL = "samerun.model"
"""Kind of model, as in `model=cnn`."""
DATASET = "samerun.dataset"
"""Kind of dataset, as in `dataset=digits`."""
TASK = "samerun.task"
"""Kind of task, such as `binary` or `regression`."""
COMMAND = "samerun.command"
"""Command line that started it, without passwords."""
COMMIT = "samerun.commit"
"""Git commit of the working folder; absent outside of a checkout."""
DIRTY = "samerun.dirty"
"""`true` if the checkout had uncommitted changes, else `false`."""
OVERRIDES = "samerun.overrides"
"""Settings changed when it was resumed, which its MLflow parameters do not show."""
FINGERPRINT = "samerun.fingerprint"
"""SHA-256 over the meaning of the config, the code and the data: what the run is."""
FINGERPRINT_CONFIG = "samerun.fingerprint.config"
"""SHA-256 of the meaning of the config alone."""
FINGERPRINT_CODE = "samerun.fingerprint.code"
"""SHA-256 of the code alone."""
DIGESTS = "samerun.digests"
"""SHA-256 of the full content of each split that is not empty, as in `train=… validation=…`."""
DATA = "samerun.data."
"""Prefix of the tags `train`, `validation` and `test` of earlier versions: the same, one each."""
NUM_PARAMETERS = "samerun.num_parameters"
"""Number of weights of the model."""
JIT_COMPILE = "samerun.jit_compile"
"""Whether XLA compiled the training step, where the config may have said `auto`."""
STEPS_PER_EXECUTION = "samerun.steps_per_execution"
"""Training steps in one call of the compiled function, where the config may have said `auto`."""
BATCH_SIZE = "samerun.effective.batch_size"
"""Batch size after halvings for lack of memory; absent if it is the config's."""
RETRIES = "samerun.retries"
"""Number of retries within the training: after a NaN or for lack of memory."""

# Tags of a run: what became of it.
RESULT = "samerun.result"
"""The result in one sentence."""
WEIGHTS = "samerun.weights"
"""SHA-256 of the final weights."""
REASON = "samerun.reason"
"""Why it did not finish; empty after a resume. The same as user attribute of a trial."""
STATE = "samerun.state"
"""How a trial ended: `complete`, `pruned`, `failed`, … On its run and as its user attribute."""
CHECKPOINTS_DROPPED = "samerun.checkpoints_dropped"
"""`samerun gc` removed its checkpoints, proved by `EXACT reproduction ID`."""

# Tags of a run: its relation to other runs.
RESUMED = "samerun.resumed"
"""How many times it was resumed."""
RESUME_DIFFERS = "samerun.resume_differs"
"""First metric whose repeated value was not the recorded one, such as `train/loss at step 3`."""
RESTARTS = "samerun.begins_afresh"
"""`true` while its checkpoints are to be discarded before it is opened again."""
FORKED_FROM = "samerun.forked_from"
"""ID of the run that it forks."""
FORKED_AT = "samerun.forked_at"
"""Position of the checkpoint it forked at, such as `epoch 3`; absent if it started from scratch."""
BUNDLED_FROM = "samerun.bundled_from"
"""ID that the run has in the store it was bundled from; it was not recorded by this machine."""
REPRODUCES = "samerun.reproduces"
"""ID of the run that it reproduces."""
INSTANCES = "samerun.instances"
"""What its children differ in, `seeds` or `folds`; on the parent run of runs of one config."""
NUM_INSTANCES = "samerun.num_instances"
"""Number of these children."""
INSTANCE = "samerun.instance"
"""Which of them a child is, such as `seed 3` or `fold 2/5`."""
VERDICT = "samerun.verdict"
"""Verdict of the comparison with that run, such as `EXACT`."""

# Tags of a sweep's parent run and of its trials' runs.
STUDY = "samerun.study"
"""Name of the study; on the parent run and on every trial's run."""
TRIAL = "samerun.trial"
"""Number of the trial within the study; on a trial's run only."""
SAMPLER = "samerun.sampler"
"""Sampler of the sweep; on the parent run and as user attribute of the study."""
PRUNER = "samerun.pruner"
"""Pruner of the sweep; on the parent run and as user attribute of the study."""
N_TRIALS = "samerun.n_trials"
"""Number of trials that the sweep was started with."""
OBJECTIVES = "samerun.objectives"
"""Logged names of the objectives, separated by commas."""
BEST = "samerun.best"
"""ID of the best trial's run, confirmed if one is; on the parent run of a multirun, of the best."""
CONFIRMS = "samerun.confirms"
"""Number of the search's trial that a trial confirms; on its run and as its user attribute."""
MULTIRUN = "samerun.multirun"
"""Number of runs of a multirun; on its parent run."""

# User attributes of a study.
STUDY_SETTINGS = "samerun.trial"
"""What each trial needs to know: metric to report, longest training, the sweep's settings."""
STUDY_START = "samerun.begun"
"""What the study was started with: space, objectives, base config, code."""
STUDY_TOKEN = "samerun.token"
"""Random ID that distinguishes it from another study of the same name."""
STUDY_HOLDER = "samerun.holder"
"""The sweep that runs it now: host, process, time of the last renewal."""
STUDY_STOPPED = "samerun.stopped"
"""`True` while the sweep is being stopped, for workers that no signal reaches."""
STUDY_SECONDS = "samerun.seconds"
"""Time used so far of `sweep.timeout_seconds`."""
STUDY_FOLDER = "samerun.folder"
"""Folder of the sweep that started it."""
STUDY_RUN = "samerun.run"
"""ID of the parent run in MLflow."""
STUDY_CONFIRMED_BY = "samerun.confirmed_by"
"""Name of the study whose trials confirm its best ones; absent if none does."""

# User attributes of a trial.
TRIAL_RUN = "samerun.run"
"""ID of its run in MLflow."""
TRIAL_NAME = "samerun.name"
"""Name of its run."""
TRIAL_OVERRIDES = "samerun.words"
"""Its values as overrides: `[model.dropout=0.3, …]`."""
TRIAL_RETRIES = "samerun.retries"
"""How many times it was retried."""
TRIAL_LAST_REASON = "samerun.last_reason"
"""Why it was retried the last time."""
TRIAL_SECONDS = "samerun.seconds"
"""How long it took."""
TRIAL_EPOCHS = "samerun.epochs"
"""How many epochs it trained."""
TRIAL_TEST = "samerun.test"
"""A test metric of its run, by name; shown beside the objective, never searched by."""
TRIAL_INSTANCES = "samerun.by_instance"
"""The first objective of each of its seeds or folds, by label such as `seed 3`."""
TRIAL_MEMORY = "samerun.memory_bytes"
"""Peak memory of its worker."""


def digests_tag(digests: Mapping[str, str]) -> dict[str, str]:
    """Returns the tag of a run's data.

    Args:
        digests: SHA-256 in hex by the name of the split.
    """
    return {DIGESTS: " ".join(f"{split}={digest}" for split, digest in digests.items())}


def data_digests(stored: Mapping[str, str]) -> dict[str, str]:
    """Returns the digest of each split that a run recorded, in one tag or, earlier, in several.

    Args:
        stored: all tags of the run; where it has the one tag, that is all of its data.
    """
    if DIGESTS in stored:
        parts = (part.partition("=") for part in stored[DIGESTS].split())
        found = {split: digest for split, _, digest in parts}
    else:
        earlier = (name for name in stored if name.startswith(DATA))
        found = {name.removeprefix(DATA): stored[name] for name in earlier}
    return {split: digest for split, digest in found.items() if split and digest}


def newer_schema(stored: Mapping[str, Any]) -> str | None:
    """Returns one sentence if a newer samerun wrote these tags or user attributes, else `None`."""
    schema = str(stored.get(SCHEMA, "1"))
    if schema.isdecimal() and int(schema) <= SCHEMA_VERSION:
        return None
    return (
        f"recorded by samerun {stored.get(VERSION, '?')} (store schema {schema}, this version "
        f"reads up to {SCHEMA_VERSION}): update samerun."
    )
