"""Learning curves from the training's own records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from gridloom.physics.bootstrap import finite
from gridloom.physics.results import LearningCurve


class EpochRecord(BaseModel):
    """One epoch of history.json; what else stands there is not for the report."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: int
    loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    validation_auc: float | None = None
    seconds: float | None = None


def read_history(path: Path) -> tuple[EpochRecord, ...]:
    return tuple(TypeAdapter(list[EpochRecord]).validate_json(path.read_bytes()))


def _column(values: Sequence[float | None]) -> tuple[float | None, ...]:
    return tuple(None if value is None else finite(value) for value in values)


def learning_curve(fold: int, history: Sequence[EpochRecord]) -> LearningCurve:
    """The curve of one fold; the best epoch is that of the smallest validation loss."""
    validation = _column([record.validation_loss for record in history])
    known = [(loss, record.epoch) for loss, record in zip(validation, history, strict=True) if loss is not None]
    aucs = _column([record.validation_auc for record in history])
    return LearningCurve(
        fold=fold,
        epochs=tuple(float(record.epoch) for record in history),
        loss=_column([record.loss for record in history]),
        validation_loss=validation,
        learning_rate=_column([record.learning_rate for record in history]),
        validation_auc=aucs if any(value is not None for value in aucs) else (),
        seconds=_column([record.seconds for record in history]),
        best_epoch=float(min(known)[1]) if known else None,
    )
