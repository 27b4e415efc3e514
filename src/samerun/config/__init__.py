"""Everything a run can be told: typed, checked, and known before TensorFlow is imported."""

from samerun.config.check import check, epoch_metrics, loss_of, metrics_of, should_rise
from samerun.config.checkpoint import AfterSuccess, Checkpoint, Trial
from samerun.config.composition import (
    Composition,
    compose,
    is_sweep,
    parse,
    parse_sweep,
    stored_sweep,
)
from samerun.config.datasets import (
    DATASETS,
    Augmentation,
    Cifar10,
    Cifar100,
    Cifar100Label,
    ClipLabel,
    CustomDataset,
    Dataset,
    Diabetes,
    Digits,
    FashionMnist,
    GoogleStock,
    HeldOut,
    ImageFolder,
    Imdb,
    LearntWords,
    Level,
    Missing,
    Mnist,
    MovingDigits,
    Normalization,
    Npz,
    Pictures,
    PythonDocs,
    PythonDocstrings,
    RandomSplit,
    Reuters,
    Scaled,
    ScaledTarget,
    Series,
    SeriesCsv,
    Side,
    TableCsv,
    TargetType,
    TextCsv,
    TextFolder,
    Texts,
    View,
)
from samerun.config.errors import UserError, is_out_of_memory, listed, nearest
from samerun.config.messages import translated, without_sweep
from samerun.config.models import (
    MODELS,
    Activation,
    Cell,
    Cnn,
    Cnn1d,
    CnnRnn,
    ConvLstm,
    CustomModel,
    Embedded,
    Forecaster,
    Gru,
    Initializer,
    LanguageModel,
    LeNet5,
    Lstm,
    Mlp,
    Model,
    ParallelLstm,
    Recurrent,
    Regularised,
    SimpleRnn,
)
from samerun.config.optimizers import (
    OPTIMIZERS,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RmsProp,
    Sgd,
)
from samerun.config.paths import paths
from samerun.config.pruners import Pruner
from samerun.config.root import Config, as_dict, fingerprint, flatten, has_meaning, idle_keys
from samerun.config.samplers import QmcType, Sampler
from samerun.config.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    InverseTime,
    OneCycle,
    Polynomial,
    ReduceOnPlateau,
    Schedule,
    Step,
)
from samerun.config.schema import GROUPS, available_cores, folder, options, register
from samerun.config.secrets import check_secrets_given, hide_secrets, safe_yaml
from samerun.config.spec import DataSpec, Layout, Task
from samerun.config.stored import from_yaml, to_yaml
from samerun.config.sweep import (
    Budget,
    Dask,
    Direction,
    Executor,
    Faults,
    ObjectiveFrom,
    Policy,
    Sweep,
)
from samerun.config.training import (
    LOSSES,
    METRICS,
    EarlyStopping,
    Evaluation,
    IfExists,
    Loss,
    Metric,
    OnMemory,
    OnNan,
    Precision,
    Tracking,
    Training,
)
