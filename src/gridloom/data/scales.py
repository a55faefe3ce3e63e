"""A sample's scale: the factor that turns the weights of its events into expected events.

Luminosity x cross section x k-factor x filter efficiency / sum of generator weights, where the sum runs over the files
that were read: a lost file lowers both the events and the sum, so the yield stays right. For a sample with a `weight`
expression, whose normalisation we do not know, the scale is (files read + files lost) / files read: right if the files
are alike. Collision data has scale one, and may lose no file.
"""

from __future__ import annotations

from collections.abc import Sequence

from gridloom.analysis.models import Analysis
from gridloom.data.statistics import ShardStatistics, merge_samples
from gridloom.errors import BadWeights, InvalidValue


def sample_scales(analysis: Analysis, statistics: Sequence[ShardStatistics]) -> dict[str, float]:
    """The factor of every sample's weights; `statistics` of all shards, in any order.

    Raises BadWeights if a sum of generator weights is zero or negative, InvalidValue without a luminosity.
    """
    merged = merge_samples(statistics)
    return {name: _scale(analysis, name, merged[name]) for name in analysis.samples if name in merged}


def _scale(analysis: Analysis, name: str, statistics: ShardStatistics) -> float:
    sample = analysis.samples[name]
    if sample.data:
        return 1.0
    if sample.normalisation is None:
        read = len(statistics.files)
        return (read + len(statistics.lost)) / read if read else 1.0
    if analysis.luminosity is None:
        raise InvalidValue(
            "`luminosity` is missing, and samples with a `normalisation` need it",
            fix="Add `luminosity:` in /pb, e.g. `luminosity: 59740`.",
            key=("samples", name, "normalisation"),
        )
    total = statistics.sum_generator_weights or 0.0
    if total <= 0:
        raise BadWeights(
            f"the generator weights of sample `{name}` sum to {total:g}",
            where=f"{len(statistics.files)} files",
            fix="Look at `generator_weight` and `sum_of_weights`: a yield needs a positive sum.",
            key=("samples", name, "normalisation"),
        )
    part = sample.normalisation
    return analysis.luminosity * part.cross_section * part.k_factor * part.filter_efficiency / total
