"""Toys whose answer is known: the model must find it, and find nothing where there is nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from whole_runs import Run, ids, run_analysis, write_analysis, write_ntuple

from gridloom.analysis.models import Analysis
from gridloom.data.dataset import Inputs, open_dataset
from gridloom.physics.roc import area
from gridloom.training.predict import load_predictor

Array = npt.NDArray[np.float64]

pytestmark = pytest.mark.soak


def analysis_of(features: int, **changes: Any) -> dict[str, Any]:
    """Two classes in two files, quick but careful training."""
    content: dict[str, Any] = {
        "gridloom": 1,
        "name": "toy",
        "samples": {
            "signal": {"files": "signal.root", "class": "signal", "weight": "weight"},
            "background": {"files": "background.root", "class": "background", "weight": "weight"},
        },
        "features": [f"x{i}" for i in range(features)],
        "target": {"signal": "signal"},
        "evaluation": {"reference": False, "bootstrap": 100, "importance_events": 2000},
        "training": {"batch": 1024, "epochs": 20},
    }
    return {**content, **changes}


def write_class(path: Path, x: Array, weight: Array | None = None, more: Mapping[str, Array] | None = None) -> None:
    columns = {f"x{i}": x[:, i].astype(np.float32) for i in range(x.shape[1])}
    weights = np.ones(len(x)) if weight is None else weight
    write_ntuple(path, {**ids(len(x)), **columns, "weight": weights, **(more or {})})


def out_of_fold(run: Run, analysis: dict[str, Any]) -> tuple[Array, Array, npt.NDArray[np.int16]]:
    """Signal scores, truth (1 for signal) and folds of all events of a run."""
    dataset = open_dataset(Analysis.model_validate(analysis), run.results("prepare"))
    scores = np.load(run.results("evaluate")[0] / "scores.npy")
    signal = dataset.classes.index("signal")
    return scores[:, signal].astype(np.float64), (dataset.label == signal).astype(np.float64), dataset.fold


def auc_of(scores: Array, truth: Array) -> float:
    return area(scores, truth > 0, np.ones(len(truth)))


def auc_error(truth: Array) -> float:
    """Standard deviation of the AUC of a random score: Mann and Whitney (1947)."""
    signal, background = float(truth.sum()), float((1 - truth).sum())
    return math.sqrt((signal + background + 1) / (12 * signal * background))


@pytest.mark.parametrize("leak", ["none", "label of one fold"])
def test_shuffled_labels_give_half(tmp_path: Path, leak: str) -> None:
    """With labels that mean nothing the out-of-fold AUC is 0.5, also if a feature carries the label of one fold."""
    random = np.random.default_rng(7)
    count = 6000
    x = random.normal(size=(2 * count, 4))
    label = np.repeat([1.0, 0.0], count)
    if leak != "none":
        from gridloom.data.folds import fold_of

        # Both files number their events from zero, so an event's fold follows from its number.
        number = np.concatenate([np.arange(count), np.arange(count)]).astype(np.uint64)
        events = np.stack([np.ones_like(number), np.ones_like(number), number], axis=1)
        x[:, 0] = np.where(fold_of(events, 5) == 2, 4 * label - 2, x[:, 0])
    for name, rows in (("signal", slice(0, count)), ("background", slice(count, None))):
        write_class(tmp_path / f"{name}.root", x[rows])
    content = analysis_of(4, training={"batch": 512, "epochs": 8})
    run = run_analysis(write_analysis(tmp_path / "analysis.yaml", content), tmp_path / "runs")
    scores, truth, fold = out_of_fold(run, content)
    for tested in range(5):
        rows = fold == tested
        if leak != "none" and tested == 2:
            continue  # its own events do carry their label: no model that was trained on other folds can be blamed
        distance = abs(auc_of(scores[rows], truth[rows]) - 0.5)
        assert distance < 4 * auc_error(truth[rows]), (tested, distance)
    if leak == "none":
        assert abs(auc_of(scores, truth) - 0.5) < 4 * auc_error(truth)


def test_a_gaussian_toy_reaches_its_best_auc(tmp_path: Path) -> None:
    """Two normal classes of one covariance: the best AUC is Phi(d / sqrt 2), d the Mahalanobis distance."""
    random = np.random.default_rng(11)
    count, size = 60_000, 5
    mixing = random.normal(size=(size, size)) / 2 + np.eye(size)
    shift = np.array([0.8, -0.4, 0.3, 0.0, 0.5])
    shift *= 1.2 / np.linalg.norm(np.linalg.solve(mixing, shift))
    background = random.normal(size=(count, size)) @ mixing.T
    signal = random.normal(size=(count, size)) @ mixing.T + shift
    distance = float(np.linalg.norm(np.linalg.solve(mixing, shift)))
    best = 0.5 * (1 + math.erf(distance / 2))
    write_class(tmp_path / "signal.root", signal)
    write_class(tmp_path / "background.root", background)
    content = analysis_of(size)
    run = run_analysis(write_analysis(tmp_path / "analysis.yaml", content), tmp_path / "runs")
    scores, truth, _ = out_of_fold(run, content)
    # The best score is linear; on these very events it shows what the sample's own fluctuation is.
    x = np.concatenate([signal, background])
    linear = x @ np.linalg.solve(mixing @ mixing.T, shift)
    exact = auc_of(linear, np.repeat([1.0, 0.0], count))
    reached = auc_of(scores, truth)
    print(f"best {best:.5f}, best score on these events {exact:.5f}, network {reached:.5f}")
    assert abs(exact - best) < 0.003
    assert abs(reached - best) < 0.003
    assert exact - reached < 0.003


# --- negative weights ---------------------------------------------------------------------------------------------
SEEDS = 5
EVENTS = 30_000


def normal(x: Array, mean: float, sigma: float) -> Array:
    return np.asarray(np.exp(-0.5 * ((x - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi)))


def background_density(x: Array) -> Array:
    """What 70 % events of weight +1 from N(0, 1) and 30 % of weight -1 from N(0.6, 0.7) mean: positive everywhere."""
    return np.asarray((0.7 * normal(x, 0, 1) - 0.3 * normal(x, 0.6, 0.7)) / 0.4)


def test_negative_weights_are_learnt_better_than_dropped(tmp_path: Path) -> None:
    """30 % negative weights: the density ratio with their sign beats the one without them.

    30,000 events per class and seed, five seeds; judged by the mean squared error of log(signal / background) on
    20,000 independent events of positive weight, drawn from the true densities.
    """
    judge = np.random.default_rng(3)
    proposals = judge.normal(0, 1.3, size=400_000)
    accepted = judge.uniform(size=len(proposals)) < background_density(proposals) / (4 * normal(proposals, 0, 1.3))
    x = np.concatenate([proposals[accepted][:10_000], judge.normal(0.5, 0.9, size=10_000)])
    truth = np.log(normal(x, 0.5, 0.9)) - np.log(background_density(x))
    errors = {
        policy: [policy_error(tmp_path, seed, policy, x, truth) for seed in range(SEEDS)] for policy in ("keep", "drop")
    }
    gain = np.array(errors["drop"]) - np.array(errors["keep"])
    spread = float(gain.std(ddof=1) / math.sqrt(SEEDS))
    for policy, values in errors.items():
        error = np.std(values, ddof=1) / math.sqrt(SEEDS)
        print(f"{policy}: mean squared error {np.mean(values):.4f} +- {error:.4f}")
    print(f"gain {gain.mean():.4f} +- {spread:.4f}")
    assert (gain > 0).all()
    assert gain.mean() > 5 * spread


def policy_error(folder: Path, seed: int, policy: str, x: Array, truth: Array) -> float:
    """Mean squared error of the learnt log density ratio, averaged over the folds' models."""
    random = np.random.default_rng(100 + seed)
    here = folder / f"{policy}{seed}"
    here.mkdir()
    negative = random.uniform(size=EVENTS) < 0.3
    background = np.where(negative, random.normal(0.6, 0.7, EVENTS), random.normal(0, 1, EVENTS))
    write_class(here / "signal.root", random.normal(0.5, 0.9, size=(EVENTS, 1)))
    write_class(here / "background.root", background[:, None], np.where(negative, -1.0, 1.0))
    content = analysis_of(
        1,
        folds=3,
        training_weights={"negative": policy},
        training={"batch": 1024, "epochs": 12, "seed": seed},
    )
    run = run_analysis(write_analysis(here / "analysis.yaml", content), here / "runs")
    inputs = Inputs(features=x[:, None].astype(np.float32), collections={}, masks={})
    signal = list(content["samples"]).index("signal")
    ratios = []
    for trained in run.results("train"):
        scores = load_predictor(trained, user_folder=here)(inputs)[:, signal].astype(np.float64)
        clipped = np.clip(scores, 1e-6, 1 - 1e-6)
        ratios.append(np.log(clipped / (1 - clipped)))
    return float(np.mean([np.mean((ratio - truth) ** 2) for ratio in ratios]))
