"""Expected significance: scan over cuts, working point, all bins of the discriminant.

Cuts and bins are chosen on each fold's validation events and quoted on its test events, so what is quoted carries no
optimisation bias; the scan over all cuts is a picture and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gridloom.physics.bootstrap import (
    Binned,
    BoolArray,
    Bootstrap,
    FloatArray,
    IntArray,
    add_up,
    around,
    deviation,
    finite,
    finites,
    floats,
    interval,
    ratio,
)
from gridloom.physics.counting import Counting
from gridloom.physics.histograms import balanced_weights, bin_index, sums_and_squares, weighted_quantiles
from gridloom.physics.results import (
    BinnedSignificance,
    Measured,
    Significance,
    SignificanceBin,
    SignificanceScan,
    WorkingPoint,
)

SCAN_CUTS = 100


@dataclass(frozen=True, kw_only=True)
class _Tables:
    """Sums per bin: signal, background and squared background weights."""

    signal: FloatArray
    background: FloatArray
    squares: FloatArray


def _tables(index: IntArray, weight: FloatArray, positive: BoolArray, size: int) -> _Tables:
    signal = add_up(index, np.where(positive, weight, 0.0), size)
    background, squares = sums_and_squares(index, np.where(positive, 0.0, weight), size)
    return _Tables(signal=signal, background=background, squares=squares)


def _above(values: FloatArray) -> FloatArray:
    """Sum from each bin to the last, along the last axis."""
    return np.asarray(np.cumsum(values[..., ::-1], axis=-1)[..., ::-1])


def _candidate_cuts(scores: FloatArray, positive: BoolArray, weight: FloatArray, cuts: int) -> FloatArray:
    """Cuts at quantiles that see signal and background alike; the first keeps everything."""
    balanced = balanced_weights(weight, positive)
    inner = weighted_quantiles(scores, balanced, np.arange(1, cuts) / cuts)
    return np.unique(np.concatenate([[scores.min()], inner]))


def _with_end(cuts: FloatArray) -> FloatArray:
    return np.concatenate([cuts, [np.inf]])


def scan(bootstrap: Bootstrap, data: Counting) -> SignificanceScan:
    """Significance above each of about 100 cuts; uncertainties are standard deviations over the replicas."""
    cuts = _candidate_cuts(data.scores, data.positive, data.weight, SCAN_CUTS)
    size = len(cuts)
    index = bin_index(data.scores, _with_end(cuts))
    sums = _tables(index, data.weight, data.positive, size)
    signal, background, squares = (_above(part) for part in (sums.signal, sums.background, sums.squares))
    (drawn,) = bootstrap.sums(Binned(index=2 * index + data.positive, weight=data.weight, size=2 * size))
    some_signal, some_background = _above(drawn[:, 1::2]), _above(drawn[:, 0::2])
    valid = data.valid(signal, background, squares)
    z, a = (np.where(valid, figure, np.nan) for figure in data.figures(signal, background))
    dz, da = (np.where(valid, deviation(figure), np.nan) for figure in data.figures(some_signal, some_background))
    return SignificanceScan(
        cuts=floats(cuts),
        signal=floats(signal),
        signal_uncertainty=floats(deviation(some_signal)),
        background=floats(background),
        background_uncertainty=floats(deviation(some_background)),
        asimov=finites(z),
        asimov_uncertainty=finites(dz),
        ams=finites(a),
        ams_uncertainty=finites(da),
        valid=tuple(bool(item) for item in valid),
    )


def _validation(data: Counting, fold: int) -> tuple[FloatArray, BoolArray, FloatArray]:
    """Scores, sides and weights of what model `fold` was validated on, scaled up to all folds' yield."""
    rows = data.fold == (fold + 1) % data.folds
    return data.validation_scores[rows], data.positive[rows], data.weight[rows] * data.folds


def _best_cut(data: Counting, fold: int) -> float | None:
    """The cut of highest Asimov significance on the validation events of model `fold`; None if no cut is usable."""
    scores, positive, weight = _validation(data, fold)
    if len(scores) == 0:
        return None
    cuts = _candidate_cuts(scores, positive, weight, SCAN_CUTS)
    sums = _tables(bin_index(scores, _with_end(cuts)), weight, positive, len(cuts))
    signal, background, squares = (_above(part) for part in (sums.signal, sums.background, sums.squares))
    z, _ = data.figures(signal, background)
    z = np.where(data.valid(signal, background, squares), z, -1.0)
    best = int(np.argmax(z))
    return float(cuts[best]) if z[best] >= 0 else None


def working_point(bootstrap: Bootstrap, data: Counting) -> WorkingPoint | None:
    """One cut per fold, chosen on validation and applied to test events; None if a fold has no usable cut."""
    found = [_best_cut(data, fold) for fold in range(data.folds)]
    cuts = np.array([cut for cut in found if cut is not None])
    if len(cuts) < data.folds:
        return None
    passes = data.scores >= cuts[data.fold]
    index = (2 * passes + data.positive).astype(np.int64)
    part = Binned(index=index, weight=data.weight, size=4)
    total = part.nominal()
    squares = add_up(index, data.weight**2, 4)
    (drawn,) = bootstrap.sums(part)
    z, a = data.figures(total[3:4], total[2:3])
    some_z, some_a = data.figures(drawn[:, 3], drawn[:, 2])
    valid = bool(data.valid(total[3:4], total[2:3], squares[2:3])[0])
    efficiency = ratio(total[2:4], total[2:4] + total[0:2])
    spread = deviation(drawn)
    return WorkingPoint(
        cuts=floats(cuts),
        signal=Measured(value=total[3], uncertainty=finite(spread[3])),
        background=Measured(value=total[2], uncertainty=finite(spread[2])),
        background_effective=finite(float(ratio(total[2:3] ** 2, squares[2:3])[0])),
        signal_efficiency=float(efficiency[1]),
        background_efficiency=float(efficiency[0]),
        asimov=interval(float(z[0]), some_z) if valid else None,
        ams=interval(float(a[0]), some_a) if valid else None,
        valid=valid,
    )


def _edges(data: Counting, fold: int, bins: int) -> FloatArray | None:
    """Lower edges of `bins` bins of equal balanced weight, if all are usable on the validation events."""
    scores, positive, weight = _validation(data, fold)
    if len(scores) == 0:
        return None
    cuts = _candidate_cuts(scores, positive, weight, bins)
    if len(cuts) < bins:
        return None
    sums = _tables(bin_index(scores, _with_end(cuts)), weight, positive, bins)
    return cuts if bool(data.valid(sums.signal, sums.background, sums.squares).all()) else None


def _binning(data: Counting) -> FloatArray | None:
    """The most bins (at most `data.bins`) that are usable on all validation folds: lower edges (folds, bins)."""
    for bins in range(data.bins, 0, -1):
        edges = [_edges(data, fold, bins) for fold in range(data.folds)]
        usable = [part for part in edges if part is not None]
        if len(usable) == data.folds:
            return np.array(usable)
    return None


def binned_significance(bootstrap: Bootstrap, data: Counting) -> BinnedSignificance | None:
    """All bins of the discriminant in quadrature; None if not even one bin is usable on the validation events.

    Bins that turn out without positive yields or with too few effective events on the test events do not count. What
    little bias is left comes from adding squares of numbers with statistical errors, hence the effective events.
    """
    edges = _binning(data)
    if edges is None:
        return None
    bins = edges.shape[1]
    index = np.zeros(len(data.scores), dtype=np.int64)
    for fold in range(data.folds):
        rows = data.fold == fold
        index[rows] = bin_index(data.scores[rows], _with_end(edges[fold]))
    sums = _tables(index, data.weight, data.positive, bins)
    valid = data.valid(sums.signal, sums.background, sums.squares)
    (drawn,) = bootstrap.sums(Binned(index=2 * index + data.positive, weight=data.weight, size=2 * bins))
    nominal = data.figures(sums.signal, sums.background)
    replicas = data.figures(drawn[:, 1::2], drawn[:, 0::2])
    z, a = (
        around(_quadrature(value[valid]), _quadratures(some[:, valid])) if valid.any() else None
        for value, some in zip(nominal, replicas, strict=True)
    )
    return BinnedSignificance(
        bins=_bins(edges, sums, drawn, nominal[0], valid), asimov=z, ams=a, excluded=int((~valid).sum())
    )


def _quadrature(values: FloatArray) -> float:
    return float(np.sqrt(np.sum(values**2)))


def _quadratures(values: FloatArray) -> FloatArray:
    """Quadratic sum over bins; a bin that is undefined in a replica does not count in it."""
    return np.asarray(np.sqrt(np.nansum(values**2, axis=1)))


def _bins(
    edges: FloatArray, sums: _Tables, drawn: FloatArray, figures: FloatArray, valid: BoolArray
) -> tuple[SignificanceBin, ...]:
    spread = deviation(drawn)
    effective = ratio(sums.background**2, sums.squares)
    return tuple(
        SignificanceBin(
            mean_cut=float(edges[:, i].mean()),
            signal=Measured(value=sums.signal[i], uncertainty=finite(spread[2 * i + 1])),
            background=Measured(value=sums.background[i], uncertainty=finite(spread[2 * i])),
            background_effective=finite(effective[i]),
            asimov=float(figures[i]) if valid[i] else None,
            valid=bool(valid[i]),
        )
        for i in range(len(valid))
    )


def significance(bootstrap: Bootstrap, data: Counting) -> Significance:
    return Significance(
        scan=scan(bootstrap, data),
        best=working_point(bootstrap, data),
        binned=binned_significance(bootstrap, data),
    )
