"""What the page's figures tell under the pointer: axes, limits and points, read from the drawn figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import QuadMesh
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.ticker import FixedFormatter, FuncFormatter

POINTS_PER_INCH = 72
COLOUR_SCALE = "colour scale"
"""Label of axes that only explain colours: nothing to read there."""
_MOST_POINTS = 240

Readout = dict[str, Any]


def _round(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [_round(float(value)) for value in values]


def _thinned(values: Sequence[float]) -> Sequence[float]:
    """Every n-th point of a long curve: the pointer cannot tell neighbours apart."""
    step = max(1, math.ceil(len(values) / _MOST_POINTS))
    return values[::step]


def _public(label: object) -> bool:
    return isinstance(label, str) and bool(label) and not label.startswith("_")


def _text(label: str) -> str:
    r"""The label as the reader sees it: `\$` was `$` before `style.plain`."""
    return label.replace(r"\$", "$")


def _line(line: Line2D) -> Readout:
    x, y = line.get_xdata(orig=False), line.get_ydata(orig=False)
    return {
        "label": _text(str(line.get_label())),
        "x": _rounded(_thinned(list(map(float, x)))),  # type: ignore[arg-type]
        "y": _rounded(_thinned(list(map(float, y)))),  # type: ignore[arg-type]
    }


def _errorbar(container: ErrorbarContainer) -> Readout:
    line, _, bars = container.lines
    result = _line(line) | {"label": _text(str(container.get_label()))}
    if container.has_yerr and bars:
        result["error"] = _rounded((ends[1][1] - ends[0][1]) / 2 for ends in bars[-1].get_segments())
    return result


def _steps(patch: StepPatch) -> Readout:
    values, edges, baseline = patch.get_data()
    base = np.broadcast_to(np.asarray(0.0 if baseline is None else baseline, dtype=float), np.shape(values))
    result: Readout = {
        "label": _text(str(patch.get_label())),
        "x": _rounded((low + high) / 2 for low, high in pairwise(edges)),
        "y": _rounded(values),
    }
    if base.any():
        # What a stacked histogram itself holds lies between the steps.
        result["content"] = _rounded(np.asarray(values) - base)
    return result


def _bars(container: BarContainer) -> Readout:
    """The ends of the bars."""
    boxes = [patch.get_bbox() for patch in container.patches]
    flat = container.orientation == "horizontal"
    result: Readout = {
        "label": _text(str(container.get_label())),
        "x": _rounded(box.x1 if flat else (box.x0 + box.x1) / 2 for box in boxes),
        "y": _rounded((box.y0 + box.y1) / 2 if flat else box.y1 for box in boxes),
    }
    if container.errorbar is not None:
        along = 0 if flat else 1
        segments = container.errorbar.lines[2][0].get_segments()
        result["error"] = _rounded((ends[1][along] - ends[0][along]) / 2 for ends in segments)
    return result


def _of_names(axis: Axis) -> bool:
    """Whether the axis has names at 0, 1, 2, ... (`set_ticks` with labels) and not numbers."""
    given = isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter)
    return given and all(float(place).is_integer() for place in axis.get_ticklocs())


def _named(axes: Axes, curve: Readout) -> Readout:
    """On an axis of names a point is told by its name, not by its number."""
    for along, axis in (("y", axes.yaxis), ("x", axes.xaxis)):
        if _of_names(axis):
            known = _known(axis)
            names = [known.get(round(place), "") for place in curve[along]]
            return curve | {"along": along, "names": [f"{name}, {curve['label']}" for name in names]}
    return curve


def _curves(axes: Axes) -> list[Readout]:
    curves = [_line(line) for line in axes.lines if _public(line.get_label())]
    for container in axes.containers:
        if not _public(container.get_label()):
            continue
        if isinstance(container, ErrorbarContainer):
            curves.append(_errorbar(container))
        elif isinstance(container, BarContainer):
            curves.append(_bars(container))
    curves += [_steps(patch) for patch in axes.patches if isinstance(patch, StepPatch) and _public(patch.get_label())]
    return [_named(axes, curve) for curve in curves]


def _known(axis: Axis) -> dict[int, str]:
    """Names by place; asked of the formatter, since labels that are not shown have no text."""
    places = [float(place) for place in axis.get_ticklocs()]
    texts = axis.get_major_formatter().format_ticks(places)
    return {round(place): _text(text) for place, text in zip(places, texts, strict=True)}


def _matrix(axes: Axes) -> Readout | None:
    """Cells of a drawn matrix with the names of rows and columns."""
    meshes = [mesh for mesh in axes.collections if isinstance(mesh, QuadMesh)]
    drawn = meshes[0] if meshes else axes.images[0] if axes.images else None
    values = None if drawn is None else drawn.get_array()
    if values is None:
        return None
    rows = np.ma.filled(values, math.nan)
    return {
        "values": [_rounded(row) for row in rows],
        "rows": _names(axes.yaxis, rows.shape[0]),
        "columns": _names(axes.xaxis, rows.shape[1]),
    }


def _names(axis: Axis, size: int) -> list[str]:
    """Names at 0, 1, 2, ...; where a large matrix has no tick, the number."""
    known = _known(axis)
    return [known.get(index, f"no. {index + 1}") for index in range(size)]


def _axes(axes: Axes, width: float, height: float) -> Readout:
    box = axes.get_position()
    result: Readout = {
        "box": _rounded((box.x0 * width, (1 - box.y1) * height, box.x1 * width, (1 - box.y0) * height)),
        "xlim": [float(f"{value:.8g}") for value in axes.get_xlim()],
        "ylim": [float(f"{value:.8g}") for value in axes.get_ylim()],
        "xlog": axes.get_xscale() == "log",
        "ylog": axes.get_yscale() == "log",
        "xlabel": _text(axes.get_xlabel()),
        "ylabel": _text(axes.get_ylabel()),
        "curves": _curves(axes),
    }
    # An axis of names has no coordinates worth telling.
    result["named"] = _of_names(axes.xaxis) or _of_names(axes.yaxis)
    matrix = _matrix(axes)
    if matrix is not None:
        result["matrix"] = matrix
    return result


def readout(figure: Figure) -> list[Readout]:
    """Axes of a drawn figure in the SVG's units (points, downwards) with their curves, bars and cells."""
    width, height = figure.get_size_inches() * POINTS_PER_INCH
    return [_axes(axes, width, height) for axes in figure.axes if axes.get_label() != COLOUR_SCALE]
