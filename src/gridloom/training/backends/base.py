"""What a back end does: arrays of NumPy in, numbers of NumPy out; its own tensors stay inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gridloom.models.network import Network
from gridloom.training.losses import PerEvent
from gridloom.training.optimizers import Optimization

Arrays = Mapping[str, npt.NDArray[Any]]
# A model with its weights as they are at each call: outputs (n, ...) from named inputs. It also takes the back end's
# own tensors, which is how exports trace it.
Apply = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Fed:
    """Arguments of one call: everything has the leading axes (steps per call, batch).

    `valid` (steps per call,) counts the events of each batch that are not filling; `steps` are run. The arrays may be
    filled anew after the call.
    """

    number: int
    inputs: Arrays
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    valid: npt.NDArray[np.float32]
    steps: int
    events: int


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How a loop is compiled; `transformed`: it is fed what the network's transforms have made of the raw inputs."""

    loss: PerEvent
    xla: bool
    transformed: bool


class Loop(Protocol):
    """The compiled functions of one training; the weights are in the network's variables between calls."""

    def train(self, fed: Fed) -> float:
        """Run the steps of a call and give the sum of the losses; a step's loss is sum(weight x loss) / valid."""
        ...

    def score(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        """What the network says of raw inputs before its activation (n, C)."""
        ...


class Backend(Protocol):
    """The functions that each module of a back end has."""

    def configure(self, threads: int) -> None:
        """Fix what must be known before the first operation. Raises EnvironmentProblem when it is too late."""
        ...

    def accelerated(self) -> bool:
        """Whether a device other than the processor computes."""
        ...

    def compile_loop(self, network: Network, optimization: Optimization, settings: LoopSettings) -> Loop:
        """Compile the training loop of a network."""
        ...

    def compile_model(self, model: Any) -> Apply:
        """Compile the application of a Keras model to raw inputs."""
        ...
