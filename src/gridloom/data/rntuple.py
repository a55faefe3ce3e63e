"""An RNTuple read as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import awkward as ak
import uproot
import xxhash

from gridloom.data.trees import (
    CHUNK_ENTRIES,
    Chunk,
    Columns,
    as_column,
    check_lengths,
    damage_named,
    holds_lists,
    not_numbers,
    range_text,
)

# Bytes of the checksum that follows a page.
_CHECKSUM = 8


class RNTuple:
    """An RNTuple; fields by name, parts of a field by a path with dots.

    A cluster is decompressed once and cut into chunks; small clusters are read together.
    """

    def __init__(self, ntuple: uproot.behaviors.RNTuple.RNTuple, name: str, path: str) -> None:
        self.path = path
        self.name = name
        self.entries = int(ntuple.num_entries)
        self._ntuple = ntuple
        self._clusters = [int(cluster.num_first_entry) for cluster in ntuple.cluster_summaries]
        self._fields: dict[str, Any] = {}
        # uproot's own list of a field's parts searches all fields: too slow for thousands.
        self._parts: dict[int, list[int]] = {}
        for number, record in enumerate(ntuple.field_records):
            self._parts.setdefault(int(record.parent_field_id), []).append(number)
        self._columns: dict[int, list[int]] = {}
        for number, record in enumerate(ntuple.column_records):
            self._columns.setdefault(int(record.field_id), []).append(number)
        top = [number for number, record in enumerate(ntuple.field_records) if int(record.parent_field_id) == number]
        self._names = tuple(self._add(ntuple.all_fields, self._parts, top, ""))

    def _add(
        self, fields: Sequence[Any], parts: Mapping[int, list[int]], chosen: list[int], prefix: str
    ) -> Iterator[str]:
        for number in chosen:
            field = fields[number]
            name = f"{prefix}{field.name}"
            self._fields[name] = field
            below = [part for part in parts.get(number, []) if part != number]
            # Anonymous fields (`_0`, `_collection0`) are how lists are stored, not what a user names.
            if below and not field.name.startswith("_"):
                yield from self._add(fields, parts, below, f"{name}.")
            if not field.name.startswith("_"):
                yield name

    @property
    def names(self) -> Sequence[str]:
        return self._names

    def find(self, branch: str) -> object | None:
        return self._fields.get(branch)

    def unusable(self, branch: str) -> str | None:
        return not_numbers(self._form(branch))

    def lists(self, branch: str) -> bool:
        return holds_lists(self._form(branch))

    def _form(self, branch: str) -> ak.forms.Form:
        with damage_named(self.path, f"field `{branch}` cannot be read"):
            form, _ = self._fields[branch].to_akform()
        return form.contents[0]

    def read(self, branches: Iterable[str], start: int, stop: int) -> Columns:
        stop = min(stop, self.entries)
        with damage_named(self.path, range_text(self.name, start, stop)):
            columns = {name: self._column(name, start, stop) for name in branches}
        check_lengths(self, columns, start, stop)
        return columns

    def _column(self, name: str, start: int, stop: int) -> Any:
        column = as_column(self._fields[name].array(entry_start=start, entry_stop=stop))
        ends = [*self._clusters[1:], self.entries]
        for cluster, (begin, end) in enumerate(zip(self._clusters, ends, strict=True)):
            if begin < stop and end > start:
                for number in self._columns_below(int(self._fields[name].field_id)):
                    self._verify(cluster, number)
        return column

    def _columns_below(self, field: int) -> Iterator[int]:
        """Numbers of the columns that a field and its parts are stored in."""
        source = self._ntuple.field_records[field].source_field_id
        yield from self._columns.get(field if source is None else int(source), ())
        for part in self._parts.get(field, ()):
            if part != field:
                yield from self._columns_below(part)

    def _verify(self, cluster: int, column: int) -> None:
        """Compare the pages of a column with their checksums, as uproot does not; raises ValueError."""
        lists = self._ntuple.page_link_list[cluster]
        for page in lists[column].pages if column < len(lists) else ():
            if page.has_checksum:
                begin, size = int(page.locator.offset), int(page.locator.num_bytes)
                stored = self._ntuple.file.source.chunk(begin, begin + size + _CHECKSUM).raw_data
                if xxhash.xxh3_64_digest(stored[:size])[::-1] != bytes(stored[size:]):
                    raise ValueError("the checksum of a page is not that of its content")

    def chunks(self, branches: Iterable[str], step: int | None = None, start: int = 0) -> Iterator[Chunk]:
        wanted = tuple(branches)
        step = step or CHUNK_ENTRIES
        for cluster, end in self._reads(step):
            if end <= start:
                continue
            begin = max(cluster, start)
            columns = self.read(wanted, begin, end)
            for first in range(begin, end, step):
                stop = min(first + step, end)
                cut = {name: column[first - begin : stop - begin] for name, column in columns.items()}
                yield Chunk(start=first, stop=stop, columns=cut)

    def _reads(self, step: int) -> Iterator[tuple[int, int]]:
        """Ranges of whole clusters, each of about `step` entries or one cluster."""
        ends = [*self._clusters[1:], self.entries]
        begin = 0
        for end, following in pairwise([*ends, self.entries]):
            if end > begin and (end == self.entries or following - begin > step):
                yield begin, end
                begin = end
