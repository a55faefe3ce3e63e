"""Tiny ROOT ntuples for tests and for authors of plug-ins: seeded, NanoAOD-like, as TTree or RNTuple.

    write_sample(folder / "signal.root", events=500, seed=1, signal=True)

writes an `Events` tree with flat branches, jagged jets, ids and signed weights, and a `Runs` tree with the sums of
generator weights. The signal has harder jets and more missing momentum, so that small models learn something.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import awkward as ak
    import uproot

Format = Literal["TTree", "RNTuple"]
Columns = Mapping[str, Any]  # NumPy arrays (flat, or (n, m) of fixed size), awkward arrays (jagged), dicts of these

RUN = 1
EVENTS_PER_BLOCK = 100


def make_events(
    events: int,
    *,
    seed: int,
    signal: bool = False,
    first_event: int = 1,
    negative_fraction: float = 0.0,
    generator_weight: float = 1.0,
) -> dict[str, Any]:
    """Columns of a toy process: ids, generator weight, missing momentum, leading lepton, jagged jets.

    `Jet` is a record of jagged columns, written as `nJet`, `Jet_pt`, `Jet_eta`, `Jet_phi`, `Jet_btag`. `mass` is -999
    where there are fewer than two jets. Weights are +-`generator_weight`, negative for about `negative_fraction`.
    """
    import awkward as ak

    random = np.random.default_rng(seed)
    number = np.arange(first_event, first_event + events, dtype=np.uint64)
    counts = random.poisson(3.0 if signal else 2.2, events)
    jets = _jets(random, counts, signal)
    hardest = ak.to_numpy(ak.fill_none(ak.firsts(jets["pt"]), 0.0))
    sign = np.where(random.random(events) < negative_fraction, -1.0, 1.0)
    return {
        "run": np.full(events, RUN, dtype=np.uint32),
        "luminosityBlock": (number // EVENTS_PER_BLOCK + 1).astype(np.uint32),
        "event": number,
        "genWeight": (sign * generator_weight).astype(np.float32),
        "MET_pt": random.exponential(60.0 if signal else 40.0, events).astype(np.float32),
        "Lepton_pt": (20 + random.exponential(30.0, events)).astype(np.float32),
        "Lepton_eta": random.uniform(-2.4, 2.4, events).astype(np.float32),
        "Lepton_charge": random.choice(np.array([-1, 1], dtype=np.int32), events),
        "trigger": random.random(events) < 0.9,
        "flavour": random.integers(0, 3, events).astype(np.int32),
        "mass": np.where(counts >= 2, 80 + 0.5 * hardest + random.normal(0, 10, events), -999.0).astype(np.float32),
        "Jet": jets,
    }


def _jets(random: np.random.Generator, counts: NDArray[np.int64], signal: bool) -> ak.Array:
    """Jets in falling order of transverse momentum."""
    import awkward as ak

    total = int(counts.sum())
    flat = {
        "pt": 20 + random.exponential(50.0 if signal else 35.0, total),
        "eta": random.normal(0, 1.2, total),
        "phi": random.uniform(-np.pi, np.pi, total),
        "btag": random.beta(2.0, 1.0 if signal else 2.0, total),
    }
    event = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((-flat["pt"], event))
    return ak.zip({name: ak.unflatten(values[order].astype(np.float32), counts) for name, values in flat.items()})


def write_tree(
    path: Path,
    columns: Columns,
    *,
    tree: str = "Events",
    others: Mapping[str, Columns] | None = None,
    format: Format = "TTree",  # noqa: A002 - the word of the trade
    basket_entries: int | None = None,
) -> Path:
    """Write one ROOT file with a tree of these columns, and `others` (e.g. `Runs`) beside it; gives the path back.

    With `basket_entries` the entries are written in so many baskets (TTree) or clusters (RNTuple).
    """
    import uproot

    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        for name, content in {tree: columns, **(others or {})}.items():
            _write(file, name, content, format, basket_entries if name == tree else None)
    return path


def _write(
    file: uproot.WritableDirectory, name: str, columns: Columns, storage: Format, basket_entries: int | None
) -> None:
    import awkward as ak

    whole = _flattened(columns) if storage == "RNTuple" else dict(columns)
    entries = len(next(iter(whole.values())))
    if storage == "RNTuple":
        writer = file.mkrntuple(name, {key: values[:0] for key, values in whole.items()})
    else:
        writer = file.mktree(name, {key: _branch_type(ak.Array(values)) for key, values in whole.items()})
    step = max(basket_entries or entries, 1)
    for start in range(0, entries, step):
        writer.extend({key: values[start : start + step] for key, values in whole.items()})


def _branch_type(values: ak.Array) -> object:
    return values.type.content


def _flattened(columns: Columns) -> dict[str, Any]:
    """Records as NanoAOD-like columns: `Jet` with `pt` becomes `Jet_pt` and `nJet`."""
    import awkward as ak

    flat: dict[str, Any] = {}
    for name, values in columns.items():
        parts = ak.fields(values) if isinstance(values, ak.Array) else []
        if not parts:
            flat[name] = values
            continue
        flat[f"n{name}"] = ak.to_numpy(ak.num(values[parts[0]])).astype(np.int32)
        flat |= {f"{name}_{part}": values[part] for part in parts}
    return flat


def runs_of(columns: Columns) -> dict[str, NDArray[Any]]:
    """The `Runs` tree that belongs to these events: one entry with the number and the sums of weights."""
    weights = np.asarray(columns["genWeight"], dtype=np.float64)
    return {
        "run": np.array([RUN], dtype=np.uint32),
        "genEventCount": np.array([len(weights)], dtype=np.int64),
        "genEventSumw": np.array([weights.sum()]),
        "genEventSumw2": np.array([(weights**2).sum()]),
    }


def write_sample(
    path: Path,
    *,
    events: int,
    seed: int,
    signal: bool = False,
    first_event: int = 1,
    negative_fraction: float = 0.0,
    format: Format = "TTree",  # noqa: A002
    basket_entries: int | None = None,
) -> Path:
    """Write `make_events` and its `Runs` tree to one file; gives the path back."""
    columns = make_events(
        events, seed=seed, signal=signal, first_event=first_event, negative_fraction=negative_fraction
    )
    return write_tree(path, columns, others={"Runs": runs_of(columns)}, format=format, basket_entries=basket_entries)


def truncate(path: Path, fraction: float) -> Path:
    """Cut a file off after this fraction of its bytes, as an interrupted copy does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    return path


def damage_basket(path: Path, branch: str, *, basket: int = -1, tree: str = "Events") -> Path:
    """Overwrite one basket of a TTree's branch, with its key: the file opens, reading the basket fails."""
    import uproot

    with uproot.open(path) as file:
        content = file[tree][branch]
        number = basket % content.num_baskets
        seek = int(content.member("fBasketSeek")[number])
        size = int(content.member("fBasketBytes")[number])
    data = bytearray(path.read_bytes())
    data[seek : seek + size] = b"\xff" * size
    path.write_bytes(bytes(data))
    return path
