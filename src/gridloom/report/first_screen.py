"""The first screen: the numbers that answer "is it good", the checks that answer "is it safe"."""

from __future__ import annotations

from dataclasses import dataclass

from gridloom.physics.results import Evaluation, Interval
from gridloom.report.numbers import count, interval, measured, percent, significant
from gridloom.report.style import luminosity


@dataclass(frozen=True, kw_only=True)
class Whisker:
    """An interval on a small scale, in per cent of its width."""

    name: str
    low: float
    value: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A number to be seen first, with what it is and what stands beside it."""

    name: str
    value: str
    detail: str
    lines: tuple[str, ...] = ()
    whiskers: tuple[Whisker, ...] = ()


def _whiskers(network: Interval, reference: Interval | None) -> tuple[Whisker, ...]:
    """Network and trees on a common scale, so that an eye can compare them."""
    if reference is None:
        return ()
    low, high = min(network.low, reference.low), max(network.high, reference.high)
    margin = 0.25 * (high - low) or 1e-6
    width = high - low + 2 * margin

    def place(value: float) -> float:
        return round(100 * (value - low + margin) / width, 2)

    return tuple(
        Whisker(name=name, low=place(one.low), value=place(one.value), high=place(one.high))
        for name, one in (("network", network), ("trees", reference))
    )


def _area(evaluation: Evaluation) -> list[Tile]:
    if not evaluation.discriminations:
        return []
    main = evaluation.discriminations[0]
    lines = [] if main.reference is None else [f"Boosted trees: {interval(main.reference.area)}"]
    if main.difference is not None:
        lines.append(f"Network − trees: {interval(main.difference)}")
    return [
        Tile(
            name="AUC",
            value=interval(main.network.area),
            detail="network, out-of-fold, 68 % interval; 0.5 is chance, 1 perfect",
            lines=tuple(lines),
            whiskers=_whiskers(main.network.area, None if main.reference is None else main.reference.area),
        )
    ]


def _significance(evaluation: Evaluation) -> list[Tile]:
    result = evaluation.significance
    if result is None:
        return []
    cut = None if result.best is None else result.best.asimov
    bins = None if result.binned is None else result.binned.asimov
    lead = bins if bins is not None else cut
    detail = f"Asimov, {percent(evaluation.meta.background_uncertainty, 0)} background uncertainty"
    if evaluation.meta.luminosity is not None:
        detail += f", {luminosity(evaluation.meta.luminosity)}"
    lines = []
    if bins is not None and result.binned is not None:
        lines.append(f"All {sum(one.valid for one in result.binned.bins)} bins of the score in quadrature")
    if cut is not None and result.best is not None:
        lines.append(f"One cut: {interval(cut)}, keeps {percent(result.best.signal_efficiency, 0)} of the signal")
    if lead is None:
        lines = ["No cut leaves enough events"]
    return [Tile(name="Expected significance", value=interval(lead), detail=detail, lines=tuple(lines))]


def _resolution(evaluation: Evaluation) -> list[Tile]:
    result = evaluation.regression
    if result is None:
        return []
    lines = [f"Bias: {interval(result.network.bias)}", f"R²: {interval(result.network.r2)}"]
    if result.reference is not None:
        lines.append(f"Boosted trees: {interval(result.reference.resolution)}")
    return [
        Tile(
            name="Resolution",
            value=interval(result.network.resolution),
            detail="spread of predicted minus true, units of the target, 68 % interval",
            lines=tuple(lines),
            whiskers=_whiskers(
                result.network.resolution, None if result.reference is None else result.reference.resolution
            ),
        )
    ]


def _accuracy(evaluation: Evaluation) -> list[Tile]:
    if evaluation.confusion is None:
        return []
    classes = len(evaluation.confusion.classes)
    return [
        Tile(
            name="Balanced accuracy",
            value=interval(evaluation.confusion.accuracy),
            detail=f"mean over {classes} classes; guessing gives {significant(1 / classes, 2)}",
        )
    ]


def _events(evaluation: Evaluation) -> list[Tile]:
    lines = tuple(
        f"{row.name}: {measured(row.weighted)} expected, {significant(row.effective, 3)} effective"
        for row in evaluation.class_yields[:4]
    )
    meta = evaluation.meta
    return [
        Tile(
            name="Simulated events",
            value=count(meta.events),
            detail=f"judged, {meta.folds} folds; {count(meta.training_events)} pass the training selection",
            lines=lines,
        )
    ]


def tiles(evaluation: Evaluation) -> tuple[Tile, ...]:
    """The numbers of the first screen, the most telling first."""
    parts = (_area, _resolution, _significance, _accuracy, _events)
    return tuple(tile for part in parts for tile in part(evaluation))
