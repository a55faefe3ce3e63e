"""Angles between particles, per event."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np


def delta_phi(a: Any, b: Any) -> Any:
    """Difference of azimuthal angles in -pi..pi."""
    return (a - b + np.pi) % (2 * np.pi) - np.pi


def distances(a: Any, b: Any) -> Any:
    """Delta R of every object of `a` to every object of `b` in the same event: (event, object of a, object of b).

    Both are jagged records with `eta` and `phi`.
    """
    eta = a.eta[:, :, np.newaxis] - b.eta[:, np.newaxis, :]
    phi = delta_phi(a.phi[:, :, np.newaxis], b.phi[:, np.newaxis, :])
    return np.hypot(eta, phi)


def assigned(jets: Any, others: Any, radius: float) -> Any:
    """Which of `others` belong to which jet: the nearest one, within `radius`; (event, jet, other) booleans."""
    distance = distances(jets, others)
    nearest = ak.fill_none(ak.min(distance, axis=1), np.inf)
    return (distance == nearest[:, np.newaxis, :]) & (distance < radius)


def with_angles(px: Any, py: Any, pz: Any, **more: Any) -> Any:
    """Jagged records of the momentum components, `pt`, `eta`, `phi` and more."""
    pt = np.hypot(px, py)
    angles = {"eta": np.arcsinh(pz / pt), "phi": np.arctan2(py, px)}
    return ak.zip({"px": px, "py": py, "pz": pz, "pt": pt, **angles, **more})
