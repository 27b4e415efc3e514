"""Everything a run can be told: typed, checked, and known before TensorFlow is imported."""

from samerun.config.check import check, epoch_metrics, loss_of, metrics_of, should_rise
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
    HeldOut,
    ImageFolder,
    LearntWords,
    Level,
    Missing,
    Mnist,
    MovingDigits,
    Normalization,
    Npz,
    Pictures,
    RandomSplit,
    Scaled,
    ScaledTarget,
    Side,
    TableCsv,
    TargetType,
    Texts,
    View,
)
from samerun.config.errors import UserError, listed, nearest
from samerun.config.models import MODELS, Activation, Cnn, Initializer, Mlp, Model
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
from samerun.config.root import Config, as_dict, fingerprint, flatten, redact
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
from samerun.config.spec import DataSpec, Layout, Task
from samerun.config.store import (
    GROUPS,
    Composition,
    compose,
    folder,
    from_yaml,
    options,
    parse,
    register,
    to_yaml,
    translated,
)
from samerun.config.training import (
    LOSSES,
    METRICS,
    EarlyStopping,
    Evaluation,
    Loss,
    Metric,
    Precision,
    Tracking,
    Training,
)
