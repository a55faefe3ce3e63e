"""Write a friend tree: records in order, entry for entry, as a TTree or an RNTuple."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import uproot

from gridloom.files import canonical_json
from gridloom.prediction.layout import Records
from gridloom.scoring import Format

PROVENANCE = "gridloom_provenance"


def write_friend(
    path: Path, tree: str, form: Format, dtype: np.dtype[np.void], parts: Iterable[Records], told: object
) -> None:
    """Write the records of all `parts` as one tree, and `told` as JSON in a TObjString beside it.

    Memory is that of one part: each becomes a basket per branch (a cluster of an RNTuple).
    """
    assert dtype.names is not None
    # Hardly slower than none at all, and smaller than what the other codecs make of scores.
    with uproot.recreate(path, compression=uproot.ZSTD(1)) as file:
        columns = {name: dtype[name] for name in dtype.names}
        title = "scores of gridloom, entry for entry"
        made = file.mktree(tree, columns, title=title) if form == "ttree" else file.mkrntuple(tree, columns)
        for part in parts:
            made.extend({name: np.ascontiguousarray(part[name]) for name in columns})
        file[PROVENANCE] = canonical_json(told)
