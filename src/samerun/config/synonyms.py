"""Names that Keras, PyTorch, Lightning and others use, and what each is called here.

Names and values are compared folded: lowercase, without `_`, `-` and spaces. `suggestions` turns
an entry into the line to type, and adds the group's option where only another one has the key.
"""

KEYS: dict[str, tuple[str, ...]] = {
    # training
    **dict.fromkeys(
        ("epoch", "numepochs", "nepochs", "nbepoch", "maxepochs", "numtrainepochs", "maxsteps"),
        ("training.epochs",),
    ),
    **dict.fromkeys(("criterion", "lossfn", "lossfunc", "lossfunction"), ("training.loss",)),
    "metric": ("training.metrics",),
    "callback": ("training.callbacks",),
    **dict.fromkeys(
        (
            *("patience", "patienceepochs", "earlystop", "earlystopping"),
            *("earlystoppingpatience", "earlystoppingrounds"),
        ),
        ("training.early_stopping.patience_epochs", "schedule.patience_epochs"),
    ),
    "monitor": ("training.early_stopping.monitor",),
    "mindelta": ("training.early_stopping.min_delta",),
    "restorebestweights": ("training.early_stopping.restore_best",),
    **dict.fromkeys(
        (
            *("mixedprecision", "amp", "useamp", "autocast", "dtype", "dtypepolicy"),
            *("fp16", "usefp16", "float16", "bf16"),
        ),
        ("training.precision",),
    ),
    **dict.fromkeys(("jit", "xla", "compile", "usexla"), ("training.jit_compile",)),
    **dict.fromkeys(("threads", "numthreads", "nthreads"), ("training.intra_op_threads",)),
    "smoothing": ("training.label_smoothing",),
    "classweight": ("training.class_weights",),
    **dict.fromkeys(
        ("randomseed", "randomstate", "manualseed", "seedeverything", "rngseed", "rng"), ("seed",)
    ),
    **dict.fromkeys(
        ("numseeds", "nseeds", "repeats", "nrepeats", "numrepeats", "executionspertrial"),
        ("seeds",),
    ),
    **dict.fromkeys(
        ("numfolds", "nfolds", "nsplits", "kfold", "kfolds", "cv", "crossvalidation"), ("folds",)
    ),
    # optimizer
    **dict.fromkeys(
        ("lr", "baselr", "initlr", "initiallr", "initiallearningrate", "maxlr", "eta", "stepsize"),
        ("optimizer.learning_rate",),
    ),
    **dict.fromkeys(("opt", "optim", "optimiser", "optimizername", "solver"), ("optimizer",)),
    **dict.fromkeys(("wd", "decay"), ("optimizer.weight_decay",)),
    "eps": ("optimizer.epsilon",),
    "mom": ("optimizer.momentum",),
    **dict.fromkeys(
        ("gradclip", "gradientclip", "gradientclipval", "maxgradnorm", "clipgradnorm", "clip"),
        ("optimizer.global_clipnorm",),
    ),
    "clipgradvalue": ("optimizer.clipvalue",),
    "ema": ("optimizer.use_ema",),
    "emadecay": ("optimizer.ema_momentum",),
    # schedule
    **dict.fromkeys(
        ("scheduler", "lrscheduler", "lrschedule", "learningrateschedule", "sched"), ("schedule",)
    ),
    **dict.fromkeys(("warmup", "warmupsteps", "numwarmupsteps"), ("schedule.warmup_epochs",)),
    "milestones": ("schedule.boundaries_epochs",),
    "gamma": ("schedule.factor", "schedule.decay_rate"),
    "tmax": ("schedule.decay_epochs",),
    # model
    **dict.fromkeys(
        ("architecture", "arch", "net", "network", "backbone", "modelname", "modeltype"),
        ("model",),
    ),
    **dict.fromkeys(("dropoutrate", "droprate", "drop", "pdrop"), ("model.dropout",)),
    **dict.fromkeys(("act", "activationfn", "nonlinearity"), ("model.activation",)),
    **dict.fromkeys(
        (
            *("units", "numunits", "nunits", "hidden", "hiddensize", "hiddendim", "hiddenunits"),
            *("hiddensizes", "hiddenlayersizes", "layers", "layersizes", "neurons", "width"),
        ),
        ("model.units", "model.dense_units", "model.branch_units"),
    ),
    **dict.fromkeys(
        ("numlayers", "nlayers", "numhiddenlayers", "depth"),
        ("model.filters=[32,64]", "model.units=[64,64]", "model.branch_units=[32,32]"),
    ),
    **dict.fromkeys(("dense", "fcunits"), ("model.dense_units", "model.units")),
    **dict.fromkeys(("numfilters", "nfilters", "outchannels"), ("model.filters",)),
    **dict.fromkeys(("kernel", "filtersize"), ("model.kernel_size",)),
    **dict.fromkeys(("bn", "usebn", "batchnormalization"), ("model.batch_norm",)),
    **dict.fromkeys(("embeddingsize", "embedsize", "embeddim"), ("model.embedding_dim",)),
    **dict.fromkeys(("init", "kernelinitializer", "weightinit"), ("model.initializer",)),
    **dict.fromkeys(("l2reg", "kernelregularizer", "regularization"), ("model.l2",)),
    **dict.fromkeys(("rnntype", "celltype"), ("model.cell",)),
    # dataset
    **dict.fromkeys(("data", "ds", "datasetname", "dataloader", "datamodule"), ("dataset",)),
    **dict.fromkeys(
        ("bs", "batch", "trainbatchsize", "perdevicetrainbatchsize"), ("dataset.batch_size",)
    ),
    **dict.fromkeys(
        (
            *("valsplit", "validationsplit", "valfraction", "valsize", "validationsize"),
            *("valratio", "valfrac"),
        ),
        ("dataset.validation_fraction",),
    ),
    **dict.fromkeys(("testsplit", "testsize", "testratio"), ("dataset.test_fraction",)),
    **dict.fromkeys(
        ("augment", "augmentation", "augmentations", "dataaugmentation", "aug", "transforms"),
        ("dataset/augmentation",),
    ),
    **dict.fromkeys(
        ("flip", "hflip", "horizontalflip", "randomflip", "randomhorizontalflip"),
        ("dataset.augmentation.flip_horizontal",),
    ),
    **dict.fromkeys(("rotationrange", "randomrotation"), ("dataset.augmentation.rotation",)),
    **dict.fromkeys(("zoomrange", "randomzoom"), ("dataset.augmentation.zoom",)),
    **dict.fromkeys(("normalize", "scaling", "scaler", "rescale"), ("dataset.normalization",)),
    **dict.fromkeys(("numsamples", "maxsamples", "limittrainbatches"), ("dataset.limit",)),
    "droplast": ("dataset.drop_remainder",),
    **dict.fromkeys(
        ("datadir", "datapath", "dataroot", "datafile", "datafolder", "csv"), ("dataset.path",)
    ),
    **dict.fromkeys(
        ("maxlen", "seqlen", "sequencelength", "maxseqlength"),
        ("dataset.max_length", "dataset.context_length", "dataset.window"),
    ),
    **dict.fromkeys(
        ("vocabsize", "maxfeatures", "numwords", "maxtokens"), ("dataset.vocabulary_size",)
    ),
    **dict.fromkeys(("lookback", "windowsize", "timesteps"), ("dataset.window",)),
    **dict.fromkeys(("sep", "delimiter"), ("dataset.separator",)),
    **dict.fromkeys(("targetcolumn", "labelcolumn"), ("dataset.target", "dataset.label_column")),
    # where and how a run is recorded
    **dict.fromkeys(("name", "jobname"), ("tracking.run_name",)),
    **dict.fromkeys(("trackinguri", "mlflowuri", "mlflowtrackinguri"), ("tracking.uri",)),
    **dict.fromkeys(("experimentname", "project", "projectname"), ("tracking.experiment",)),
    **dict.fromkeys(("tag", "tags"), ("+tracking.tags",)),
    **dict.fromkeys(("logevery", "loginterval", "logeverynsteps"), ("tracking.log_every_steps",)),
    **dict.fromkeys(
        ("logdir", "outputdir", "outdir", "savedir", "workdir", "defaultrootdir", "resultsdir"),
        ("hydra.run.dir",),
    ),
    "savemodel": ("tracking.log_model",),
    **dict.fromkeys(("plots", "figures"), ("tracking.log_figures",)),
    **dict.fromkeys(("savebest", "savebestonly"), ("checkpoint.keep_best",)),
    **dict.fromkeys(
        ("saveevery", "savefreq", "checkpointevery", "everynepochs"), ("checkpoint.every_epochs",)
    ),
    "fastdevrun": ("debug",),
    # sweep
    **dict.fromkeys(("numtrials", "trials", "maxtrials", "maxevals"), ("sweep.n_trials",)),
    **dict.fromkeys(("algo", "searchalgorithm", "optunasampler"), ("sweep.sampler",)),
    **dict.fromkeys(("njobs", "numparallel", "parallel"), ("sweep.workers",)),
    "studyname": ("sweep.study",),
    "timeout": ("sweep.budget.seconds",),
    "terminator": ("sweep.budget.patience_trials=20",),
    "objective": ("sweep.objectives",),
    **dict.fromkeys(("search", "tune", "tuner", "hpo"), ("sweep",)),
}
"""Folded name of a key, or its last part, and the keys that it may stand for, the likeliest first.

Keys of this project are found by their last part without an entry: `epochs`, `batch_size`. One
with a value is what to type as it is."""

_TRUE_FALSE_PRECISION = {"true": "mixed_float16", "1": "mixed_float16", "false": "float32"}
_NO_SCHEDULE = dict.fromkeys(("none", "null", "no", "false", "fixed"), "constant")

VALUES: dict[str, dict[str, str]] = {
    "training.loss": {
        **dict.fromkeys(("mse", "mseloss", "l2", "l2loss", "rmse"), "mean_squared_error"),
        **dict.fromkeys(("mae", "l1", "l1loss"), "mean_absolute_error"),
        **dict.fromkeys(
            (
                *("ce", "cce", "crossentropy", "crossentropyloss", "nll", "nllloss", "logloss"),
                *("sparsecategoricalcrossentropy", "softmax"),
            ),
            "categorical_crossentropy",
        ),
        **dict.fromkeys(
            ("bce", "bceloss", "bcewithlogits", "bcewithlogitsloss"), "binary_crossentropy"
        ),
        **dict.fromkeys(("focal", "focalloss"), "categorical_focal_crossentropy"),
        **dict.fromkeys(("smoothl1", "smoothl1loss", "huberloss"), "huber"),
    },
    "training.metrics": {
        **dict.fromkeys(
            ("acc", "categoricalaccuracy", "sparsecategoricalaccuracy", "binaryaccuracy"),
            "accuracy",
        ),
        "mae": "mean_absolute_error",
        **dict.fromkeys(("mse", "rmse", "meansquarederror"), "root_mean_squared_error"),
        **dict.fromkeys(("r2score", "rsquared"), "r2"),
        **dict.fromkeys(("rocauc", "auroc"), "auc"),
        **dict.fromkeys(("top3", "topk", "top5", "topkcategoricalaccuracy"), "top_3_accuracy"),
        **dict.fromkeys(("ppl",), "perplexity"),
    },
    "training.precision": {
        **_TRUE_FALSE_PRECISION,
        **dict.fromkeys(
            ("16", "fp16", "float16", "half", "16mixed", "16true", "mixed"), "mixed_float16"
        ),
        **dict.fromkeys(("bf16", "bfloat16", "bf16mixed", "bf16true"), "mixed_bfloat16"),
        **dict.fromkeys(("32", "32true", "fp32", "float", "full"), "float32"),
    },
    "bf16": {"true": "training.precision=mixed_bfloat16", "1": "training.precision=mixed_bfloat16"},
    "training.early_stopping": {
        "true": "training.early_stopping.patience_epochs=5",
        "false": "training.early_stopping.patience_epochs=null",
    },
    "training.early_stopping.patience_epochs": {"true": "5", "false": "null"},
    "training.class_weights": {"balanced": "training.balance_classes=true"},
    "callbacks": {
        "earlystopping": "training.early_stopping.patience_epochs=5",
        "modelcheckpoint": "checkpoint.keep_best=true",
        "reducelronplateau": "schedule=reduce_on_plateau",
        "tensorboard": "tracking.tensorboard=true",
    },
    "logger": {
        **dict.fromkeys(("tensorboard", "tensorboardlogger"), "tracking.tensorboard=true"),
        **dict.fromkeys(("mlflow", "mlflowlogger", "wandb"), "tracking.uri=sqlite:///mlflow.db"),
    },
    "optimizer": {
        "momentum": "optimizer=sgd optimizer.momentum=0.9",
        "nesterov": "optimizer=sgd optimizer.momentum=0.9 optimizer.nesterov=true",
        "amsgrad": "optimizer=adam optimizer.amsgrad=true",
        "gradientdescent": "sgd",
    },
    "schedule": {
        **_NO_SCHEDULE,
        **dict.fromkeys(("warmup", "linearwarmup"), "schedule.warmup_epochs=2"),
        **dict.fromkeys(
            ("cosineannealing", "cosineannealinglr", "cosinedecay", "cosinelr"), "cosine"
        ),
        **dict.fromkeys(
            ("cosineannealingwarmrestarts", "cosinedecayrestarts", "sgdr"), "cosine_restarts"
        ),
        **dict.fromkeys(("exponentialdecay", "exponentiallr", "exp"), "exponential"),
        **dict.fromkeys(
            ("steplr", "multistep", "multisteplr", "piecewise", "piecewiseconstantdecay"), "step"
        ),
        **dict.fromkeys(("linear", "linearlr", "poly", "polynomialdecay"), "polynomial"),
        **dict.fromkeys(("onecyclelr", "1cycle", "cyclic"), "one_cycle"),
        **dict.fromkeys(("plateau", "reducelronplateau"), "reduce_on_plateau"),
        "inversetimedecay": "inverse_time",
    },
    "schedule.warmup_epochs": {"true": "2", "false": "0"},
    "model": {
        **dict.fromkeys(("dense", "fc", "dnn", "ann", "nn", "feedforward", "perceptron"), "mlp"),
        **dict.fromkeys(("conv", "convnet", "conv2d", "cnn2d"), "cnn"),
        "conv1d": "cnn1d",
        "rnn": "simple_rnn",
        **dict.fromkeys(("bilstm", "bidirectional"), "model=lstm model.bidirectional=true"),
        "bigru": "model=gru model.bidirectional=true",
        **dict.fromkeys(("lenet", "lenet5"), "lenet5"),
        **dict.fromkeys(("seq2seq", "encoderdecoder"), "forecaster"),
        "convlstm2d": "conv_lstm",
        **dict.fromkeys(("cnnlstm", "cnngru", "lrcn"), "cnn_rnn"),
        "lm": "language_model",
    },
    "model.activation": {"swish": "silu", "none": "linear"},
    "model.initializer": {
        **dict.fromkeys(("xavier", "xavieruniform", "glorot"), "glorot_uniform"),
        **dict.fromkeys(("kaiming", "kaimingnormal", "he"), "he_normal"),
        "kaiminguniform": "he_uniform",
        "normal": "random_normal",
        "uniform": "random_uniform",
    },
    "dataset": {
        "fmnist": "fashion_mnist",
        "cifar": "cifar10",
        **dict.fromkeys(("google", "stock", "stocks"), "google_stock"),
        **dict.fromkeys(("csv", "table", "tabular", "pandas"), "table_csv"),
        **dict.fromkeys(("images", "folder", "imagedirectory"), "image_folder"),
        **dict.fromkeys(("series", "timeseries"), "series_csv"),
        **dict.fromkeys(("numpy", "arrays"), "npz"),
        **dict.fromkeys(("video", "videos", "clips"), "video_folder"),
        "reviews": "imdb",
    },
    "dataset.normalization": {
        **dict.fromkeys(("true", "standardscaler", "zscore", "standardize"), "standard"),
        **dict.fromkeys(("minmax", "minmaxscaler", "255", "1/255"), "unit"),
        **dict.fromkeys(("false", "null"), "none"),
    },
    "dataset.separator": {",": "comma", ";": "semicolon", "\\t": "tab", "\t": "tab", "|": "pipe"},
    "dataset/augmentation": {"true": "all", "false": "none", "null": "none"},
    "checkpoint": {"true": "checkpoint.keep_best=true", "false": "checkpoint.keep_best=false"},
    "debug": {"true": "fast", "1": "fast", "profiler": "profile"},
    "sweep": {
        **dict.fromkeys(("true", "bayesian", "tpe", "auto"), "optuna"),
        "gridsearch": "-m sweep=grid",
        "randomsearch": "-m sweep=random",
    },
    "sweep.sampler": {
        **dict.fromkeys(("bayesian", "bayes", "tpesampler"), "tpe"),
        **dict.fromkeys(("randomsearch", "randomsampler"), "random"),
        **dict.fromkeys(("gridsearch", "gridsampler"), "grid"),
        **dict.fromkeys(("cma", "cmaessampler"), "cmaes"),
        **dict.fromkeys(("gpsampler", "gaussianprocess"), "gp"),
        **dict.fromkeys(("nsgaii", "genetic"), "nsga2"),
    },
    "sweep.pruner": {
        "medianpruner": "median",
        **dict.fromkeys(("asha", "sha", "successivehalvingpruner"), "successive_halving"),
        "hyperbandpruner": "hyperband",
    },
    "sweep.direction": {"min": "minimize", "max": "maximize"},
}
"""For a key, or the folded name of one that does not exist: its values, folded, and what to type.

What to type is a value, or complete overrides."""

CALLED: dict[str, str] = {
    "acc": "accuracy",
    "mae": "mean_absolute_error",
    "mse": "loss",
    "rmse": "root_mean_squared_error",
    "ppl": "perplexity",
}
"""Short names of metrics within a logged name, such as `val_acc`."""

NEEDLESS: dict[str, str] = {
    **dict.fromkeys(
        ("device", "devices", "gpu", "gpus", "usegpu", "cuda", "usecuda", "accelerator", "tpu"),
        "TensorFlow uses a GPU if it finds one, and CUDA_VISIBLE_DEVICES=-1 hides it",
    ),
    **dict.fromkeys(
        ("numworkers", "pinmemory", "prefetch"), "batches are prepared while the model trains"
    ),
    "shuffle": "training examples are always shuffled, by seed and epoch",
    **dict.fromkeys(("verbose", "verbosity", "progressbar"), "one line shows the progress"),
    **dict.fromkeys(("resume", "ckptpath", "resumefromcheckpoint", "checkpointpath"), ""),
}
"""Folded names without a key, and why there is none."""

COMMANDS: dict[str, str] = {
    **dict.fromkeys(("run", "fit", "start", "main"), "train"),
    **dict.fromkeys(("sweep", "tune", "search", "optimize", "hpo"), "train -m sweep=optuna"),
    **dict.fromkeys(("continue", "restart"), "resume"),
    **dict.fromkeys(("repeat", "replay", "rerun", "verify"), "reproduce"),
    **dict.fromkeys(("comparison", "contrast", "versus", "vs"), "compare"),
    **dict.fromkeys(("mlflow", "dashboard", "web"), "ui"),
    **dict.fromkeys(("board", "tb"), "tensorboard"),
    **dict.fromkeys(("list", "ls", "ps", "history", "log", "query", "status"), "runs"),
    **dict.fromkeys(("info", "describe", "inspect", "view", "get", "cat"), "show"),
    **dict.fromkeys(("examples", "gallery", "recipes"), "experiments"),
    **dict.fromkeys(("clean", "prune", "delete"), "gc"),
    **dict.fromkeys(("upload", "push"), "sync"),
    **dict.fromkeys(("serve",), "server"),
}
"""Names of commands that other tools have."""
