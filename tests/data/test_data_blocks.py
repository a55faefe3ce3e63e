"""Blocks: always cut at the same rows, so that statistics do not depend on how a file is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.analysis.models import Analysis
from gridloom.data.blocks import Blocks
from gridloom.data.ntuple import Ntuple
from gridloom.data.scan import scan
from gridloom.data.trees import Chunk
from gridloom.testing.ntuples import write_sample


@given(pieces=st.lists(st.integers(0, 25), max_size=8), rows=st.integers(1, 12))
def test_any_pieces_give_the_same_blocks(pieces: list[int], rows: int) -> None:
    blocks = Blocks(rows)
    found = []
    begin = 0
    for piece in pieces:
        numbers = np.arange(begin, begin + piece)
        found += list(blocks.add({"x": numbers, "y": np.stack([numbers, -numbers], axis=1)}))
        begin += piece
    found += list(blocks.rest())
    assert list(blocks.rest()) == []
    lengths = [len(block["x"]) for block in found]
    assert lengths == [rows] * (begin // rows) + [begin % rows] * (begin % rows > 0 or (begin == 0 and bool(pieces)))
    if found:
        np.testing.assert_array_equal(np.concatenate([block["x"] for block in found]), np.arange(begin))
        np.testing.assert_array_equal(np.concatenate([block["y"] for block in found])[:, 1], -np.arange(begin))


def test_a_shard_does_not_depend_on_the_entries_read_at_a_time(
    place: Any, tiny: Callable[..., Analysis], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sample(place.folder / "a.root", events=900, seed=3, basket_entries=130)
    normalisation = {"cross_section": 2.0, "generator_weight": "genWeight", "sum_of_weights": "events"}
    analysis = tiny(
        samples={
            "a": {"files": "a.root", "class": {"s": "flavour == 0", "b": "otherwise"}, "normalisation": normalisation}
        },
        selection={"met": "MET_pt > 20"},
        training_selection={"central": "abs(Lepton_eta) < 2"},
        collections={"jets": {"at_most": 3, "features": ["Jet_pt"]}},
    )
    monkeypatch.setattr(Blocks.__init__, "__defaults__", (100,))
    files = scan(analysis, place.folder).samples["a"].files
    whole = Ntuple.chunks
    shards = []
    for step in (7, 64, 900):

        def chunks(self: Ntuple, step: int = step) -> Iterator[Chunk]:
            return whole(self, step)

        monkeypatch.setattr(Ntuple, "chunks", chunks)
        shards.append(place.prepare(analysis, "a", files).folder)
    assert contents(shards[0]) == contents(shards[1]) == contents(shards[2])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
