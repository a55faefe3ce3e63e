"""Optimiser and learning-rate schedule from the analysis file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from gridloom.analysis.models import Optimizer, Schedule


@keras.saving.register_keras_serializable(package="gridloom")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up, then constant, cosine or exponential from `peak` to `peak x final_fraction`."""

    def __init__(self, *, peak: float, shape: str, warmup_steps: int, total_steps: int, final_fraction: float) -> None:
        super().__init__()
        self.peak = peak
        self.shape = shape
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.final_fraction = final_fraction

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rise = ops.minimum((step + 1.0) / max(1, self.warmup_steps), 1.0)
        length = max(1, self.total_steps - self.warmup_steps)
        done = ops.clip((step - self.warmup_steps) / length, 0.0, 1.0)
        if self.shape == "cosine":
            shape = self.final_fraction + (1.0 - self.final_fraction) * 0.5 * (1.0 + ops.cos(math.pi * done))
        elif self.shape == "exponential":
            shape = ops.exp(math.log(self.final_fraction) * done)
        else:
            shape = ops.ones_like(done)
        return self.peak * rise * shape

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "shape": self.shape,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "final_fraction": self.final_fraction,
        }


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How a training changes the weights: Keras' optimiser, built for them, and its learning rate by steps."""

    optimizer: Any
    schedule: WarmupSchedule
    weights: Sequence[Any]


def build_optimization(
    optimizer: Optimizer, schedule: Schedule, weights: Sequence[Any], *, steps_per_epoch: int, epochs: int
) -> Optimization:
    """The Keras optimiser of some variables, with its schedule in steps."""
    rate = WarmupSchedule(
        peak=optimizer.learning_rate,
        shape=schedule.name,
        warmup_steps=round(schedule.warmup_epochs * steps_per_epoch),
        total_steps=epochs * steps_per_epoch,
        final_fraction=schedule.final_fraction,
    )
    built = _keras_optimizer(optimizer, rate)
    built.build(list(weights))
    return Optimization(optimizer=built, schedule=rate, weights=tuple(weights))


def _keras_optimizer(optimizer: Optimizer, rate: WarmupSchedule) -> Any:
    common: dict[str, Any] = {"learning_rate": rate, "global_clipnorm": optimizer.clip_norm}
    decay = optimizer.weight_decay or None
    if optimizer.name == "sgd":
        return keras.optimizers.SGD(momentum=optimizer.momentum, weight_decay=decay, **common)
    if optimizer.name == "adamw":
        return keras.optimizers.AdamW(weight_decay=optimizer.weight_decay, **common)
    return keras.optimizers.Adam(weight_decay=decay, **common)
