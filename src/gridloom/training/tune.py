"""The probe of a run: a few steps on invented events, with XLA and without; its result is read by every training."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import output_count
from gridloom.errors import Interrupted
from gridloom.models.check import untrained
from gridloom.models.network import Network
from gridloom.task import Context, Progress
from gridloom.training.backends import Loop, back_end
from gridloom.training.backends.base import Fed, LoopSettings
from gridloom.training.choice import Choice, by_probe, by_rule, is_clear, write_choice
from gridloom.training.loop import flops_per_step
from gridloom.training.losses import LOSSES, loss_name
from gridloom.training.optimizers import build_optimization
from gridloom.training.room import aligned_empty

# Arithmetic of one measured call: some hundredths of a second, hundreds of times what starting it costs.
_FLOPS = 1e9
_MOST_STEPS = 256
_ROUNDS = 5


def run(context: Context) -> None:
    """Do a `tune` task: tune.json in the output. Raises Interrupted, and what the user's model raises."""
    analysis = Analysis.model_validate(context.task.parameters["analysis"])
    back_end().configure(analysis.training.threads)
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    network = untrained(analysis, Path(context.task.folder))
    rule = by_rule(network.body, analysis)
    choice = rule if is_clear(rule) else _measured(context, analysis, network, rule)
    write_choice(context.output, choice)
    context.progress(Progress(done=1, total=1, text=choice.why))


def _measured(context: Context, analysis: Analysis, network: Network, rule: Choice) -> Choice:
    fed = _invented(analysis, network)
    clock = _clock(analysis)
    loops = []
    for number, xla in enumerate((True, False)):
        _say(context, number, f"compiling {'with' if xla else 'without'} XLA")
        loops.append(_loop(analysis, network, xla=xla))
        loops[-1].train(fed)  # compiles
    # In turns, and the best of each: what disturbs the machine can only make a call longer.
    rounds = []
    for _ in range(_ROUNDS):
        _say(context, 2, "measuring")
        rounds.append([_seconds(loop, fed, clock) for loop in loops])
    with_xla, without = (min(times) / fed.steps for times in zip(*rounds, strict=True))
    return by_probe(rule, with_xla=with_xla, without=without)


def _say(context: Context, done: int, text: str) -> None:
    if context.stop():
        raise Interrupted("stopped on request", where=context.task.label, fix="Run again.")
    context.progress(Progress(done=done, total=3, text=text))


def _clock(analysis: Analysis) -> Callable[[], float]:
    """Time of the processor, which other processes do not lengthen; of the wall where the work is not one thread's."""
    return time.process_time if analysis.training.threads == 1 and not back_end().accelerated() else time.perf_counter


def _seconds(loop: Loop, fed: Fed, clock: Callable[[], float]) -> float:
    begun = clock()
    loop.train(fed)
    return clock() - begun


def _loop(analysis: Analysis, network: Network, *, xla: bool) -> Loop:
    settings = analysis.training
    optimization = build_optimization(
        settings.optimizer, settings.schedule, network.body.trainable_variables, steps_per_epoch=1000, epochs=1000
    )
    compiled = LoopSettings(loss=LOSSES[loss_name(analysis)], xla=xla, transformed=settings.precision == "float32")
    return back_end().compile_loop(network, optimization, compiled)


@dataclass(frozen=True, kw_only=True)
class _Shape:
    steps: int
    batch: int

    def array(self, rest: tuple[int, ...], values: Callable[[int], npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        found = aligned_empty((self.steps, self.batch, *rest))
        found[...] = values(found.size).reshape(found.shape)
        return found


def _invented(analysis: Analysis, network: Network) -> Fed:
    """Transformed events that have all objects; the arithmetic does not depend on their values."""
    batch = analysis.training.batch
    flops = flops_per_step(network.body, analysis, batch)
    shape = _Shape(steps=int(max(1, min(_MOST_STEPS, _FLOPS / flops))), batch=batch)
    random = np.random.default_rng(1)
    return Fed(
        number=0,
        inputs={
            name: shape.array(rest, np.ones if _is_mask(analysis, name) else random.standard_normal)
            for name, rest in _shapes(network).items()
        },
        targets=shape.array((), lambda count: random.integers(0, max(2, output_count(analysis)), count)),
        weights=shape.array((), np.ones),
        valid=np.full(shape.steps, batch, dtype=np.float32),
        steps=shape.steps,
        events=shape.steps * batch,
    )


def _is_mask(analysis: Analysis, name: str) -> bool:
    return name != "features" and name not in analysis.collections


def _shapes(network: Network) -> Mapping[str, tuple[int, ...]]:
    """The inputs of the core, which has columns for missing values more."""
    return {tensor.name: tuple(tensor.shape[1:]) for tensor in network.core.inputs}
