"""Config classes of the optimizers; the values are in `conf/optimizer/`."""

from typing import Any

from samerun.config.fields import a_path, above, at_least, config, fraction


@config
class Optimizer:
    """What all optimizers share; each field means the same as Keras's argument of this name.

    Args:
        kind: name of the option; fixed by the class.
        learning_rate: initial learning rate; the schedule changes it over time.
        weight_decay: fraction of each weight subtracted per step, times the learning rate; `null`:
            no decay.
        clipnorm: maximum norm of each variable's gradient; `null`: no clipping.
        clipvalue: maximum absolute value of a gradient; `null`: no clipping.
        global_clipnorm: maximum global norm of all gradients; `null`: no clipping.
        use_ema: keep an exponential moving average of the weights and use it as the final weights.
        ema_momentum: momentum of the moving average: the fraction that is kept per step.
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
        beta_1: decay rate of the first moment estimates.
        beta_2: decay rate of the second moment estimates.
        epsilon: constant added to the denominator for numerical stability.
        amsgrad: use the AMSGrad variant: the maximum of all past second moments (Reddi et al.,
            2018).
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
    """Stochastic gradient descent with optional momentum.

    Args:
        momentum: momentum.
        nesterov: use Nesterov momentum (Nesterov, 1983).
    """

    kind: str = "sgd"
    momentum: float = fraction()
    nesterov: bool


@config
class RmsProp(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012).

    Args:
        rho: decay rate of the second moment estimates.
        momentum: momentum.
        epsilon: constant added to the denominator for numerical stability.
        centered: normalize gradients by their estimated variance instead of the second moment.
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
        initial_accumulator_value: initial value of the sum of squared gradients.
        epsilon: constant added to the denominator for numerical stability.
    """

    kind: str = "adagrad"
    initial_accumulator_value: float = at_least(0)
    epsilon: float = above(0)


@config
class Nadam(Optimizer):
    """Adam with Nesterov momentum (Dozat, 2016).

    Args:
        beta_1: decay rate of the first moment estimates.
        beta_2: decay rate of the second moment estimates.
        epsilon: constant added to the denominator for numerical stability.
    """

    kind: str = "nadam"
    beta_1: float = fraction()
    beta_2: float = fraction()
    epsilon: float = above(0)


@config
class Lion(Optimizer):
    """Lion, which steps by the sign of the momentum (Chen et al., 2023).

    Args:
        beta_1: interpolation between gradient and momentum for the step.
        beta_2: decay rate of the momentum.
    """

    kind: str = "lion"
    beta_1: float = fraction()
    beta_2: float = fraction()


@config
class Muon(Optimizer):
    """Muon: orthogonalized momentum for matrices, Adam for all other weights (Jordan, 2024).

    The rest are vectors, convolutions, embeddings and the output layer. `weight_decay` is for both.

    Args:
        momentum: decay rate of the momentum.
        nesterov: use Nesterov momentum.
        ns_steps: Newton-Schulz iterations per step.
        adam_lr_ratio: learning rate of the Adam part, as a multiple of `learning_rate`.
    """

    kind: str = "muon"
    momentum: float = fraction()
    nesterov: bool
    ns_steps: int = above(0)
    adam_lr_ratio: float = above(0)


@config
class CustomOptimizer(Optimizer):
    """A user's own function: `target(learning_rate, **params)` returns a Keras optimizer.

    The shared options that are set, such as `clipnorm`, are passed as keyword arguments too. Using
    this config imports the module: a config from elsewhere is code from elsewhere.

    Args:
        target: `package.module:function`, in the working directory or installed.
        params: its keyword arguments.
    """

    kind: str = "custom"
    target: str
    params: dict[str, Any] = a_path()


OPTIMIZERS: tuple[type[Optimizer], ...] = (
    Adam,
    AdamW,
    Sgd,
    RmsProp,
    Adagrad,
    Nadam,
    Lion,
    Muon,
    CustomOptimizer,
)
"""Every kind of optimizer; `samerun.optim` builds each."""
