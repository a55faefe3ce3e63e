"""All events of an analysis: shards of all samples seen as one array each, features left on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import class_names
from gridloom.data.scales import sample_scales
from gridloom.data.shard import Shard
from gridloom.data.statistics import ShardStatistics, merge_samples
from gridloom.errors import DamagedResult

Rows = NDArray[np.integer[Any]]

_CAST_ROWS = 4096  # gathered before they are cast: they stay in the processor's cache


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a model sees of n events: features (n, F), collections (n, M, C) and masks (n, M) of ones and zeros."""

    features: NDArray[np.float32]
    collections: dict[str, NDArray[np.float32]]
    masks: dict[str, NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """N events of all samples, in the order of the shards.

    `weight` is the physics weight with the sample's scale applied: luminosity, cross section, lost files. `label` is
    -1 and `trains` false for collision data. `starts` (one longer than `shards`) are the first rows of the shards.
    """

    shards: tuple[Shard, ...]
    starts: NDArray[np.int64]
    classes: tuple[str, ...]
    sample_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    statistics: Mapping[str, ShardStatistics]
    scales: Mapping[str, float]
    sample: NDArray[np.int16]
    label: NDArray[np.int16]
    target: NDArray[np.float64] | None
    weight: NDArray[np.float64]
    factor: NDArray[np.float64]
    fold: NDArray[np.int16]
    trains: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.label)

    def inputs(self, rows: Rows, out: Inputs | None = None) -> Inputs:
        """Features, collections and masks of these rows, in their order (any order, repeats allowed).

        The features are written into `out` if it is given.
        """
        shape = (len(rows), len(self.feature_names))
        features = np.empty(shape, dtype=np.float32) if out is None else out.features
        self.gather_features(rows, features)
        collections: dict[str, NDArray[np.float32]] = {}
        masks: dict[str, NDArray[np.float32]] = {}
        for name, content in self.shards[0].collections.items():
            objects = np.empty((len(rows), *content.shape[1:]), dtype=np.float32)
            self._gather(rows, objects, lambda shard, name=name: shard.collections[name])  # type: ignore[misc]
            counts = np.empty(len(rows), dtype=np.uint16)
            self._gather(rows, counts, lambda shard, name=name: shard.counts[name])  # type: ignore[misc]
            collections[name] = objects
            masks[name] = (np.arange(content.shape[1]) < counts[:, None]).astype(np.float32)
        return Inputs(features=features, collections=collections, masks=masks)

    def ids(self, rows: Rows) -> NDArray[np.uint64]:
        """Event ids (n, 3) of these rows; they stay on the disk until they are asked for."""
        found = np.empty((len(rows), 3), dtype=np.uint64)
        self._gather(rows, found, lambda shard: shard.id)
        return found

    def gather_features(self, rows: Rows, out: NDArray[np.float32]) -> None:
        """Write the features of these rows into `out` (n, F), which must be C-contiguous float32."""
        self._gather(rows, out, lambda shard: shard.features)

    def _gather(self, rows: Rows, out: NDArray[Any], array: Callable[[Shard], NDArray[Any]]) -> None:
        if not len(rows):
            return
        if int(rows.min()) < 0 or int(rows.max()) >= len(self):
            raise IndexError(f"rows outside of 0 to {len(self) - 1}")
        filled = np.flatnonzero(np.diff(self.starts))
        if len(filled) == 1:
            _take(array(self.shards[filled[0]]), rows, out)
            return
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        if bool(np.all(owner[1:] >= owner[:-1])):
            self._gather_runs(rows, owner, out, array)
            return
        order = np.argsort(owner.astype(np.uint16), kind="stable")  # a radix sort
        grouped = np.empty_like(out)
        self._gather_runs(rows[order], owner[order], grouped, array)
        out[order] = grouped

    def _gather_runs(
        self, rows: Rows, owner: NDArray[np.intp], out: NDArray[Any], array: Callable[[Shard], NDArray[Any]]
    ) -> None:
        """Gather rows whose shards come in rising order: one vectorised take per shard."""
        shards = np.unique(owner)
        borders = np.append(np.searchsorted(owner, shards), len(rows))
        for number, begin, end in zip(shards, borders[:-1], borders[1:], strict=True):
            _take(array(self.shards[number]), rows[begin:end] - self.starts[number], out[begin:end])


def _take(source: NDArray[Any], rows: Rows, out: NDArray[Any]) -> None:
    # Rows were checked; with mode="raise" NumPy would copy through a buffer.
    if source.dtype == out.dtype:
        np.take(source, rows, axis=0, out=out, mode="clip")
        return
    for begin in range(0, len(rows), _CAST_ROWS):
        part = slice(begin, begin + _CAST_ROWS)
        out[part] = np.take(source, rows[part], axis=0, mode="clip")


def open_dataset(analysis: Analysis, shard_folders: Sequence[Path]) -> Dataset:
    """Open prepared shards as one dataset; raises DamagedResult if one is not whole or does not fit the analysis."""
    shards = tuple(Shard.open(folder) for folder in shard_folders)
    names = tuple(analysis.samples)
    for shard in shards:
        _check(analysis, shard, names)
    statistics = merge_samples(shard.statistics for shard in shards)
    scales = sample_scales(analysis, list(statistics.values()))
    lengths = [len(shard) for shard in shards]
    return Dataset(
        shards=shards,
        starts=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        classes=class_names(analysis),
        sample_names=names,
        feature_names=tuple(feature.name for feature in analysis.features),
        statistics=statistics,
        scales=scales,
        sample=np.repeat(np.array([names.index(s.statistics.sample) for s in shards], dtype=np.int16), lengths),
        label=_joined([shard.label for shard in shards], np.int16),
        target=_targets(analysis, shards),
        weight=_joined([shard.weight * scales[shard.statistics.sample] for shard in shards], np.float64),
        factor=_joined([shard.factor for shard in shards], np.float64),
        fold=_joined([shard.fold for shard in shards], np.int16),
        trains=_joined([shard.trains for shard in shards], np.bool_),
    )


def _check(analysis: Analysis, shard: Shard, names: tuple[str, ...]) -> None:
    features = len(analysis.features)
    wanted = {name: (part.at_most, len(part.features)) for name, part in analysis.collections.items()}
    found = {name: content.shape[1:] for name, content in shard.collections.items()}
    same_inputs = shard.features.shape[1] == features and found == wanted
    stored = shard.features.dtype == np.dtype(analysis.storage.features)
    if shard.statistics.sample not in names or not same_inputs or not stored:
        raise DamagedResult(
            "the prepared events do not belong to this analysis",
            where=str(shard.folder),
            fix="Delete this folder and run again.",
        )


def _joined(parts: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=dtype), *parts])


def _targets(analysis: Analysis, shards: tuple[Shard, ...]) -> NDArray[np.float64] | None:
    if analysis.target.regression is None:
        return None
    return _joined([shard.target for shard in shards if shard.target is not None], np.float64)
