"""Every name under which samerun writes into a store, each with its meaning: the store's schema.

MLflow's run holds them as tags, metrics and artifacts, Optuna's study and its trials as user
attributes. A stored name is a contract: runs that an older version recorded are read by it. So a
name is never given another meaning; where that cannot be avoided, `SCHEMA_VERSION` is raised.
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
"""Whether XLA compiled the training step, where the config may be `auto`."""
STEPS_PER_EXECUTION = "samerun.steps_per_execution"
"""Training steps in one call of the compiled function, where the config may be `auto`."""
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
"""How a trial ended, such as `pruned`, or `paused`. On its run and as its user attribute."""
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
LEARNED_FROM = "samerun.learned_from"
"""Earlier studies that a sweep learned from, such as `night (20 lent)`; on the parent run."""
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
STUDY_LEARNED_FROM = "samerun.learned_from"
"""The earlier studies that it has read, each with the number of trials that it lent."""

# User attributes of a trial.
TRIAL_RUN = "samerun.run"
"""ID of its run in MLflow."""
TRIAL_NAME = "samerun.name"
"""Name of its run."""
TRIAL_OVERRIDES = "samerun.words"
"""Its values as overrides: `[model.dropout=0.3, …]`."""
TRIAL_PAUSED = "samerun.paused"
"""Epochs at which it has paused, each with the seconds that it had taken until then."""
TRIAL_PAUSED_CODE = "samerun.paused_code"
"""The code with which it paused last: a SHA-256 by path, as in the start of its study."""
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
TRIAL_LENT = "samerun.lent"
"""The `study` and the `trial` of it that trained the result; absent if this study did."""
TRIAL_MEMORY = "samerun.memory_bytes"
"""Peak memory of its worker."""


METRICS: Mapping[str, tuple[str, str]] = {
    "train/NAME": (
        "epoch, from 1",
        "`loss` and each of `training.metrics` on the training split, the mean over the epoch; "
        "a resumed or reproduced run has the same values, bit for bit",
    ),
    "train/step_loss": ("step", "the loss between epochs, with `tracking.log_every_steps`"),
    "validation/NAME": ("epoch", "the same on the validation split, at the end of the epoch"),
    "validation/best/NAME": (
        "last epoch",
        "the values of the best epoch by `training.early_stopping.monitor`, whose weights are the "
        "model's",
    ),
    "best_epoch": ("last epoch", "that epoch"),
    "learning_rate": ("epoch", "as the optimizer used it last"),
    "test/loss": ("last epoch", "the loss of the final weights on the test split"),
    "test/NAME": ("last epoch", "each of `training.metrics`, in the same way"),
    "test/accuracy": ("last epoch", "share of the examples, or tokens, that are right"),
    "test/precision": ("last epoch", "of the second of two classes; with `_macro`, the mean"),
    "test/recall": ("last epoch", "of the second of two classes; with `_macro`, the mean"),
    "test/f1": ("last epoch", "harmonic mean of precision and recall"),
    "test/auc": ("last epoch", "area under the ROC curve"),
    "test/average_precision": ("last epoch", "area under the precision-recall curve, in steps"),
    "test/NAME_macro": ("last epoch", "unweighted mean over the classes"),
    "test/log_loss": ("last epoch", "mean negative log-likelihood of the truth, in nats"),
    "test/expected_calibration_error": (
        "last epoch",
        "mean distance between probability and share of right answers",
    ),
    "test/mean_absolute_error": ("last epoch", "in the target's own unit"),
    "test/root_mean_squared_error": ("last epoch", "in the target's own unit"),
    "test/r2": ("last epoch", "share of the variance that is explained"),
    "test/skill": (
        "last epoch",
        "1 minus the error divided by that of the baseline; above 0 is better than the baseline",
    ),
    "test/step_N_mean_absolute_error": ("last epoch", "that of the N-th step ahead"),
    "test/perplexity": ("last epoch", "exponential of the log loss per token"),
    "test/bits_per_token": ("last epoch", "the log loss in bits"),
    "test/baseline_NAME": (
        "last epoch",
        "the same metric of the baseline: the most frequent class, the mean, the last value "
        "(persistence) or the frequency of tokens",
    ),
    "NAME_low": ("as NAME", "lower end of its 95 % interval; of a parent run, that over its runs"),
    "NAME_high": ("as NAME", "upper end of that interval"),
    "NAME_std": ("as NAME", "sample standard deviation over the runs of `seeds` or `folds`"),
    "system/epoch_seconds": ("epoch", "duration in seconds"),
    "system/examples_per_second": ("epoch", "training examples per second"),
    "system/process_memory_megabytes": ("epoch", "memory of the process in MB"),
    "system/process_cpu_percent": ("epoch", "processor use in percent of one core"),
    "speed/NAME": ("epoch", "version 0.1.0: durations, which are `system/NAME` now"),
    "sweep/complete": ("ended trials", "of a sweep: trials that completed"),
    "sweep/pruned": ("ended trials", "of a sweep: trials that were pruned"),
    "sweep/failed": ("ended trials", "of a sweep: trials that failed"),
    "sweep/infeasible": ("ended trials", "of a sweep: trials that violate a constraint"),
    "sweep/best": ("ended trials", "of a sweep: the best value of its objective so far"),
    "sweep/confirmed": ("confirmations", "of a sweep: mean of the confirmed trial"),
}
"""Metrics by name, each with its step and its meaning. NAME stands for any name, N for a number."""

ARTIFACTS: Mapping[str, str] = {
    "config/resolved.yaml": "every value of the config; what `reproduce` and `resume` read",
    "config/composed.yaml": "the config before interpolations were resolved",
    "config/overrides.txt": "the overrides as given, one a line",
    "config/long_parameters.json": "parameters that are longer than MLflow allows",
    "provenance/provenance.json": "commit, packages, machine, threads, environment variables",
    "provenance/files.json": "digest of every source file that the run depends on",
    "provenance/requirements.txt": "the installed packages with their versions",
    "provenance/uncommitted.diff": "uncommitted changes of the checkout, without secrets",
    "provenance/resumed_NAME.json": "where the run was resumed: provenance of that attempt",
    "data/preprocessing.json": "scaling, vocabulary or categories of the training split",
    "model_summary.txt": "layers, shapes and number of weights",
    "history.csv": "every metric of every epoch",
    "result.json": "the result as `samerun.train` returns it",
    "seconds.csv": "with `tracking.log_seconds`: the seconds of each part of a run that finished, "
    "or of its last session if it was resumed: imports, data, trace, steps, callbacks, …",
    "retries.csv": "each retry within the run: reason, epoch, step, value before and after",
    "reproduction.md": "of a reproduction: the verdict, and what was compared",
    "description.md": "the description, if it is longer than MLflow allows",
    "evaluation/metrics.md": "the metrics of the final weights, with intervals and baseline",
    "evaluation/predictions.npz": "prediction and truth of each test example; of a language model, "
    "the log loss of each text",
    "evaluation/per_class.csv": "precision, recall and further metrics of each class",
    "evaluation/mistakes.md": "the examples that are predicted worst",
    "evaluation/samples.md": "text that a language model generates",
    "plots/NAME.png": "learning curves, the schedule and figures of the task; of a sweep, Optuna's",
    "plots.html": "of a sweep: Optuna's interactive plots on one page",
    "study.md": "of a sweep: search space, counts, the best trials",
    "trials.csv": "of a sweep: every trial with state, values, parameters, run, seconds",
    "runs.csv": "of a multirun, `seeds` or `folds`: every run in a line",
    "compare/NAME.html": "the page of `samerun compare --artifact`",
    "tensorboard/NAME": "event files",
    "checkpoints/digests.csv": "SHA-256 of the weights after each epoch",
    "checkpoints/NAME.npz": "the last checkpoint, if `checkpoint.upload` says so; `start.npz`: "
    "what a fork started from",
    "bundle/verdicts.json": "of an unbundled run: verdicts of the machine it comes from",
    "model/NAME": "the model of raw input, in MLflow's format; in the store it is a logged model",
}
"""Artifacts of a run by path, each with its meaning. NAME stands for any name."""


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
