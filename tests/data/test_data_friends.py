"""Friend trees: by entry, by event id, in the same file or another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gridloom.analysis.models import Analysis
from gridloom.errors import DuplicateEvents, InvalidValue, MissingBranch
from gridloom.testing.ntuples import make_events, write_tree

Tiny = Callable[..., Analysis]
COLUMNS = make_events(120, seed=2)
SCORE = np.sin(np.arange(120.0))
IDS = {name: COLUMNS[name] for name in ("run", "luminosityBlock", "event")}


def analysis_with(tiny: Tiny, friend: dict[str, Any], features: list[str]) -> Analysis:
    sample = {"files": "a.root", "class": {"s": "flavour == 0", "b": "otherwise"}, "weight": 1, "friends": [friend]}
    return tiny(samples={"a": sample}, features=features, selection=["MET_pt > 20"])


def test_by_entry_in_the_same_file(place: Any, tiny: Tiny) -> None:
    friend = {"score": SCORE, "MET_pt": SCORE}
    write_tree(place.folder / "a.root", COLUMNS, others={"F": friend})
    (shard,) = place.shards(analysis_with(tiny, {"tree": "F"}, ["score", "MET_pt", "F.MET_pt"]))
    keep = COLUMNS["MET_pt"] > 20
    np.testing.assert_array_equal(shard.features[:, 0], SCORE[keep].astype(np.float32))
    np.testing.assert_array_equal(shard.features[:, 1], COLUMNS["MET_pt"][keep])
    np.testing.assert_array_equal(shard.features[:, 2], SCORE[keep].astype(np.float32))


def test_by_id_in_another_file_and_order(place: Any, tiny: Tiny) -> None:
    write_tree(place.folder / "a.root", COLUMNS, basket_entries=50)
    order = np.random.default_rng(1).permutation(120)
    columns = {name: values[order] for name, values in (IDS | {"score": SCORE, "Jet": COLUMNS["Jet"]}).items()}
    write_tree(place.folder / "f.root", {**columns, "own": columns.pop("Jet")}, tree="F", basket_entries=30)
    friend = {"files": "f.root", "tree": "F", "match": "event_id"}
    (shard,) = place.shards(analysis_with(tiny, friend, ["score", "sum(own_pt) - sum(Jet_pt)"]))
    np.testing.assert_array_equal(shard.features[:, 0], SCORE[COLUMNS["MET_pt"] > 20].astype(np.float32))
    np.testing.assert_array_equal(shard.features[:, 1], 0)


def test_events_must_all_be_there_once(place: Any, tiny: Tiny) -> None:
    write_tree(place.folder / "a.root", COLUMNS)
    friend = {"files": "f.root", "tree": "F", "match": "event_id"}
    analysis = analysis_with(tiny, friend, ["score"])
    content = IDS | {"score": SCORE}
    write_tree(place.folder / "f.root", {name: values[:-2] for name, values in content.items()}, tree="F")
    with pytest.raises(InvalidValue, match="lacks 2 of 120 events") as caught:
        place.shards(analysis)
    assert caught.value.key == ("samples", "a", "friends", 0)
    write_tree(place.folder / "f.root", {name: values[:0] for name, values in content.items()}, tree="F")
    with pytest.raises(InvalidValue, match="lacks 120 of 120 events"):
        place.shards(analysis)
    doubled = {name: np.concatenate([values, values[:3]]) for name, values in content.items()}
    write_tree(place.folder / "f.root", doubled, tree="F")
    with pytest.raises(DuplicateEvents, match="3 events twice"):
        place.shards(analysis)
    write_tree(place.folder / "f.root", {"score": SCORE}, tree="F")
    with pytest.raises(MissingBranch, match="`event`") as missing:
        place.shards(analysis)
    assert missing.value.key == ("samples", "a", "friends", 0)


def test_friend_that_is_not_used_is_not_read(place: Any, tiny: Tiny) -> None:
    write_tree(place.folder / "a.root", COLUMNS, others={"F": {"score": SCORE}})
    (shard,) = place.shards(analysis_with(tiny, {"tree": "F", "match": "event_id"}, ["MET_pt"]))
    assert len(shard) == (COLUMNS["MET_pt"] > 20).sum()
