"""Numbers as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.physics.results import Interval, Measured
from gridloom.report import numbers


@pytest.mark.parametrize(
    ("value", "uncertainty", "text"),
    [
        (0.79104, 0.00301, "0.7910 ± 0.0030"),
        (0.79104, 0.00361, "0.791 ± 0.004"),
        (12.34, 0.97, "12.3 ± 1.0"),
        (250.123, 12.3, "250 ± 12"),
        (1234567.0, 4321.0, "1\u202f235\u202f000 ± 4\u202f000"),
        (-3.2, 0.5, "−3.2 ± 0.5"),
        (5e12, 3e10, "5.00×10¹² ± 3.0×10¹⁰"),
        (0.0, 0.1, "0.00 ± 0.10"),
    ],
)
def test_a_measured_number_is_rounded_to_its_uncertainty(value: float, uncertainty: float, text: str) -> None:
    assert numbers.measured(Measured(value=value, uncertainty=uncertainty)) == text


def test_a_number_without_uncertainty_keeps_four_digits() -> None:
    assert numbers.measured(Measured(value=12.3456)) == "12.35"
    assert numbers.measured(Measured(value=12.3456, uncertainty=0.0)) == "12.35"
    assert numbers.measured(None) == "–"


def test_intervals_are_symmetric_where_they_nearly_are() -> None:
    assert numbers.interval(Interval(value=2.3, low=2.1, high=2.52)) == "2.30 ± 0.21"
    assert numbers.interval(Interval(value=2.3, low=2.1, high=2.9)) == "2.3 +0.6 −0.2"
    assert numbers.interval(Interval(value=2.3, low=2.4, high=2.9)) == "2.3 +0.6 +0.1"
    assert numbers.interval(Interval(value=2.3, low=2.3, high=2.3)) == "2.300"
    assert numbers.interval(None) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (1234.5678, "1\u202f235"),
        (0.00123456, "0.001235"),
        (1e-7, "1.000×10⁻⁷"),
        (3e10, "3.000×10¹⁰"),
    ],
)
def test_significant_digits(value: float | None, text: str) -> None:
    assert numbers.significant(value) == text


def test_per_cent_never_rounds_something_to_nothing() -> None:
    assert numbers.percent(0.112) == "11.2\u202f%"
    assert numbers.percent(0.0) == "0.0\u202f%"
    assert numbers.percent(1e-6) == "<\u202f0.1\u202f%"
    assert numbers.percent(None) == "–"


def test_counts_have_narrow_spaces_and_a_true_minus() -> None:
    assert numbers.count(1234567) == "1\u202f234\u202f567"
    assert numbers.count(-12) == "−12"
    assert numbers.fixed(-0.0001, 2) == "0.00"


@given(st.floats(-1e8, 1e8), st.floats(1e-6, 1e6))
def test_what_is_shown_is_within_half_an_uncertainty(value: float, uncertainty: float) -> None:
    text = numbers.measured(Measured(value=value, uncertainty=uncertainty)).split(" ± ")[0]
    shown = float(text.replace("\u202f", "").replace("−", "-"))
    assert math.isclose(shown, value, abs_tol=0.5 * uncertainty)
