"""The answer of the first screen in one sentence, from the checks; used by the page and by the terminal."""

from __future__ import annotations

from gridloom.physics.results import Check, Evaluation, Status

WORDS: dict[Status, str] = {"good": "good", "warn": "look", "bad": "bad"}
ICONS: dict[Status, str] = {"good": "✓", "warn": "!", "bad": "✗"}
_ORDER: tuple[Status, ...] = ("bad", "warn", "good")


def worst(checks: tuple[Check, ...]) -> Status:
    """The status of the whole: that of the worst check."""
    return next((status for status in _ORDER if any(check.status == status for check in checks)), "warn")


def sorted_checks(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """Problems first, otherwise in the order given."""
    return tuple(sorted(checks, key=lambda check: _ORDER.index(check.status)))


def _points(number: int) -> str:
    return "1 point" if number == 1 else f"{number} points"


def headline(evaluation: Evaluation) -> str:
    """Is it good, is it safe: in one sentence."""
    checks = evaluation.verdict
    bad = sum(check.status == "bad" for check in checks)
    warn = sum(check.status == "warn" for check in checks)
    if not checks:
        return "Not judged: the evaluation made no checks"
    if bad:
        also = f", and {_points(warn)} to look at" if warn else ""
        return f"Not safe to use yet: {'1 serious problem' if bad == 1 else f'{bad} serious problems'}{also}"
    if warn:
        return f"Usable with care: {_points(warn)} to look at"
    return "Good, and safe to use"
