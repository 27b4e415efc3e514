"""Config classes of the optimizers; the values live in `conf/optimizer/`."""

from samerun.config.fields import above, at_least, config, fraction


@config
class Optimizer:
    """What all optimizers share; the meaning of each is that of the Keras argument of its name.

    Args:
        kind: which optimizer; fixed by the class.
        learning_rate: the learning rate that the schedule shapes over time.
        weight_decay: share of each weight taken off a step, times the learning rate; `null`: none.
        clipnorm: largest norm of one variable's gradient, `null` for no limit.
        clipvalue: largest absolute value in a gradient, `null` for no limit.
        global_clipnorm: largest norm of all gradients together, `null` for no limit.
        use_ema: keep an exponential moving average of the weights and end with it.
        ema_momentum: how much of the average stays at a step.
    """

    kind: str
    learning_rate: float = above(0)
    weight_decay: float | None = at_least(0)
    clipnorm: float | None = above(0)
    clipvalue: float | None = above(0)
    global_clipnorm: float | None = above(0)
    use_ema: bool
    ema_momentum: float = fraction()


@config
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015).

    Args:
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the denominator.
        amsgrad: use the largest second moment so far (Reddi et al., 2018).
    """

    kind: str = "adam"
    beta_1: float = fraction()
    beta_2: float = fraction()
    epsilon: float = above(0)
    amsgrad: bool


@config
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019); arguments as `Adam`."""

    kind: str = "adamw"
    beta_1: float = fraction()
    beta_2: float = fraction()
    epsilon: float = above(0)
    amsgrad: bool


@config
class Sgd(Optimizer):
    """Gradient descent with optional momentum.

    Args:
        momentum: share of the last step that is taken again.
        nesterov: look ahead along the momentum (Nesterov, 1983).
    """

    kind: str = "sgd"
    momentum: float = fraction()
    nesterov: bool


@config
class RmsProp(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012).

    Args:
        rho: decay of the mean of squared gradients.
        momentum: share of the last step that is taken again.
        epsilon: added to the denominator.
        centered: divide by the estimated variance instead of the second moment.
    """

    kind: str = "rmsprop"
    rho: float = fraction()
    momentum: float = fraction()
    epsilon: float = above(0)
    centered: bool


@config
class Adagrad(Optimizer):
    """Adagrad (Duchi et al., 2011).

    Args:
        initial_accumulator_value: where the sum of squared gradients starts.
        epsilon: added to the denominator.
    """

    kind: str = "adagrad"
    initial_accumulator_value: float = at_least(0)
    epsilon: float = above(0)


@config
class Nadam(Optimizer):
    """Adam with Nesterov momentum (Dozat, 2016).

    Args:
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the denominator.
    """

    kind: str = "nadam"
    beta_1: float = fraction()
    beta_2: float = fraction()
    epsilon: float = above(0)


@config
class Lion(Optimizer):
    """Lion, steps by the sign of the momentum (Chen et al., 2023).

    Args:
        beta_1: mixes gradient and momentum for the step.
        beta_2: decay of the momentum.
    """

    kind: str = "lion"
    beta_1: float = fraction()
    beta_2: float = fraction()


@config
class Muon(Optimizer):
    """Muon, orthogonalised momentum for matrices and Adam for the rest (Jordan, 2024).

    The rest are vectors, convolutions, embeddings and the output layer. `weight_decay` is for both.

    Args:
        momentum: decay of the momentum.
        nesterov: look ahead along the momentum.
        ns_steps: Newton-Schulz iterations a step.
        adam_lr_ratio: learning rate of the Adam part, as a multiple of `learning_rate`.
    """

    kind: str = "muon"
    momentum: float = fraction()
    nesterov: bool
    ns_steps: int = above(0)
    adam_lr_ratio: float = above(0)


OPTIMIZERS: tuple[type[Optimizer], ...] = (
    Adam,
    AdamW,
    Sgd,
    RmsProp,
    Adagrad,
    Nadam,
    Lion,
    Muon,
)
"""Every kind of optimizer; `samerun.optim` says how each is built."""
