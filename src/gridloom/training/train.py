"""Train one fold: exact, resumable at any call of the compiled loop, judged on the validation fold each epoch."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import output_count
from gridloom.data.dataset import Dataset, open_dataset
from gridloom.data.stream import Stream
from gridloom.data.weights import check_dataset
from gridloom.errors import Interrupted, LossNotFinite
from gridloom.models.network import build_network
from gridloom.task import Context, Progress
from gridloom.training import checkpoint
from gridloom.training.backends import back_end
from gridloom.training.backends.base import LoopSettings
from gridloom.training.choice import chosen
from gridloom.training.feed import as_inputs, feed, settled, standardised, training_material
from gridloom.training.fold import chunks, fit_transforms, split_fold
from gridloom.training.loop import steps_per_call
from gridloom.training.losses import LOSSES, loss_name
from gridloom.training.optimizers import build_optimization
from gridloom.training.outputs import write_outputs
from gridloom.training.state import Position, Training
from gridloom.training.tensorboard import EventFile


def run(context: Context) -> None:
    """Do a `train` task: model.keras, model.json, scores.npy, history.json, timing.json, tensorboard/ in the output.

    Raises LossNotFinite (the last good checkpoint stays), Interrupted, DiskFull and what the user's model raises.
    """
    analysis = Analysis.model_validate(context.task.parameters["analysis"])
    number = int(str(context.task.parameters["fold"]))
    back_end().configure(analysis.training.threads)
    dataset = open_dataset(analysis, [path for name, path in context.inputs.items() if name.startswith("prepare-")])
    check_dataset(analysis, dataset)
    training = _set_up(context, analysis, dataset, number)
    position, best = _resume(training)
    good = None  # the end of the last epoch: every number was finite there
    events = EventFile(context.scratch / "tensorboard", position.history)
    first_step = None
    while not _finished(analysis, position):
        try:
            position, stepped = _epoch(training, position, best)
            first_step = first_step or stepped
            position, best = _end_of_epoch(training, position, best)
        except LossNotFinite as error:
            raise _with_last_good(training, error, good) from error
        good = _state(training, position, best)
        events.add(position.history[-1])
    _save(training, position, best)
    _restore(training.network.model.variables, best)
    write_outputs(training, position, first_step)


def _set_up(context: Context, analysis: Analysis, dataset: Dataset, number: int) -> Training:
    settings = analysis.training
    keras.backend.clear_session()
    keras.utils.set_random_seed(settings.seed * 1000 + number)
    raw = split_fold(analysis, dataset, number)
    transforms = fit_transforms(analysis, dataset, raw)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(settings.precision)
    try:
        network = build_network(analysis, transforms, output_count(analysis), Path(context.task.folder))
    finally:
        keras.config.set_dtype_policy(policy)
    batch = min(settings.batch, len(raw.train_rows))
    steps = steps_per_call(network.body, analysis, batch)
    steps_per_epoch = -(-len(raw.train_rows) // batch)
    fold = standardised(raw, transforms.target)
    material = training_material(dataset, fold, settings.sampling)
    if settings.precision == "float32":  # in reduced precision the transforms' results are not float32
        material = settled(material, network)
    stream = Stream(
        rows=material.rows,
        batch=batch,
        steps_per_call=min(steps, steps_per_epoch),
        seed=(settings.seed, number),
        frequency=material.frequency,
    )
    optimization = build_optimization(
        settings.optimizer,
        settings.schedule,
        network.body.trainable_variables,
        steps_per_epoch=stream.steps_per_epoch,
        epochs=settings.epochs,
    )
    loss = loss_name(analysis)
    choice = chosen(network.body, analysis, context.inputs)
    loop = back_end().compile_loop(
        network,
        optimization,
        LoopSettings(loss=LOSSES[loss], xla=choice.xla, transformed=material.transformed),
    )
    return Training(
        context=context,
        analysis=analysis,
        dataset=dataset,
        fold=fold,
        material=material,
        stream=stream,
        network=network,
        optimization=optimization,
        loop=loop,
        choice=choice,
        loss=loss,
    )


def _finished(analysis: Analysis, position: Position) -> bool:
    if position.epoch >= analysis.training.epochs:
        return True
    stopping = analysis.training.early_stopping
    # Between epochs only: inside one, the decision to run it has been taken.
    return stopping is not None and position.call == 0 and position.epoch - 1 - position.best_epoch >= stopping.patience


def _resume(training: Training) -> tuple[Position, checkpoint.Arrays]:
    found = checkpoint.load(_checkpoints(training))
    if found is None:
        return Position(), _arrays(training.network.model.variables)
    _restore(training.network.model.variables, found.arrays["weights"])
    _restore(training.optimization.optimizer.variables, found.arrays["optimizer"])
    return Position.from_state(found.state), found.arrays["best"]


def _checkpoints(training: Training) -> Path:
    return training.context.scratch / "checkpoints"


def _arrays(variables: list[Any]) -> checkpoint.Arrays:
    """Copies: what TensorFlow lends may be the memory that the next step writes to."""
    return tuple(np.asarray(variable).copy() for variable in variables)


def _restore(variables: list[Any], arrays: checkpoint.Arrays) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _state(training: Training, position: Position, best: checkpoint.Arrays) -> checkpoint.Checkpoint:
    return checkpoint.Checkpoint(
        arrays={
            "weights": _arrays(training.network.model.variables),
            "optimizer": _arrays(training.optimization.optimizer.variables),
            "best": best,
        },
        state=position.as_state(),
    )


def _save(training: Training, position: Position, best: checkpoint.Arrays) -> None:
    state = _state(training, position, best)
    # The loss of a step is that of the weights before it: the last step may have spoilt them.
    if not all(np.isfinite(array).all() for array in state.arrays["weights"]):
        raise _not_finite(training, position, position.call)
    checkpoint.save(_checkpoints(training), state)


def _epoch(training: Training, position: Position, best: checkpoint.Arrays) -> tuple[Position, float | None]:
    """The rest of an epoch; also the time of the first step, for those who wait for it."""
    first_step = None
    every = training.analysis.training.checkpoint_seconds
    saved = clock = time.monotonic()
    for fed in feed(training.material, training.stream, position.epoch, position.call):
        total = training.loop.train(fed)
        first_step = first_step or time.time()
        now = time.monotonic()
        if not np.isfinite(total):
            raise _not_finite(training, position, fed.number)
        position = replace(
            position,
            call=fed.number + 1,
            loss_sum=position.loss_sum + total,
            events=position.events + fed.events,
            seconds=position.seconds + now - clock,
        )
        clock = now
        _report(training, position)
        if training.context.stop():
            _save(training, position, best)
            raise Interrupted("stopped on request", where=training.context.task.label, fix="Run again to go on.")
        if now - saved > every:
            _save(training, position, best)
            saved = time.monotonic()
    return position, first_step


def _not_finite(training: Training, position: Position, call: int) -> LossNotFinite:
    step = position.epoch * training.stream.steps_per_epoch + call * training.stream.steps_per_call
    return LossNotFinite(
        "the loss is not a finite number",
        where=f"{training.context.task.label}, step {step} (epoch {position.epoch + 1})",
        fix="Lower training.optimization.optimizer.learning_rate, set clip_norm, look for huge weights or features",
        key=("training", "optimizer"),
    )


def _with_last_good(training: Training, error: LossNotFinite, good: checkpoint.Checkpoint | None) -> LossNotFinite:
    """Have the newest good state on the disk, to be looked at or gone on from, and say so."""
    folder = _checkpoints(training)
    found = checkpoint.load(folder)
    if good is not None and (found is None or _reached(found) < _reached(good)):
        checkpoint.save(folder, good)
        found = good
    kept = "no epoch was finished" if found is None else f"the state after epoch {found.state['epoch']} is in {folder}"
    return LossNotFinite(error.what, where=error.where, fix=f"{error.fix}; {kept}.", key=error.key)


def _reached(found: checkpoint.Checkpoint) -> tuple[int, int]:
    return found.state["epoch"], found.state["call"]


def _report(training: Training, position: Position, validation_loss: float | None = None) -> None:
    epochs = training.analysis.training.epochs
    values = {"loss": position.loss_sum / max(1, position.events)}
    if position.history:
        values["validation_loss"] = position.history[-1]["validation_loss"]
    if validation_loss is not None:
        values["validation_loss"] = validation_loss
    training.context.progress(
        Progress(
            done=min(position.epoch + position.call / training.stream.calls_per_epoch, epochs),
            total=epochs,
            text=f"epoch {min(position.epoch + 1, epochs)}/{epochs}",
            values=values,
        )
    )


def _end_of_epoch(
    training: Training, position: Position, best: checkpoint.Arrays
) -> tuple[Position, checkpoint.Arrays]:
    loss = _validation_loss(training)
    if not np.isfinite(loss):
        raise _not_finite(training, position, position.call)
    record = {
        "epoch": position.epoch,
        "loss": position.loss_sum / max(1, position.events),
        "validation_loss": loss,
        "learning_rate": float(np.asarray(training.optimization.optimizer.learning_rate)),
    }
    stopping = training.analysis.training.early_stopping
    margin = stopping.minimum_improvement if stopping is not None else 0.0
    if loss < position.best_loss - margin:
        best = _arrays(training.network.model.variables)
        position = replace(position, best_loss=loss, best_epoch=position.epoch)
    position = replace(
        position, epoch=position.epoch + 1, call=0, loss_sum=0.0, events=0, history=(*position.history, record)
    )
    return position, best


def _validation_loss(training: Training) -> float:
    """Weighted mean loss over the validation fold, in float64."""
    total, events = 0.0, 0
    for rows in chunks(training.fold.validation_rows):
        outputs = training.loop.score(as_inputs(training.dataset.inputs(rows)))
        losses = LOSSES[training.loss](training.fold.targets[rows], outputs)
        total += float(np.sum(ops.convert_to_numpy(losses).astype(np.float64) * training.fold.weights[rows]))
        events += len(rows)
    return total / max(1, events)
