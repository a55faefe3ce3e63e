"""The compiled training loop: many optimiser steps in one call, so that Python costs nothing per step.

Measured shapes of loop are in docs/performance.md: Keras' `fit` on arrays reaches 0.06 to 0.5 of this on the small
networks physicists use.
"""

from __future__ import annotations

from typing import Any

from gridloom.analysis.models import Analysis

# Sustained arithmetic of one core, cautious, from which a call is cut to about half a second: it is how long a
# request to stop may have to wait.
_FLOPS_PER_CALL = 1e10
# Enough to forget what Python does around a call, and few enough to stay in a processor's cache.
_MOST_EVENTS = 65_536
_MOST_STEPS = 1024
_MOST_BYTES_PER_CALL = 128e6


def steps_per_call(network: Any, analysis: Analysis, batch: int) -> int:
    """Steps in one compiled call: a pure function of the network and the batch, never of a measurement.

    (Where a call ends decides nothing about the result but must not change between an attempt and its resumption.)
    """
    flops = flops_per_step(network, analysis, batch)
    columns = len(analysis.features) + sum(
        collection.at_most * (len(collection.features) + 1) for collection in analysis.collections.values()
    )
    by_memory = _MOST_BYTES_PER_CALL / (4.0 * batch * max(1, columns))
    return int(max(1, min(_MOST_STEPS, _MOST_EVENTS / batch, _FLOPS_PER_CALL / max(flops, 1.0), by_memory)))


def flops_per_step(network: Any, analysis: Analysis, batch: int) -> float:
    """Arithmetic of a step, forward and backward; every weight is taken to meet every object."""
    objects = max([1, *(collection.at_most for collection in analysis.collections.values())])
    return 6.0 * int(network.count_params()) * batch * objects
