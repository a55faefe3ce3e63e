"""Is a model better on events it trained on? Two-sample tests of the scores of test and training events.

Every event has a score by a model that never saw it and one by a model that trained on it. The histograms show all
events in both; the tests compare disjoint random halves, since the same events on both sides would hide a difference.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincc, kolmogorov

from gridloom.physics.bootstrap import BoolArray, FloatArray
from gridloom.physics.histograms import bin_index, effective_events, sums_and_squares
from gridloom.physics.results import OvertrainingTest

MINIMUM_EFFECTIVE = 5.0


def weighted_ks(
    first: FloatArray, first_weight: FloatArray, second: FloatArray, second_weight: FloatArray
) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance and p-value of two weighted samples with positive sums of weights.

    The p-value is the asymptotic one with Stephens' correction and effective numbers of events; with negative weights
    it is approximate.
    """
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    step = np.concatenate([first_weight / first_weight.sum(), -second_weight / second_weight.sum()])[order]
    difference = np.cumsum(step)
    # Ties: the distance counts only where the value changes.
    ends = np.flatnonzero(np.diff(values[order], append=np.inf) > 0)
    distance = float(np.abs(difference[ends]).max())
    n, m = effective_events(first_weight) or 0.0, effective_events(second_weight) or 0.0
    root = np.sqrt(n * m / (n + m)) if n + m > 0 else 0.0
    return distance, float(kolmogorov((root + 0.12 + 0.11 / max(root, 1e-9)) * distance))


def chi2_test(
    first: FloatArray, first_weight: FloatArray, second: FloatArray, second_weight: FloatArray, edges: FloatArray
) -> tuple[float, int, float]:
    """Chi-squared of two histograms normalised to one: value, degrees of freedom, p-value.

    Bins with fewer than five effective events on either side are left out, also of the normalisation: one event of
    huge weight, in a bin that is left out, would scale all others. Without a usable bin: (0, 0, 1).
    """
    size = len(edges) - 1
    a, variance_a = sums_and_squares(bin_index(first, edges), first_weight, size)
    b, variance_b = sums_and_squares(bin_index(second, edges), second_weight, size)
    use = (a**2 >= MINIMUM_EFFECTIVE * variance_a) & (b**2 >= MINIMUM_EFFECTIVE * variance_b) & (variance_a > 0)
    use &= variance_b > 0
    degrees = max(0, int(use.sum()) - 1)
    total_a, total_b = float(a[use].sum()), float(b[use].sum())
    if degrees == 0 or total_a <= 0 or total_b <= 0:
        return 0.0, 0, 1.0
    variance = variance_a[use] / total_a**2 + variance_b[use] / total_b**2
    value = float(((a[use] / total_a - b[use] / total_b) ** 2 / variance).sum())
    return value, degrees, float(gammaincc(degrees / 2, value / 2))


def random_half(events: int, seed: int) -> BoolArray:
    """A random half of the events, the same for the same seed."""
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, 2**63], dtype=np.uint64)))
    return generator.random(events) < 0.5


def overtraining_test(
    test: FloatArray, train: FloatArray, weight: FloatArray, half: BoolArray, edges: FloatArray
) -> OvertrainingTest | None:
    """Compare test scores of one half of the events with training scores of the other; None without yield."""
    first, second = weight[half], weight[~half]
    if first.sum() <= 0 or second.sum() <= 0:
        return None
    distance, ks_p = weighted_ks(test[half], first, train[~half], second)
    chi2, degrees, chi2_p = chi2_test(test[half], first, train[~half], second, edges)
    return OvertrainingTest(
        ks_distance=distance,
        ks_p=ks_p,
        chi2=chi2,
        degrees=degrees,
        chi2_p=chi2_p,
        test_effective=effective_events(first) or 0.0,
        train_effective=effective_events(second) or 0.0,
    )
