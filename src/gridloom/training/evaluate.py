"""Judge the trained folds: gather every event's scores and hand them to the figures of merit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gridloom.analysis.models import Analysis
from gridloom.data.dataset import Dataset, open_dataset
from gridloom.data.weights import training_weights
from gridloom.errors import DamagedResult, Interrupted
from gridloom.physics.bootstrap import IntArray
from gridloom.physics.evaluate import evaluate
from gridloom.physics.events import ScoreArray, ScoredEvents
from gridloom.physics.importance import Predict
from gridloom.physics.learning import learning_curve, read_history
from gridloom.physics.material import Material
from gridloom.physics.results import write_evaluation
from gridloom.task import Context, Progress
from gridloom.training.ensemble import by_fold, combined
from gridloom.training.reference import ReferenceNotes

EVALUATION = "evaluation.json"
SCORES = "scores.npy"
_STEP = 0.2


@dataclass(frozen=True, kw_only=True)
class FoldScores:
    """The scores of one kind of model: `folds[i]` (N, C) is what the model of fold i says of every event."""

    folds: tuple[ScoreArray, ...]

    def by(self, fold: IntArray, shift: int) -> ScoreArray:
        """Each event's scores by model (its fold + shift) mod k; shift 0 is the model that never saw it."""
        k = len(self.folds)
        result = np.empty((len(fold), self.folds[0].shape[1]), dtype=np.float32)
        for number, scores in enumerate(self.folds):
            rows = np.flatnonzero((fold + shift) % k == number)
            result[rows] = scores[rows]
        return result


def run(context: Context) -> None:
    """Do an `evaluate` task: evaluation.json and scores.npy (N, C), each event by its own fold's model.

    Raises DamagedResult if a fold's result is missing or does not fit, Interrupted, EmptyClass, BadWeights.
    """
    from gridloom.training.predict import load_predictor

    analysis = Analysis.model_validate(context.task.parameters["analysis"])
    dataset = open_dataset(analysis, [path for name, path in context.inputs.items() if name.startswith("prepare-")])
    trained = by_fold(
        {name: path for name, path in context.inputs.items() if name.startswith("train-")}, analysis.folds
    )
    columns = len(dataset.classes) or 1
    network = _mean_scores(trained, len(dataset), columns)
    own = network.by(dataset.fold.astype(np.int64), 0)
    np.save(context.output / SCORES, own)
    trees = fold_folders(context.inputs, "reference-", analysis.folds) if analysis.evaluation.reference else ()
    material = Material(
        analysis=analysis,
        classes=dataset.classes,
        events=scored_events(analysis, dataset, network, _fold_scores(trees, len(dataset), columns) if trees else None),
        statistics=dataset.statistics,
        scales=dataset.scales,
        gather=dataset.inputs,
        predictors=[
            _together([load_predictor(folder, user_folder=Path(context.task.folder)) for folder in group])
            for group in trained
        ],
        learning=tuple(learning_curve(i, read_history(group[0] / "history.json")) for i, group in enumerate(trained)),
        notes=(*seed_notes(len(trained[0])), *reference_notes(trees)),
        tick=_ticker(context, _expected_ticks(analysis, columns)),
    )
    write_evaluation(context.output / EVALUATION, evaluate(material))


def _mean_scores(groups: Sequence[Sequence[Path]], events: int, columns: int) -> FoldScores:
    """Fold by fold the scores of all its networks as one."""
    members = [_fold_scores(member, events, columns).folds for member in zip(*groups, strict=True)]
    return FoldScores(folds=tuple(combined(fold).mean for fold in zip(*members, strict=True)))


def _together(predictors: Sequence[Predict]) -> Predict:
    """The networks of a fold as one."""
    return lambda inputs: combined([predict(inputs) for predict in predictors]).mean


def seed_notes(networks: int) -> tuple[str, ...]:
    """What several networks per fold mean for the figures, in words."""
    if networks == 1:
        return ()
    said = f"Each fold has {networks} networks that differ in their seed; scores are their mean."
    return (f"{said} The learning curves are those of the first.",)


def fold_folders(inputs: Mapping[str, Path], prefix: str, k: int) -> tuple[Path, ...]:
    """The folders of one kind of task in the order of their folds; raises DamagedResult unless each is there once."""
    found: dict[int, Path] = {}
    for name, folder in inputs.items():
        if name.startswith(prefix):
            found[int(json.loads((folder / "fold.json").read_text(encoding="utf-8"))["fold"])] = folder
    if sorted(found) != list(range(k)):
        raise DamagedResult(
            f"results of {prefix.removesuffix('-')} exist for the folds {sorted(found)} instead of 0 to {k - 1}",
            fix="Run again: what is missing is done anew.",
        )
    return tuple(found[number] for number in range(k))


def _fold_scores(folders: Sequence[Path], events: int, columns: int) -> FoldScores:
    scores = []
    for folder in folders:
        array = np.load(folder / SCORES, mmap_mode="r", allow_pickle=False)
        if array.shape != (events, columns):
            raise DamagedResult(
                f"scores of shape {array.shape} instead of {(events, columns)}",
                where=str(folder / SCORES),
                fix="Delete this folder and run again.",
            )
        scores.append(array)
    return FoldScores(folds=tuple(scores))


def scored_events(analysis: Analysis, dataset: Dataset, network: FoldScores, trees: FoldScores | None) -> ScoredEvents:
    """The simulated events with their scores; data's scores only when the analysis file unblinds them."""
    is_data = np.array([analysis.samples[name].data for name in dataset.sample_names], dtype=np.bool_)
    data = is_data[dataset.sample]
    row = np.flatnonzero(~data)
    fold = dataset.fold.astype(np.int64)
    training_weight = np.zeros(len(dataset))
    train_rows = np.flatnonzero(dataset.trains)
    training_weight[train_rows] = training_weights(analysis, dataset, train_rows)
    own = network.by(fold, 0)
    return ScoredEvents(
        row=row,
        sample=dataset.sample[row],
        label=dataset.label[row],
        weight=dataset.weight[row],
        training_weight=training_weight[row],
        fold=dataset.fold[row],
        trains=dataset.trains[row],
        scores=own[row],
        validation_scores=network.by(fold, -1)[row],
        train_scores=network.by(fold, 1)[row],
        folds=analysis.folds,
        reference=None if trees is None else trees.by(fold, 0)[row],
        target=None if dataset.target is None else dataset.target[row],
        data_scores=own[data] if analysis.evaluation.unblind and data.any() else None,
    )


def reference_notes(folders: Sequence[Path]) -> tuple[str, ...]:
    """What the trees did differently from the network, in words."""
    found = [ReferenceNotes.model_validate_json((folder / "reference.json").read_bytes()) for folder in folders]
    notes = []
    if any(note.negative_weights for note in found):
        notes.append(
            "The boosted trees were trained with absolute weights: splits on sums of signed weights fall apart. "
            "They are judged with signed weights like the network."
        )
    if any(note.events < note.available - note.dropped for note in found):
        notes.append(
            f"The boosted trees of a fold were trained on a random {min(note.events for note in found):,} of its "
            "training events, to fit in memory."
        )
    return tuple(notes)


def _expected_ticks(analysis: Analysis, columns: int) -> int:
    """About how often `tick` is called: for the progress bar alone."""
    replicas, judged = analysis.evaluation.bootstrap, 1 if columns <= 2 else columns + 1
    passes = 3 if analysis.target.regression is not None else 2 * judged + 3 + (columns > 2)
    return passes * replicas + len(analysis.features) + analysis.folds


def _ticker(context: Context, total: int) -> Callable[[], None]:
    """Report progress and obey `stop` a few times a second."""
    done = 0
    last = time.monotonic()

    def tick() -> None:
        nonlocal done, last
        done += 1
        now = time.monotonic()
        if now - last < _STEP:
            return
        last = now
        if context.stop():
            raise Interrupted("stopped on request", where=context.task.label, fix="Run again to go on.")
        context.progress(Progress(done=min(done, total), total=total, text="figures of merit"))

    return tick
