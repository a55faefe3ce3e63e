"""The first screen: is it good, is it safe to use? Each check is one question with an answer in plain words."""

from __future__ import annotations

from collections.abc import Iterable

from gridloom.physics.results import (
    Calibration,
    Check,
    ClassYield,
    Discrimination,
    Interval,
    LearningCurve,
    Regression,
    SampleYield,
    ScoreDistribution,
    Separation,
    Significance,
    Status,
)

SMALL_DIFFERENCE = 0.005
LEAK_AREA = 0.99
CERTAIN_LEAK_AREA = 0.9995


def _plus_minus(value: Interval, digits: int = 4) -> str:
    middle = f"{value.value:.{digits}f}".replace("-", "−")
    return f"{middle} (+{value.high - value.value:.{digits}f} −{value.value - value.low:.{digits}f})"


def _pull(value: Interval, expected: float) -> float:
    """Distance from `expected` in standard uncertainties; infinite when there is no uncertainty."""
    width = (value.high - value.low) / 2
    return (value.value - expected) / width if width > 0 else float("inf")


def separation(found: Discrimination) -> Check:
    """AUC against guessing."""
    area, pull = found.network.area, _pull(found.network.area, 0.5)
    status: Status = "good" if pull > 5 else "warn" if pull > 2 else "bad"
    tail = {
        "good": "clearly better than guessing (0.5)",
        "warn": "only weakly better than guessing (0.5)",
        "bad": "which cannot be told from guessing (0.5)",
    }[status]
    text = f"AUC {_plus_minus(area)} on events the network never saw, {tail}."
    return Check(name="Separation", status=status, statement=text, value=area.value)


def against_trees(found: Discrimination) -> Check | None:
    """AUC against the boosted trees on the same folds."""
    gain, trees = found.difference, found.reference
    if gain is None or trees is None:
        return None
    worse = gain.value < -SMALL_DIFFERENCE and gain.high < 0
    status: Status = "good" if not worse else "warn" if gain.value > -4 * SMALL_DIFFERENCE else "bad"
    if worse:
        word = "worse than"
    else:
        word = "better than" if gain.low > 0 else "within errors as good as" if gain.high >= 0 else "close to"
    tail = " A longer training or another model may help." if worse else ""
    text = f"The network is {word} boosted trees (AUC {trees.area.value:.4f}): difference {_plus_minus(gain)}.{tail}"
    return Check(name="Against boosted trees", status=status, statement=text, value=gain.value)


def folds_agree(found: Discrimination) -> Check | None:
    """Spread of the folds' own AUC against what chance makes of so few events."""
    areas = [area for area in found.network.fold_areas if area is not None]
    if len(areas) < 2:
        return None
    mean = sum(areas) / len(areas)
    worst = max(abs(area - mean) for area in areas)
    one_fold = (found.network.area.high - found.network.area.low) / 2 * len(areas) ** 0.5
    odd = worst > 4 * one_fold and worst > 2 * SMALL_DIFFERENCE
    text = f"The AUC of the {len(areas)} folds lies between {min(areas):.4f} and {max(areas):.4f}; "
    text += f"chance alone moves one fold by about {one_fold:.4f}."
    if odd:
        text += " One training went wrong, or the folds are not alike."
    return Check(name="Folds agree", status="warn" if odd else "good", statement=text, value=worst)


def overtraining(found: Discrimination, distribution: ScoreDistribution) -> Check | None:
    """AUC on events of the training against unseen events, beside the smallest p-value of the classes."""
    gap = found.overtraining
    if gap is None:
        return None
    tests = [part.overtraining for part in distribution.classes if part.overtraining is not None]
    # The smallest of several p-values, corrected for having looked at several.
    smallest = min(1.0, min((min(test.ks_p, test.chi2_p) for test in tests), default=1.0) * 2 * max(1, len(tests)))
    real = gap.low > 0 or smallest < 0.01
    status: Status = "bad" if real and gap.value > 0.1 else "warn" if real and gap.value > 0.01 else "good"
    text = f"AUC on events of the training minus AUC on unseen events: {_plus_minus(gap)}; "
    text += f"smallest p-value of the comparisons of their scores, corrected for their number: {smallest:.2g}. "
    text += {
        "good": "No harmful over-training.",
        "warn": "Some over-training: scores of training events must not be used.",
        "bad": "Strong over-training: use more events, a smaller model or more regularisation.",
    }[status]
    return Check(name="Over-training", status=status, statement=text, value=gap.value)


def calibrated(found: Calibration) -> Check | None:
    """Mean distance of scores from true fractions."""
    error = found.expected_error
    if error is None:
        return None
    agrees = found.chi2 is not None and found.chi2 < 2 * max(1, found.degrees)
    status: Status = "good" if error.value < 0.02 or agrees else "warn" if error.value < 0.05 else "bad"
    text = f"Scores miss the true signal fraction by {error.value:.3f} on average (for the training's class balance). "
    if status != "good":
        text += "Use them to order events, not as odds."
    elif error.value < 0.02:
        text += "They can be read as probabilities."
    else:
        text += "So few events can tell no better: nothing speaks against reading them as probabilities."
    return Check(name="Calibration", status=status, statement=text, value=error.value)


def effective(classes: Iterable[ClassYield]) -> Check:
    """The class with the fewest effective events."""
    smallest = min(classes, key=lambda item: item.effective or 0.0)
    count = smallest.effective or 0.0
    status: Status = "good" if count >= 1000 else "warn" if count >= 100 else "bad"
    text = (
        f"The {smallest.raw} events of {smallest.name} have the statistical power of {count:.0f} events of equal weight"
    )
    text += "." if status == "good" else ": few, so all figures are uncertain."
    return Check(name="Effective events", status=status, statement=text, value=count)


def negative_weights(classes: Iterable[ClassYield]) -> Check:
    """The largest share of negative weights."""
    largest = max(classes, key=lambda item: item.negative_fraction)
    share = largest.negative_fraction
    if share == 0:
        return Check(name="Negative weights", status="good", statement="There are none.", value=0.0)
    status: Status = "good" if share < 0.1 else "warn" if share < 0.35 else "bad"
    text = f"In {largest.name} {share:.1%} of the weight is negative; it is counted with its sign everywhere. "
    text += "That costs little." if status == "good" else "Efficiencies may leave 0 to 1 where few events are."
    return Check(name="Negative weights", status=status, statement=text, value=share)


def leak(separations: Iterable[Separation], found: Discrimination) -> Check:
    """One input alone, or the network, that separates too well to be true."""
    strongest = max(separations, key=lambda item: abs(item.area - 0.5), default=None)
    best = 0.5 + abs(strongest.area - 0.5) if strongest is not None else 0.5
    if strongest is not None and best > LEAK_AREA:
        text = f"`{strongest.name}` alone gives an AUC of {best:.4f}: does it tell the class by its definition?"
        # A mass peak may do so honestly (Z against the rest); next to perfect, nothing does.
        status: Status = "bad" if best > CERTAIN_LEAK_AREA else "warn"
        return Check(name="Leak", status=status, statement=text, value=best)
    if found.network.area.value > 0.9995:
        text = "The separation is nearly perfect: look for an input that tells how the event was made."
        return Check(name="Leak", status="warn", statement=text, value=found.network.area.value)
    tail = "" if strongest is None else f" (the best, `{strongest.name}`: AUC {best:.3f})"
    text = f"No single input separates the classes suspiciously well{tail}."
    return Check(name="Leak", status="good", statement=text, value=best)


def lost_files(samples: Iterable[SampleYield]) -> Check:
    """Files that could not be read."""
    hurt = [item for item in samples if item.files_lost > 0]
    if not hurt:
        return Check(name="Files", status="good", statement="All files were read.", value=0.0)
    lost = sum(item.files_lost for item in hurt)
    names = ", ".join(f"{item.sample} ({item.files_lost} of {item.files_read + item.files_lost})" for item in hurt)
    text = f"Files were lost in {names}; normalisations by cross section account for it."
    return Check(name="Files", status="warn", statement=text, value=float(lost))


def trained_enough(curves: Iterable[LearningCurve], epochs: int) -> Check | None:
    """Whether the validation loss still fell when the training ended."""
    known = [curve for curve in curves if curve.best_epoch is not None and curve.epochs]
    if not known:
        return None
    still = [curve for curve in known if len(curve.epochs) >= epochs and curve.best_epoch == curve.epochs[-1]]
    if len(still) * 2 > len(known):
        text = f"In {len(still)} of {len(known)} folds the last epoch was the best: more epochs may still help."
        return Check(name="Training length", status="warn", statement=text, value=float(len(still)))
    text = f"The validation loss stopped falling in {len(known) - len(still)} of {len(known)} folds."
    return Check(name="Training length", status="good", statement=text, value=float(len(still)))


def counting(found: Significance) -> Check:
    """Whether a cut and a binning exist that keep enough background."""
    best = found.best
    if best is None or not best.valid or best.asimov is None:
        text = "No cut keeps positive yields and enough effective background events: no significance is quoted."
        return Check(name="Significance", status="warn", statement=text)
    text = f"A cut chosen on validation events gives {_plus_minus(best.asimov, 2)} σ expected on unseen events"
    binned = found.binned.asimov if found.binned is not None else None
    text += "." if binned is None else f", all bins of the score together {_plus_minus(binned, 2)} σ."
    return Check(name="Significance", status="good", statement=text, value=best.asimov.value)


def regression_checks(found: Regression, spread: float) -> tuple[Check, ...]:
    """Explained variance, bias, trees and over-training of a regression; `spread` is that of the target."""
    checks = []
    network, r2 = found.network, found.network.r2
    if r2 is not None:
        status: Status = "good" if r2.low > 0.05 else "warn" if r2.low > 0 else "bad"
        text = f"The prediction explains {r2.value:.1%} of the target's variance on events the network never saw."
        checks.append(Check(name="Prediction", status=status, statement=text, value=r2.value))
    biased = abs(_pull(network.bias, 0.0)) > 3 and abs(network.bias.value) > 0.02 * spread
    text = f"On average the prediction is off by {network.bias.value:.4g}; "
    text += f"its resolution is {network.resolution.value:.4g}."
    checks.append(Check(name="Bias", status="warn" if biased else "good", statement=text, value=network.bias.value))
    if found.reference is not None:
        checks.append(_error_ratio("Against boosted trees", network.rmse, found.reference.rmse, "boosted trees"))
    if found.train is not None:
        what = "the same events by models that trained on them"
        checks.append(_error_ratio("Over-training", network.rmse, found.train.rmse, what))
    return tuple(checks)


def _error_ratio(name: str, rmse: Interval, other: Interval, what: str) -> Check:
    ratio = rmse.value / other.value if other.value > 0 else 1.0
    apart = rmse.low > other.high
    status: Status = "good" if not apart or ratio < 1.02 else "warn" if ratio < 1.2 else "bad"
    text = f"RMS error {rmse.value:.4g} against {other.value:.4g} for {what}."
    return Check(name=name, status=status, statement=text, value=ratio)
