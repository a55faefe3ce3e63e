"""Features in float16: what they become, and which values are refused because they would become something else.

float16 has eleven binary digits: from 6.1e-5 to 65504 a number is kept to 0.05 % of itself, below that to 3e-8. Values
near zero are as good as the others then, unless the whole feature is that small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gridloom.data.recipe import CollectionFormulas, FeatureFormula
from gridloom.errors import DoesNotFit, GridloomError, KeyPath, Problems

LARGEST = float(np.finfo(np.float16).max)
SMALLEST = float(np.finfo(np.float16).smallest_normal)
SMALL_AT_MOST = 0.01  # of the values that are not zero
_FLOAT32 = "or remove `storage` to keep float32."

PlaceOf = Callable[[int], str]


@dataclass
class _Seen:
    """Values of one feature that are not zero, and those of them that lose digits."""

    what: str
    values: int = 0
    small: int = 0
    first: float = 0.0
    where: str = ""


@dataclass
class SmallValues:
    """Counts values too small for the digits of float16, feature by feature, over all that is prepared together."""

    _seen: dict[KeyPath, _Seen] = field(default_factory=dict)

    def look(
        self, key: KeyPath, what: str, values: NDArray[np.float32], rounded: NDArray[np.float32], place: PlaceOf
    ) -> None:
        """`place` gives the text for a position in `values`."""
        seen = self._seen.setdefault(key, _Seen(what=what))
        size = np.abs(values)
        small = np.flatnonzero((size < SMALLEST) & (values != rounded))
        if len(small) and not seen.small:
            seen.first, seen.where = float(values[small[0]]), place(int(small[0]))
        seen.small += len(small)
        seen.values += int(np.count_nonzero((size > 0) & np.isfinite(size)))

    def check(self) -> None:
        """Raise DoesNotFit, or Problems with several, for features that are small as a whole."""
        problems: list[GridloomError] = [
            DoesNotFit(
                f"{seen.what} is below {SMALLEST:.2g} for {seen.small:,} of the {seen.values:,} values that are not "
                f"zero, first {seen.first:g}: float16 has too few digits there",
                where=seen.where,
                fix=f"Use a larger unit in the expression, as `1000 * x`, or `log(x)`, {_FLOAT32}",
                key=key,
            )
            for key, seen in self._seen.items()
            if seen.small > SMALL_AT_MOST * seen.values
        ]
        if problems:
            raise problems[0] if len(problems) == 1 else Problems(problems)


def halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values that float16 has in the place of these."""
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        return values.astype(np.float16).astype(np.float32)


def halved_feature(
    item: FeatureFormula, values: NDArray[np.float32], place: PlaceOf, small: SmallValues | None
) -> NDArray[np.float32]:
    """A flat feature as it is stored; raises DoesNotFit."""
    what, key = f"feature `{item.feature.name}`", item.formula.key[:2]
    rounded = halved(values)
    _refuse_large(what, key, values, rounded, place)
    for sentinel in item.feature.missing:
        if not isinstance(sentinel, str):
            _refuse_mistaken(what, key, sentinel, values, rounded, place)
    if small is not None:
        small.look(key, what, values, rounded, place)
    return rounded


def halved_objects(
    item: CollectionFormulas,
    values: NDArray[np.float32],
    counts: NDArray[np.uint16],
    place: PlaceOf,
    small: SmallValues | None,
) -> NDArray[np.float32]:
    """Padded objects (N, M, C) as they are stored; raises DoesNotFit."""
    rounded = halved(values)
    event, position = np.nonzero(np.arange(values.shape[1]) < counts[:, None])
    for index, formula in enumerate(item.features):
        what = f"`{formula.expression}` of collection `{item.name}`"
        before, after = values[event, position, index], rounded[event, position, index]

        def of_object(number: int) -> str:
            return place(int(event[number]))

        _refuse_large(what, formula.key, before, after, of_object)
        if small is not None:
            small.look(formula.key, what, before, after, of_object)
    return rounded


def _refuse_large(
    what: str, key: KeyPath, values: NDArray[np.float32], rounded: NDArray[np.float32], place: PlaceOf
) -> None:
    bad = np.flatnonzero(np.isinf(rounded) & np.isfinite(values))
    if len(bad):
        raise DoesNotFit(
            f"{what} is {values[bad[0]]:g} ({len(bad):,} of {len(values):,} values are like it), and float16 ends at "
            f"{LARGEST:.0f}",
            where=place(int(bad[0])),
            fix=f"Use a smaller unit in the expression, as `x / 1000`, or `log(x)`, {_FLOAT32}",
            key=key,
        )


def _refuse_mistaken(
    what: str,
    key: KeyPath,
    sentinel: float,
    values: NDArray[np.float32],
    rounded: NDArray[np.float32],
    place: PlaceOf,
) -> None:
    """A value that is there must not become one that means `not there`."""
    bad = np.flatnonzero((rounded == np.float32(sentinel)) & (values != np.float32(sentinel)))
    if len(bad):
        raise DoesNotFit(
            f"{what} is {values[bad[0]]!s}, which float16 rounds to {sentinel:g}: that means `missing`",
            where=place(int(bad[0])),
            fix=f"Have missing values far from the others, {_FLOAT32}",
            key=key,
        )
