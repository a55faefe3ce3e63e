"""A matplotlib figure as inline SVG: the same bytes every time, colours as CSS variables, ids of its own."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from gridloom.report import style

DPI = 150

_NO_DATES: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
_HEAD = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
_DROPPED = re.compile(r"\s*(<metadata>.*?</metadata>|<style\b.*?</style>|<!--.*?-->)", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_ID = re.compile(r' id="([^"]+)"')
_REFERENCE = re.compile(r'url\(#([^)"]+)\)|href="#([^"]+)"')
_SIZE = re.compile(r' (?:width|height)="[^"]*"')
_FONT = re.compile(r" ?font-family: [^;\"]*;?")
_NO_TURN = re.compile(r' transform="rotate\(-0 [^"]*"')
_COLOUR = re.compile("|".join(re.escape(colour) for colour in style.VARIABLES))
_GROUP = re.compile(r"<g(?: [^>]*)?>|</g>")
_BETWEEN = re.compile(r">\s*\n\s*<")
_BLANKS = re.compile(r"\s*\n\s*")


@contextmanager
def _any_script() -> Iterator[None]:
    """Names may be in any script; the browser has fonts that matplotlib lacks, and a note shows a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font", category=UserWarning)
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a PNG or PDF on white, without a date."""
    kind = path.suffix[1:]
    with _any_script():
        fast: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
        figure.savefig(path, dpi=DPI, facecolor="white", metadata=_NO_DATES[kind], **fast)


def _variable(match: re.Match[str]) -> str:
    return f"var({style.VARIABLES[match[0]]})"


def _tag(tag: str, prefix: str, used: frozenset[str]) -> str:
    """One tag with ids of this figure's own (those that nothing refers to go) and colours as variables."""
    tag = _ID.sub(lambda match: f' id="{prefix}-{match[1]}"' if match[1] in used else "", tag)
    tag = _REFERENCE.sub(
        lambda match: f"url(#{prefix}-{match[1]})" if match[1] else f'href="#{prefix}-{match[2]}"', tag
    )
    tag = _COLOUR.sub(_variable, _NO_TURN.sub("", _FONT.sub("", tag)))
    return _BLANKS.sub(" ", _SIZE.sub("", tag) if tag.startswith("<svg") else tag)


def _without_empty_groups(text: str) -> str:
    """Drop groups that have lost their id: they say nothing and are a third of the bytes."""
    kept: list[bool] = []

    def turn(match: re.Match[str]) -> str:
        if match[0] == "</g>":
            return match[0] if kept.pop() else ""
        kept.append(match[0] != "<g>")
        return match[0] if kept[-1] else ""

    return _GROUP.sub(turn, text)


def inline(figure: Figure, name: str) -> str:
    """The figure as an `<svg>` element for an HTML page; `name` is the prefix of its ids.

    Only tags are changed: text in them is as matplotlib escaped it, whatever it says. The font is the page's.
    """
    stream = io.StringIO()
    with _any_script(), mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata=_NO_DATES["svg"])
    text = _DROPPED.sub("", _HEAD.sub("", stream.getvalue()))
    used = frozenset(match[1] or match[2] for tag in _TAG.findall(text) for match in _REFERENCE.finditer(tag))
    text = _TAG.sub(lambda match: _tag(match[0], name, used), text)
    return _BETWEEN.sub(">\n<", _without_empty_groups(text)).strip()
