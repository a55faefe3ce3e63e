"""Numbers as people write them: rounded to their uncertainty, thousands apart, a true minus sign."""

from __future__ import annotations

import math

from gridloom.physics.results import Interval, Measured

NOTHING = "–"
_THIN = "\u202f"


def count(value: int) -> str:
    """`1 234 567` with narrow spaces."""
    return f"{value:,}".replace(",", _THIN).replace("-", "−")


def fixed(value: float, decimals: int) -> str:
    """A number with that many decimals, thousands apart; very large ones in powers of ten."""
    if abs(value) >= 1e9:
        return power(value)
    text = f"{value:,.{max(decimals, 0)}f}"
    if decimals < 0:
        text = f"{round(value, decimals):,.0f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace(",", _THIN).replace("-", "−")


def power(value: float, digits: int = 3) -> str:
    """`1.23×10⁹`."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}×10{raised}".replace("-", "−")


def significant(value: float | None, digits: int = 4) -> str:
    """A number without an uncertainty, to some significant digits."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size >= 9:
        return power(value, digits)
    return fixed(value, digits - 1 - size if size < digits else 0)


def percent(value: float | None, decimals: int = 1) -> str:
    """A fraction in per cent; what would round to zero is called small, not zero."""
    if value is None:
        return NOTHING
    if 0 < value * 100 < 0.5 * 10**-decimals:
        return f"<{_THIN}{10**-decimals:.{decimals}f}{_THIN}%"
    return f"{fixed(100 * value, decimals)}{_THIN}%"


def _decimals(uncertainty: float) -> int:
    """Decimals by the rule of the Particle Data Group: 0.123 and 0.354 keep two digits, 0.355 and 0.94 one."""
    exponent = math.floor(math.log10(uncertainty))
    leading = round(uncertainty / 10.0 ** (exponent - 2))
    return 1 - exponent if leading <= 354 else -exponent


def measured(value: Measured | None) -> str:
    """`12.3 ± 1.2`."""
    if value is None:
        return NOTHING
    if value.uncertainty is None or value.uncertainty <= 0:
        return significant(value.value)
    decimals = min(_decimals(value.uncertainty), 8)
    if abs(value.value) >= 1e9:
        return f"{power(value.value)} ± {power(value.uncertainty, 2)}"
    return f"{fixed(value.value, decimals)} ± {fixed(value.uncertainty, decimals)}"


def interval(value: Interval | None) -> str:
    """`0.791 ± 0.003`, or `2.3 +0.4 −0.2` when the two sides differ by more than a third."""
    if value is None:
        return NOTHING
    up, down = value.high - value.value, value.value - value.low
    size = max(abs(up), abs(down))
    if size == 0:
        return significant(value.value)
    decimals = min(_decimals(size), 8)
    centre = fixed(value.value, decimals)
    if min(up, down) > 0 and size / min(up, down) < 4 / 3:
        return f"{centre} ± {fixed((up + down) / 2, decimals)}"
    signs = ["−" if side < 0 else "+" for side in (up, -down)]
    return f"{centre} {signs[0]}{fixed(abs(up), decimals)} {signs[1]}{fixed(abs(down), decimals)}"
