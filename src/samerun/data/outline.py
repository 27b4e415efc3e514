"""What a data set is known to hold before and after its arrays are loaded."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from samerun.config import Dataset, DataSpec, Layout, Task
from samerun.data.splits import split_sizes

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The shape of a data set as its source has it, before it is split.

    Args:
        task: what is to be predicted.
        layout: how the axes of one example are to be read.
        input_shape: shape of one example, without the batch axis.
        num_outputs: numbers the model has to give for one example.
        class_names: one name a class, empty where there are none.
        num_examples: examples to be split.
        num_official_test: examples of the source's own test split, `None` where it has none.
    """

    task: Task
    layout: Layout
    input_shape: tuple[int, ...]
    num_outputs: int
    class_names: tuple[str, ...] = ()
    num_examples: int
    num_official_test: int | None = None

    def spec(self, cfg: Dataset) -> DataSpec:
        """Returns what a model will see of it under this config."""
        sizes = split_sizes(cfg, self.num_examples, self.num_official_test).capped(cfg.limit)
        return DataSpec(
            task=self.task,
            layout=self.layout,
            input_shape=self.input_shape,
            num_outputs=self.num_outputs,
            class_names=self.class_names,
            num_train=sizes.train,
            num_validation=sizes.validation,
            num_test=sizes.test,
        )


@dataclass(frozen=True)
class Split:
    """Examples and their targets, as the source has them.

    Args:
        x: examples, `(n, *input_shape)` in the source's own dtype.
        y: `(n,)` of integers for classes, `(n, num_outputs)` of floats otherwise.
    """

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)

    def take(self, indices: Array) -> "Split":
        """Returns the examples at these rising indices, without a copy if that is all of them."""
        return self if len(indices) == len(self) else Split(self.x[indices], self.y[indices])


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set as loaded, before it is split.

    Args:
        outline: what it holds.
        examples: what is to be split.
        official_test: the source's own test split, if it has one.
        largest: the largest value its format can hold, `None` if only the data can tell.
    """

    outline: Outline
    examples: Split
    official_test: Split | None = None
    largest: float | None = None
